package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/internal/logfile"
	"github.com/stratosmesh/stratos/mesh"
)

// followInterval is how often `logs -f` looks for more.
const followInterval = 200 * time.Millisecond

func newDownCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the network; its data stay",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := e.home()
			if err != nil {
				return err
			}
			ran := true
			c, err := devnet.Connect(cmd.Context(), h)
			if err == nil {
				err = c.Down(cmd.Context())
			} else if mesh.KindOf(err) == mesh.Unavailable {
				ran, err = false, nil
			}
			if err != nil {
				return err
			}
			return e.print(map[string]bool{"was_running": ran}, func(w io.Writer) {
				if ran {
					fmt.Fprintln(w, "Stopped. Everything is kept for the next: stratos up")
				} else {
					fmt.Fprintf(w, "No network is running in %s.\n", h.Dir())
				}
			})
		},
	}
}

func newStatusCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how the network and its processes are",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.control(cmd.Context())
			if err != nil {
				return err
			}
			st, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			return e.print(st, func(w io.Writer) {
				fmt.Fprintf(w, "The network in %s is %s (supervisor: process %d).\n", st.Home, st.State, st.PID)
				if len(st.Processes) == 0 {
					return
				}
				fmt.Fprintln(w)
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "NAME\tPHASE\tHEALTHY\tPID\tRESTARTS\tLAST EXIT")
				for _, p := range st.Processes {
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", p.Name, p.Phase, yesNo(p.Healthy), dash(p.PID), p.Restarts, p.LastExit)
				}
				t.Flush()
			})
		},
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func dash(pid int) string {
	if pid == 0 {
		return "-"
	}
	return fmt.Sprint(pid)
}

func newStopCommand(e *env) *cobra.Command {
	return steerCommand(e, "stop NAME...", "Kill processes (kill -9) and keep them down", "stopped", (*devnet.Control).Stop)
}

func newStartCommand(e *env) *cobra.Command {
	return steerCommand(e, "start NAME...", "Start processes that are stopped or dead", "started", (*devnet.Control).Start)
}

func steerCommand(e *env, use, short, done string, do func(*devnet.Control, context.Context, ...string) error) *cobra.Command {
	return &cobra.Command{
		Use:               use,
		Short:             short,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: e.completeProcesses,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := e.control(cmd.Context())
			if err != nil {
				return err
			}
			if err := do(c, cmd.Context(), names...); err != nil {
				return err
			}
			return e.print(map[string][]string{done: names}, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s\n", strings.Join(names, ", "), done)
			})
		},
	}
}

// control connects to the supervisor.
func (e *env) control(ctx context.Context) (*devnet.Control, error) {
	h, err := e.home()
	if err != nil {
		return nil, err
	}
	return devnet.Connect(ctx, h)
}

func (e *env) completeProcesses(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	if e.begin(cmd, nil) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, _ := e.logNames() // no names is an answer too
	return names, cobra.ShellCompDirectiveNoFileComp
}

// logNames lists the processes that have a log.
func (e *env) logNames() ([]string, error) {
	h, err := e.home()
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(h.Logs(), "*.log"))
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "list logs: %w", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".log")
	}
	return files, nil
}

func newLogsCommand(e *env) *cobra.Command {
	var follow bool
	var n int
	cmd := &cobra.Command{
		Use:   "logs [NAME...|JOB]",
		Short: "Show what the processes say, or the tasks of a job",
		Long: `Shows the last lines of the named processes' logs, or of all, and with -f what comes after them until Ctrl-C.

Of a job it shows what its tasks wrote to standard error: all that is kept (the newest 4 MiB; of each task what its node kept, at least its last 16 KiB), or with -n the last
lines. It can be asked from anywhere, while the job runs, some seconds late, and for seven days: it lies beside the job's results, as .jobs/JOB.log.jsonl
of their bucket, for everybody who may read there.`,
		Example:           "  stratos logs node-1 -f\n  stratos logs 5f0c2d8a9b7e4c1d8e6f3a2b1c0d9e8f -f",
		ValidArgsFunction: e.completeProcesses,
		RunE: func(cmd *cobra.Command, names []string) error {
			if n < 0 {
				return mesh.WithHint(mesh.Errorf(mesh.Invalid, "%d lines cannot be shown", n), "give -n 0 or more")
			}
			var id mesh.JobID
			if len(names) == 1 && id.UnmarshalText([]byte(names[0])) == nil {
				if !cmd.Flags().Changed("lines") {
					n = -1
				}
				return e.jobLogs(cmd.Context(), id, n, follow)
			}
			h, err := e.home()
			if err != nil {
				return err
			}
			known, err := e.logNames()
			if err != nil {
				return err
			}
			if len(names) == 0 {
				names = known
			}
			for _, name := range names {
				// Only a name that we found ourselves becomes a part of a path.
				if err := checkLogName(h, name, known); err != nil {
					return err
				}
			}
			return e.showLogs(cmd.Context(), h, names, n, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until Ctrl-C")
	cmd.Flags().IntVarP(&n, "lines", "n", 20, "how many of the last lines of each")
	return cmd
}

func checkLogName(h home.Home, name string, known []string) error {
	if slices.Contains(known, name) {
		return nil
	}
	return mesh.WithHint(mesh.Errorf(mesh.NotFound, "%q has no log in %s", name, h.Logs()), "there are: %s", strings.Join(known, ", "))
}

func (e *env) showLogs(ctx context.Context, h home.Home, names []string, n int, follow bool) error {
	var mu sync.Mutex
	emit := func(name string) func(string) {
		prefix := ""
		if len(names) > 1 {
			prefix = name + " | "
		}
		return func(line string) {
			mu.Lock()
			defer mu.Unlock()
			if e.json {
				_ = e.printLine(map[string]string{"process": name, "line": line})
				return
			}
			fmt.Fprintln(e.stdout, prefix+line)
		}
	}
	if !follow {
		for _, name := range names {
			lines, err := logfile.Tail(h.Log(name), n)
			if err != nil {
				return mesh.Errorf(mesh.Internal, "%w", err)
			}
			for _, l := range lines {
				emit(name)(l)
			}
		}
		return nil
	}
	var wg sync.WaitGroup
	errs := make([]error, len(names))
	for i, name := range names {
		wg.Go(func() { errs[i] = logfile.Follow(ctx, h.Log(name), n, followInterval, emit(name)) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func newDoctorCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Examine what a network needs and how it is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts := e.doctorOptions()
			checks := devnet.Examine(cmd.Context(), opts)
			bad := 0
			for _, c := range checks {
				if c.State == devnet.Bad {
					bad++
				}
			}
			err := e.print(map[string][]devnet.Check{"checks": checks}, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				for _, c := range checks {
					fmt.Fprintf(t, "%s\t%s\t%s\n", c.State, c.Name, c.Detail)
					if c.Next != "" {
						fmt.Fprintf(t, "\t\tnext: %s\n", c.Next)
					}
				}
				t.Flush()
			})
			if err == nil && bad > 0 {
				err = mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%s not as it should be", plural(bad, "thing is", "things are")), "do what stands below each line that begins with %s", devnet.Bad)
			}
			return err
		},
	}
}
