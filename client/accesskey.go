package client

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/seal"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// An AccessKey is what a program shows to a gateway: a name in the clear, and a secret that it signs with and never sends. The
// gateways that it was sealed to know the secret and act under the access.
type AccessKey struct {
	Name   string
	Secret string
	Access *Access // nil while a share's password is missing; see Unlock
	Share  bool    // for a link to a page, not for programs

	payload keyPayload
	owner   mesh.Account
	domain  sign.Domain
}

// keyPayload is what is sealed to a gateway.
type keyPayload struct {
	Name   string `json:"name"`
	Secret string `json:"secret"`
	Access string `json:"access,omitempty"`
	Share  bool   `json:"share,omitempty"`
	Salt   []byte `json:"salt,omitempty"`   // 16 bytes, of a share with a password
	Locked []byte `json:"locked,omitempty"` // its access, sealed under the password's key
}

// PublishKey makes an access key for gateways out of an access and puts it on the log until that expires. It needs an access
// that may pass rights on.
func (c *Client) PublishKey(ctx context.Context, a *Access, gateways []mesh.PublicKey) (*AccessKey, error) {
	return c.publish(ctx, a, keyPayload{Access: a.String()}, gateways)
}

// PublishShare makes an access key for a link that anybody may follow who has it, and knows the password unless that is empty.
func (c *Client) PublishShare(ctx context.Context, a *Access, password string, gateways []mesh.PublicKey) (*AccessKey, error) {
	p, err := sharePayload(a, password)
	if err != nil {
		return nil, err
	}
	return c.publish(ctx, a, p, gateways)
}

func sharePayload(a *Access, password string) (p keyPayload, err error) {
	p.Share, p.Access = true, a.String()
	if password == "" {
		return p, nil
	}
	var salt [16]byte
	rand.Read(salt[:])
	k, err := seal.OfPassword(password, salt)
	p.Access, p.Salt, p.Locked = "", salt[:], seal.Box(k, seal.Share, salt, []byte(p.Access))
	return p, err
}

// NewShare is the share that a gateway would find, without a log: for tests of what serves shares.
func NewShare(a *Access, name, secret, password string) (*AccessKey, error) {
	p, err := sharePayload(a, password)
	k := &AccessKey{Name: name, Secret: secret, Share: true, payload: p, owner: a.Account(), domain: a.domain}
	if password == "" {
		k.Access = a
	}
	return k, err
}

func (c *Client) publish(ctx context.Context, a *Access, p keyPayload, gateways []mesh.PublicKey) (*AccessKey, error) {
	p.Name, p.Secret = "ST"+rand.Text()[:18], (rand.Text() + rand.Text())[:40]
	plain, err := json.Marshal(p)
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "encoding an access key: %w", err)
	}
	m := &wirepb.AccessKey{Name: p.Name, Action: index.PublishKey, AtMs: time.Now().UnixMilli(), Id: randomID(), ExpiresMs: a.rights.ExpiresMs}
	for _, g := range gateways {
		box, err := seal.BoxTo(g, plain)
		if err != nil {
			return nil, err
		}
		m.Sealed = append(m.Sealed, &wirepb.SealedFor{Gateway: g[:], Box: box})
	}
	_, err = c.commit(ctx, wirepb.TxKind_TX_ACCESS_KEY, sign.AccessKey, m)
	return &AccessKey{Name: p.Name, Secret: p.Secret, Access: a, Share: p.Share, payload: p}, err
}

// WithdrawKey takes an access key off the log. Its grant is revoked by Revoke.
func (c *Client) WithdrawKey(ctx context.Context, name string) error {
	_, err := c.commit(ctx, wirepb.TxKind_TX_ACCESS_KEY, sign.AccessKey, &wirepb.AccessKey{Name: name, Action: index.WithdrawKey, AtMs: time.Now().UnixMilli(), Id: randomID()})
	return err
}

// A Keyring opens the access keys that are sealed to one gateway. It may be used by many goroutines. Close it.
type Keyring struct {
	domain sign.Domain
	key    ed25519.PrivateKey
	dialer *transfer.Dialer
	group  *group.Group
}

// NewKeyring returns the keyring of a gateway.
func NewKeyring(d sign.Domain, key ed25519.PrivateKey, authorities []group.Member) (*Keyring, error) {
	dialer := transfer.NewDialer(key, 5*time.Second)
	g, err := group.New(authorities, dialer, group.Options{})
	if err != nil {
		return nil, err
	}
	return &Keyring{d, key, dialer, g}, nil
}

// Close ends its connections.
func (r *Keyring) Close() error {
	err := r.group.Close()
	r.dialer.Close()
	return err
}

// Open returns an access key; NotFound when there is none of that name for this gateway.
func (r *Keyring) Open(ctx context.Context, name string) (*AccessKey, error) {
	answers, _, err := r.group.Ask(ctx, group.Strong, &wirepb.Question{Question: &wirepb.Question_AccessKey{AccessKey: name}})
	if err != nil {
		return nil, err
	}
	none := mesh.Errorf(mesh.NotFound, "there is no access key %s for this gateway", name)
	a, m := new(wirepb.AccessKeyAnswer), new(wirepb.AccessKey)
	if found, err := group.Decode(answers[0], a); err != nil || !found {
		return nil, orElse(err, none)
	}
	if _, err := signed.Open(r.domain, a.Key, sign.AccessKey, m); err != nil {
		return nil, err
	}
	if err := index.CheckAccessKey(m); err != nil {
		return nil, err
	}
	own := mesh.PublicKeyOf(r.key)
	for _, s := range m.Sealed {
		if mesh.PublicKey(s.Gateway) != own {
			continue
		}
		plain, err := seal.OpenFrom(r.key, s.Box)
		if err != nil {
			return nil, err
		}
		var p keyPayload
		if err := json.Unmarshal(plain, &p); err != nil {
			return nil, mesh.Errorf(mesh.Corrupt, "the access key %s: %w", name, err)
		}
		k := &AccessKey{Name: name, Secret: p.Secret, Share: p.Share, payload: p}
		if p.Name != name || m.Name != name {
			return nil, mesh.Errorf(mesh.Denied, "the access key %s is not what its name says", name)
		}
		if k.owner, err = mesh.FromBytes[mesh.Account](a.Account); err != nil {
			return nil, err
		}
		k.domain = r.domain
		if len(p.Locked) > 0 {
			return k, nil
		}
		k.Access, err = k.parse(p.Access)
		return k, err
	}
	return nil, none
}

// Unlock opens a share with its password; Denied when it is another.
func (k *AccessKey) Unlock(password string) (*Access, error) {
	if k.Access != nil {
		return k.Access, nil
	}
	salt, err := mesh.FromBytes[[16]byte](k.payload.Salt)
	if err != nil {
		return nil, err
	}
	key, err := seal.OfPassword(password, salt)
	if err != nil {
		return nil, err
	}
	text, err := seal.OpenBox(key, seal.Share, salt, k.payload.Locked)
	if err != nil {
		return nil, mesh.Errorf(mesh.Denied, "that is not the password")
	}
	return k.parse(string(text))
}

// parse reads the access inside, which must be of the account whose key this is.
func (k *AccessKey) parse(text string) (*Access, error) {
	a, err := ParseAccess(text)
	if err != nil {
		return nil, err
	}
	if a.rights.Account != k.owner || a.domain != k.domain {
		return nil, mesh.Errorf(mesh.Denied, "the access key %s is not what its account says", k.Name)
	}
	return a, nil
}

// Bucket returns what everybody may know of a bucket: whose it is, whether it is public, and under which access key it is
// served. NotFound when there is none.
func (r *Keyring) Bucket(ctx context.Context, name string) (*Bucket, error) {
	if err := mesh.CheckBucket(name); err != nil {
		return nil, err
	}
	answers, _, err := r.group.Ask(ctx, group.Strong, bucketQuestion(name))
	if err != nil {
		return nil, err
	}
	b := new(wirepb.BucketAnswer)
	if found, err := group.Decode(answers[0], b); err != nil || !found {
		return nil, orElse(err, noBucket(name))
	}
	return bucketOf(b)
}

// A ServedBucket is a bucket that is served under an access key sealed to the gateway.
type ServedBucket struct {
	Name      string
	AccessKey string
	Sections  []uint32 // kinds of its configuration
}

// Served returns the buckets that are served under access keys sealed to the gateway.
func (r *Keyring) Served(ctx context.Context) (all []ServedBucket, err error) {
	page := &wirepb.ServedPage{Limit: servedPage}
	for {
		answers, _, err := r.group.Ask(ctx, group.Strong, &wirepb.Question{Question: &wirepb.Question_Served{Served: page}})
		if err != nil {
			return nil, err
		}
		a := new(wirepb.ServedAnswer)
		if _, err := group.Decode(answers[0], a); err != nil {
			return nil, err
		}
		for _, b := range a.Buckets {
			all = append(all, ServedBucket{b.Bucket, b.AccessKey, b.Sections})
		}
		if a.NextKey == "" {
			return all, nil
		}
		if a.NextKey < page.AfterKey || a.NextKey == page.AfterKey && a.NextBucket <= page.AfterBucket {
			return nil, mesh.Errorf(mesh.Corrupt, "the list of served buckets does not go on")
		}
		page = &wirepb.ServedPage{AfterKey: a.NextKey, AfterBucket: a.NextBucket, Limit: servedPage}
	}
}

const servedPage = 1000 // the most that is answered at once
