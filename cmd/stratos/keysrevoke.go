package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
)

func newKeysRevokeCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "Void a key, and everything that was made from it",
		Long: `Voids a key or share: NAME is what "stratos keys list" calls it, the id of its access key (AWS_ACCESS_KEY_ID), or its own id. What it
has under way ends within a minute.`,
		Example: "  stratos keys revoke backup\n  stratos keys revoke \"$AWS_ACCESS_KEY_ID\"",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := e.home()
			if err != nil {
				return err
			}
			r, err := findGrant(h, args[0])
			if err != nil {
				return err
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				if err := revokeGrant(cmd.Context(), c, h, r); err != nil {
					return err
				}
				e.revokeInDatabases(cmd.Context(), c, r)
				return e.print(r, func(w io.Writer) { fmt.Fprintf(w, "revoked %s; tickets that it has end within a minute\n", r.Name) })
			})
		},
	}
}

// tellCellsTime bounds how long somebody who revoked a key waits for the cells of databases to hear of it.
const tellCellsTime = 30 * time.Second

// revokeAgain tells the cells of the account's databases, of which one may be new, of the grants of this home that were revoked.
func (e *env) revokeAgain(ctx context.Context, c *client.Client) {
	h, err := e.home()
	if err != nil || e.grant != "" { // only a session with all rights may
		return
	}
	all, err := readGrants(h)
	if err != nil {
		e.say("note: which keys were revoked is not known, and the database's replicas do not know it either: %v", err)
	}
	for _, r := range all {
		if r.Revoked && r.Account == c.Access().Account() && r.Expires.After(time.Now()) {
			e.revokeInDatabases(ctx, c, r)
		}
	}
}

// revokeInDatabases tells the cells of the account's databases of a grant that is void on the meta layer, as far as it covers any, and
// a person which could not be told.
func (e *env) revokeInDatabases(ctx context.Context, c *client.Client, r *grantRecord) {
	if r.Prefix != "" && !strings.HasPrefix(r.Prefix, grant.Database("")) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tellCellsTime)
	defer cancel()
	id, err := r.link()
	if err == nil {
		err = c.RevokeInDatabases(ctx, id)
	}
	if err != nil {
		e.say("note: until it expires, it still opens databases whose replicas could not be told: %v\nnext: stratos keys revoke %s", err, r.Name)
	}
}

// findGrant returns the grant that was made in a home under a name, an id, or the id of its access key.
func findGrant(h home.Home, name string) (*grantRecord, error) {
	all, err := readGrants(h)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Name == name || r.ID == strings.ToLower(name) || r.AccessKey != "" && r.AccessKey == name {
			return r, nil
		}
	}
	return nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "no key %q was made in this home", name), "see: stratos keys list")
}

// revokeGrant voids a grant, takes its access key off the log, and notes that.
func revokeGrant(ctx context.Context, c *client.Client, h home.Home, r *grantRecord) error {
	id, err := r.link()
	if err != nil {
		return err
	}
	if err := c.Revoke(ctx, id); err != nil {
		return err
	}
	if r.AccessKey != "" {
		if err := c.WithdrawKey(ctx, r.AccessKey); err != nil && mesh.KindOf(err) != mesh.NotFound {
			return err
		}
	}
	r.Revoked = true
	return saveGrant(h, r, false)
}
