package devnet

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/internal/supervise"
	"github.com/stratosmesh/stratos/mesh"
)

// A Grade says how a thing that was examined is.
type Grade string

// The grades.
const (
	Good Grade = "ok"
	Off  Grade = "off" // not there, and need not be
	Bad  Grade = "bad"
)

// A Check is one thing that was examined.
type Check struct {
	Name   string `json:"name"`
	State  Grade  `json:"state"`
	Detail string `json:"detail"`
	Next   string `json:"next,omitempty"` // what to do about it
}

// minDisk is the free space below which a network is not safe.
const minDisk = 1 << 30

// Examine looks at the home, the programs, the disk, the ports and, if it runs, the network of opts. It changes nothing.
func Examine(ctx context.Context, opts Options) []Check {
	var out []Check
	add := func(name, detail string, err error) {
		c := Check{Name: name, State: Good, Detail: detail}
		if err != nil {
			c.State, c.Detail, c.Next = Bad, err.Error(), mesh.HintOf(err)
		}
		out = append(out, c)
	}
	stchaind, err := FindStchaind(opts.Stchaind)
	if err == nil {
		stchaind, err = versionOf(ctx, stchaind)
	}
	add("stchaind", stchaind, err)
	disk, err := freeSpace(opts.Home)
	add("disk", disk, err)
	h, err := home.Open(opts.Home)
	if mesh.KindOf(err) == mesh.NotFound {
		return append(out, Check{Name: "home", State: Off, Detail: err.Error(), Next: mesh.HintOf(err)})
	}
	add("home", fmt.Sprintf("%s, format %d", h.Dir(), home.Format), err)
	if err != nil {
		return out
	}
	accounts, err := wallet.OpenStore(h.Keys()).List()
	add("accounts", fmt.Sprint(len(accounts)), err)
	rec, err := ReadRecord(h)
	if mesh.KindOf(err) == mesh.NotFound {
		return append(out, Check{Name: "network", State: Off, Detail: err.Error(), Next: mesh.HintOf(err)})
	}
	if err != nil {
		add("network", "", err)
		return out
	}
	st, err := statusOf(ctx, h)
	if mesh.KindOf(err) == mesh.Unavailable {
		out = append(out, Check{Name: "network", State: Off, Detail: err.Error(), Next: mesh.HintOf(err)})
		n := rec.Network
		guard, err := n.reserve("stop that program; the network keeps the ports it was created with")
		if err == nil {
			guard.Close()
		}
		add("ports", fmt.Sprintf("from %d, all free", n.BasePort), err)
		return out
	}
	add("network", "running", err)
	if err != nil {
		return out
	}
	for _, p := range st.Processes {
		add(p.Name, fmt.Sprintf("process %d, %s", p.PID, plural(p.Restarts, "restart")), ailing(p))
	}
	grows, err := heightGrows(ctx, rec)
	add("blocks", grows, err)
	return out
}

// ailing tells what a process lacks, and what to do; nil when it is well.
func ailing(p Process) error {
	exit := ""
	if p.LastExit != "" {
		exit = "; last exit: " + p.LastExit
	}
	logs := "read why with: stratos logs " + p.Name
	switch {
	case p.Healthy:
		return nil
	case p.Phase == supervise.Held:
		return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "it was stopped with 'stratos stop'"), "bring it back with: stratos start %s", p.Name)
	case p.Phase == supervise.Dead:
		return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "it died and stays dead%s", exit), "%s; bring it back with: stratos start %s", logs, p.Name)
	case p.Phase == supervise.Waiting || p.Phase == supervise.Starting:
		return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "it is %s%s", p.Phase, exit), "look again in a moment, or %s", logs)
	case p.Phase == supervise.Backoff:
		return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "it died and will be started again%s", exit), "%s", logs)
	}
	return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "it is %s and does not answer%s", p.Phase, exit), "%s", logs)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func statusOf(ctx context.Context, h home.Home) (*Status, error) {
	c, err := Connect(ctx, h)
	if err != nil {
		return nil, err
	}
	return c.Status(ctx)
}

func versionOf(ctx context.Context, program string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "version").CombinedOutput()
	if err != nil {
		return "", mesh.WithHint(mesh.Errorf(mesh.Unavailable, "%s version: %w", program, err), "build it anew")
	}
	return strings.TrimSpace(program + " " + strings.TrimSpace(string(out))), nil
}

// freeSpace looks at the nearest folder above dir that is there.
func freeSpace(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for dir != "/" {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "", mesh.Errorf(mesh.Internal, "free space of %s: %w", dir, err)
	}
	free := fs.Bavail * uint64(fs.Bsize)
	detail := fmt.Sprintf("%.1f GiB free in %s", float64(free)/(1<<30), dir)
	if free < minDisk {
		return "", mesh.WithHint(mesh.Errorf(mesh.Exhausted, "only %s", detail), "make room, or use another --home")
	}
	return detail, nil
}

// heightGrows watches until there is a new block.
func heightGrows(ctx context.Context, rec *Record) (string, error) {
	first, err := heightOf(ctx, rec)
	if err != nil {
		return "", err
	}
	limit := 20*time.Duration(rec.Network.BlockInterval) + 5*time.Second
	now := first
	grown, err := poll(ctx.Done(), 50*time.Millisecond, limit, func() (bool, error) {
		now, err = heightOf(ctx, rec)
		return now > first, err
	})
	switch {
	case err != nil:
		return "", err
	case !grown:
		return "", mesh.WithHint(mesh.Errorf(mesh.Unavailable, "no block since %d for %s", first, limit), "read why with: stratos logs validator-0")
	}
	return fmt.Sprintf("height %d and growing", now), nil
}
