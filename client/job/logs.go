package job

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// What tasks write to standard error is the job's log: the agent gathers it while they run, and keeps it as an object in the bucket of the results,
// one JSON object a line, for whoever may read there. A log is the word of the node that ran the task; no digest binds it.
const (
	logFolder = ".jobs/"           // of a bucket: the logs of jobs
	logEnd    = ".log.jsonl"       // of their names
	logTime   = 7 * 24 * time.Hour // how long they are kept: later jobs with results in the bucket remove them
	logRemove = 100                // how many of them a job removes

	maxJobLog  = 4 << 20          // bytes of text and names that are kept of a job's log: the newest
	maxLogLine = 16 << 10         // of text
	logEvery   = time.Second      // a task that runs is asked for its log
	storeEvery = 10 * time.Second // the object is written, if there is more
)

// A LogLine is a line of a job's log.
type LogLine struct {
	Time  time.Time   `json:"time"` // when the agent had it
	Stage string      `json:"stage"`
	Task  uint32      `json:"task"`
	Node  mesh.NodeID `json:"node"`
	Text  string      `json:"text"`
}

// LogPath is where the log of a job lies whose results go into a bucket.
func LogPath(bucket string, id mesh.JobID) mesh.Path {
	return mesh.Path{Bucket: bucket, Key: logFolder + id.String() + logEnd}
}

// IsLog tells whether a key is that of a job's log.
func IsLog(key string) bool {
	return strings.HasPrefix(key, logFolder) && strings.HasSuffix(key, logEnd)
}

// A logbook gathers the logs of a job's tasks. It is safe for concurrent use.
type logbook struct {
	tell func(LogLine) // may be nil

	mu    sync.Mutex
	tasks map[logOf]*taskLog
	lines []LogLine
	bytes int
	fresh bool // there is more than was stored
}
type logOf struct {
	stage string
	task  uint32
}

// A taskLog is what is known of a task's log. It is the same whoever runs the task, so that what another node says goes on where one has ended.
type taskLog struct {
	bytes uint64 // that were taken
	part  []byte // of a line
}

func newLogbook(tell func(LogLine)) *logbook {
	return &logbook{tell: tell, tasks: map[logOf]*taskLog{}}
}

func (b *logbook) of(stage string, number uint32) *taskLog {
	t := b.tasks[logOf{stage, number}]
	if t == nil {
		t = new(taskLog)
		b.tasks[logOf{stage, number}] = t
	}
	return t
}

// known is how many bytes of a task's log were taken.
func (b *logbook) known(stage string, number uint32) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.of(stage, number).bytes
}

// add takes the end of a task's log, of which there are all bytes so far. over: there will be no more.
func (b *logbook) add(stage string, number uint32, node mesh.NodeID, end []byte, all uint64, over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.of(stage, number)
	fresh := all - min(t.bytes, all)
	if missed := fresh - min(fresh, uint64(len(end))); missed > 0 && fresh > 0 {
		if len(t.part) > 0 {
			t.part = append(t.part, '\n')
		}
		t.part = append(t.part, "[some of the log was not kept]\n"...)
	}
	t.part = append(t.part, end[uint64(len(end))-min(fresh, uint64(len(end))):]...)
	t.bytes += fresh
	for len(t.part) > 0 {
		n := bytes.IndexByte(t.part, '\n')
		line, rest := n, n+1
		switch {
		case n >= 0 && n <= maxLogLine:
		case n >= 0 || len(t.part) > maxLogLine:
			line, rest = maxLogLine, maxLogLine
		case over:
			line, rest = len(t.part), len(t.part)
		default:
			return
		}
		b.keep(LogLine{time.Now().UTC(), stage, number, node, strings.ToValidUTF8(string(t.part[:line]), "\uFFFD")})
		t.part = t.part[rest:]
	}
}

// keep takes a line; the oldest ones go when there are too many.
func (b *logbook) keep(l LogLine) {
	b.lines, b.fresh = append(b.lines, l), true
	b.bytes += lineBytes(l)
	for b.bytes > maxJobLog {
		b.bytes -= lineBytes(b.lines[0])
		b.lines = b.lines[1:]
	}
	if b.tell != nil {
		b.tell(l)
	}
}

// lineBytes is about what a line is as JSON.
func lineBytes(l LogLine) int { return 120 + len(l.Text) }

// text is the log as it is stored, if there is more than before.
func (b *logbook) text() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.fresh {
		return nil, nil
	}
	b.fresh = false
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	for _, l := range b.lines {
		if err := e.Encode(l); err != nil {
			return nil, mesh.Errorf(mesh.Internal, "writing the log: %w", err)
		}
	}
	return out.Bytes(), nil
}

// followLog asks a node for the log of a task that it runs, until ctx ends. Who does not answer is asked again.
func (s *stage) followLog(ctx context.Context, node mesh.NodeID, number, task uint32) {
	tick := time.NewTicker(logEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		a := new(wirepb.TaskLogAnswer)
		q := &wirepb.TaskLogRequest{Job: s.id[:], Number: number, From: s.logs.known(s.program.name, task)}
		if err := s.log.CallNode(ctx, node, compute.TaskLogPath, compute.MaxTaskLog+compute.MaxLogRequest, q, a); err == nil {
			s.logs.add(s.program.name, task, node, a.Log, a.LogBytes, false)
		}
	}
}

// keepLog stores the log again and again, until ctx ends. What goes wrong is told when the job ends.
func (r *run) keepLog(ctx context.Context) error {
	tick := time.NewTicker(storeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := r.storeLog(ctx); err != nil && ctx.Err() == nil {
				r.logs.mu.Lock()
				r.logs.fresh = true
				r.logs.mu.Unlock()
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *run) storeLog(ctx context.Context) error {
	b, err := r.logs.text()
	if err != nil || b == nil {
		return err
	}
	_, err = r.client.Put(ctx, LogPath(r.Output.Bucket, r.id), bytes.NewReader(b), client.PutOptions{ContentType: "application/jsonl"})
	return err
}

var errEnough = errors.New("enough")

// removeLogs removes logs of jobs that are long over.
func (r *run) removeLogs(ctx context.Context) error {
	var old []mesh.Path
	before := time.Now().Add(-logTime)
	err := r.client.List(ctx, mesh.Path{Bucket: r.Output.Bucket, Key: logFolder}, "", func(l client.Listed) error {
		if IsLog(l.Key) && l.Modified.Before(before) {
			old = append(old, mesh.Path{Bucket: r.Output.Bucket, Key: l.Key})
		}
		if len(old) == logRemove {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	for _, p := range old {
		err = errors.Join(err, r.client.Delete(ctx, p))
	}
	return err
}

// ReadLog reads the log of a job from the buckets of the account. NotFound: no task of it has written anything, or its log was removed.
func ReadLog(ctx context.Context, c *client.Client, id mesh.JobID) ([]LogLine, error) {
	buckets, err := c.Buckets(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range buckets {
		o, err := c.Stat(ctx, LogPath(b.Name, id))
		if err != nil && mesh.KindOf(err) == mesh.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		var text bytes.Buffer
		if o.Size > 8*maxJobLog {
			return nil, mesh.Errorf(mesh.Corrupt, "the job's log has %d bytes", o.Size)
		}
		if err := readAll(Source(ctx, c, o), &text); err != nil {
			return nil, err
		}
		return parseLog(&text)
	}
	return nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no log of job %s", id), "a job has one when a task has written to standard error; it is kept for %d days in the bucket of the results", logTime/(24*time.Hour))
}

func parseLog(r io.Reader) (lines []LogLine, err error) {
	d := json.NewDecoder(r)
	for {
		var l LogLine
		switch err := d.Decode(&l); {
		case errors.Is(err, io.EOF):
			return lines, nil
		case err != nil:
			return nil, mesh.Errorf(mesh.Corrupt, "the job's log: %w", err)
		}
		lines = append(lines, l)
	}
}
