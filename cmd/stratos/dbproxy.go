package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/cmd/stratos/internal/sqlproxy"
	"github.com/stratosmesh/stratos/gateway/postgres"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
)

func newDatabaseProxyCommand(e *env) *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "proxy NAME",
		Short: "Let programs on this machine use a database by PostgreSQL's protocol",
		Long: `Serves one database of dialect postgres at an address of this machine, until it is interrupted, and prints the URL with a password
that is made anew each time. Answers are checked and programs are signed here, so that no gateway need be trusted.`,
		Example: "  stratos db proxy shop\n  stratos db proxy shop --listen 127.0.0.1:5432",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *client.Client) error { return e.proxy(cmd.Context(), c, args[0], listen) })
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address; port 0 takes one that is free")
	return cmd
}

func (e *env) proxy(ctx context.Context, c *client.Client, name, listen string) error {
	db, err := c.OpenDatabase(ctx, name, database.Options{})
	if err != nil {
		return err
	}
	if db.Dialect() != wiredatabase.Postgres {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "database %q is of dialect %s", name, db.Dialect()), "use stratos db shell, or make one with --dialect %s", wiredatabase.Postgres)
	}
	p, err := sqlproxy.Start(db, listen, e.logger(), postgres.Options{})
	if err != nil {
		return err
	}
	err = e.print(map[string]string{"url": p.URL()}, func(w io.Writer) { fmt.Fprintf(w, "%s\n", p.URL()) })
	if err == nil {
		e.say("serving database %s; Ctrl-C ends it", name)
		<-ctx.Done()
	}
	e.sayEvidence(context.WithoutCancel(ctx), db, 0)
	return errors.Join(err, p.Close())
}
