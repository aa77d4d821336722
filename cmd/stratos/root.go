package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// newRootCommand assembles the commands. Each lies in a file of its own, as a function newNAMECommand(*env).
func newRootCommand(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "stratos",
		Short: "A cloud that nobody can switch off",
		Long: `Stratos is a decentralized cloud: storage, databases and computing on machines of strangers, paid by proof
of the traffic that they served. "stratos up" runs a whole network on this machine.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              cobra.NoArgs,
		RunE:              showHelp,
		PersistentPreRunE: e.begin,
	}
	f := root.PersistentFlags()
	f.String("home", "", "folder of keys, settings and development networks (default ~/.stratos)")
	f.BoolVar(&e.json, "json", false, "print one JSON object; errors too, on standard error")
	f.String("account", "", "account that acts: a name, st1... or 0x...")
	f.StringVar(&e.grant, "grant", "", "act under this grant, or the one in this file, instead of an account")
	f.String("password-file", "", "file with the account's password in its first line")
	root.AddGroup(
		&cobra.Group{ID: "network", Title: "Development network:"},
		&cobra.Group{ID: "object", Title: "Objects:"},
		&cobra.Group{ID: "database", Title: "Databases:"},
		&cobra.Group{ID: "compute", Title: "Computing:"},
		&cobra.Group{ID: "account", Title: "Accounts:"},
		&cobra.Group{ID: "operator", Title: "Operators:"},
		&cobra.Group{ID: "self", Title: "This program:"},
	)
	root.SetHelpCommandGroupID("self")
	root.SetCompletionCommandGroupID("self")
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("network", newUpCommand(e), newDownCommand(e), newStatusCommand(e), newStopCommand(e), newStartCommand(e),
		newLogsCommand(e), newDoctorCommand(e))
	add("object", newMakeBucketCommand(e), newRemoveBucketCommand(e), newServeCommand(e), newCopyCommand(e), newListCommand(e), newStatCommand(e), newRemoveCommand(e), newMoveCommand(e), newUsageCommand(e))
	add("database", newDatabaseCommand(e))
	add("compute", newRunCommand(e), newDeployCommand(e), newAppCommand(e), newPsCommand(e), newCostCommand(e), newCancelCommand(e), newOrderCommand(e))
	add("account", newWalletCommand(e), newPrepayCommand(e), newRewardsCommand(e), newEpochCommand(e), newKeysCommand(e), newShareCommand(e))
	add("operator", newMetaCommand(e), newNodeCommand(e), newReplicaCommand(e), newWorkerCommand(e), newGatewayCommand(e))
	add("self", newJoinCommand(e), newConfigCommand(e), newVersionCommand(e))
	root.AddCommand(newExitCodesCommand())
	nameArguments(root)
	return root
}

// showHelp is what a command does that only has others below it.
func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

func newVersionCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{"devel", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
				v.Version = info.Main.Version
			}
			return e.print(v, func(w io.Writer) { fmt.Fprintf(w, "stratos %s (%s, %s)\n", v.Version, v.Go, v.Platform) })
		},
	}
}
