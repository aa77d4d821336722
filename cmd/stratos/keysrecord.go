package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
)

// A grantRecord is what the home remembers of a grant that was made here: not the grant itself, which is shown once.
type grantRecord struct {
	Name       string       `json:"name"`
	ID         string       `json:"id"`
	Account    mesh.Account `json:"account"`
	Prefix     string       `json:"prefix"`
	Operations string       `json:"operations"`
	Budget     mesh.Noz     `json:"budget_noz,omitempty"`
	Spent      *mesh.Noz    `json:"spent_noz,omitempty"` // of the budget; only when the network was asked just now
	Created    time.Time    `json:"created"`
	Expires    time.Time    `json:"expires"`
	Revoked    bool         `json:"revoked,omitempty"`
	Share      bool         `json:"share,omitempty"`  // for a link
	Serves     string       `json:"serves,omitempty"` // the bucket that it was made to serve
	Grant      string       `json:"grant,omitempty"`  // only when it was just made

	// Of an access key for S3.
	AccessKey string `json:"access_key_id,omitempty"`
	Secret    string `json:"secret_access_key,omitempty"` // only when it was just made
	Endpoint  string `json:"endpoint,omitempty"`
	// SealedTo are the gateways that open the access key.
	SealedTo  []mesh.PublicKey `json:"sealed_to,omitempty"`
	URL       string           `json:"url,omitempty"`       // of a link, only when it was just made
	Documents string           `json:"documents,omitempty"` // URL of a database's documents, only when it was just made
	Changes   string           `json:"changes,omitempty"`   // URL of a database's feeds, likewise
}

// link is the grant's own link, which a revocation names.
func (r *grantRecord) link() (grant.LinkID, error) {
	id, err := hex.DecodeString(r.ID)
	if err != nil || len(id) != len(grant.LinkID{}) {
		return grant.LinkID{}, mesh.Errorf(mesh.Corrupt, "the record of key %q", r.Name)
	}
	return grant.LinkID(id), nil
}

func grantPath(h home.Home, name string) string { return h.Path("grants", name+".json") }

func saveGrant(h home.Home, r *grantRecord, fresh bool) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("keeping the grant's record: %w", err)
	}
	if err := os.MkdirAll(h.Path("grants"), 0o700); err != nil {
		return mesh.Errorf(mesh.Internal, "keeping the grant's record: %w", err)
	}
	if !fresh {
		return atomicfile.Write(grantPath(h, r.Name), append(b, '\n'), 0o600)
	}
	err = atomicfile.Create(grantPath(h, r.Name), append(b, '\n'), 0o600)
	if errors.Is(err, fs.ErrExist) {
		return mesh.WithHint(mesh.Errorf(mesh.Conflict, "there is a key %q already", r.Name), "choose another name; see: stratos keys list")
	}
	return err
}

func readGrants(h home.Home) (all []*grantRecord, err error) {
	paths, err := filepath.Glob(grantPath(h, "*"))
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return nil, mesh.Errorf(mesh.Internal, "reading the grants: %w", err)
		}
		r := new(grantRecord)
		if err := json.Unmarshal(b, r); err != nil {
			return nil, mesh.Errorf(mesh.Corrupt, "%s: %w", p, err)
		}
		all = append(all, r)
	}
	return all, nil
}
