package job

import (
	"context"
	"errors"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// RunOrder runs the task of an order of the value layer, in the job of one of its claims, to its end, however it ends: that is the answer. Of the Spec it
// takes the module of Map, Output, Level, Budget, Timeout and Progress. What a task gave that succeeded lies at the path returned.
func RunOrder(ctx context.Context, c *client.Client, log Log, order, claim uint64, text *wirepb.TaskText, s Spec) (id mesh.JobID, output mesh.Path, err error) {
	r := newRun(c, log, s)
	r.id, r.order, r.claim = compute.OrderJob(order, claim, c.Access().Account()), order, claim
	defer func() { err = errors.Join(err, r.tidy(context.WithoutCancel(ctx))) }()
	if err := r.begin(ctx); err != nil {
		return id, output, err
	}
	t := &task{text: text, prefix: r.folder()}
	if err := r.stage(ctx, "order", r.mapModule, []*task{t}); err != nil {
		return id, output, err
	}
	if !compute.Succeeded(t.result) {
		return r.id, output, nil
	}
	all, err := r.deliver(ctx, []*task{t})
	if err != nil {
		return id, output, err
	}
	return r.id, all[0], nil
}
