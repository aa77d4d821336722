package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/job"
	"github.com/stratosmesh/stratos/mesh"
)

// logsEvery is how often the log of a job is looked at that is followed; whoever runs the job stores it every 10 s.
const logsEvery = 3 * time.Second

// logText is a line of a job's log as a person sees it.
func logText(l job.LogLine) string {
	return fmt.Sprintf("%s %d: %s", l.Stage, l.Task, visible(l.Text, '\t'))
}

// jobLogs shows what the tasks of a job wrote: the last lines, all if last is below zero, and with follow what comes after them until the job has ended.
func (e *env) jobLogs(ctx context.Context, id mesh.JobID, last int, follow bool) error {
	return e.withClient(ctx, func(c *client.Client) error {
		tick := time.NewTicker(logsEvery)
		defer tick.Stop()
		var shown *job.LogLine
		for {
			state, jobErr := c.Job(ctx, id) // before the log is read, so that of a job that has ended all of it is
			if jobErr != nil && mesh.KindOf(jobErr) != mesh.NotFound {
				return jobErr
			}
			ended := jobErr != nil || state.Closed
			lines, err := job.ReadLog(ctx, c, id)
			switch {
			case err != nil && mesh.KindOf(err) == mesh.NotFound && jobErr == nil:
				if !follow || ended {
					e.say("no task of job %s has written to standard error so far", id)
				}
			case err != nil:
				return err
			}
			if shown != nil {
				if i := slices.Index(lines, *shown); i >= 0 {
					lines = lines[i+1:]
				}
			} else if last >= 0 {
				lines = lines[max(0, len(lines)-last):]
			}
			for _, l := range lines {
				if e.json {
					if err := e.printLine(l); err != nil {
						return err
					}
				} else if _, err := fmt.Fprintln(e.stdout, logText(l)); err != nil {
					return err
				}
			}
			if len(lines) > 0 {
				shown = &lines[len(lines)-1]
			}
			if !follow || ended {
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}
