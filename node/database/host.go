package database

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/internal/supervise"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/replica"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Ports is how many ports in a row a host's replicas take: one for their peers and one for clients each.
const Ports = 2 * wiredatabase.MaxNodeCells

// A Log is what a host needs of the meta layer.
type Log interface {
	// Cells answers of which cells the node has a replica, by 2f+1 authorities: what is not among them is removed.
	Cells(ctx context.Context) ([]*wirepb.CellAnswer, error)
	// Submit puts a transaction on the log.
	Submit(ctx context.Context, tx []byte) error
	// Notices returns what authorities say of a database, each for itself; nothing of it is checked.
	Notices(ctx context.Context, database []byte) ([]*wirepb.Signed, error)
}

// Options of a host.
type Options struct {
	Home   string // folder in which each replica has one of its own
	Domain sign.Domain
	Node   mesh.NodeID
	Key    ed25519.PrivateKey // the node's
	Listen string             // host on which replicas listen
	Public string             // host at which others reach them
	Port   int                // the first of Ports
	// Command is a command line that calls RunReplica; the replica's home comes behind it.
	Command []string
	// Every is how often the meta layer is asked, Soon while a replica waits for it. Defaults 2 s and 300 ms.
	Every, Soon time.Duration
	// Turn is how long after the member before it a node hands in a certificate that is not settled yet. Default 4 s: until then the
	// others have seen what was settled.
	Turn time.Duration
}

// A Host runs a node's replicas. Make it with New, then call Run once.
type Host struct {
	opts Options
	meta Log
	log  *slog.Logger

	mu       sync.Mutex
	replicas map[string]*hosted // by the names of their homes
	trouble  string             // of the newest round
	failures int                // rounds in a row that failed
}

// New makes a host; it touches nothing.
func New(o Options, meta Log, log *slog.Logger) *Host {
	o.Every, o.Soon = cmp.Or(o.Every, 2*time.Second), cmp.Or(o.Soon, 300*time.Millisecond)
	o.Turn = cmp.Or(o.Turn, 4*time.Second)
	return &Host{opts: o, meta: meta, log: log, replicas: map[string]*hosted{}}
}

// Run starts the replicas that have been founded before, and keeps what runs in step with the log, until ctx ends. No replica's
// trouble ends it.
func (h *Host) Run(ctx context.Context) error {
	own := lifecycle.New(ctx)
	if err := h.resume(own); err != nil {
		h.note(err) // the log tells what there is, too
	}
	for soon := 0; ; {
		waiting, err := h.round(ctx, own)
		if ctx.Err() != nil {
			return own.Wait()
		}
		h.note(err)
		wait := h.opts.Every
		if soon++; !waiting {
			soon = 0
		} else if soon <= maxSoon {
			wait = h.opts.Soon
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// maxSoon is how many rounds in a row come soon: what a replica waits for may never come.
const maxSoon = 200

// note keeps what went wrong in a round, and logs it once when it lasts: at the start of a network the authorities may come later.
func (h *Host) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trouble = ""
	if err == nil {
		h.failures = 0
		return
	}
	h.trouble = err.Error()
	if h.failures++; h.failures == 3 {
		h.log.Warn("databases: keeping in step with this node's cells fails", "err", err)
	}
}

// nameOf is what a replica's home is called.
func nameOf(cell mesh.CellID, version uint32) string { return fmt.Sprintf("%s-%d", cell, version) }

// isName tells whether a folder is a replica's home.
func isName(s string) bool {
	id, version, ok := strings.Cut(s, "-")
	var cell mesh.CellID
	n, err := strconv.ParseUint(version, 10, 32)
	return ok && err == nil && cell.UnmarshalText([]byte(id)) == nil && s == nameOf(cell, uint32(n))
}

// homes lists the names of the homes that there are.
func (h *Host) homes() (names []string, err error) {
	all, err := os.ReadDir(h.opts.Home)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading the homes of replicas: %w", err)
	}
	for _, d := range all {
		if d.IsDir() && isName(d.Name()) {
			names = append(names, d.Name())
		}
	}
	return names, nil
}

// resume starts what was founded before: cells go on while no authority answers.
func (h *Host) resume(own *lifecycle.Group) error {
	names, err := h.homes()
	errs := []error{err}
	for _, n := range names {
		c, err := replica.ReadConfig(filepath.Join(h.opts.Home, n))
		if err == nil && nameOf(c.Cell, c.Version) == n && c.Domain() == h.opts.Domain {
			err = h.replica(n).start(own, c)
		}
		if err != nil && mesh.KindOf(err) != mesh.NotFound { // it was not founded
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// replica returns the replica with this home.
func (h *Host) replica(name string) *hosted {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.replicas[name]
	if r == nil {
		r = &hosted{host: h, name: name, home: filepath.Join(h.opts.Home, name), told: map[mesh.DatabaseID]uint64{}}
		h.replicas[name] = r
	}
	return r
}

// round brings what runs in step with the log, and tells whether a replica waits for something of it.
func (h *Host) round(ctx context.Context, own *lifecycle.Group) (waiting bool, err error) {
	cells, err := h.meta.Cells(ctx)
	if err != nil {
		return false, err // an answer that is missing ends nothing
	}
	wanted := map[string]*wirepb.CellAnswer{}
	for _, c := range cells {
		id, err := mesh.FromBytes[mesh.CellID](c.Id)
		if err != nil {
			return false, err
		}
		wanted[nameOf(id, c.Version)] = c
	}
	errs := []error{h.endOthers(wanted)}
	for name, c := range wanted {
		r := h.replica(name)
		err := h.tend(ctx, own, r, c, cells)
		if err != nil { // else it speaks for itself
			r.excuse(err)
		}
		waiting = waiting || err != nil || r.behind()
	}
	return waiting, errors.Join(errs...)
}

// endOthers stops the replicas that are not wanted, and removes their homes.
func (h *Host) endOthers(wanted map[string]*wirepb.CellAnswer) error {
	names, err := h.homes()
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range names {
		c, err := replica.ReadConfig(filepath.Join(h.opts.Home, n))
		if wanted[n] != nil || err == nil && c.Domain() != h.opts.Domain { // of another network this log says nothing
			continue
		}
		r := h.replica(n)
		h.log.Info("a replica's cell has ended: it is removed", "replica", n)
		err = errors.Join(r.stop(), supervise.Sweep(r.record()))
		if err == nil {
			err = os.RemoveAll(r.home)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("removing replica %s: %w", n, err))
			continue
		}
		h.mu.Lock()
		delete(h.replicas, n)
		h.mu.Unlock()
	}
	return errors.Join(errs...)
}

// tend does for a replica what is next: it tells its keys, waits for the others' or starts it. Its error says what it waits for.
func (h *Host) tend(ctx context.Context, own *lifecycle.Group, r *hosted, c *wirepb.CellAnswer, all []*wirepb.CellAnswer) error {
	if r.learn(c) {
		return nil // it runs
	}
	m := memberOf(c, h.opts.Node)
	if m == nil {
		return mesh.Errorf(mesh.Corrupt, "the log names a cell of which this node is no member")
	}
	id, err := replica.Init(r.home)
	if err != nil {
		return err
	}
	if len(m.ConsensusKey) == 0 {
		return h.tellKeys(ctx, r, c, id, all)
	}
	if string(m.ConsensusKey) != string(id.ConsensusKey[:]) || string(m.AnswerKey) != string(id.AnswerKey[:]) {
		return mesh.Errorf(mesh.Corrupt, "the log knows other keys of this replica than lie in %s: its home was lost", r.home)
	}
	if c.FoundedMs == 0 {
		missing := 0
		for _, m := range c.Members {
			if len(m.ConsensusKey) == 0 {
				missing++
			}
		}
		return mesh.Errorf(mesh.Unavailable, "%d of %d nodes have not told the keys of their replicas", missing, len(c.Members))
	}
	cfg, err := replica.NewConfig(h.opts.Domain.Network, h.opts.Domain.Group, c)
	if err != nil {
		return err
	}
	return r.start(own, cfg)
}

func memberOf(c *wirepb.CellAnswer, n mesh.NodeID) *wirepb.CellMember {
	i := slices.IndexFunc(c.Members, func(m *wirepb.CellMember) bool { return string(m.Node) == string(n[:]) })
	if i < 0 {
		return nil
	}
	return c.Members[i]
}

// tellKeys puts a replica's keys on the log, with ports that no other replica of the node has.
func (h *Host) tellKeys(ctx context.Context, r *hosted, c *wirepb.CellAnswer, id replica.Identity, all []*wirepb.CellAnswer) error {
	port, err := r.port(all)
	if err != nil {
		return err
	}
	k := &wirepb.CellKey{Cell: c.Id, Version: c.Version, ConsensusKey: id.ConsensusKey[:], AnswerKey: id.AnswerKey[:],
		Peer: joined(h.opts.Public, port), Address: joined(h.opts.Public, port+1), AtMs: time.Now().UnixMilli()}
	if err := wiredatabase.CheckCellKey(k); err != nil {
		return err
	}
	err = h.meta.Submit(ctx, wire.Encode(&wirepb.Tx{Kind: wirepb.TxKind_TX_CELL_KEY, Message: signed.Seal(h.opts.Domain, h.opts.Key, sign.CellKey, k)}))
	if err == nil || mesh.KindOf(err) == mesh.Conflict { // they are known
		err = mesh.Errorf(mesh.Unavailable, "its keys are told; the next answer of the log shows them")
	}
	return err
}

func joined(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// listening returns a cell's settings with where this node's replica listens: the log says on which ports.
func (h *Host) listening(c replica.Config) (replica.Config, mesh.PublicKey, error) {
	i := slices.IndexFunc(c.Members, func(m replica.Member) bool { return m.Node == h.opts.Node })
	if i < 0 {
		return c, mesh.PublicKey{}, mesh.Errorf(mesh.Invalid, "this node is no member of cell %s", c.Cell)
	}
	_, peer, err := net.SplitHostPort(c.Members[i].Peer)
	_, service, errService := net.SplitHostPort(c.Members[i].Address)
	c.Peer, c.Service = net.JoinHostPort(h.opts.Listen, peer), net.JoinHostPort(h.opts.Listen, service)
	return c, c.Members[i].AnswerKey, errors.Join(err, errService)
}

// A Status is what a host says of one of its replicas.
type Status struct {
	Cell      string          `json:"cell"` // and the version of its members
	Phase     supervise.Phase `json:"phase"`
	PID       int             `json:"pid"` // 0 while it does not run
	Restarts  int             `json:"restarts"`
	LastExit  string          `json:"last_exit,omitempty"`
	Height    int64           `json:"height"` // of the cell's log, when it answered last
	Databases int             `json:"databases"`
	Why       string          `json:"why,omitempty"` // it does not answer, or waits
	Log       string          `json:"log"`
}

// Status tells how the replicas are, by name, and why the log could not be asked, if it could not.
func (h *Host) Status(ctx context.Context) (all []Status, trouble string) {
	h.mu.Lock()
	var rs []*hosted
	for _, r := range h.replicas {
		rs = append(rs, r)
	}
	trouble = h.trouble
	h.mu.Unlock()
	slices.SortFunc(rs, func(a, b *hosted) int { return strings.Compare(a.name, b.name) })
	for _, r := range rs {
		all = append(all, r.state(ctx))
	}
	return all, trouble
}
