package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
)

func newDatabaseCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "db",
		Short: "Make databases and use them",
		Long: `A database lies on a cell: 3f+1 machines of different operators, each of which runs every statement. Of these, f may lie or
fail: what f+1 have signed alike is believed.`,
		Args: cobra.NoArgs,
		RunE: showHelp,
	}
	cmd.AddCommand(newDatabaseCreateCommand(e), newDatabaseListCommand(e), newDatabaseSQLCommand(e), newDatabaseShellCommand(e), newDatabaseImportCommand(e),
		newDatabaseExportCommand(e), newDatabaseGrantCommand(e), newDatabasePricesCommand(e), newDatabaseProxyCommand(e), newDatabaseWatchCommand(e), newDatabaseBackupCommand(e), newDatabaseVerifyCommand(e), newDatabaseRestoreCommand(e),
		newDatabaseAnchorCommand(e), newDatabaseStatsCommand(e), newDatabaseDropCommand(e))
	return cmd
}

// cellTime is how long a new database may take to answer.
const cellTime = 2 * time.Minute

// A databaseView is a database as commands show it.
type databaseView struct {
	Name    string          `json:"name"`
	ID      mesh.DatabaseID `json:"id"`
	Dialect string          `json:"dialect"`
	Faults  int             `json:"faults"`
	Cell    mesh.CellID     `json:"cell"`
	Created string          `json:"created"`
	State   string          `json:"state"` // open, read-only: as it was settled last

	UsedNoz      mesh.Noz `json:"used_noz"`      // settled last
	SettledNoz   mesh.Noz `json:"settled_noz"`   // of it, that nodes were paid
	AllowanceNoz mesh.Noz `json:"allowance_noz"` // that it may use in all
}

func viewDatabase(d client.Database) databaseView {
	v := databaseView{Name: d.Name, ID: d.ID, Dialect: d.Dialect, Faults: d.Faults, Cell: d.Cell, Created: d.Created.UTC().Format(time.RFC3339), State: "open",
		UsedNoz: d.Used, SettledNoz: d.Settled, AllowanceNoz: d.Allowance}
	if d.ReadOnly() {
		v.State = "read-only"
	}
	return v
}

func newDatabaseCreateCommand(e *env) *cobra.Command {
	var o client.DatabaseOptions
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a database, and wait until it answers",
		Long: `Creates a database of the account's. The network gives it a cell with room, or draws the machines for a new one, which takes a few
seconds. Whoever interrupts the waiting has the database all the same; "stratos db stats NAME" shows how far it is.`,
		Example: "  stratos db create shop\n  stratos db create ledger --faults 2",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e.interrupted = "the database may be made already; see: stratos db list"
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				if err := c.CreateDatabase(cmd.Context(), args[0], o); err != nil {
					return err
				}
				if err := e.awaitDatabase(cmd.Context(), c, args[0]); err != nil {
					return err
				}
				e.revokeAgain(cmd.Context(), c)
				d, err := c.Database(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return e.print(viewDatabase(d), func(w io.Writer) {
					fmt.Fprintf(w, "created database %s on %s\nnext: stratos db sql %s 'CREATE TABLE t(id %s PRIMARY KEY, name text)'\n",
						d.Name, count(wiredatabase.Replicas(uint32(d.Faults)), "replica"), d.Name, serialOf(d.Dialect))
				})
			})
		},
	}
	cmd.Flags().IntVar(&o.Faults, "faults", 1, "how many machines may lie or fail, 1 to 4: it has three times as many, and one")
	cmd.Flags().StringVar(&o.Dialect, "dialect", client.Dialects()[0], "of its SQL, for good: "+strings.Join(client.Dialects(), ", "))
	return cmd
}

// serialOf is the type of a column that numbers rows, in a dialect.
func serialOf(dialect string) string {
	if dialect == wiredatabase.SQLite {
		return "INTEGER"
	}
	return "serial"
}

// awaitDatabase waits until a new database answers, and tells a person what it waits for.
func (e *env) awaitDatabase(ctx context.Context, c *client.Client, name string) error {
	ctx, cancel := context.WithTimeout(ctx, cellTime)
	defer cancel()
	said := ""
	say := func(what string) {
		if what != said {
			e.say("waiting: %s", what)
		}
		said = what
	}
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		db, err := c.OpenDatabase(ctx, name, database.Options{})
		if err == nil {
			return db.Ready(ctx, say)
		}
		if mesh.KindOf(err) != mesh.Unavailable {
			return err
		}
		if ctx.Err() == nil {
			say(err.Error())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the database is made, and does not answer yet: %s", said), "look again: stratos db stats %s", name)
		}
	}
}

func newDatabaseListCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the account's databases",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				all, err := c.Databases(cmd.Context())
				if err != nil {
					return err
				}
				views := []databaseView{}
				for _, d := range all {
					views = append(views, viewDatabase(d))
				}
				return e.print(map[string]any{"databases": views}, func(w io.Writer) {
					t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					if len(views) > 0 {
						fmt.Fprintln(t, "NAME\tDIALECT\tFAULTS\tSTATE\tCELL\tCREATED")
					}
					for _, v := range views {
						fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\n", v.Name, v.Dialect, v.Faults, v.State, v.Cell, v.Created)
					}
					t.Flush() // into memory
				})
			})
		},
	}
}

func newDatabaseDropCommand(e *env) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "drop NAME",
		Short:   "Delete a database and all that is in it, for good",
		Example: "  stratos db drop shop --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				if err := e.confirm(cmd.Context(), args[0]); err != nil {
					return err
				}
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				if err := c.DropDatabase(cmd.Context(), args[0]); err != nil {
					return err
				}
				return e.print(map[string]any{"name": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "dropped database %s\n", args[0]) })
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// confirm has a person type the name of what will be deleted.
func (e *env) confirm(ctx context.Context, name string) error {
	f, ok := e.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "there is no terminal to ask on whether database %q shall be dropped", name), "say so with --yes")
	}
	fmt.Fprintf(e.stderr, "All that is in database %s will be deleted for good. Type its name to go on: ", name)
	typed := make(chan string, 1)
	go func() { // reading from a terminal cannot be broken off; after an interrupt the program ends
		var s string
		_, _ = fmt.Fscanln(f, &s) // nothing typed is not the name
		typed <- s
	}()
	select {
	case s := <-typed:
		if s != name {
			return mesh.Errorf(mesh.Invalid, "%q is not %q: nothing is dropped", s, name)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A replicaView is a replica as it says that it is.
type replicaView struct {
	Node       mesh.NodeID `json:"node"`
	Address    string      `json:"address"`
	State      string      `json:"state"`            // open, read-only, missing, away
	Why        string      `json:"why,omitempty"`    // away
	Height     int64       `json:"height,omitempty"` // of the cell's log
	Checkpoint int64       `json:"checkpoint,omitempty"`

	DatabaseHeight int64          `json:"database_height,omitempty"`
	Digest         string         `json:"digest,omitempty"`
	Usage          database.Usage `json:"usage"`
	Noz            mesh.Noz       `json:"noz"` // used so far
	AllowanceNoz   mesh.Noz       `json:"allowance_noz"`
}

func viewReplica(s database.MemberStatus) replicaView {
	v := replicaView{Node: s.Node, Address: s.Address, State: "missing", Height: s.Height, Checkpoint: s.Checkpoint, DatabaseHeight: s.DatabaseHeight,
		Digest: hex.EncodeToString(s.Digest), Usage: s.Usage, Noz: s.Noz, AllowanceNoz: s.Allowance}
	switch {
	case s.Err != nil:
		v.State, v.Why = "away", s.Err.Error()
	case s.Known && (s.State == wiredatabase.ReadOnly || s.Noz >= s.Allowance):
		v.State = "read-only"
	case s.Known:
		v.State = "open"
	}
	return v
}

// used is what so many replicas say at least that a database has used that one of them is honest; 0 when too few say so.
func used(stats []database.MemberStatus) mesh.Noz {
	var all []mesh.Noz
	for _, s := range stats {
		if s.Known {
			all = append(all, s.Noz)
		}
	}
	slices.Sort(all)
	enough := (len(stats)-1)/3 + 1
	if len(all) < enough {
		return 0
	}
	return all[len(all)-enough]
}

// verdict says of a cell's replicas whether those that answer agree, and what works with them.
func verdict(views []replicaView, agree bool) string {
	answer, faults := 0, (len(views)-1)/3
	for _, v := range views {
		if v.State == "open" || v.State == "read-only" {
			answer++
		}
	}
	if !agree {
		return "They DISAGREE: a replica is damaged, or lies."
	}
	if answer == len(views) {
		return "They agree."
	}
	s := fmt.Sprintf("%d of %d answer. ", answer, len(views))
	if answer > 1 {
		s = fmt.Sprintf("%d of %d answer, and agree. ", answer, len(views))
	}
	switch {
	case answer > 2*faults:
		return s + "Reading and writing work."
	case answer > faults:
		return s + fmt.Sprintf("Reading works at the levels fast and default; writing, and reading at level ordered, wait until %d answer.", 2*faults+1)
	case answer > 0:
		return s + fmt.Sprintf("Only reading at level fast works; the level default needs %d, writing %d.", faults+1, 2*faults+1)
	}
	return s + fmt.Sprintf("Nothing works until %d answer, and writing until %d do.", faults+1, 2*faults+1)
}

func newDatabaseStatsCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "stats NAME",
		Short: "Show how each replica of a database is, and whether they agree",
		Long: `Asks every replica of the database's cell how it stands. Those at the same height of the database agree when their digests are equal.
Rows touched, gas and ozone used so far are told to who may read the database and has asked it something before. What was settled, and
what the database may use before it becomes read-only, the network's log says.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				d, err := c.Database(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				db, err := c.OpenDatabase(cmd.Context(), args[0], database.Options{})
				if err != nil {
					return err
				}
				stats := db.Stats(cmd.Context())
				views := []replicaView{}
				for _, s := range stats {
					views = append(views, viewReplica(s))
				}
				agree := database.Agree(stats)
				v := map[string]any{"database": viewDatabase(d), "version": db.Cell().Version, "replicas": views, "agree": agree}
				return e.print(v, func(w io.Writer) {
					fmt.Fprintf(w, "database  %s, %s\ncell      %s, version %d\n", d.Name, d.ID, d.Cell, db.Cell().Version)
					fmt.Fprintf(w, "used      %s of %s, of which %s is settled\n\n", max(d.Used, used(stats)), d.Allowance, d.Settled)
					t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					fmt.Fprintln(t, "NODE\tSTATE\tLOG\tDATABASE\tDIGEST\tROWS\tGAS\tUSED\tWHY")
					for _, v := range views {
						fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%.12s\t%d\t%d\t%s\t%s\n", v.Node, v.State, v.Height, v.DatabaseHeight, v.Digest, v.Usage.Rows, v.Usage.Gas, v.Noz, v.Why)
					}
					t.Flush() // into memory
					fmt.Fprintln(w, "\n"+verdict(views, agree))
				})
			})
		},
	}
}
