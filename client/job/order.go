package job

import (
	"context"
	"errors"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// An Order is one of the value layer, as who takes it sees it.
type Order struct {
	Number, Claim uint64 // Claim is the number that his claim will have
	Text          *wirepb.TaskText
	// Take makes that claim. It is called when nothing else is missing: a claim that is not answered costs a bond.
	Take func(context.Context) error
}

// Accounts is what who answers an order needs besides; client.Client is one.
type Accounts interface {
	Objects
	Balance(ctx context.Context, a mesh.Account) (client.Balance, error)
}

// RunOrder runs the task of an order in the job of one of its claims, to its end, however it ends: that is the answer. Of the Spec it takes the module of
// Map, Output, Level, Budget, Timeout and Progress. What a task gave that succeeded lies at the path returned.
func RunOrder(ctx context.Context, c Accounts, log Log, o Order, s Spec) (id mesh.JobID, output mesh.Path, err error) {
	r := newRun(c, log, s)
	r.id, r.order, r.claim = compute.OrderJob(o.Number, o.Claim, c.Access().Account()), o.Number, o.Claim
	b, err := c.Balance(ctx, c.Access().Account())
	if err != nil {
		return id, output, err
	}
	if b.Available < s.Budget {
		return id, output, mesh.WithHint(mesh.Errorf(mesh.Exhausted, "the account has %s of ozone free, and the task may cost %s", b.Available, s.Budget), "buy more with 'stratos prepay', or lower the budget")
	}
	defer func() { err = errors.Join(err, r.tidy(context.WithoutCancel(ctx))) }()
	p := &program{name: "order"}
	if p.module, err = r.module(ctx, p.name, r.Map.Module); err != nil {
		return id, output, err
	}
	if err := o.Take(ctx); err != nil {
		return id, output, err
	}
	if err := r.open(ctx); err != nil {
		return id, output, err
	}
	t := &task{text: o.Text}
	if err := r.stage(ctx, p, []*task{t}, nil); err != nil {
		return id, output, err
	}
	if !compute.Succeeded(t.result) {
		return r.id, output, nil
	}
	all, err := r.deliver(ctx, p, []*task{t})
	if err != nil {
		return id, output, err
	}
	return r.id, all[0], nil
}
