package main

import (
	"context"
	"crypto/ed25519"
	"io"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/job"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute"
	wirecompute "github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// What the tasks of a node hold of objects at once, and set aside for reading them.
const (
	driveMemory = 128 << 20 // bytes, of all tasks
	driveLease  = 64_000_000
)

// A taskStorage gives the tasks of a node what their agents delegate: it is the client, where a node's packages may not import it.
type taskStorage struct {
	domain      sign.Domain
	authorities []group.Member
	memory      *client.Memory
}

func newTaskStorage(d sign.Domain, authorities []group.Member) *taskStorage {
	return &taskStorage{domain: d, authorities: authorities, memory: client.NewMemory(driveMemory)}
}

func (s *taskStorage) Open(_ context.Context, access *wirepb.Delegation, key ed25519.PrivateKey) (compute.Drive, error) {
	a, err := client.Accept(s.domain, access, key)
	if err != nil {
		return nil, err
	}
	c, err := client.New(a, s.authorities, client.Options{Memory: s.memory, Lease: driveLease, Exact: true})
	if err != nil {
		return nil, err
	}
	return &taskDrive{c}, nil
}

// A taskDrive is a client with the rights of one delegation.
type taskDrive struct{ *client.Client }

func (d *taskDrive) Source(ctx context.Context, o *wirepb.StoredObject) (wirecompute.Source, wirecompute.Digest, error) {
	p, version := mesh.Path{Bucket: o.Bucket, Key: o.Key}, mesh.VersionID(o.Version)
	_, object, err := d.Look(ctx, p, &version)
	if err != nil {
		return nil, wirecompute.Digest{}, err
	}
	if object == nil || object.Marker {
		return nil, wirecompute.Digest{}, mesh.Errorf(mesh.NotFound, "no version %s of %s", version, p)
	}
	id, err := d.Identity(ctx, object)
	return job.Source(ctx, d.Client, object), id, err
}

func (d *taskDrive) Put(ctx context.Context, o *wirepb.StoredObject, r io.Reader) error {
	_, err := d.Client.Put(ctx, mesh.Path{Bucket: o.Bucket, Key: o.Key}, r, client.PutOptions{})
	return err
}

func (d *taskDrive) Moved(from mesh.NodeID) (all, near mesh.Noz) {
	return d.Client.Moved(), d.MovedWith(from)
}
