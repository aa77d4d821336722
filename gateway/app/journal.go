package app

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/app"
)

const (
	writeAfter  = 3 * time.Second // lines of so long are written as one object
	maxJournal  = 4 << 20         // bytes that wait to be written; what comes then is counted and dropped
	keepLogs    = 7 * 24 * time.Hour
	pruneEvery  = time.Hour
	logTime     = "2006-01-02T15-04-05.000Z"
	writeWithin = 30 * time.Second
)

// A logLine is what is noted of a request, a line of JSON in the application's log.
type logLine struct {
	Time         time.Time `json:"time"`
	Request      string    `json:"request"` // UNIQUE_ID, as the function has it
	Version      uint64    `json:"version"`
	Method       string    `json:"method"`
	Path         string    `json:"path"`
	Function     string    `json:"function"`
	Status       int       `json:"status"`
	Milliseconds int64     `json:"ms"`
	Fuel         uint64    `json:"fuel,omitempty"`
	Noz          uint64    `json:"noz,omitempty"`
	Nodes        []string  `json:"nodes,omitempty"`
	Error        string    `json:"error,omitempty"`
	Log          string    `json:"log,omitempty"`     // what the function wrote to its standard error
	Dropped      int       `json:"dropped,omitempty"` // lines before this one, of which there were too many
}

// A journal is what was noted of an application and is not written yet.
type journal struct {
	lines   bytes.Buffer
	dropped int
	writing bool
	pruned  time.Time
}

// note notes a request, and writes what was noted in a while, as an object of the application's.
func (a *Apps) note(bucket string, c *client.Client, l *logLine) {
	a.mu.Lock()
	defer a.mu.Unlock()
	j := a.logs[bucket]
	if j == nil {
		j = new(journal)
		a.logs[bucket] = j
	}
	if j.lines.Len() > maxJournal {
		j.dropped++
		return
	}
	l.Dropped, j.dropped = j.dropped, 0
	if err := json.NewEncoder(&j.lines).Encode(l); err != nil {
		a.log.Error("a request of an application was not noted", "err", err)
	}
	if j.writing {
		return
	}
	j.writing = a.own.Go(func(ctx context.Context) error {
		wait := time.NewTimer(writeAfter)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done(): // it closes: now
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeWithin)
		defer cancel()
		if err := a.write(ctx, bucket, c, j); err != nil {
			a.log.Warn("the log of an application was not written", "app", bucket, "err", err)
		}
		return nil
	}) == nil
}

// write writes what a journal has.
func (a *Apps) write(ctx context.Context, bucket string, c *client.Client, j *journal) error {
	a.mu.Lock()
	lines := bytes.Clone(j.lines.Bytes())
	j.lines.Reset()
	j.writing = false
	now := a.opts.Now().UTC()
	prune := now.Sub(j.pruned) > pruneEvery
	if prune {
		j.pruned = now
		maps.DeleteFunc(a.logs, func(_ string, o *journal) bool {
			return o != j && !o.writing && o.lines.Len() == 0 && now.Sub(o.pruned) > pruneEvery
		})
	}
	a.mu.Unlock()
	p := mesh.Path{Bucket: bucket, Key: app.LogFolder() + now.Format(logTime) + "-" + a.opts.Gateway + ".jsonl"}
	if _, err := c.Put(ctx, p, bytes.NewReader(lines), client.PutOptions{ContentType: "application/jsonl"}); err != nil || !prune {
		return err
	}
	page, err := c.ListPage(ctx, client.ListQuery{Bucket: bucket, Prefix: app.LogFolder(), Limit: 1000})
	if err != nil {
		return err
	}
	oldest := app.LogFolder() + now.Add(-keepLogs).Format(logTime)
	for _, n := range page.Names {
		if strings.Compare(n.Key, oldest) >= 0 {
			break
		}
		if err := c.Delete(ctx, mesh.Path{Bucket: bucket, Key: n.Key}); err != nil && mesh.KindOf(err) != mesh.NotFound {
			return err
		}
	}
	return nil
}
