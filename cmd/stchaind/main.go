// Command stchaind runs a node of the value layer, with the command conventions of the Cosmos SDK.
//
// It is what links the SDK, so that command stratos need not: `stratos up` runs it as a child process, first
// `stchaind devnet-init --spec FILE` and then one `stchaind start --home DIR` per validator.
package main

import (
	"context"
	"fmt"
	"os"

	servercmd "github.com/cosmos/cosmos-sdk/server/cmd"

	"github.com/stratosmesh/stratos/chain/app"
	"github.com/stratosmesh/stratos/mesh"
)

func main() {
	app.Configure()
	if err := newRootCommand().ExecuteContext(servercmd.CreateExecuteContext(context.Background())); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		if hint := mesh.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "Hint:", hint)
		}
		os.Exit(mesh.KindOf(err).ExitCode())
	}
}
