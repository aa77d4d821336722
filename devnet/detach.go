package devnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/internal/logfile"
	"github.com/stratosmesh/stratos/mesh"
)

// SupervisorName is the name of the supervisor's log.
const SupervisorName = "supervisor"

// A report is the one line that a detached supervisor writes to the process that started it.
type report struct {
	Ready   bool     `json:"ready"`
	Failure *Failure `json:"failure,omitempty"`
}

// Detach runs argv, which must run a supervisor of h and report to file descriptor 3 (ReportTo), in a session of its
// own, and returns when the network is usable. When ctx ends first, it stops the supervisor again.
func Detach(ctx context.Context, h home.Home, argv []string) (*Status, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "find the running program: %w", err)
	}
	out, err := os.OpenFile(h.Log(SupervisorName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "detach: %w", err)
	}
	defer out.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "detach: %w", err)
	}
	defer r.Close()
	cmd := &exec.Cmd{
		Path: exe, Args: argv, Stdout: out, Stderr: out, ExtraFiles: []*os.File{w},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "detach: %w", err)
	}
	stopTelling := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stopTelling()
	var rep report
	err = json.NewDecoder(io.LimitReader(r, maxControl)).Decode(&rep)
	if ctx.Err() != nil || !rep.Ready {
		waitErr := cmd.Wait() // it is going
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case rep.Failure != nil:
			return nil, rep.Failure.Err()
		}
		return nil, died(h, errors.Join(waitErr, err))
	}
	if err := cmd.Process.Release(); err != nil {
		return nil, mesh.Errorf(mesh.Internal, "detach: %w", err)
	}
	c, err := Connect(ctx, h)
	if err != nil {
		return nil, err
	}
	return c.AwaitReady(ctx)
}

func died(h home.Home, err error) error {
	lines, _ := logfile.Tail(h.Log(SupervisorName), 12) // without them the error still says enough
	return mesh.WithHint(mesh.Errorf(mesh.Internal, "the supervisor died: %w; its log ends with\n    %s", err, strings.Join(lines, "\n    ")),
		"read more with: stratos logs supervisor")
}

// Attach waits until the network that runs in h is usable. It returns nil without an error when none runs, or none any
// more: one that is stopping is waited for.
func Attach(ctx context.Context, h home.Home) (*Status, error) {
	for {
		st, err := attach(ctx, h)
		if err == nil && st.State != Stopping {
			return st, nil
		}
		limit := downLimit
		if err != nil {
			limit = 0 // it is gone by now, or the error counts
		}
		gone, lockErr := awaitUnlocked(ctx, h, limit)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case lockErr != nil:
			return nil, lockErr
		case gone:
			return nil, nil
		case err != nil:
			return nil, err
		}
	}
}

func attach(ctx context.Context, h home.Home) (*Status, error) {
	c, err := Connect(ctx, h)
	if err != nil {
		return nil, err
	}
	st, err := c.Status(ctx)
	if err != nil || st.State == Stopping {
		return st, err
	}
	return c.AwaitReady(ctx)
}

// ReportTo runs d as the supervisor that Detach started, telling it on file descriptor 3 how starting went.
func ReportTo(ctx context.Context, d *Devnet) error {
	syscall.CloseOnExec(3) // the children must not keep it open
	pipe := os.NewFile(3, "report")
	if pipe == nil {
		return mesh.Errorf(mesh.Invalid, "there is nobody to report to")
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	select {
	case <-d.Ready():
		err := tell(pipe, report{Ready: true})
		if err != nil {
			d.Stop() // nobody knows that we run
		}
		return errors.Join(err, <-ended)
	case err := <-ended:
		if err == nil {
			err = mesh.Errorf(mesh.Unavailable, "the network was stopped while it started")
		}
		f := FailureOf(err)
		return errors.Join(err, tell(pipe, report{Failure: &f}))
	}
}

func tell(pipe *os.File, r report) error {
	err := json.NewEncoder(pipe).Encode(r)
	if err := errors.Join(err, pipe.Close()); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
