package client

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// What follows is for client/job, which runs jobs: each method is one transaction, one question, or one request to a node.

// OpenJob puts a job on the log; its budget is set aside.
func (c *Client) OpenJob(ctx context.Context, j *wirepb.Job) error {
	_, err := c.commit(ctx, wirepb.TxKind_TX_JOB, sign.Job, j)
	return err
}

// AddTasks adds tasks to a job that this session opened; workers are drawn for them.
func (c *Client) AddTasks(ctx context.Context, t *wirepb.Tasks) error {
	_, err := c.commit(ctx, wirepb.TxKind_TX_TASKS, sign.Tasks, t)
	return err
}

// ReissueTask takes a task from a worker that does not deliver.
func (c *Client) ReissueTask(ctx context.Context, r *wirepb.Reissue) error {
	_, err := c.commit(ctx, wirepb.TxKind_TX_REISSUE, sign.Reissue, r)
	return err
}

// AcceptTasks has tasks of level receipt paid.
func (c *Client) AcceptTasks(ctx context.Context, a *wirepb.Acceptance) error {
	_, err := c.commit(ctx, wirepb.TxKind_TX_ACCEPTANCE, sign.Acceptance, a)
	return err
}

// EndJob ends a job of the account.
func (c *Client) EndJob(ctx context.Context, id mesh.JobID) error {
	_, err := c.commit(ctx, wirepb.TxKind_TX_JOB_END, sign.JobEnd, &wirepb.JobEnd{Job: id[:], AtMs: time.Now().UnixMilli()})
	return err
}

// CallNode posts a request to a node's port for transfers; limit bounds the answer.
func (c *Client) CallNode(ctx context.Context, node mesh.NodeID, path string, limit int, req, answer proto.Message) error {
	nodes, _, err := c.registry(ctx)
	if err != nil {
		return err
	}
	n, ok := nodes[node]
	if !ok {
		return mesh.Errorf(mesh.NotFound, "there is no node %s", node)
	}
	hc, err := c.dialer.Client(n.TLSKey)
	if err != nil {
		return err
	}
	return rpc.Call(ctx, hc, "https://"+n.Address+path, limit, req, answer)
}

// JobTasks gives the tasks of a job of the account from a number on.
func (c *Client) JobTasks(ctx context.Context, id mesh.JobID, from uint32) (all []*wirepb.TaskAnswer, err error) {
	for {
		answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Tasks{Tasks: &wirepb.TasksPage{Job: id[:], From: from, Limit: compute.MaxBatch}}})
		if err != nil {
			return nil, err
		}
		a := new(wirepb.TasksAnswer)
		if found, err := group.Decode(answers[0], a); err != nil || !found {
			return nil, orElse(err, mesh.Errorf(mesh.NotFound, "there is no job %s", id))
		}
		all = append(all, a.Tasks...)
		if !a.Truncated || len(a.Tasks) == 0 {
			return all, nil
		}
		from = a.Tasks[len(a.Tasks)-1].Number + 1
	}
}

// A JobInfo is a job as the log has it.
type JobInfo struct {
	ID       mesh.JobID
	Level    uint32
	Opened   time.Time
	Deadline time.Time
	Tasks    int
	Verified int
	Failed   int // no two workers agreed
	Dropped  int // they were not verified in time
	Budget   mesh.Noz
	Spent    mesh.Noz // by verified tasks
	Ended    bool     // it takes no tasks
	Closed   bool     // what of the budget was not spent is the account's again
}

func jobInfo(a *wirepb.JobAnswer) (JobInfo, error) {
	id, err := mesh.FromBytes[mesh.JobID](a.Id)
	return JobInfo{ID: id, Level: a.Level, Opened: time.UnixMilli(a.OpenedMs), Deadline: time.UnixMilli(a.DeadlineMs), Tasks: int(a.Tasks), Verified: int(a.Verified), Failed: int(a.Failed), Dropped: int(a.Dropped),
		Budget: mesh.Noz(a.Budget), Spent: mesh.Noz(a.Spent), Ended: a.Ended, Closed: a.Closed}, err
}

// Job gives a job of the account.
func (c *Client) Job(ctx context.Context, id mesh.JobID) (j JobInfo, err error) {
	answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Job{Job: id[:]}})
	if err != nil {
		return j, err
	}
	a := new(wirepb.JobAnswer)
	if found, err := group.Decode(answers[0], a); err != nil || !found {
		return j, orElse(err, mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no job %s", id), "the log forgets jobs an hour after their end; see: stratos ps --all"))
	}
	return jobInfo(a)
}

// Jobs lists the jobs of the account that the log has, the newest first.
func (c *Client) Jobs(ctx context.Context) (all []JobInfo, err error) {
	q := &wirepb.JobsPage{Limit: 1000}
	for {
		answers, err := c.ask(ctx, &wirepb.Question{Question: &wirepb.Question_Jobs{Jobs: q}})
		if err != nil {
			return nil, err
		}
		a := new(wirepb.JobsAnswer)
		if _, err := group.Decode(answers[0], a); err != nil {
			return nil, err
		}
		for _, x := range a.Jobs {
			j, err := jobInfo(x)
			if err != nil {
				return nil, err
			}
			all = append(all, j)
			q.After = x.Id
		}
		if !a.Truncated || len(a.Jobs) == 0 {
			return all, nil
		}
	}
}
