package home

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"

	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
)

// A Profile tells a client which network it speaks to, and where. It lies in profile.json.
type Profile struct {
	Format     int            `json:"format"` // 1
	Network    mesh.NetworkID `json:"network_id"`
	ChainID    string         `json:"chain_id"`
	EVMChainID uint64         `json:"evm_chain_id"`
	Account    string         `json:"account,omitempty"` // name of the account that acts unless another is named
	Endpoints  Endpoints      `json:"endpoints"`
	// Authorities are those that were known last; a command asks them who they are now.
	Authorities []Authority `json:"authorities,omitempty"`
	Gateways    []Gateway   `json:"gateways,omitempty"` // to which access keys are sealed unless others are named
}

// A Gateway is one that access keys are sealed to.
type Gateway struct {
	Name string         `json:"name"`
	Key  mesh.PublicKey `json:"key"`
	S3   string         `json:"s3"`             // URL
	HTTP string         `json:"http,omitempty"` // URL
	// Postgres is a URL without a user: postgres://HOST:PORT.
	Postgres string `json:"postgres,omitempty"`
	// Databases is a URL for databases over HTTP.
	Databases string `json:"databases,omitempty"`
	// Domain is that whose sub-domains name buckets; "" none.
	Domain string `json:"domain,omitempty"`
}

// Site returns the URL at which a bucket has a host for itself, so that it may run scripts; "" when no host of it leads there. Without
// a domain that is a name below localhost, which browsers take for this machine.
func (g Gateway) Site(bucket string) string {
	u, err := url.Parse(g.HTTP)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	below := g.Domain
	if below == "" {
		if a, err := netip.ParseAddr(u.Hostname()); u.Hostname() != "localhost" && (err != nil || !a.IsLoopback()) {
			return ""
		}
		below = "localhost"
	}
	if u.Port() != "" {
		below += ":" + u.Port()
	}
	return u.Scheme + "://" + bucket + "." + below + "/"
}

// Endpoints are URLs. One that is empty is not served.
type Endpoints struct {
	S3        string `json:"s3,omitempty"`        // of the first gateway
	HTTP      string `json:"http,omitempty"`      // of the first gateway, for browsers
	Postgres  string `json:"postgres,omitempty"`  // of the first gateway, for databases
	Databases string `json:"databases,omitempty"` // of the first gateway, for databases over HTTP
	Status    string `json:"status,omitempty"`    // of the first authority: status pages
	REST      string `json:"rest,omitempty"`      // Cosmos REST
	Eth       string `json:"eth,omitempty"`       // Ethereum JSON-RPC
	CometBFT  string `json:"cometbft,omitempty"`  // CometBFT RPC of the value layer
}

// An Authority is a member of the meta layer, as clients must know it.
type Authority struct {
	Name string `json:"name"`
	group.Member
}

const profileFormat = 1

// maxProfile bounds profile.json.
const maxProfile = 1 << 20

// Profile reads profile.json. Without one the error is NotFound.
func (h Home) Profile() (*Profile, error) {
	p, err := ReadProfile(h.Path("profile.json"))
	if mesh.KindOf(err) == mesh.NotFound {
		return nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "%s belongs to no network yet", h.dir), "start one with: stratos up, or enter one with: stratos join")
	}
	return p, err
}

// ReadProfile reads a profile from a file that somebody handed over. Without one the error is NotFound.
func ReadProfile(path string) (*Profile, error) {
	b, err := readBounded(path, maxProfile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no file %s", path), "give the profile.json of somebody's home")
	}
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "read profile: %w", err)
	}
	var p Profile
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, mesh.Errorf(mesh.Corrupt, "profile %s: %w", path, err)
	}
	if p.Format != profileFormat {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "profile %s has format %d, this program knows %d", path, p.Format, profileFormat),
			"use a newer stratos")
	}
	return &p, nil
}

// SetProfile replaces profile.json.
func (h Home) SetProfile(p *Profile) error {
	p.Format = profileFormat
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("encode profile: %w", err)
	}
	return atomicfile.Write(h.Path("profile.json"), append(b, '\n'), 0o600)
}

func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, at most %d", path, info.Size(), limit)
	}
	return os.ReadFile(path)
}
