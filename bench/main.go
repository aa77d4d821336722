// Command bench measures a whole network on this machine: large and small objects in and out, commits of the meta layer,
// the time of up, memory. It prints one JSON object; README.md beside it keeps what was measured.
//
// It asserts nothing: figures are for reading.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/sign"
)

func main() {
	size := flag.Int64("size", 1<<30, "bytes of the large object")
	count := flag.Int("count", 1000, "small objects")
	each := flag.Int("each", 100<<10, "bytes of a small object")
	keys := flag.Int("keys", 0, "objects to list; with it, S3 is measured in place of the client")
	databases := flag.Duration("databases", 0, "how long each figure of databases is measured; with it, they are in place of objects")
	computing := flag.Duration("computing", 0, "the same of applications and jobs")
	profile := flag.String("profile", "", "file for a CPU profile of the client")
	flag.Parse()
	if err := run(*size, *count, *each, *keys, *databases, *computing, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// Figures is what a run measured.
type Figures struct {
	Machine    string             `json:"machine"`
	UpSeconds  float64            `json:"up_seconds"`
	UpAgain    float64            `json:"up_again_seconds"`
	Large      map[string]float64 `json:"large"`        // MB/s and CPU seconds per GB, client and network together
	Small      map[string]float64 `json:"small"`        // operations per second
	CommitMs   map[string]float64 `json:"commit_ms"`    // an inline object, acknowledged by 2f+1
	S3         map[string]float64 `json:"s3,omitempty"` // as above, and listings in seconds
	Databases  map[string]float64 `json:"databases,omitempty"`
	Computing  map[string]float64 `json:"computing,omitempty"` // milliseconds, seconds and requests per second, as the names say
	NetworkMiB float64            `json:"network_mib"`         // resident, all processes, after everything
	ClientMiB  float64            `json:"client_mib"`          // resident at its highest, this process, after its key was unlocked
	DiskMBps   float64            `json:"disk_mb_per_s"`       // append 4 MiB and sync, beside which PUT stands
}

func run(size int64, count, each, keys int, databases, applications time.Duration, profile string) (err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	f := &Figures{Machine: machine(), Large: map[string]float64{}, Small: map[string]float64{}, CommitMs: map[string]float64{}, S3: map[string]float64{}, Databases: map[string]float64{}, Computing: map[string]float64{}}
	if f.DiskMBps, err = disk(dir); err != nil {
		return err
	}
	at := filepath.Join(dir, "home")
	for _, took := range []*float64{&f.UpSeconds, &f.UpAgain} {
		began := time.Now()
		n, err := start(at)
		if err != nil {
			return err
		}
		*took = time.Since(began).Seconds()
		if took == &f.UpSeconds {
			if err := n.stop(); err != nil {
				return err
			}
			continue
		}
		defer func() { err = errors.Join(err, n.stop()) }()
		if profile != "" {
			p, err := os.Create(profile)
			if err != nil {
				return err
			}
			defer p.Close()
			if err := pprof.StartCPUProfile(p); err != nil {
				return err
			}
			defer pprof.StopCPUProfile()
		}
		if applications > 0 {
			err = computing(n, f, applications)
		} else {
			err = measure(n, f, size, count, each, keys, databases)
		}
		if err != nil {
			return err
		}
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(f)
}

func machine() string {
	b, _ := os.ReadFile("/proc/cpuinfo") // only shown
	model := ""
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			model = strings.TrimSpace(v)
		}
	}
	return fmt.Sprintf("%d x %s, %s", runtime.NumCPU(), model, runtime.GOOS)
}

func disk(dir string) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b := random(4 << 20)
	began := time.Now()
	for range 64 {
		if _, err := f.Write(b); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return 256 * 1.048576 / time.Since(began).Seconds(), nil
}

func random(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	r.Read(b) // never fails
	return b
}

// repeated is its bytes again and again: objects are sealed, so that it makes no difference, and drawing each anew costs
// more than sealing it.
type repeated struct {
	b  []byte
	at int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.b[r.at:])
	r.at = (r.at + n) % len(r.b)
	return n, nil
}

type network struct {
	*devnet.Devnet
	home  string
	ended chan error
}

func start(dir string) (*network, error) {
	d := devnet.Default()
	d.BasePort = 0
	bin, err := filepath.Abs("bin")
	if err != nil {
		return nil, err
	}
	n, err := devnet.New(devnet.Options{Home: dir, Network: d, Stratos: filepath.Join(bin, "stratos"), Stchaind: filepath.Join(bin, "stchaind")}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	net := &network{n, dir, make(chan error, 1)}
	go func() { net.ended <- n.Run(context.Background()) }()
	select {
	case <-n.Ready():
		return net, nil
	case err := <-net.ended:
		return nil, err
	}
}

func (n *network) stop() error { n.Stop(); return <-n.ended }

func measure(n *network, f *Figures, size int64, count, each, keys int, databases time.Duration) error {
	ctx := context.Background()
	h, err := home.Open(n.home)
	if err != nil {
		return err
	}
	p, err := h.Profile()
	if err != nil {
		return err
	}
	k, err := wallet.OpenStore(h.Keys()).Unlock("alice", "")
	if err != nil {
		return err
	}
	var members []group.Member
	for _, m := range p.Authorities {
		members = append(members, m.Member)
	}
	open := func() (*client.Client, error) {
		a, err := client.NewAccess(sign.Domain{Network: p.Network}, k, time.Hour)
		if err != nil {
			return nil, err
		}
		return client.New(a, members, client.Options{Lease: 4e9})
	}
	if databases > 0 {
		return throughCell(n, p, open, f, databases)
	}
	c, err := open()
	if err != nil {
		return err
	}
	defer c.Close()
	if keys > 0 {
		return throughS3(n, p, c, f, size, count, each, keys)
	}
	// Unlocking the key took 256 MiB once, which is no part of moving objects: the highest mark is counted from here.
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // where there is none, the figure is higher
	if err := c.MakeBucket(ctx, "bench", false); err != nil {
		return err
	}
	large := mesh.Path{Bucket: "bench", Key: "large"}
	if err := timed(n, f.Large, "put", size, func() error {
		_, err := c.Put(ctx, large, io.LimitReader(&repeated{b: random(8 << 20)}, size), client.PutOptions{})
		return err
	}); err != nil {
		return err
	}
	if err := timed(n, f.Large, "get", size, func() error {
		r, _, err := c.Get(ctx, large, 0, uint64(size))
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		return errors.Join(err, r.Close())
	}); err != nil {
		return err
	}
	body := random(each)
	for _, workers := range []int{8, 32} {
		path := func(i int) mesh.Path { return mesh.Path{Bucket: "bench", Key: fmt.Sprintf("small-%d/%d", workers, i)} }
		rate, err := parallel(workers, count, func(i int) error {
			_, err := c.Put(ctx, path(i), bytes.NewReader(body), client.PutOptions{})
			return err
		})
		if err != nil {
			return err
		}
		f.Small[fmt.Sprintf("put_per_s_%d", workers)] = rate
		if rate, err = parallel(workers, count, func(i int) error {
			r, _, err := c.Get(ctx, path(i), 0, 1<<40)
			if err != nil {
				return err
			}
			got, err := io.ReadAll(r)
			if err == nil && !bytes.Equal(got, body) {
				err = errors.New("another object came back")
			}
			return errors.Join(err, r.Close())
		}); err != nil {
			return err
		}
		f.Small[fmt.Sprintf("get_per_s_%d", workers)] = rate
	}
	var commits []time.Duration
	for i := range 200 {
		began := time.Now()
		if _, err := c.Put(ctx, mesh.Path{Bucket: "bench", Key: fmt.Sprint("inline/", i)}, strings.NewReader("x"), client.PutOptions{}); err != nil {
			return err
		}
		commits = append(commits, time.Since(began))
	}
	slices.Sort(commits)
	f.CommitMs["p50"], f.CommitMs["p99"] = commits[len(commits)/2].Seconds()*1000, commits[len(commits)*99/100].Seconds()*1000
	for _, pid := range n.pids() {
		f.NetworkMiB += float64(status(pid, "VmRSS")) / 1024
	}
	f.ClientMiB = float64(status(os.Getpid(), "VmHWM")) / 1024
	return nil
}

// pids of the network's processes; the supervisor is this process.
func (n *network) pids() (all []int) {
	st, err := n.Status(context.Background())
	if err != nil {
		return nil
	}
	for _, p := range st.Processes {
		all = append(all, p.PID)
	}
	return all
}

// status reads a field of /proc/PID/status, in KiB.
func status(pid int, field string) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // 0 where there is none
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && k == field {
			n, _ := strconv.Atoi(strings.Fields(v)[0])
			return n
		}
	}
	return 0
}

// cpu is the processor time of the network and this process so far, in seconds.
func (n *network) cpu() float64 {
	var u syscall.Rusage
	total := 0.0
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		total = float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	return total + cpuOf(n.pids())
}

// cpuOf is the processor time of processes so far, in seconds.
func cpuOf(pids []int) (total float64) {
	for _, pid := range pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(fields) > 12 {
			ut, _ := strconv.Atoi(fields[11])
			st, _ := strconv.Atoi(fields[12])
			total += float64(ut+st) / 100 // USER_HZ
		}
	}
	return total
}

func timed(n *network, into map[string]float64, name string, size int64, f func() error) error {
	cpu, began := n.cpu(), time.Now()
	if err := f(); err != nil {
		return err
	}
	into[name+"_mb_per_s"] = float64(size) / 1e6 / time.Since(began).Seconds()
	into[name+"_cpu_s_per_gb"] = (n.cpu() - cpu) / (float64(size) / 1e9)
	return nil
}

// parallel calls f with 0 to count-1 from that many workers and returns calls per second.
func parallel(workers, count int, f func(int) error) (float64, error) {
	var wg sync.WaitGroup
	next := make(chan int)
	errs := make(chan error, workers)
	began := time.Now()
	for range workers {
		wg.Go(func() {
			for i := range next {
				if err := f(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	var err error
feed:
	for i := range count {
		select {
		case next <- i:
		case err = <-errs:
			break feed
		}
	}
	close(next)
	wg.Wait()
	return float64(count) / time.Since(began).Seconds(), err
}
