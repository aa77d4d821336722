package sim_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/internal/httpserve"
	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/tlsid"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A replica that lies to who asks at level fast is found by a client's sample, and its node is suspended, for all to see. The network
// is one of its own, which has a suspended node from then on.
func TestReplicaThatLies(t *testing.T) {
	n := devnet.Default()
	n.BasePort = 0
	dir := filepath.Join(t.TempDir(), "home")
	own, err := start(dir, n)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			own.logs(os.Stderr)
		}
		if err := own.stop(); err != nil {
			t.Error(err)
		}
	}()
	ctx := t.Context()
	c := own.client(t, "alice", 0, client.Options{})
	until(t, "nodes to be seen, and a database", func() (bool, error) {
		err := c.CreateDatabase(ctx, "shop", client.DatabaseOptions{Dialect: wiredatabase.SQLite})
		return err == nil, err
	})
	var db *database.DB
	until(t, "the cell to be founded", func() (bool, error) {
		db, err = c.OpenDatabase(ctx, "shop", database.Options{})
		return err == nil, err
	})
	if err := db.Ready(ctx, nil); err != nil {
		t.Fatal(err)
	}
	o, err := db.Exec(ctx, database.Program{Statements: []database.Statement{database.SQL("CREATE TABLE t(v)"), database.SQL("INSERT INTO t VALUES(1)")}})
	if err != nil {
		t.Fatal(err)
	}
	cell := db.Cell()
	liar := cell.Members[0]
	cell.Members[0].Address = lyingReplica(t, dir, cell, db.ID(), o.Height)

	told := make(chan database.Evidence, 200)
	believed := false
	for range 60 { // who is asked first hangs on the session's key
		user := own.client(t, "alice", 0, client.Options{})
		d, err := user.DatabaseAt(db.ID(), "shop", cell, database.Options{Sample: 1, Lied: func(e database.Evidence) { told <- e }})
		if err != nil {
			t.Fatal(err)
		}
		o, err := d.Query(ctx, database.Fast, database.SQL("SELECT v FROM t"))
		if err != nil {
			t.Fatal(err)
		}
		if believed = o.Results[0].Rows[0][0] == int64(666); believed {
			break
		}
	}
	if !believed {
		t.Fatal("the liar was never asked")
	}
	select {
	case e := <-told:
		if e.Liar.Node != liar.Node || !e.Handed {
			t.Fatalf("%+v", e)
		}
	case <-time.After(time.Minute):
		t.Fatal("the lie was not found")
	}
	until(t, "the node to be suspended", func() (bool, error) {
		all, err := c.Nodes(ctx)
		suspended := 0
		for _, n := range all {
			if n.Suspended {
				if suspended++; n.ID != liar.Node {
					t.Fatalf("node %s is suspended", n.ID)
				}
			}
		}
		return suspended == 1, err
	})
	profile, err := homeIn(t, own).Profile()
	if err != nil {
		t.Fatal(err)
	}
	value, err := chain.Dial(ctx, profile.Endpoints.Eth, profile.EVMChainID)
	if err != nil {
		t.Fatal(err)
	}
	defer value.Close()
	until(t, "the value layer to hold its deposit", func() (bool, error) {
		const suspended = 3
		return query(t, value, abi.Register(), "node", [20]byte(liar.Node))[7] == uint32(suspended), nil
	})
	var out bytes.Buffer
	cmd := stratos(ctx, "node", "status")
	cmd.Args[len(cmd.Args)-1] = dir
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil || strings.Count(out.String(), "suspended  ") != 1 || !strings.Contains(out.String(), "signed what is false") {
		t.Errorf("node status: %v\n%s", err, &out)
	}
	// The cell goes on, and so does whoever asks it.
	if _, err := db.Exec(ctx, database.Program{Statements: []database.Statement{database.SQL("INSERT INTO t VALUES(2)")}}); err != nil {
		t.Error(err)
	}
}

// lyingReplica serves with the answer key of a cell's first member, and signs the same false answer to every question.
func lyingReplica(t *testing.T, dir string, c database.Cell, id mesh.DatabaseID, height int64) (address string) {
	t.Helper()
	var key ed25519.PrivateKey
	all, err := filepath.Glob(filepath.Join(dir, "node-*", "cells", fmt.Sprintf("%s-%d", c.ID, c.Version), "answer.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		k, err := keyfile.Read(f)
		if err != nil {
			t.Fatal(err)
		}
		if mesh.PublicKeyOf(k) == c.Members[0].Key {
			key = k
		}
	}
	if key == nil {
		t.Fatalf("no key of the first member among %v", all)
	}
	h, err := home.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	profile, err := h.Profile()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tlsid.Certificate(key)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(wirepb.CellQueryPath, rpc.Handler(wiredatabase.MaxTx, func(_ context.Context, q rpc.Request[wirepb.DatabaseQuery]) (proto.Message, error) {
		o := &wirepb.Outcome{Results: []*wirepb.Result{{Columns: []*wirepb.Column{{Name: "v"}}, Rows: []*wirepb.Row{{Values: []*wirepb.Value{{Value: &wirepb.Value_Integer{Integer: 666}}}}}}}, Usage: new(wirepb.Usage)}
		sum, question := wiredatabase.OutcomeDigest(o), wiredatabase.QueryQuestion(q.Message, grant.Role{})
		a := &wirepb.Answer{Cell: c.ID[:], Version: c.Version, Database: id[:], Height: height, Question: question[:], Outcome: sum[:]}
		return &wirepb.DatabaseReply{Outcome: o, Height: height, Answer: signed.Seal(sign.Domain{Network: profile.Network}, key, sign.Answer, a)}, nil
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httpserve.Server(mux, tlsid.Server(cert), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- httpserve.Run(ctx, s, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}
