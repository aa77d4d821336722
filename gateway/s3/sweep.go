package s3

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/gateway/s3/expiry"
	"github.com/stratosmesh/stratos/mesh"
)

// Bounds of a sweep, so that it stays small beside the requests.
const (
	sweepPage     = 1000                   // versions or uploads that are asked for at once, and kept in memory
	sweepPause    = 100 * time.Millisecond // before each page
	sweepRemovals = 8                      // under way at once
	sweepFailures = 32                     // removals that fail until the bucket is left to the next sweep
)

// SweepOptions say how a Sweeper works. Zero stands for the default.
type SweepOptions struct {
	// Every is how long it rests between two sweeps. Default 1 h: S3's times are midnights.
	Every time.Duration
	// Now tells the time by which rules are carried out. Default time.Now. A clock that is wrong removes nothing too soon: the
	// log refuses messages that are dated far from its own time.
	Now func() time.Time
	// Registry gets the metrics. nil: none.
	Registry *prometheus.Registry
}

// A Sweeper carries out the lifecycle rules of the buckets that are served under access keys sealed to its gateway. It
// removes only what is still what it saw, so that several may sweep the same bucket. Run it, or call Sweep.
type Sweeper struct {
	served func(context.Context) ([]client.ServedBucket, error)
	open   func(ctx context.Context, accessKey string) (*tenancy, error)
	log    *slog.Logger
	opts   SweepOptions
	opTime time.Duration // bounds one question or removal

	removed          *prometheus.CounterVec
	locked, failures prometheus.Counter
}

// A tenant is what a sweep does in the name of a bucket's owner.
type tenant interface {
	Bucket(ctx context.Context, name string) (*client.Bucket, error)
	Section(ctx context.Context, bucket string, kind uint32) ([]byte, error)
	ListPage(ctx context.Context, q client.ListQuery) (*client.ListPage, error)
	Multiparts(ctx context.Context, p mesh.Path, after string, afterUpload *mesh.UploadID, limit int) ([]*client.Multipart, bool, error)
	Look(ctx context.Context, p mesh.Path, version *mesh.VersionID) (*client.Bucket, *client.Object, error)
	DeleteWith(ctx context.Context, p mesh.Path, o client.DeleteOptions) (mesh.VersionID, error)
	AbortMultipart(ctx context.Context, p mesh.Path, id mesh.UploadID) error
}

// A tenancy is a tenant at work. leave it.
type tenancy struct {
	tenant
	account mesh.Account
	leave   func()
}

// A Tally is what a sweep came to.
type Tally struct {
	Objects  int // current versions that expired
	Versions int // older ones
	Markers  int // delete markers
	Uploads  int // aborted
	Locked   int // versions that were due and stay because they are locked
	Failures int // buckets and removals
}

func (t *Tally) add(o Tally) {
	t.Objects, t.Versions, t.Markers, t.Uploads = t.Objects+o.Objects, t.Versions+o.Versions, t.Markers+o.Markers, t.Uploads+o.Uploads
	t.Locked, t.Failures = t.Locked+o.Locked, t.Failures+o.Failures
}

// NewSweeper returns a sweeper that acts through a backend's sessions. The backend must outlive Run and Sweep.
func NewSweeper(b *Backend, log *slog.Logger, o SweepOptions) (*Sweeper, error) {
	return newSweeper(b.keys.Served, func(ctx context.Context, id string) (*tenancy, error) {
		s, err := b.session(ctx, id)
		if err != nil {
			return nil, err
		}
		return &tenancy{s.client, s.client.Access().Account(), func() { b.leave(s) }}, nil
	}, b.opts.OpTime, log, o)
}

func newSweeper(served func(context.Context) ([]client.ServedBucket, error), open func(context.Context, string) (*tenancy, error), opTime time.Duration, log *slog.Logger, o SweepOptions) (*Sweeper, error) {
	if o.Every < 0 {
		return nil, mesh.Errorf(mesh.Invalid, "s3: lifecycle rules every %v", o.Every)
	}
	if o.Every == 0 {
		o.Every = time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Sweeper{served: served, open: open, log: log, opts: o, opTime: opTime,
		removed:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stratos_s3_lifecycle_removed_total", Help: "What lifecycle rules removed."}, []string{"kind"}),
		locked:   prometheus.NewCounter(prometheus.CounterOpts{Name: "stratos_s3_lifecycle_locked_total", Help: "Versions that a lock kept from being removed, at each sweep anew."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "stratos_s3_lifecycle_failures_total", Help: "Buckets and removals that failed."})}
	if o.Registry == nil {
		return s, nil
	}
	for _, c := range []prometheus.Collector{s.removed, s.locked, s.failures} {
		if err := o.Registry.Register(c); err != nil {
			return nil, mesh.Errorf(mesh.Conflict, "s3: the registry already has a sweeper: %w", err)
		}
	}
	return s, nil
}

// Run sweeps until ctx ends, the first time within the first interval: gateways that start together do not sweep together.
func (s *Sweeper) Run(ctx context.Context) error {
	next := time.NewTimer(rand.N(s.opts.Every))
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("no lifecycle rules were carried out; the next sweep tries again", "in", s.opts.Every, "err", err)
		}
		next.Reset(s.opts.Every)
	}
}

// Sweep carries out what is due now. A bucket that fails is logged, counted, and left to the next sweep; the error is that
// the buckets could not be listed, or the end of ctx.
func (s *Sweeper) Sweep(ctx context.Context) (total Tally, err error) {
	all, err := s.served(ctx)
	if err != nil {
		s.failures.Inc()
		return total, err
	}
	for _, b := range all {
		if !slices.Contains(b.Sections, sectionLifecycle) {
			continue
		}
		w := &bucketSweep{Sweeper: s, bucket: b.Name, now: s.opts.Now()}
		err := w.run(ctx, b.AccessKey)
		if ctx.Err() == nil && err != nil {
			w.fail(err)
		}
		s.count(w.tally)
		total.add(w.tally)
		if ctx.Err() != nil {
			return total, ctx.Err()
		}
		if w.tally.Failures > 0 {
			s.log.Warn("lifecycle rules were not all carried out; the next sweep tries again", "bucket", b.Name, "failures", w.tally.Failures, "err", w.first)
		}
	}
	return total, nil
}

func (s *Sweeper) count(t Tally) {
	for kind, n := range map[string]int{"object": t.Objects, "version": t.Versions, "marker": t.Markers, "upload": t.Uploads} {
		s.removed.WithLabelValues(kind).Add(float64(n))
	}
	s.locked.Add(float64(t.Locked))
	s.failures.Add(float64(t.Failures))
}

// A bucketSweep is one sweep of one bucket.
type bucketSweep struct {
	*Sweeper
	*tenancy
	bucket string
	now    time.Time
	hash   [32]byte // of the rules' document
	rules  expiry.Rules

	mu    sync.Mutex
	tally Tally
	first error // of the failures
}

func (w *bucketSweep) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally.Failures++
	if w.first == nil {
		w.first = err
	}
}

// errRulesChanged ends the sweep of a bucket whose owner meanwhile wants something else.
var errRulesChanged = errors.New("the rules have changed")

func (w *bucketSweep) run(ctx context.Context, accessKey string) (err error) {
	if w.tenancy, err = w.open(ctx, accessKey); err != nil {
		return err
	}
	defer w.leave()
	v, err := w.look(ctx)
	if err != nil {
		return err
	}
	if v.Owner != w.account {
		return mesh.Errorf(mesh.Denied, "bucket %q is served under a key of another account", w.bucket)
	}
	var set bool
	if w.hash, set = v.Sections[sectionLifecycle]; !set {
		return nil
	}
	err = w.within(ctx, func(ctx context.Context) error {
		document, err := w.Section(ctx, w.bucket, sectionLifecycle)
		if err != nil || document == nil {
			return err
		}
		w.rules, _, err = expiry.Parse(document)
		return err
	})
	for _, prefix := range w.rules.VersionPrefixes() {
		if err == nil {
			err = w.versions(ctx, prefix)
		}
	}
	for _, prefix := range w.rules.UploadPrefixes() {
		if err == nil {
			err = w.uploads(ctx, prefix)
		}
	}
	if errors.Is(err, errRulesChanged) {
		return nil
	}
	return err
}

func (w *bucketSweep) within(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, w.opTime)
	defer cancel()
	return f(ctx)
}

func (w *bucketSweep) look(ctx context.Context) (v *client.Bucket, err error) {
	err = w.within(ctx, func(ctx context.Context) error { v, err = w.tenant.Bucket(ctx, w.bucket); return err })
	return v, err
}

// turn waits before a page, and sees that the owner still wants the same.
func (w *bucketSweep) turn(ctx context.Context) error {
	pause := time.NewTimer(sweepPause)
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-pause.C:
	}
	v, err := w.look(ctx)
	if err == nil && v.Sections[sectionLifecycle] != w.hash {
		err = errRulesChanged
	}
	return err
}

// versions removes what is due of the objects that begin with a prefix.
func (w *bucketSweep) versions(ctx context.Context, prefix string) error {
	var h history
	for q := (&client.ListQuery{Bucket: w.bucket, Prefix: prefix, Versions: true, Limit: sweepPage}); q != nil; {
		if err := w.turn(ctx); err != nil {
			return err
		}
		var page *client.ListPage
		err := w.within(ctx, func(ctx context.Context) (err error) { page, err = w.ListPage(ctx, *q); return err })
		if err != nil {
			return err
		}
		known := make([]*version, 0, len(page.Names)+1)
		for _, l := range page.Names {
			known = append(known, h.next(l))
		}
		if q = page.Next; q == nil {
			known = append(known, h.end())
		}
		var due []*version
		for _, v := range known {
			if v == nil {
				continue
			}
			if v.due = w.rules.Due(v.Version, w.now); len(v.due) > 0 {
				due = append(due, v)
			}
		}
		if err := w.each(ctx, len(due), func(ctx context.Context, i int) error { return w.remove(ctx, due[i]) }); err != nil {
			return err
		}
	}
	return nil
}

// each calls f for 0 to n-1, a few at a time, counts those that fail, and gives up when they are too many.
func (w *bucketSweep) each(ctx context.Context, n int, f func(context.Context, int) error) error {
	tooMany := func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.tally.Failures >= sweepFailures
	}
	each(n, sweepRemovals, func(i int) {
		if ctx.Err() != nil || tooMany() {
			return
		}
		if err := w.within(ctx, func(ctx context.Context) error { return f(ctx, i) }); err != nil && ctx.Err() == nil {
			w.fail(err)
		}
	})
	if ctx.Err() == nil && tooMany() {
		return mesh.Errorf(mesh.Unavailable, "%d removals failed", sweepFailures)
	}
	return ctx.Err()
}

// remove removes a version, if it is still what the listing said and tags and locks allow it.
func (w *bucketSweep) remove(ctx context.Context, v *version) error {
	p := mesh.Path{Bucket: w.bucket, Key: v.Key}
	expires := v.Latest && !v.Marker
	// The log is asked to remove a current version only while it is that, and an older one only while it is not: a marker that
	// somebody removes brings it back. It is looked at before, for its lock and its tags.
	var found *client.Object
	if !expires || v.due.ByTags() {
		var err error
		if _, found, err = w.Look(ctx, p, &v.id); err != nil {
			return err
		}
		if found == nil || found.Latest != v.Latest {
			return nil
		}
	}
	if v.due.ByTags() {
		tags, err := tagsOf(found)
		if err != nil {
			return err
		}
		if len(v.due.Tagged(tags)) == 0 {
			return nil
		}
	}
	if !expires && (found.Lock.Hold || found.Lock.Until.After(w.now)) {
		w.done(&w.tally.Locked)
		return nil
	}
	o, count := client.DeleteOptions{OnlyIf: &v.id}, &w.tally.Objects
	if !expires {
		o, count = client.DeleteOptions{Purge: &v.id, Older: !v.Marker}, &w.tally.Versions
	}
	if v.Marker {
		count = &w.tally.Markers
	}
	_, err := w.DeleteWith(ctx, p, o)
	switch kind := mesh.KindOf(err); {
	case err == nil:
		w.done(count)
	case kind == mesh.NotFound || kind == mesh.Conflict: // another gateway was faster, or somebody wrote
	case kind == mesh.Denied && found != nil && found.Lock != (client.Lock{}): // the log's clock counts
		w.done(&w.tally.Locked)
	default:
		return err
	}
	return nil
}

func (w *bucketSweep) done(count *int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*count++
}

// uploads aborts what is due of the uploads of objects that begin with a prefix.
func (w *bucketSweep) uploads(ctx context.Context, prefix string) error {
	after, afterID := "", (*mesh.UploadID)(nil)
	for {
		if err := w.turn(ctx); err != nil {
			return err
		}
		var all []*client.Multipart
		var more bool
		err := w.within(ctx, func(ctx context.Context) (err error) {
			all, more, err = w.Multiparts(ctx, mesh.Path{Bucket: w.bucket, Key: prefix}, after, afterID, sweepPage)
			return err
		})
		if err != nil {
			return err
		}
		due := slices.DeleteFunc(slices.Clone(all), func(m *client.Multipart) bool { return !w.rules.UploadDue(m.Path.Key, m.Begun, w.now) })
		err = w.each(ctx, len(due), func(ctx context.Context, i int) error {
			err := w.AbortMultipart(ctx, due[i].Path, due[i].ID)
			switch kind := mesh.KindOf(err); {
			case err == nil:
				w.done(&w.tally.Uploads)
			case kind != mesh.NotFound: // completed, or aborted by somebody else
				return err
			}
			return nil
		})
		if err != nil || !more || len(all) == 0 {
			return err
		}
		after, afterID = all[len(all)-1].Path.Key, &all[len(all)-1].ID
	}
}

// A version is one in a listing, and the rules that call for its removal.
type version struct {
	expiry.Version
	id  mesh.VersionID
	due expiry.Rules
}

// A history reads a listing of versions, the newest of a key first, and tells of each what the ones beside it say. It holds
// the last one back, because only the next tells whether there are more of that key; so the version behind which a listing
// goes on is not removed before that.
type history struct {
	held  *version
	newer int // replaced versions of its key so far
}

// next takes a version in and returns the one before, nil when there is none to tell of.
func (h *history) next(l client.Listed) *version {
	v, before := &version{Version: expiry.Version{Key: l.Key, Size: l.Size, Modified: l.Modified, Marker: l.Marker, Latest: l.Latest}, id: l.Version}, h.held
	switch follows := before != nil && before.Key == l.Key; {
	case follows:
		v.Replaced, v.Newer = before.Modified, h.newer
	case !l.Latest: // what replaced it was not listed: it stays
		h.end()
		return before
	default:
		h.end()
	}
	if !v.Latest && !v.Marker {
		h.newer++
	}
	h.held = v
	return before
}

// end returns the version that was held back: nothing of its key follows.
func (h *history) end() *version {
	v := h.held
	if v != nil {
		v.Alone = v.Latest
	}
	h.held, h.newer = nil, 0
	return v
}
