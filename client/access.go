package client

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/account"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/seal"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// An Access is the right to act for an account: a chain of grants, the key of its last holder, and the keys of the
// folders that it opens. Whoever has one may do what it allows: treat it like a password.
type Access struct {
	domain  sign.Domain
	chain   *wirepb.Chain
	key     ed25519.PrivateKey
	rights  grant.Rights
	folders map[string]seal.Key // "", or paths that end in "/"
}

// Terms are what a new Access allows.
type Terms struct {
	Prefix     string           // "", "bucket/" or "bucket/beginning-of-a-key"
	Operations grant.Operations // default: all of the giver's but delegating
	Expires    time.Time        // default: in an hour; never later than the giver's own
	Budget     mesh.Noz         // what may be spent on traffic; 0: no bound of its own
	Label      string           // for people
}

// clockSkew is how much earlier than now an access begins, for authorities whose clocks are behind.
const clockSkew = 5 * time.Minute

// NewAccess makes an access with all rights of the signer's account, and derives the keys of its files. The signer is
// asked for two signatures.
func NewAccess(d sign.Domain, s account.Signer, lifetime time.Duration) (*Access, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("drawing a session key: %w", err)
	}
	holder, now := mesh.PublicKeyOf(key), time.Now()
	link := &wirepb.Link{Id: randomID(), Holder: holder[:], Operations: uint32(grant.All), Label: "session",
		NotBeforeMs: now.Add(-clockSkew).UnixMilli(), ExpiresMs: now.Add(lifetime).UnixMilli()}
	chain, err := grant.Root(d, s, link)
	if err != nil {
		return nil, err
	}
	root, err := s.SignPersonal([]byte(seal.RootText))
	if err != nil {
		return nil, err
	}
	return newAccess(d, chain, key, map[string]seal.Key{"": seal.RootOf(root)})
}

func newAccess(d sign.Domain, chain *wirepb.Chain, key ed25519.PrivateKey, folders map[string]seal.Key) (*Access, error) {
	rights, err := grant.Verify(d, chain)
	if err != nil {
		return nil, err
	}
	if rights.Holder != mesh.PublicKeyOf(key) {
		return nil, mesh.Errorf(mesh.Denied, "the access is held by another key")
	}
	return &Access{domain: d, chain: chain, key: key, rights: rights, folders: folders}, nil
}

func randomID() []byte { id := mesh.NewLeaseID(); return id[:] }

// Share makes a narrower access with a key of its own. It opens the folder that its prefix names, and nothing above.
// The id names it for revocation.
func (a *Access) Share(t Terms) (*Access, grant.LinkID, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, grant.LinkID{}, fmt.Errorf("drawing a key: %w", err)
	}
	link, folder, k, err := a.link(mesh.PublicKeyOf(key), t)
	if err != nil {
		return nil, grant.LinkID{}, err
	}
	chain, err := grant.Extend(a.domain, a.chain, a.key, link)
	if err != nil {
		return nil, grant.LinkID{}, err
	}
	shared, err := newAccess(a.domain, chain, key, map[string]seal.Key{folder: k})
	return shared, grant.LinkID(link.Id), err
}

// Delegate is Share for somebody whose key is known: what it gives is of use to who holds that key, and to nobody else. See Accept.
func (a *Access) Delegate(holder mesh.PublicKey, t Terms) (*wirepb.Delegation, error) {
	link, folder, k, err := a.link(holder, t)
	if err != nil {
		return nil, err
	}
	sealed, err := seal.ToHolder(holder, k)
	if err != nil {
		return nil, err
	}
	chain, err := grant.Extend(a.domain, a.chain, a.key, link)
	return &wirepb.Delegation{Chain: chain, Folder: &wirepb.WrappedKey{Prefix: folder, Sealed: sealed}}, err
}

// Accept makes an access of what Delegate gave to the holder of key.
func Accept(d sign.Domain, g *wirepb.Delegation, key ed25519.PrivateKey) (*Access, error) {
	a, err := newAccess(d, g.Chain, key, map[string]seal.Key{})
	if err != nil || g.Folder == nil {
		return a, err
	}
	a.folders[g.Folder.Prefix], err = seal.FromHolder(key, g.Folder.Sealed)
	return a, err
}

// link is what a narrower access of holder's is; with it come the folder that it opens, and that one's key.
func (a *Access) link(holder mesh.PublicKey, t Terms) (l *wirepb.Link, folder string, k seal.Key, err error) {
	if t.Operations == 0 {
		t.Operations = a.rights.Operations &^ grant.Delegate
	}
	if t.Expires.IsZero() {
		t.Expires = time.Now().Add(time.Hour)
	}
	l = &wirepb.Link{Id: randomID(), Holder: holder[:], Prefix: t.Prefix, Operations: uint32(t.Operations), Label: t.Label,
		NotBeforeMs: max(time.Now().Add(-clockSkew).UnixMilli(), a.rights.NotBeforeMs), ExpiresMs: min(t.Expires.UnixMilli(), a.rights.ExpiresMs)}
	if t.Budget > 0 {
		b := uint64(t.Budget)
		l.Budget = &b
	}
	folder = t.Prefix[:strings.LastIndexByte(t.Prefix, '/')+1]
	k, err = a.folder(folder)
	return l, folder, k, err
}

// folder returns the key of a folder, derived from the nearest one above that the access holds.
func (a *Access) folder(path string) (seal.Key, error) {
	best, found := "", false
	for at := range a.folders {
		if strings.HasPrefix(path, at) && (!found || len(at) > len(best)) {
			best, found = at, true
		}
	}
	if !found {
		return seal.Key{}, mesh.WithHint(mesh.Errorf(mesh.Denied, "this access does not open %q", path), "ask its owner for one that does")
	}
	return seal.Folder(a.folders[best], best, path)
}

// Account is whose rights these are, and who pays.
func (a *Access) Account() mesh.Account { return a.rights.Account }

// Rights is what the access allows.
func (a *Access) Rights() grant.Rights { return a.rights }

// Network is the network for which the access counts.
func (a *Access) Network() mesh.NetworkID { return a.domain.Network }

// The text form: "stratos-access-v1." and unpadded base64url of a JSON object; maxAccessText bounds it.
const (
	accessPrefix  = "stratos-access-v1."
	maxAccessText = 128 << 10
)

type accessText struct {
	Network mesh.NetworkID    `json:"network"`
	Group   mesh.GroupID      `json:"group"`
	Chain   []byte            `json:"chain"`
	Seed    []byte            `json:"seed"`
	Folders map[string][]byte `json:"folders"`
}

// String writes the access in full, secrets included, for a file or to hand it on.
func (a *Access) String() string {
	chain, err := proto.MarshalOptions{Deterministic: true}.Marshal(a.chain)
	if err != nil {
		panic("client: " + err.Error()) // a chain that was verified encodes
	}
	t := accessText{Network: a.domain.Network, Group: a.domain.Group, Chain: chain, Seed: a.key.Seed(), Folders: map[string][]byte{}}
	for _, p := range slices.Sorted(maps.Keys(a.folders)) {
		k := a.folders[p]
		t.Folders[p] = k[:]
	}
	b, err := json.Marshal(t)
	if err != nil {
		panic("client: " + err.Error())
	}
	return accessPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseAccess reads what String wrote, and verifies the chain.
func ParseAccess(s string) (*Access, error) {
	body, ok := strings.CutPrefix(strings.TrimSpace(s), accessPrefix)
	if !ok || len(s) > maxAccessText {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "this is no access: it begins with %s", accessPrefix), "copy it whole, from 'stratos share' or 'stratos keys create'")
	}
	b, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "the access is damaged: %w", err)
	}
	var t accessText
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "the access is damaged: %w", err)
	}
	chain := new(wirepb.Chain)
	if err := proto.Unmarshal(t.Chain, chain); err != nil || len(t.Seed) != ed25519.SeedSize {
		return nil, mesh.Errorf(mesh.Invalid, "the access is damaged")
	}
	folders := map[string]seal.Key{}
	for p, k := range t.Folders {
		if len(k) != len(seal.Key{}) {
			return nil, mesh.Errorf(mesh.Invalid, "the access is damaged: the key of %q", p)
		}
		folders[p] = seal.Key(k)
	}
	return newAccess(sign.Domain{Network: t.Network, Group: t.Group}, chain, ed25519.NewKeyFromSeed(t.Seed), folders)
}
