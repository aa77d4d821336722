package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// dialects are those that databases can be made with, the default first.
var dialects = [...]string{wiredatabase.Postgres, wiredatabase.SQLite}

// Dialects lists the dialects of SQL that a database can be made with, the default first.
func Dialects() []string { return slices.Clone(dialects[:]) }

// A Database is a database as the meta layer has it.
type Database struct {
	ID      mesh.DatabaseID
	Name    string
	Owner   mesh.Account
	Dialect string
	Faults  int // of the replicas of its cell, that may lie or fail
	Cell    mesh.CellID
	Created time.Time

	Used      mesh.Noz // what all of its use has cost, by the last certificate that was settled
	Settled   mesh.Noz // of it, that nodes were paid
	Allowance mesh.Noz // that all of its use may cost; where less is left, it is read-only
	Waits     bool     // for ozone of its owner's, which the allowance could not be filled up with
}

// ReadOnly tells whether all that the database may use was used, when it was settled last.
func (d Database) ReadOnly() bool { return d.Used >= d.Allowance }

func databaseOf(a *wirepb.DatabaseAnswer) (Database, error) {
	d := Database{Name: a.Name, Dialect: a.Dialect, Faults: int(a.Faults), Created: time.UnixMilli(a.CreatedMs),
		Used: mesh.Noz(a.UsedNoz), Settled: mesh.Noz(a.SettledNoz), Allowance: mesh.Noz(a.AllowanceNoz), Waits: a.Waits}
	var errs [3]error
	d.ID, errs[0] = mesh.FromBytes[mesh.DatabaseID](a.Id)
	d.Owner, errs[1] = mesh.FromBytes[mesh.Account](a.Owner)
	d.Cell, errs[2] = mesh.FromBytes[mesh.CellID](a.Cell)
	return d, errors.Join(errs[:]...)
}

// DatabaseOptions say how to make a database. The zero value of a field means its default.
type DatabaseOptions struct {
	Faults  int    // of 3f+1 replicas, that may lie or fail: 1 to 4. Default 1
	Dialect string // of its SQL, one of Dialects. Default the first
}

// CreateDatabase makes a database and gives it a cell. That is there when OpenDatabase and DB.Ready say so.
func (c *Client) CreateDatabase(ctx context.Context, name string, o DatabaseOptions) error {
	if o.Faults == 0 {
		o.Faults = 1
	}
	if o.Dialect == "" {
		o.Dialect = dialects[0]
	}
	if !slices.Contains(dialects[:], o.Dialect) {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "databases of dialect %q cannot be made", o.Dialect), "there is: %s", strings.Join(dialects[:], ", "))
	}
	if o.Faults < 1 || o.Faults > wiredatabase.MaxFaults {
		return mesh.Errorf(mesh.Invalid, "a database that stands %d faults, want 1 to %d", o.Faults, wiredatabase.MaxFaults)
	}
	id := mesh.NewDatabaseID()
	m := &wirepb.Database{Name: name, Action: wiredatabase.Create, Id: id[:], Faults: uint32(o.Faults), Dialect: o.Dialect, AtMs: time.Now().UnixMilli()}
	if err := wiredatabase.Check(m); err != nil {
		return err
	}
	_, err := c.commit(ctx, wirepb.TxKind_TX_DATABASE, sign.Database, m)
	return err
}

// DropDatabase drops a database and all that is in it.
func (c *Client) DropDatabase(ctx context.Context, name string) error {
	d, err := c.Database(ctx, name)
	if err != nil {
		return err
	}
	id := mesh.NewDatabaseID()
	_, err = c.commit(ctx, wirepb.TxKind_TX_DATABASE, sign.Database,
		&wirepb.Database{Name: name, Action: wiredatabase.Drop, Id: id[:], Dropped: d.ID[:], AtMs: time.Now().UnixMilli()})
	return err
}

// Database returns a database of the account's that the access covers; NotFound when there is none.
func (c *Client) Database(ctx context.Context, name string) (d Database, err error) {
	if err := mesh.CheckDatabase(name); err != nil {
		return d, err
	}
	answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Database{Database: &wirepb.DatabaseName{Name: name}}})
	if err != nil {
		return d, err
	}
	a := new(wirepb.DatabaseAnswer)
	found, err := group.Decode(answers[0], a)
	if err != nil {
		return d, err
	}
	if !found {
		return d, mesh.WithHint(mesh.Errorf(mesh.NotFound, "no database %q", name), "see: stratos db list; make it with: stratos db create %s", name)
	}
	return databaseOf(a)
}

// databasesPage is how many databases are asked for at once.
const databasesPage = 500

// Databases lists the account's databases that the access covers, by name.
func (c *Client) Databases(ctx context.Context) (all []Database, err error) {
	for after := ""; ; {
		answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Databases{Databases: &wirepb.DatabasesPage{After: after, Limit: databasesPage}}})
		if err != nil {
			return nil, err
		}
		a := new(wirepb.DatabasesAnswer)
		if _, err := group.Decode(answers[0], a); err != nil {
			return nil, err
		}
		for _, m := range a.Databases {
			d, err := databaseOf(m)
			if err != nil {
				return nil, err
			}
			if d.Name <= after {
				return nil, mesh.Errorf(mesh.Corrupt, "the list of databases goes back from %q to %q", after, d.Name)
			}
			all, after = append(all, d), d.Name
		}
		if !a.Truncated || len(a.Databases) == 0 {
			return all, nil
		}
	}
}

// OpenDatabase finds the replicas of a database. Unavailable: its cell is not founded yet.
func (c *Client) OpenDatabase(ctx context.Context, name string, o database.Options) (*database.DB, error) {
	d, err := c.Database(ctx, name)
	if err != nil {
		return nil, err
	}
	return c.openIn(ctx, d, o)
}

func (c *Client) openIn(ctx context.Context, d Database, o database.Options) (*database.DB, error) {
	answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Cell{Cell: d.Cell[:]}})
	if err != nil {
		return nil, err
	}
	a := new(wirepb.CellAnswer)
	if found, err := group.Decode(answers[0], a); err != nil || !found {
		return nil, orElse(err, mesh.Errorf(mesh.Internal, "the cell %s of database %q is not there", d.Cell, d.Name))
	}
	missing := 0
	for _, m := range a.Members {
		if len(m.AnswerKey) == 0 {
			missing++
		}
	}
	if a.FoundedMs == 0 {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the cell of database %q is being founded: %d of %d nodes have not made their replicas", d.Name, missing, len(a.Members)),
			"look again in a moment")
	}
	cell := database.Cell{ID: d.Cell, Version: a.Version}
	for _, m := range a.Members {
		var r database.Member
		var errs [2]error
		r.Node, errs[0] = mesh.FromBytes[mesh.NodeID](m.Node)
		r.Key, errs[1] = mesh.FromBytes[mesh.PublicKey](m.AnswerKey)
		if err := errors.Join(errs[:]...); err != nil {
			return nil, err
		}
		r.Address = m.Address
		cell.Members = append(cell.Members, r)
	}
	o.Dialect = d.Dialect
	return c.DatabaseAt(d.ID, d.Name, cell, o)
}

// DatabaseAt opens a database of which the cell is known, without asking the meta layer.
func (c *Client) DatabaseAt(id mesh.DatabaseID, name string, cell database.Cell, o database.Options) (*database.DB, error) {
	role, err := c.access.Rights().Role(name)
	if err != nil {
		return nil, err
	}
	return database.Open(id, name, cell, database.Session{Domain: c.access.domain, Key: c.access.key, Chain: c.access.chain, Role: role, Dialer: c.dialer,
		Background: c.own.Go, Report: c.reportLie}, o)
}

// reportLie hands evidence to the log, which keeps the first against each node.
func (c *Client) reportLie(ctx context.Context, e database.Evidence) error {
	m := &wirepb.Evidence{Answer: e.False, Against: e.Against, AtMs: time.Now().UnixMilli()}
	_, err := c.commit(ctx, wirepb.TxKind_TX_EVIDENCE, sign.Evidence, m)
	if mesh.KindOf(err) == mesh.Conflict && err != nil { // it is known
		return nil
	}
	return err
}

// RevokeInDatabases voids a grant in the cells of the account's databases, besides Revoke, which voids it on the log. It needs an access
// with all rights. Each cell is told, whatever the others say; the error names those that could not be.
func (c *Client) RevokeInDatabases(ctx context.Context, link grant.LinkID) error {
	all, err := c.Databases(ctx)
	if err != nil {
		return err
	}
	told := map[mesh.CellID]bool{}
	var errs []error
	for _, d := range all {
		if told[d.Cell] {
			continue
		}
		told[d.Cell] = true
		db, err := c.openIn(ctx, d, database.Options{})
		if err == nil {
			err = db.Revoke(ctx, link)
		}
		if err != nil {
			errs = append(errs, mesh.Errorf(mesh.KindOf(err), "the cell of database %q: %w", d.Name, err))
		}
	}
	return errors.Join(errs...)
}
