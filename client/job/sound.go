package job

import (
	"context"
	"io"

	"golang.org/x/sync/errgroup"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
)

const (
	soundTries = 3 // how often a task is run again whose output is not what its result says
	soundReads = 4 // outputs that are read at once
)

// sound has each of the tasks, which are verified, have an output that is what its result says. The log verifies results, not what was stored: another
// worker's output with the same result does as well, and where there is none the task is run again.
func (r *run) sound(ctx context.Context, p *program, tasks []*task) error {
	for try := 0; ; try++ {
		reads, readCtx := errgroup.WithContext(ctx)
		reads.SetLimit(soundReads)
		for _, t := range tasks {
			if !t.sound {
				reads.Go(func() error { return r.pick(readCtx, t) })
			}
		}
		if err := reads.Wait(); err != nil {
			return err
		}
		var bad []*task
		for _, t := range tasks {
			if !t.sound {
				bad = append(bad, t)
			}
		}
		switch {
		case len(bad) == 0:
			return nil
		case try == soundTries:
			return mesh.Errorf(mesh.Corrupt, "%s %d was run %d times, and what was stored was never what its result says", p.name, bad[0].text.Number, try+1)
		}
		was := results(bad)
		for _, t := range bad {
			r.progress.Trouble = mesh.Errorf(mesh.Corrupt, "%s %d stored another output than its result says; it is run again", p.name, t.text.Number).Error()
			t.result, t.output, t.accepted = nil, nil, false
		}
		if err := r.stage(ctx, p, bad, nil); err != nil {
			return err
		}
		for i, t := range bad {
			if compute.ResultDigest(was[i]) != compute.ResultDigest(t.result) {
				return mesh.WithHint(mesh.Errorf(mesh.Corrupt, "%s %d had another result when it was run again: one of the nodes has lied", p.name, t.text.Number), "run the job at a higher level: --level pair or quorum")
			}
		}
	}
}

// present has each of the tasks have an output. Whoever reads spills checks them, so only those are looked at of which nothing is there.
func (r *run) present(ctx context.Context, p *program, tasks []*task) error {
	var lack []*task
	for _, t := range tasks {
		if t.output == nil {
			lack = append(lack, t)
		}
	}
	if len(lack) == 0 {
		return nil
	}
	return r.sound(ctx, p, lack)
}

// pick looks for a worker's output that is what the task's result says.
func (r *run) pick(ctx context.Context, t *task) error {
	for _, a := range t.attempts {
		if a.output == nil || a.digest != compute.ResultDigest(t.result) {
			continue
		}
		err := r.inspect(ctx, t, a.output)
		if err == nil {
			t.output, t.sound = a.output, true
			return nil
		}
		if k := mesh.KindOf(err); k != mesh.Corrupt && k != mesh.NotFound {
			return err
		}
	}
	return nil
}

// inspect reads an output. At level receipt a worker is believed who says what he has written.
func (r *run) inspect(ctx context.Context, t *task, k *kept) error {
	version := mesh.VersionID(k.object.Version)
	_, o, err := r.client.Look(ctx, mesh.Path{Bucket: k.object.Bucket, Key: k.object.Key}, &version)
	if err != nil {
		return err
	}
	if o == nil || o.Marker {
		return mesh.Errorf(mesh.NotFound, "the output is gone")
	}
	s := Source(ctx, r.client, o)
	if k.object.Tree {
		if s, err = compute.Treed(s, k.root, k.size); err != nil {
			return err
		}
		return readAll(s, io.Discard)
	}
	root := compute.Digest(o.PlainHash)
	if r.Level != Receipt {
		h := blake3.New(32, nil)
		if err := readAll(s, h); err != nil {
			return err
		}
		root = compute.Digest(h.Sum(nil))
	}
	if root != k.root {
		return mesh.Errorf(mesh.Corrupt, "the output is not what the result says")
	}
	return nil
}

// keptOutput is where a worker says that it has stored what its result names; nil: there is nothing, or it is not as long.
func keptOutput(t *task, digest compute.Digest, size uint64, o *client.Object) *kept {
	k := &kept{root: digest, size: size, object: storedOf(o)}
	if k.object.Tree = t.text.Parts > 0; k.object.Tree {
		size = compute.TreedBytes(size)
	}
	if o.Size != size {
		return nil
	}
	return k
}

// outputs are what tasks gave, as inputs.
func outputs(tasks []*task) (all []*kept) {
	for _, t := range tasks {
		all = append(all, t.output)
	}
	return all
}
