package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/app"
	"github.com/stratosmesh/stratos/protocol/compute"
)

// lookEvery is how often events are looked for.
const lookEvery = 5 * time.Second

// eventTime bounds what one event takes.
const eventTime = 2 * time.Minute

// Run has functions run at their times, and for what is written, until ctx ends. Of several gateways that serve an application each looks, and the first to
// say so, by a conditional write of an object, runs the function: at most once, for it may die then.
func (a *Apps) Run(ctx context.Context) error {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if err := a.look(ctx); err != nil && ctx.Err() == nil {
			a.log.Info("looking for events of applications", "err", err)
		}
	}
}

// look looks at each application that has no look under way.
func (a *Apps) look(ctx context.Context) error {
	all, err := a.keys.Served(ctx)
	if err != nil {
		return err
	}
	for _, b := range all {
		has := false
		for _, kind := range b.Sections {
			has = has || kind == app.Section
		}
		a.mu.Lock()
		skip := !has || a.busy[b.Name]
		a.busy[b.Name] = a.busy[b.Name] || has
		a.mu.Unlock()
		if skip {
			continue
		}
		err := a.own.Go(func(ctx context.Context) error {
			defer func() {
				a.mu.Lock()
				defer a.mu.Unlock()
				delete(a.busy, b.Name)
			}()
			if err := a.events(ctx, b); err != nil && ctx.Err() == nil {
				a.log.Info("events of an application", "app", b.Name, "err", err)
			}
			return nil
		})
		if err != nil {
			return nil // it closes
		}
	}
	return nil
}

// events runs what is due of an application.
func (a *Apps) events(ctx context.Context, b client.ServedBucket) error {
	c, leave, err := a.keys.Client(ctx, b.AccessKey)
	if err != nil {
		return err
	}
	defer leave()
	manifest, err := c.Section(ctx, b.Name, app.Section)
	if err != nil || len(manifest) == 0 {
		return err
	}
	x, err := a.App(b.Name, manifest, sha256.Sum256(manifest))
	if err != nil {
		return err
	}
	for _, s := range x.Manifest.Schedules {
		if err := x.schedule(ctx, c, s); err != nil {
			return err
		}
	}
	for i, t := range x.Manifest.Triggers {
		if err := x.trigger(ctx, c, i, t); err != nil {
			return err
		}
	}
	return nil
}

// schedule runs a function whose time has come since it ran last. One that was never looked at waits for its next time.
func (x *App) schedule(ctx context.Context, c *client.Client, s app.Schedule) error {
	f := &x.Manifest.Functions[s.Function]
	due := x.apps.opts.Now().Unix() / int64(s.Seconds) * int64(s.Seconds)
	ours, err := claim(ctx, c, mesh.Path{Bucket: x.Bucket, Key: app.EventsKey(fmt.Sprintf("schedule-%s-%d", f.Name, s.Seconds))}, func(last *int64) bool {
		first := *last == 0
		if *last >= due {
			return false
		}
		*last = due
		return !first
	})
	if err != nil || !ours {
		return err
	}
	at := time.Unix(due, 0).UTC().Format(time.RFC3339)
	return x.event(ctx, c, f, "SCHEDULE", at, "EVENT=schedule", "EVENT_TIME="+at)
}

// watched is what a trigger knows of objects: their versions, by key.
type watched struct {
	Begun bool              `json:"begun"`
	Seen  map[string]string `json:"seen"`
}

// trigger runs a function for what was written since it was looked at last. What was there at first is none of its business.
func (x *App) trigger(ctx context.Context, c *client.Client, i int, t app.Trigger) error {
	f := &x.Manifest.Functions[t.Function]
	now := map[string]string{}
	for q := (&client.ListQuery{Bucket: x.Bucket, Prefix: t.Prefix, Limit: 1000}); q != nil; {
		page, err := c.ListPage(ctx, *q)
		if err != nil {
			return err
		}
		for _, n := range page.Names {
			now[n.Key] = n.Version.String()
		}
		if q = page.Next; len(now) > app.MaxWatched {
			return mesh.Errorf(mesh.Exhausted, "function %s is to be run for objects below %q, of which there are more than %d", f.Name, t.Prefix, app.MaxWatched)
		}
	}
	var fresh []string
	ours, err := claim(ctx, c, mesh.Path{Bucket: x.Bucket, Key: app.EventsKey(fmt.Sprintf("trigger-%s-%d", f.Name, i))}, func(w *watched) bool {
		fresh = fresh[:0]
		gone := false
		for key := range w.Seen {
			_, there := now[key]
			gone = gone || !there
		}
		for key, version := range now {
			if w.Begun && w.Seen[key] != version {
				fresh = append(fresh, key)
			}
		}
		if w.Begun && len(fresh) == 0 && !gone {
			return false
		}
		w.Begun, w.Seen = true, now
		return true
	})
	if err != nil || !ours {
		return err
	}
	for _, key := range fresh {
		if err := x.event(ctx, c, f, "OBJECT", key, "EVENT=object", "OBJECT_KEY="+key, "OBJECT_VERSION="+now[key]); err != nil {
			return err
		}
	}
	return nil
}

// event has a function run for an event. What goes wrong with it stands in the application's log.
func (x *App) event(ctx context.Context, c *client.Client, f *app.Function, method, path string, env ...string) error {
	ctx, cancel := context.WithTimeout(ctx, eventTime)
	defer cancel()
	line := x.line(f, method, path)
	r := &run{app: x, client: c, function: f, level: compute.Pair, writes: true}
	_, _ = r.do(ctx, nil, append(env, "UNIQUE_ID="+line.Request), line) // it is noted
	return ctx.Err()
}

// maxEvents bounds what is kept of a trigger, in bytes: names are long at times.
const maxEvents = 16 << 20

// claim changes what an object holds as JSON, and tells whether this gateway has: somebody else may be first. change tells whether there is something to do; it
// may change what it is given all the same, which is kept then.
func claim[T any](ctx context.Context, c *client.Client, p mesh.Path, change func(*T) bool) (ours bool, err error) {
	old, o, err := c.ReadAll(ctx, p, 0, maxEvents)
	state, opts := new(T), client.PutOptions{ContentType: "application/json"}
	switch {
	case err != nil && mesh.KindOf(err) == mesh.NotFound:
		opts.OnlyIfAbsent = true
	case err != nil:
		return false, err
	default:
		if err := json.Unmarshal(old, state); err != nil {
			return false, mesh.Errorf(mesh.Corrupt, "%s: %w", p, err)
		}
		opts.OnlyIf = &o.Version
	}
	due := change(state)
	b, err := json.Marshal(state)
	if err != nil {
		return false, mesh.Errorf(mesh.Internal, "encoding %s: %w", p, err)
	}
	if bytes.Equal(b, old) {
		return false, nil
	}
	if _, err = c.Put(ctx, p, bytes.NewReader(b), opts); err != nil {
		if mesh.KindOf(err) == mesh.Conflict {
			return false, nil
		}
		return false, err
	}
	return due, nil
}
