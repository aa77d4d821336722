package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/sign"
)

const (
	// sessionLife is how long the account need not be unlocked again.
	sessionLife = 7 * 24 * time.Hour
	// sessionRest is what must be left of it for a command to begin.
	sessionRest = time.Hour
)

// clientMemory is what a command that moves objects tries to stay under: with what the program itself takes, 256 MiB.
const clientMemory = 176 << 20

// withClient runs f with a client that acts for the account, or under the grant of --grant.
func (e *env) withClient(ctx context.Context, f func(*client.Client) error) (err error) {
	h, err := e.home()
	if err != nil {
		return err
	}
	p, err := h.Profile()
	if err != nil {
		return err
	}
	a, err := e.access(ctx, h, p)
	if err != nil {
		return err
	}
	members, err := membersOf(p)
	if err != nil {
		return err
	}
	debug.SetMemoryLimit(clientMemory)
	c, err := client.New(a, members, client.Options{})
	if err != nil {
		return err
	}
	if now, err := c.Authorities(ctx); err == nil && learn(p, now) { // else the command itself says who does not answer
		if err := errors.Join(c.Close(), h.SetProfile(p)); err != nil {
			return err
		}
		if members, err = membersOf(p); err != nil {
			return err
		}
		if c, err = client.New(a, members, client.Options{}); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return f(c)
}

func membersOf(p *home.Profile) (all []group.Member, err error) {
	for _, a := range p.Authorities {
		all = append(all, a.Member)
	}
	if len(all) == 0 {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Unavailable, "this network has no meta layer"), "start one with authorities: stratos up --authorities 4")
	}
	return all, nil
}

// learn puts the present members of the group into the profile, those that it knows first, and tells whether that changed
// anything.
func learn(p *home.Profile, now []group.Member) bool {
	if len(now) == 0 { // nothing of the value layer has been proven yet
		return false
	}
	var authorities []home.Authority
	for _, known := range p.Authorities {
		if i := slices.IndexFunc(now, func(m group.Member) bool { return m.ID == known.ID }); i >= 0 {
			authorities = append(authorities, home.Authority{Name: known.Name, Member: now[i]})
		}
	}
	for _, m := range now {
		if !slices.ContainsFunc(p.Authorities, func(known home.Authority) bool { return m.ID == known.ID }) {
			authorities = append(authorities, home.Authority{Name: m.ID.String(), Member: m})
		}
	}
	if slices.Equal(authorities, p.Authorities) {
		return false
	}
	p.Authorities = authorities
	return true
}

// access returns what the command acts under: a grant that was handed over, or the account's session, which is kept in
// the home so that the account is unlocked once in a while only.
func (e *env) access(ctx context.Context, h home.Home, p *home.Profile) (*client.Access, error) {
	if e.grant != "" {
		return readGrant(e.grant, p)
	}
	store, err := e.wallet()
	if err != nil {
		return nil, err
	}
	entry, err := e.account(store)
	if err != nil {
		return nil, err
	}
	path := h.Path("sessions", entry.Account.String())
	b, err := os.ReadFile(path)
	if err == nil {
		a, err := client.ParseAccess(string(b))
		if err == nil && a.Network() == p.Network && a.Account() == entry.Account && time.UnixMilli(a.Rights().ExpiresMs).After(time.Now().Add(sessionRest)) {
			return a, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, mesh.Errorf(mesh.Invalid, "the session: %w", err)
	}
	a, err := e.rootAccess(ctx, p, sessionLife)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(h.Path("sessions"), 0o700); err != nil {
		return nil, mesh.Errorf(mesh.Internal, "keeping the session: %w", err)
	}
	return a, atomicfile.Write(path, []byte(a.String()+"\n"), 0o600)
}

// rootAccess makes an access with all rights of the account that acts, which it unlocks for that.
func (e *env) rootAccess(ctx context.Context, p *home.Profile, life time.Duration) (*client.Access, error) {
	store, err := e.wallet()
	if err != nil {
		return nil, err
	}
	entry, err := e.account(store)
	if err != nil {
		return nil, err
	}
	k, err := e.key(ctx, store, entry)
	if err != nil {
		return nil, err
	}
	return client.NewAccess(sign.Domain{Network: p.Network}, k, life)
}

// readGrant reads a grant that is given as text or as the name of a file that holds it.
func readGrant(given string, p *home.Profile) (*client.Access, error) {
	text := given
	if !strings.HasPrefix(given, "stratos-access-") {
		b, err := os.ReadFile(given)
		if err != nil {
			return nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "the grant is neither a text nor a file: %w", err), "give --grant what 'stratos share' printed")
		}
		text = string(b)
	}
	a, err := client.ParseAccess(text)
	if err == nil && a.Network() != p.Network {
		err = mesh.WithHint(mesh.Errorf(mesh.Denied, "the grant is for another network"), "use the home of that network with --home")
	}
	return a, err
}
