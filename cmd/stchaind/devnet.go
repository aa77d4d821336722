package main

import (
	"encoding/json"
	"os"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/chain/genesis"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/devspec"
)

const devnetInitName = "devnet-init"

func devnetInitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   devnetInitName + " --spec FILE",
		Short: "Write the validators' homes and the genesis of a development network",
		Long: `Reads the description of a development network (package protocol/devspec; "-" is standard input), writes
one home per validator and the same genesis into each, and prints one JSON object: the network's id and the
validators' peer ids.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := cmd.Flags().GetString("spec")
			if err != nil {
				return err
			}
			in := os.Stdin
			if path != "-" {
				if in, err = os.Open(path); err != nil {
					return mesh.Errorf(mesh.NotFound, "spec: %w", err)
				}
				defer in.Close()
			}
			spec, err := devspec.Decode(in)
			if err != nil {
				return err
			}
			result, err := genesis.Write(spec)
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(result)
		},
	}
	cmd.Flags().String("spec", "", "file with the network's description")
	_ = cmd.MarkFlagRequired("spec") // fails only when there is no such flag
	return cmd
}
