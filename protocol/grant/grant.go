// Package grant is delegation: a chain of signed links from an account to a key, each link narrower than the one
// before. Sessions, S3 keys, share links and a teammate's access are all chains. See DESIGN.md in the folder above.
//
// It is pure: what has been revoked or already spent is the caller's knowledge. Client, node and authority call it.
package grant

import (
	"crypto/ed25519"
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/account"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Operations is a bitmask of what a link allows below its prefix.
type Operations uint32

const (
	Read      Operations = 1 << iota // read objects
	Write                            // write objects
	Delete                           // delete objects
	List                             // list names
	Buckets                          // create and delete buckets
	Delegate                         // sign a further link
	Bypass                           // weaken governance locks
	Databases                        // create and drop databases

	All = Read | Write | Delete | List | Buckets | Delegate | Bypass | Databases
)

var operationNames = []struct {
	op   Operations
	name string
}{{Read, "read"}, {Write, "write"}, {Delete, "delete"}, {List, "list"}, {Buckets, "buckets"}, {Delegate, "delegate"}, {Bypass, "bypass"}, {Databases, "databases"}}

func (o Operations) String() string {
	var names []string
	for _, n := range operationNames {
		if o&n.op != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ",")
}

// Limits of a chain.
const (
	MaxLinks    = 8       // links in a chain, the root included
	MaxLinkBody = 8 << 10 // bytes of a link
	MaxLabel    = 64
	MaxKeys     = 16 // wrapped keys in a link
)

// sealedKeyLen is the length of a sealed path key: ephemeral key, nonce, key, tag.
const sealedKeyLen = 32 + 12 + 32 + 16

// A LinkID names a link; a revocation names it.
type LinkID [16]byte

// Rights is what a verified chain allows its last holder.
type Rights struct {
	Account     mesh.Account
	Holder      mesh.PublicKey
	Prefix      string
	Operations  Operations
	NotBeforeMs int64
	ExpiresMs   int64
	Budgets     []Budget // every bound on spending along the chain
	Links       []LinkID // root first; the chain is void when any of them is revoked
	Holders     []mesh.PublicKey
}

// A Budget bounds what may be leased under a link, by all chains that pass through it together.
type Budget struct {
	Link LinkID
	Noz  mesh.Noz
}

// Root makes a chain of one link, signed by the account itself. l.Account is set from the signer.
func Root(d sign.Domain, s account.Signer, l *wirepb.Link) (*wirepb.Chain, error) {
	a := s.Account()
	l.Account = a[:]
	if _, err := checkLink(l); err != nil {
		return nil, err
	}
	body := wire.Encode(l)
	sig, err := account.Sign(s, d, sign.Grant, body)
	if err != nil {
		return nil, err
	}
	return &wirepb.Chain{Root: &wirepb.RootLink{Body: body, Signature: sig}}, nil
}

// Extend returns a chain with one more link, signed by the key that is the last holder of c. It does not tell whether
// the link is narrower; Verify does.
func Extend(d sign.Domain, c *wirepb.Chain, holder ed25519.PrivateKey, l *wirepb.Link) (*wirepb.Chain, error) {
	root := new(wirepb.Link)
	if err := wire.Decode(c.GetRoot().GetBody(), MaxLinkBody, root); err != nil {
		return nil, err
	}
	l.Account = root.Account
	if _, err := checkLink(l); err != nil {
		return nil, err
	}
	links := append(c.Links[:len(c.Links):len(c.Links)], signed.Seal(d, holder, sign.Grant, l))
	return &wirepb.Chain{Root: c.Root, Links: links}, nil
}

// Claimed is the account that a chain says it speaks for. Nothing of it is verified; of what is malformed it is zero.
func Claimed(c *wirepb.Chain) mesh.Account {
	l := new(wirepb.Link)
	if err := wire.Decode(c.GetRoot().GetBody(), MaxLinkBody, l); err != nil || len(l.Account) != len(mesh.Account{}) {
		return mesh.Account{}
	}
	return mesh.Account(l.Account)
}

// Verify checks every signature of a chain and that each link is within the one before, and returns what the last
// holder may do. Errors are Invalid (malformed) or Denied (a signature or a widening).
func Verify(d sign.Domain, c *wirepb.Chain) (Rights, error) {
	if c.GetRoot() == nil {
		return Rights{}, mesh.Errorf(mesh.Invalid, "a grant without its first link")
	}
	if 1+len(c.Links) > MaxLinks {
		return Rights{}, mesh.Errorf(mesh.Invalid, "a grant of %d links, at most %d", 1+len(c.Links), MaxLinks)
	}
	l := new(wirepb.Link)
	if err := wire.Decode(c.Root.Body, MaxLinkBody, l); err != nil {
		return Rights{}, err
	}
	r, err := checkLink(l)
	if err != nil {
		return Rights{}, err
	}
	by, err := account.Recover(d, sign.Grant, c.Root.Body, c.Root.Signature)
	if err != nil {
		return Rights{}, err
	}
	if by != r.Account {
		return Rights{}, mesh.Errorf(mesh.Denied, "the grant speaks for account %s but is signed by %s", r.Account, by)
	}
	for _, s := range c.Links {
		next := new(wirepb.Link)
		if s != nil && len(s.Body) > MaxLinkBody {
			return Rights{}, mesh.Errorf(mesh.Invalid, "a grant's link has %d bytes, at most %d", len(s.Body), MaxLinkBody)
		}
		by, err := signed.Open(d, s, sign.Grant, next)
		if err != nil {
			return Rights{}, err
		}
		n, err := checkLink(next)
		if err != nil {
			return Rights{}, err
		}
		if by != r.Holder {
			return Rights{}, mesh.Errorf(mesh.Denied, "a link of the grant is signed by %s, not by its holder %s", by, r.Holder)
		}
		if r, err = r.narrow(n); err != nil {
			return Rights{}, err
		}
	}
	return r, nil
}

func (r Rights) narrow(n Rights) (Rights, error) {
	switch {
	case r.Operations&Delegate == 0:
		return Rights{}, mesh.Errorf(mesh.Denied, "a link of the grant may not be passed on")
	case n.Account != r.Account:
		return Rights{}, mesh.Errorf(mesh.Denied, "a link of the grant speaks for another account")
	case !strings.HasPrefix(n.Prefix, r.Prefix) || n.Prefix != r.Prefix && bound(r.Prefix):
		return Rights{}, mesh.Errorf(mesh.Denied, "a link of the grant widens its prefix from %q to %q", r.Prefix, n.Prefix)
	case n.Operations&^r.Operations != 0:
		return Rights{}, mesh.Errorf(mesh.Denied, "a link of the grant adds the operations %s", n.Operations&^r.Operations)
	case n.NotBeforeMs < r.NotBeforeMs || n.ExpiresMs > r.ExpiresMs:
		return Rights{}, mesh.Errorf(mesh.Denied, "a link of the grant lasts longer than the one before")
	}
	n.Budgets = append(r.Budgets[:len(r.Budgets):len(r.Budgets)], n.Budgets...)
	n.Links = append(r.Links[:len(r.Links):len(r.Links)], n.Links...)
	n.Holders = append(r.Holders[:len(r.Holders):len(r.Holders)], n.Holders...)
	return n, nil
}

// checkLink checks a link by itself and returns the rights that it states.
func checkLink(l *wirepb.Link) (r Rights, err error) {
	id, err := mesh.FromBytes[LinkID](l.Id)
	if err != nil {
		return r, err
	}
	if r.Account, err = mesh.FromBytes[mesh.Account](l.Account); err != nil {
		return r, err
	}
	if r.Holder, err = mesh.FromBytes[mesh.PublicKey](l.Holder); err != nil {
		return r, err
	}
	r.Prefix, r.Operations, r.NotBeforeMs, r.ExpiresMs = l.Prefix, Operations(l.Operations), l.NotBeforeMs, l.ExpiresMs
	switch {
	case r.Operations == 0 || r.Operations&^All != 0:
		return r, mesh.Errorf(mesh.Invalid, "a grant's operations %#x are none that exist", l.Operations)
	case r.ExpiresMs <= r.NotBeforeMs:
		return r, mesh.Errorf(mesh.Invalid, "a grant expires before it begins")
	case len(l.Label) > MaxLabel || !utf8.ValidString(l.Label):
		return r, mesh.Errorf(mesh.Invalid, "a grant's label has more than %d bytes", MaxLabel)
	case len(l.Keys) > MaxKeys:
		return r, mesh.Errorf(mesh.Invalid, "a grant carries %d keys, at most %d", len(l.Keys), MaxKeys)
	}
	if err := checkPrefix(l.Prefix); err != nil {
		return r, err
	}
	for _, k := range l.Keys {
		if !strings.HasPrefix(k.Prefix, l.Prefix) || len(k.Sealed) != sealedKeyLen {
			return r, mesh.Errorf(mesh.Invalid, "a grant's key for %q is malformed or outside its prefix", k.Prefix)
		}
		if err := checkPrefix(k.Prefix); err != nil {
			return r, err
		}
	}
	if l.Budget != nil {
		if *l.Budget > uint64(mesh.MaxNoz) {
			return r, mesh.Errorf(mesh.Invalid, "a grant's budget is more than any account can hold")
		}
		r.Budgets = []Budget{{id, mesh.Noz(*l.Budget)}}
	}
	r.Links, r.Holders = []LinkID{id}, []mesh.PublicKey{r.Holder}
	return r, nil
}

// databaseScope begins the name under which grants know a database. No bucket's name has a colon.
const databaseScope = "db:"

// Database is the name under which grants know a database.
func Database(name string) string { return databaseScope + name }

// MaxCaller bounds the name of whom a role is given to, in bytes.
const MaxCaller = 256

// A Role is as whom a grant's holder uses a database: as its owner, when Name is empty, or in one of the roles that the owner has made
// in it, with the rights that the owner gave to that. Caller is whom the grant was made out to: an account, or what else the owner
// calls his users by. Who holds the grant cannot change it, so that row policies may rely on it.
type Role struct{ Name, Caller string }

// Prefix is that of a grant for a role in a database.
func (r Role) Prefix(database string) string {
	p := Database(database) + "/"
	if r.Name != "" {
		p += r.Name + "/" + r.Caller
	}
	return p
}

// Check tells whether there may be such a role.
func (r Role) Check() error {
	for _, s := range []string{r.Name, r.Caller} {
		if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f || c == utf8.RuneError }) {
			return mesh.Errorf(mesh.Invalid, "the role %q of %q has characters that nobody sees", r.Name, r.Caller)
		}
	}
	switch {
	case r.Name == "" || len(r.Name) > mesh.MaxDatabaseLen || strings.Contains(r.Name, "/"):
		return mesh.Errorf(mesh.Invalid, "the role %q: want 1 to %d bytes without a slash", r.Name, mesh.MaxDatabaseLen)
	case len(r.Caller) > MaxCaller:
		return mesh.Errorf(mesh.Invalid, "a caller's name has %d bytes, at most %d", len(r.Caller), MaxCaller)
	}
	return nil
}

// Role tells as whom the rights' holder uses a database, if they cover it. Of an owner, the caller is his account.
func (r Rights) Role(database string) (Role, error) {
	scope := Database(database) + "/"
	if strings.HasPrefix(scope, r.Prefix) {
		return Role{Caller: r.Account.String()}, nil
	}
	rest, ok := strings.CutPrefix(r.Prefix, scope)
	if !ok {
		return Role{}, mesh.Errorf(mesh.Denied, "the grant covers %q, not %q", r.Prefix, scope)
	}
	name, caller, _ := strings.Cut(rest, "/")
	return Role{Name: name, Caller: caller}, nil
}

// bound tells whether a prefix says who the caller is, which no link after it changes.
func bound(prefix string) bool {
	parts := strings.SplitN(prefix, "/", 3)
	return len(parts) == 3 && strings.HasPrefix(parts[0], databaseScope) && parts[2] != ""
}

// checkPrefix accepts "", "bucket/" followed by the beginning of any key, and "db:database/" followed by nothing or by a role, a slash
// and perhaps a caller. The slashes are required, so that a grant never covers what begins alike.
func checkPrefix(p string) error {
	if p == "" {
		return nil
	}
	bucket, key, ok := strings.Cut(p, "/")
	if !ok {
		return mesh.Errorf(mesh.Invalid, "a grant's prefix %q lacks the slash after the bucket", bucket)
	}
	if name, ok := strings.CutPrefix(bucket, databaseScope); ok {
		if err := mesh.CheckDatabase(name); err != nil || key == "" {
			return err
		}
		role, caller, ok := strings.Cut(key, "/")
		if !ok {
			return mesh.Errorf(mesh.Invalid, "a grant's prefix %q lacks the slash after the role", p)
		}
		return Role{role, caller}.Check()
	}
	if err := mesh.CheckBucket(bucket); err != nil {
		return err
	}
	if key == "" {
		return nil
	}
	return mesh.CheckKey(key)
}

// Allow tells whether the rights cover an operation on bucket/key at a time in Unix milliseconds. For an operation on
// the bucket itself or a listing, key is the empty string or the listed prefix.
func (r Rights) Allow(op Operations, bucket, key string, nowMs int64) error {
	switch {
	case r.Operations&op != op:
		return mesh.Errorf(mesh.Denied, "the grant does not allow %s", op)
	case !strings.HasPrefix(bucket+"/"+key, r.Prefix):
		return mesh.Errorf(mesh.Denied, "the grant covers %q, not %q", r.Prefix, bucket+"/"+key)
	}
	return r.Alive(nowMs)
}

// Alive tells whether the rights have begun and not expired.
func (r Rights) Alive(nowMs int64) error {
	switch {
	case nowMs < r.NotBeforeMs:
		return mesh.Errorf(mesh.Denied, "the grant is not valid yet")
	case nowMs >= r.ExpiresMs:
		return mesh.Errorf(mesh.Denied, "the grant has expired")
	}
	return nil
}
