package main

import (
	"fmt"
	"io"
	"math/big"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/database"
)

func newDatabasePricesCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "prices",
		Short: "Show what databases cost",
		Long: `Shows the prices that governance has set (database_prices among the parameters of the module "pot"), in noz: one is a byte of traffic. A
database pays those of its newest notice: of when it was made, or its allowance was filled up last.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			value, err := e.chain(cmd.Context())
			if err != nil {
				return err
			}
			defer value.Close()
			out, err := value.Query(cmd.Context(), abi.Pot(), "databasePrices")
			if err != nil {
				return err
			}
			v := struct {
				Gas      uint64 `json:"gas"`
				Row      uint64 `json:"row"`
				ByteIn   uint64 `json:"byte_in"`
				ByteOut  uint64 `json:"byte_out"`
				ByteHour uint64 `json:"byte_hour"`
				Unit     uint64 `json:"unit"` // so many are a noz
			}{out[0].(uint64), out[1].(uint64), out[2].(uint64), out[3].(uint64), out[4].(uint64), database.PriceUnit}
			return e.print(v, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				for _, p := range []struct {
					what string
					n    uint64
				}{{"a unit of gas", v.Gas}, {"a row", v.Row}, {"a byte in", v.ByteIn}, {"a byte out", v.ByteOut}, {"a byte held for an hour", v.ByteHour}} {
					fmt.Fprintf(t, "%s\t%s noz\n", p.what, inUnits(p.n))
				}
				t.Flush()
			})
		},
	}
}

// inUnits writes millionths without needless zeros.
func inUnits(n uint64) string {
	s := new(big.Rat).SetFrac(new(big.Int).SetUint64(n), big.NewInt(database.PriceUnit)).FloatString(6)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}
