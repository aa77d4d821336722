package sim_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node"
	"github.com/stratosmesh/stratos/node/compute"
	"github.com/stratosmesh/stratos/node/compute/worker"
	wirecompute "github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/group"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// crookedWorker, as the first argument of this package's test program, makes it a worker that cheats as the second says.
const crookedWorker = "crooked-worker"

// How workers cheat.
const (
	liesAlways = "always" // in the output of every task
	liesOnce   = "once"   // in that of the first task of a stage
	neverDone  = "never"  // it does not tell that a task is done
)

// serveCrooked runs a worker that cheats.
func serveCrooked(how string) int {
	c := &crooked{how: how}
	if err := worker.Serve(reading{c}, c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A crooked changes what a worker tells its node, frame by frame; package worker has their layout.
type crooked struct {
	how    string
	number string // of the task
}

var numberOfTask = regexp.MustCompile(wirecompute.NumberVariable + `=([0-9]+)`)

// A reading passes on what the node tells, and notes which task it gives.
type reading struct{ *crooked }

func (r reading) Read(b []byte) (int, error) {
	n, err := os.Stdin.Read(b)
	if m := numberOfTask.FindSubmatch(b[:n]); m != nil {
		r.number = string(m[1])
	}
	return n, err
}

func (c *crooked) Write(frame []byte) (int, error) {
	const kind, output, done = 4, 7, 9
	switch {
	case frame[kind] == output && (c.how == liesAlways || c.how == liesOnce && c.number == "0"):
		lie := bytes.Clone(frame)
		if i := bytes.IndexByte(lie[kind:], '\n') + kind - 1; i > kind { // the digit at the end of a line
			lie[i] = '0' + (lie[i]-'0'+1)%10
		}
		return os.Stdout.Write(lie)
	case frame[kind] == done && c.how == neverDone:
		for {
			time.Sleep(time.Hour)
		}
	}
	return os.Stdout.Write(frame)
}

// A crook is a node that runs in this process, in the place of one of the network's, with workers that cheat.
type crook struct {
	id   mesh.NodeID
	key  ed25519.PrivateKey
	home string
}

// crook puts one in the place of a node until the test ends.
func (n *network) crook(t *testing.T, i int, how string) crook {
	t.Helper()
	dir := homeIn(t, n).Process(devnet.RoleNode, i)
	n.down(t, fmt.Sprintf("%s-%d", devnet.RoleNode, i))
	c, err := node.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	drives := &testDrives{sign.Domain{Network: c.Network, Group: c.Group}, c.Authorities}
	nd, err := node.New(dir, node.Options{Replica: []string{binary("stratos"), "replica", "--home"}, Worker: []string{self, crookedWorker, how}, Tasks: drives},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- nd.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("a node that cheats: %v", err)
		}
		if err := nd.Close(); err != nil {
			t.Errorf("closing a node that cheats: %v", err)
		}
	})
	return n.nodeAt(t, i)
}

// nodeAt tells who a node of the network is.
func (n *network) nodeAt(t *testing.T, i int) crook {
	t.Helper()
	dir := homeIn(t, n).Process(devnet.RoleNode, i)
	k, err := keyfile.Read(filepath.Join(dir, "node.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return crook{mesh.NodeIDOf(mesh.PublicKeyOf(k)), k, dir}
}

// testDrives is what tasks of a node in this process may use, as package main of cmd/stratos has it.
type testDrives struct {
	domain      sign.Domain
	authorities []group.Member
}

func (s *testDrives) Open(_ context.Context, access *wirepb.Delegation, key ed25519.PrivateKey) (compute.Drive, error) {
	a, err := client.Accept(s.domain, access, key)
	if err != nil {
		return nil, err
	}
	c, err := client.New(a, s.authorities, client.Options{Lease: 64_000_000})
	if err != nil {
		return nil, err
	}
	return &testDrive{c}, nil
}

type testDrive struct{ *client.Client }

func (d *testDrive) Source(ctx context.Context, o *wirepb.StoredObject) (wirecompute.Source, wirecompute.Digest, error) {
	version := mesh.VersionID(o.Version)
	_, object, err := d.Look(ctx, mesh.Path{Bucket: o.Bucket, Key: o.Key}, &version)
	if err != nil {
		return nil, wirecompute.Digest{}, err
	}
	id, err := d.Identity(ctx, object)
	return &testSource{ctx, d.Client, object}, id, err
}

func (d *testDrive) Put(ctx context.Context, o *wirepb.StoredObject, r io.Reader) error {
	_, err := d.Client.Put(ctx, mesh.Path{Bucket: o.Bucket, Key: o.Key}, r, client.PutOptions{})
	return err
}

func (d *testDrive) Moved(from mesh.NodeID) (all, near mesh.Noz) {
	return d.Client.Moved(), d.MovedWith(from)
}

type testSource struct {
	ctx    context.Context
	client *client.Client
	object *client.Object
}

func (s *testSource) Size() uint64 { return s.object.Size }

func (s *testSource) Open(offset, length uint64) (io.ReadCloser, error) {
	return s.client.Open(s.ctx, s.object, offset, length)
}

// says puts on the log what a node signs.
func (c crook) says(t *testing.T, n *network, kind wirepb.TxKind, p sign.Purpose, m proto.Message) error {
	t.Helper()
	_, profile, _ := n.home(t)
	d := transfer.NewDialer(c.key, 5*time.Second)
	defer d.Close()
	g, err := group.New(members(profile), d, group.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	_, err = g.Submit(t.Context(), wire.Encode(&wirepb.Tx{Kind: kind, Message: signed.Seal(sign.Domain{Network: profile.Network}, c.key, p, m)}))
	return err
}

// A copied is what somebody who follows the log reads of a task: what a worker has committed to, and then how it opened that.
type copied struct {
	commitment []byte
	opening    *wirepb.Opening
}

// eavesdrop reads the log of an authority's consensus, as an authority may who is a node's friend.
func (n *network) eavesdrop(t *testing.T, job mesh.JobID) map[uint32]copied {
	t.Helper()
	out := map[uint32]copied{}
	err := filepath.WalkDir(filepath.Join(n.dir, "authority-0"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Base(filepath.Dir(path)) != "cs.wal" {
			return err
		}
		log, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		const jobField, numberField, commitmentField, resultField, saltField = 1<<3 | 2, 2 << 3, 3<<3 | 2, 3<<3 | 2, 4<<3 | 2
		mark := append([]byte{jobField, byte(len(job))}, job[:]...)
		for at := bytes.Index(log, mark); at >= 0; at = bytes.Index(log, mark) {
			log = log[at+len(mark):]
			rest, number := log, uint32(0)
			if len(rest) > 2 && rest[0] == numberField && rest[1] < 0x80 {
				number, rest = uint32(rest[1]), rest[2:]
			}
			if len(rest) < 2+32 {
				continue
			}
			c := out[number]
			if rest[0] == commitmentField && rest[1] == 32 {
				c.commitment = bytes.Clone(rest[2 : 2+32])
			}
			r := new(wirepb.TaskResult)
			if size := int(rest[1]); rest[0] == resultField && size < 0x80 && len(rest) >= 2+size+2+32 && rest[2+size] == saltField && proto.Unmarshal(rest[2:2+size], r) == nil {
				c.opening = &wirepb.Opening{Job: job[:], Number: number, Result: r, Salt: bytes.Clone(rest[2+size+2:][:32])}
			}
			out[number] = c
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wordCounts reads lines of a word and how often it was there.
func wordCounts(t *testing.T, b []byte, into map[string]int) {
	t.Helper()
	for line := range bytes.Lines(b) {
		word, count, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("\t"))
		n, err := strconv.Atoi(string(count))
		if err != nil {
			t.Fatal(err)
		}
		into[string(word)] += n
	}
}
