package database

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/internal/lifecycle"
	"github.com/stratosmesh/stratos/internal/supervise"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/replica"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

const (
	lookEvery  = time.Second
	lookTime   = 2 * time.Second  // for a replica to say how it stands, and for authorities to sign a notice
	noticeTime = 25 * time.Second // for a notice to be on the cell's log
	stopGrace  = 5 * time.Second  // for a replica to end when it is told to
	superPause = 10 * time.Second // before a supervisor that failed, as on a full disk, is tried again
)

// A hosted replica is one as its node sees it, whether it runs or not.
type hosted struct {
	host       *Host
	name, home string
	certified  certified

	mu     sync.Mutex
	own    *lifecycle.Group // nil until it is started
	super  *supervise.Supervisor
	config replica.Config             // once it is started
	key    mesh.PublicKey             // its answer key
	cell   *wirepb.CellAnswer         // as the log has it; nil until that is known
	taken  int                        // first of the two ports that it was given in this run; 0: none
	status *wirepb.CellStatus         // when it answered last
	why    string                     // it does not run, or does not answer
	told   map[mesh.DatabaseID]uint64 // sequence of the newest notice that is known to be on the cell's log
}

func (r *hosted) record() string  { return filepath.Join(r.home, "child.json") }
func (r *hosted) logPath() string { return filepath.Join(r.home, "replica.log") }

// learn takes what the log says of the cell, and tells whether the replica is started.
func (r *hosted) learn(c *wirepb.CellAnswer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cell = c
	return r.own != nil
}

// excuse notes why the replica is not as it should be, nil if it is, and logs what is new.
func (r *hosted) excuse(err error) {
	why := ""
	if err != nil {
		why = err.Error()
	}
	r.mu.Lock()
	before := r.why
	r.why = why
	r.mu.Unlock()
	if why != "" && why != before {
		r.host.log.Info("a replica waits", "replica", r.name, "why", why)
	}
}

// port returns the first of two ports that no other replica of the node has; all is what the log knows of the node's cells.
func (r *hosted) port(all []*wirepb.CellAnswer) (int, error) {
	taken := map[int]bool{}
	for _, c := range all {
		if m := memberOf(c, r.host.opts.Node); m != nil && m.Peer != "" {
			if _, port, err := net.SplitHostPort(m.Peer); err == nil {
				n, _ := strconv.Atoi(port) // CheckCellKey has seen to it
				taken[n] = true
			}
		}
	}
	r.host.mu.Lock()
	defer r.host.mu.Unlock()
	for _, o := range r.host.replicas {
		if o != r {
			taken[o.taken] = true
		}
	}
	for i := range wiredatabase.MaxNodeCells {
		if p := r.host.opts.Port + 2*i; !taken[p] {
			r.taken = p
			return p, nil
		}
	}
	return 0, mesh.Errorf(mesh.Exhausted, "all ports from %d to %d are other replicas'", r.host.opts.Port, r.host.opts.Port+Ports-1)
}

// start writes the replica's settings and runs it, as long as the host does or until stop.
func (r *hosted) start(host *lifecycle.Group, c replica.Config) error {
	c, key, err := r.host.listening(c)
	if err == nil {
		err = replica.WriteConfig(r.home, c)
	}
	if err != nil {
		return err
	}
	own := lifecycle.New(host.Context())
	r.mu.Lock()
	r.own, r.config, r.key, r.why = own, c, key, "it has not answered yet"
	r.mu.Unlock()
	for _, f := range []func(context.Context) error{r.supervise, r.watch} {
		if err := own.Go(f); err != nil {
			return err
		}
	}
	return host.Go(func(context.Context) error { // so that the host waits for it
		if err := own.Wait(); err != nil {
			r.excuse(err)
		}
		return nil
	})
}

// stop ends the replica's process, if it has one.
func (r *hosted) stop() error {
	r.mu.Lock()
	own := r.own
	r.mu.Unlock()
	if own == nil {
		return nil
	}
	return own.Close()
}

// supervise keeps the process running.
func (r *hosted) supervise(ctx context.Context) error {
	for ctx.Err() == nil {
		p := supervise.Process{Role: "replica", Name: r.name, Argv: append(slices.Clone(r.host.opts.Command), r.home), Log: r.logPath(), Tied: true}
		s, err := supervise.New([]supervise.Process{p}, r.host.log, supervise.Options{Record: r.record(), Grace: stopGrace, BackoffMax: 30 * time.Second})
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.super = s
		r.mu.Unlock()
		if err := s.Run(ctx); err == nil {
			continue // ctx has ended
		} else if r.excuse(err); ctx.Err() == nil {
			r.host.log.Error("a replica's supervisor failed", "replica", r.name, "err", err)
		}
		select {
		case <-time.After(superPause):
		case <-ctx.Done():
		}
	}
	return nil
}

// watch asks the replica how it stands, brings it the notices that its cell lacks, and has its certificates settled.
func (r *hosted) watch(ctx context.Context) error {
	key, err := replica.AnswerKey(r.home) // to which it says how all of its databases stand
	if err != nil {
		return err
	}
	d := transfer.NewDialer(key, lookTime)
	defer d.Close()
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		s, err := r.ask(ctx, d)
		if err != nil {
			err = mesh.Errorf(mesh.KindOf(err), "it does not answer: %w", err)
		} else {
			r.mu.Lock()
			r.status = s
			r.mu.Unlock()
			err = errors.Join(r.notify(ctx, d, s), r.settle(ctx, d, s))
		}
		if ctx.Err() != nil {
			return nil
		}
		r.excuse(err)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
}

func (r *hosted) ask(ctx context.Context, d *transfer.Dialer) (*wirepb.CellStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	s := new(wirepb.CellStatus)
	hc, err := d.Client(r.key)
	if err == nil {
		err = rpc.Call(ctx, hc, "https://"+r.config.Service+wirepb.CellStatusPath, wiredatabase.MaxReply, new(wirepb.CellStatusRequest), s)
	}
	return s, err
}

// behind tells whether the log has news for the cell that the cell's log may lack.
func (r *hosted) behind() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lacks(r.status)) > 0
}

// lacks lists the databases of which the log has newer notices than the cell, as far as is known here: of one that was dropped a
// replica does not tell. It is called with r.mu held.
func (r *hosted) lacks(s *wirepb.CellStatus) (all []mesh.DatabaseID) {
	has := map[mesh.DatabaseID]uint64{}
	for _, d := range s.GetDatabases() {
		if id, err := mesh.FromBytes[mesh.DatabaseID](d.Database); err == nil {
			has[id] = d.Sequence
		}
	}
	for _, d := range r.cell.GetDatabases() {
		if id, err := mesh.FromBytes[mesh.DatabaseID](d.Id); err == nil && d.Sequence > max(has[id], r.told[id]) {
			all = append(all, id)
		}
	}
	return all
}

// notify puts the notices that the cell lacks on its log. Other members do so too; the cell takes each once.
func (r *hosted) notify(ctx context.Context, d *transfer.Dialer, s *wirepb.CellStatus) error {
	r.mu.Lock()
	lacks := r.lacks(s)
	r.mu.Unlock()
	var errs []error
	for _, id := range lacks {
		sequence, err := r.bring(ctx, d, id)
		if err != nil {
			errs = append(errs, mesh.Errorf(mesh.KindOf(err), "bringing the notice of database %s to the cell: %w", id, err))
			continue
		}
		r.mu.Lock()
		r.told[id] = sequence
		r.mu.Unlock()
	}
	return errors.Join(errs...)
}

func (r *hosted) bring(ctx context.Context, d *transfer.Dialer, id mesh.DatabaseID) (sequence uint64, err error) {
	asking, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	all, err := r.host.meta.Notices(asking, id[:])
	if err != nil {
		return 0, err
	}
	tx, sequence, err := believed(r.host.opts.Domain, r.config, id, all)
	if err != nil {
		return 0, err
	}
	ctx, cancel = context.WithTimeout(ctx, noticeTime)
	defer cancel()
	hc, err := d.Client(r.key)
	if err == nil {
		err = rpc.Call(ctx, hc, "https://"+r.config.Service+wirepb.CellSubmitPath, wiredatabase.MaxReply, tx, new(wirepb.DatabaseReply))
	}
	if mesh.KindOf(err) == mesh.Conflict && err != nil { // another member was faster
		err = nil
	}
	return sequence, err
}

// believed makes a transaction of the newest notice that enough of the cell's authorities have signed alike. The cell checks all of it
// again.
func believed(d sign.Domain, c replica.Config, id mesh.DatabaseID, all []*wirepb.Signed) (*wirepb.CellTx, uint64, error) {
	authorities := map[mesh.PublicKey]bool{}
	for _, a := range c.Authorities {
		authorities[a] = true
	}
	same := map[string]map[mesh.PublicKey]*wirepb.Signed{}
	var best *wirepb.CellTx
	sequence := uint64(0)
	for _, s := range all {
		n := new(wirepb.Notice)
		by, err := signed.Open(d, s, sign.Notice, n)
		if err != nil || !authorities[by] || string(n.Database) != string(id[:]) || string(n.Cell) != string(c.Cell[:]) || wiredatabase.CheckNotice(n) != nil {
			continue // a liar's, or one who is new since the cell was founded
		}
		body := string(s.Body)
		if same[body] == nil {
			same[body] = map[mesh.PublicKey]*wirepb.Signed{}
		}
		same[body][by] = s
		if n.Sequence > sequence && wiredatabase.Believed(len(same[body]), len(c.Authorities)) {
			sequence, best = n.Sequence, &wirepb.CellTx{Kind: wirepb.CellTxKind_CELL_TX_NOTICE}
			for _, a := range c.Authorities { // always in one order
				if s := same[body][a]; s != nil {
					best.Messages = append(best.Messages, s)
				}
			}
		}
	}
	if best == nil {
		return nil, 0, mesh.Errorf(mesh.Unavailable, "too few of the cell's %d authorities signed one notice of database %s", len(c.Authorities), id)
	}
	return best, sequence, nil
}

// state is how the replica is.
func (r *hosted) state(ctx context.Context) Status {
	r.mu.Lock()
	super := r.super
	s := Status{Cell: r.name, Phase: supervise.Waiting, Height: r.status.GetHeight(), Databases: len(r.status.GetDatabases()), Why: r.why, Log: r.logPath()}
	r.mu.Unlock()
	if super != nil {
		p := super.Status(ctx)[0]
		s.Phase, s.PID, s.Restarts, s.LastExit = p.Phase, p.PID, p.Restarts, p.LastExit
	}
	return s
}
