package job

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// accesses are the grants that were made out, one for a node and a prefix: another would end the session under the first.
type accesses struct {
	mu  sync.Mutex
	all map[accessName]*access
}
type accessName struct {
	node   mesh.NodeID
	prefix string
}
type access struct {
	mu    sync.Mutex // held while it is made
	grant *wirepb.Delegation
}

func (a *accesses) of(n accessName) *access {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all[n] == nil {
		a.all[n] = new(access)
	}
	return a.all[n]
}

// request is a task for a worker, with grants that only that one can use.
func (s *stage) request(ctx context.Context, node mesh.NodeID, number uint32, t *task, inputs []*kept) (*wirepb.TaskRequest, error) {
	q := &wirepb.TaskRequest{Job: s.id[:], Number: number, Text: t.text, Module: s.program.module}
	under := common(inputs)
	prefixes := s.prefixes(s.program, under)
	for i, p := range prefixes {
		chain, err := s.delegate(ctx, node, p, i == 0)
		if err != nil {
			return nil, err
		}
		q.Access = append(q.Access, chain)
	}
	reached := func(k *kept, prefix string) *wirepb.StoredObject {
		o := proto.CloneOf(k.object)
		if k.prefix != "" {
			o.Access = accessOf(prefixes, prefix)
		}
		return o
	}
	for _, f := range s.program.files {
		q.Files = append(q.Files, reached(f, f.prefix))
	}
	for _, in := range inputs {
		q.Inputs = append(q.Inputs, reached(in, under))
	}
	q.Output = s.place(t, number, node)
	return q, nil
}

// place says where a worker stores the output of a task, which has a number on the log.
func (s *stage) place(t *task, number uint32, node mesh.NodeID) *wirepb.StoredObject {
	p := s.object(fmt.Sprintf("%s-%05d-%d-%s", s.program.name, t.text.Number, number, node.String()))
	return &wirepb.StoredObject{Bucket: p.Bucket, Key: p.Key}
}

// common is what the places of inputs outside of the job's folder begin with; they lie in one folder.
func common(inputs []*kept) (prefix string) {
	some := false
	for _, in := range inputs {
		if in.prefix == "" {
			continue
		}
		if !some {
			prefix, some = in.prefix, true
		}
		for !strings.HasPrefix(in.prefix, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix
}

// delegate makes a grant out to a node, once for all its tasks.
func (s *stage) delegate(ctx context.Context, node mesh.NodeID, prefix string, write bool) (*wirepb.Delegation, error) {
	at := s.access.of(accessName{node, prefix})
	at.mu.Lock()
	defer at.mu.Unlock()
	if at.grant != nil {
		return at.grant, nil
	}
	a := new(wirepb.TaskKeysAnswer)
	if err := s.log.CallNode(ctx, node, compute.TaskKeysPath, 4<<10, &wirepb.TaskKeysRequest{Job: s.id[:], Prefixes: []string{prefix}}, a); err != nil {
		return nil, err
	}
	if len(a.Keys) != 1 {
		return nil, mesh.Errorf(mesh.Corrupt, "node %s gave %d keys for one prefix", node, len(a.Keys))
	}
	key, err := mesh.FromBytes[mesh.PublicKey](a.Keys[0])
	if err != nil {
		return nil, err
	}
	terms := client.Terms{Prefix: prefix, Operations: grant.Read, Expires: time.Now().Add(s.Timeout), Label: "task"}
	if write {
		terms.Operations |= grant.Write
	}
	made, err := s.client.Access().Delegate(key, terms)
	if err != nil {
		return nil, err
	}
	at.grant = made
	return made, nil
}
