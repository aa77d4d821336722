package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/job"
	"github.com/stratosmesh/stratos/mesh"
)

// A jobLine is a job as it is shown.
type jobLine struct {
	Job      mesh.JobID `json:"job"`
	State    string     `json:"state"` // running, ending, ended
	Level    string     `json:"level"`
	Opened   time.Time  `json:"opened"`
	Deadline time.Time  `json:"deadline"`
	Tasks    int        `json:"tasks"`
	Verified int        `json:"verified"`
	Failed   int        `json:"failed"`
	Dropped  int        `json:"dropped"`
	Budget   mesh.Noz   `json:"budget_noz"`
	Cost     mesh.Noz   `json:"cost_noz"`
}

func lineOf(j client.JobInfo) jobLine {
	state := "running"
	switch {
	case j.Closed:
		state = "ended"
	case j.Ended:
		state = "ending"
	}
	return jobLine{Job: j.ID, State: state, Level: job.Level(j.Level).String(), Opened: j.Opened.UTC(), Deadline: j.Deadline.UTC(), Tasks: j.Tasks, Verified: j.Verified, Failed: j.Failed, Dropped: j.Dropped,
		Budget: j.Budget, Cost: j.Spent}
}

func (l jobLine) done() string { return fmt.Sprintf("%d of %d", l.Verified, l.Tasks) }

func newPsCommand(e *env) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:     "ps",
		Short:   "List the account's jobs on the network",
		Long:    "Lists the jobs that run, the newest first. The log keeps jobs for an hour after their end; --all shows these, too.",
		Example: "  stratos ps\n  stratos ps --all --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				jobs, err := c.Jobs(cmd.Context())
				if err != nil {
					return err
				}
				lines := []jobLine{}
				for _, j := range jobs {
					if all || !j.Closed {
						lines = append(lines, lineOf(j))
					}
				}
				return e.print(lines, func(w io.Writer) {
					if len(lines) == 0 {
						fmt.Fprintln(w, "no job runs")
						return
					}
					t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					fmt.Fprintln(t, "JOB\tSTATE\tLEVEL\tTASKS\tCOST\tBUDGET\tOPENED")
					for _, l := range lines {
						fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Job, l.State, l.Level, l.done(), l.Cost, l.Budget, l.Opened.Format(time.DateTime))
					}
					t.Flush()
				})
			})
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also those that have ended")
	return cmd
}

func newCostCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "cost JOB",
		Short:   "Show what a job has cost so far",
		Long:    "Shows what the verified tasks of a job have cost, and what of its budget is left. Reading and writing is paid as traffic besides.",
		Example: "  stratos cost 5f0c2d8a9b7e4c1d8e6f3a2b1c0d9e8f",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := jobOf(args[0])
			if err != nil {
				return err
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				j, err := c.Job(cmd.Context(), id)
				if err != nil {
					return err
				}
				l := lineOf(j)
				return e.print(l, func(w io.Writer) {
					fmt.Fprintf(w, "%s, %s tasks verified at level %s\ncost    %s of %s\n", l.State, l.done(), l.Level, l.Cost, l.Budget)
				})
			})
		},
	}
}

func newCancelCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel JOB",
		Short: "End a job",
		Long: `Ends a job: tasks that no worker has committed a result of are dropped, those that are committed are verified and paid, and the rest of the
budget returns. A "stratos run" that follows the job ends with an error.`,
		Example: "  stratos cancel 5f0c2d8a9b7e4c1d8e6f3a2b1c0d9e8f",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := jobOf(args[0])
			if err != nil {
				return err
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				if err := c.EndJob(cmd.Context(), id); err != nil {
					return err
				}
				return e.print(map[string]any{"job": id, "state": "ending"}, func(w io.Writer) { fmt.Fprintf(w, "job %s ends\n", id) })
			})
		},
	}
}

func jobOf(s string) (id mesh.JobID, err error) {
	if err = id.UnmarshalText([]byte(s)); err != nil {
		err = &usageError{mesh.WithHint(err, "stratos ps lists jobs")}
	}
	return id, err
}
