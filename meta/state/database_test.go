package state

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/placement"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// online lets every node be seen.
func (w *world) online(nodes ...member) {
	w.t.Helper()
	for _, n := range nodes {
		for _, a := range w.authorities {
			w.ok(vote(a, n, Online, w.now))
		}
	}
}

func (u user) createDatabase(name string, faults uint32) []byte {
	return tx(wirepb.TxKind_TX_DATABASE, u.key, &wirepb.Database{Name: name, Action: database.Create, Id: bytesOf("database "+name, 16), Faults: faults, Dialect: database.Postgres, AtMs: u.w.now})
}

func (u user) dropDatabase(name string) []byte {
	return tx(wirepb.TxKind_TX_DATABASE, u.key, &wirepb.Database{Name: name, Action: database.Drop, Id: u.w.id(), Dropped: bytesOf("database "+name, 16), AtMs: u.w.now})
}

// databaseOf returns a user's database, nil where he sees none.
func (w *world) databaseOf(u user, name string) *wirepb.DatabaseAnswer {
	w.t.Helper()
	a := new(wirepb.DatabaseAnswer)
	if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Database{Database: &wirepb.DatabaseName{Name: name}}}, a); err != nil {
		w.t.Fatal(err)
	}
	if a.Name == "" {
		return nil
	}
	return a
}

func (w *world) cellOf(u user, name string) *wirepb.CellAnswer {
	w.t.Helper()
	a := new(wirepb.CellAnswer)
	if err := w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_Cell{Cell: w.databaseOf(u, name).Cell}}, a); err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) cellsOf(n member) (all []string) {
	w.t.Helper()
	a := new(wirepb.CellsAnswer)
	if err := w.ask(mesh.PublicKey{}, &wirepb.Question{Question: &wirepb.Question_Replicas{Replicas: n.id[:]}}, a); err != nil {
		w.t.Fatal(err)
	}
	for _, c := range a.Cells {
		all = append(all, string(c.Id))
	}
	return all
}

func (w *world) cellKey(n member, cell *wirepb.CellAnswer, change func(*wirepb.CellKey)) []byte {
	m := &wirepb.CellKey{Cell: cell.Id, Version: cell.Version, ConsensusKey: bytesOf("consensus "+n.name, 32), AnswerKey: bytesOf("answers "+n.name, 32), Peer: "127.0.0.1:7", Address: "127.0.0.1:8", AtMs: w.now}
	if change != nil {
		change(m)
	}
	return tx(wirepb.TxKind_TX_CELL_KEY, n.key, m)
}

func TestDatabases(t *testing.T) {
	w := newWorld(t, 4, 7)
	alice := w.session(w.person("alice", oz), "alice")
	bobAccount := w.person("bob", oz)
	bob := w.session(bobAccount, "bob")
	w.online(w.nodes[:3]...)
	w.refused(mesh.Exhausted, alice.createDatabase("shop", 1))
	w.online(w.nodes[3:]...)

	poor := w.chain(newPerson(t, "poor"), "poor", nil)
	for _, name := range []string{"", "Shop", "1shop", "shop.", "_shop", "s/h", string(make([]byte, 64))} {
		w.refused(mesh.Invalid, alice.createDatabase(name, 1))
	}
	w.refused(mesh.Invalid, alice.createDatabase("shop", 0))
	w.refused(mesh.Invalid, alice.createDatabase("shop", 5))
	w.refused(mesh.Exhausted, alice.createDatabase("shop", 3)) // ten operators
	w.refused(mesh.Denied, poor.createDatabase("shop", 1))
	w.ok(alice.createDatabase("shop", 1))
	w.refused(mesh.Conflict, alice.createDatabase("shop", 1))
	w.refused(mesh.Conflict, bob.createDatabase("shop", 1)) // the id is taken
	w.ok(bob.createDatabase("blog", 1))

	d := w.databaseOf(alice, "shop")
	if d == nil || string(d.Id) != string(bytesOf("database shop", 16)) || d.Dialect != database.Postgres || w.databaseOf(bob, "shop") != nil || w.databaseOf(alice, "blog") != nil {
		t.Fatalf("alice's shop is %v", d)
	}
	cell := w.cellOf(alice, "shop")
	if len(cell.Members) != 4 || cell.FoundedMs != 0 || len(cell.Databases) != 2 || string(w.databaseOf(bob, "blog").Cell) != string(cell.Id) {
		t.Fatalf("the cell has %d members and %d databases, founded at %d", len(cell.Members), len(cell.Databases), cell.FoundedMs)
	}
	var members, strangers []member
	for _, n := range w.nodes {
		in := slices.ContainsFunc(cell.Members, func(m *wirepb.CellMember) bool { return string(m.Node) == string(n.id[:]) })
		if knows := slices.Contains(w.cellsOf(n), string(cell.Id)); knows != in {
			t.Errorf("%s is in the cell: %v, and is told %v", n.name, in, knows)
		}
		if in {
			members = append(members, n)
		} else {
			strangers = append(strangers, n)
		}
	}

	w.refused(mesh.Denied, w.cellKey(strangers[0], cell, nil))
	w.refused(mesh.NotFound, w.cellKey(members[0], cell, func(k *wirepb.CellKey) { k.Version = 2 }))
	for _, peer := range []string{"", "nowhere", ":1", "h:0", "h:65536", "h:x"} {
		w.refused(mesh.Invalid, w.cellKey(members[0], cell, func(k *wirepb.CellKey) { k.Peer = peer }))
		w.refused(mesh.Invalid, w.cellKey(members[0], cell, func(k *wirepb.CellKey) { k.Address = peer }))
	}
	w.refused(mesh.Invalid, w.cellKey(members[0], cell, func(k *wirepb.CellKey) { k.AnswerKey = k.ConsensusKey }))
	for i, n := range members {
		if w.cellOf(alice, "shop").FoundedMs != 0 {
			t.Fatalf("founded by %d of 4", i)
		}
		w.ok(w.cellKey(n, cell, nil))
		w.refused(mesh.Conflict, w.cellKey(n, cell, func(k *wirepb.CellKey) { k.Peer = "elsewhere:1" }))
		if i == 0 {
			w.refused(mesh.Invalid, w.cellKey(members[1], cell, func(k *wirepb.CellKey) { k.ConsensusKey = bytesOf("consensus "+n.name, 32) }))
		}
	}
	if c := w.cellOf(alice, "shop"); c.FoundedMs == 0 || len(c.Authorities) != 4 {
		t.Fatalf("founded at %d with %d authorities", c.FoundedMs, len(c.Authorities))
	}

	w.refused(mesh.NotFound, bob.dropDatabase("shop"))
	w.refused(mesh.NotFound, alice.dropDatabase("blog"))
	w.ok(alice.dropDatabase("shop"))
	w.refused(mesh.NotFound, alice.dropDatabase("shop"))
	if w.databaseOf(alice, "shop") != nil {
		t.Error("the dropped database is there")
	}
	r := w.m.Reader()
	dropped, open := r.Notice(bytesOf("database shop", 16)), r.Notice(bytesOf("database blog", 16))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if dropped.State != database.Dropped || dropped.Sequence != 2 || open.State != database.Open || open.Sequence != 1 || string(open.Owner) != string(bobAccount.id[:]) || len(w.cellOf(bob, "blog").Databases) != 2 {
		t.Errorf("notices of states %d and %d", dropped.State, open.State)
	}
	w.refused(mesh.Conflict, alice.createDatabase("shop", 1)) // the id
	w.pass(31 * 24 * time.Hour)
	if n := len(w.cellOf(bob, "blog").Databases); n != 1 || w.count(droppedTime) != 0 {
		t.Errorf("a month later the cell has %d databases", n)
	}
	w.check()
}

// A grant for one database shows and allows that one.
func TestDatabaseGrants(t *testing.T) {
	w := newWorld(t, 4, 4)
	w.online(w.nodes...)
	alice := w.session(w.person("alice", oz), "alice")
	only := alice.extend("only", func(l *wirepb.Link) { l.Prefix = grant.Database("shop") + "/" })
	reader := alice.extend("reader", func(l *wirepb.Link) { l.Prefix, l.Operations = grant.Database("shop")+"/", uint32(grant.Read) })
	files := alice.extend("files", func(l *wirepb.Link) { l.Prefix = "photos/" })
	for _, u := range []user{only, reader, files} {
		w.ok(u.open())
	}
	w.refused(mesh.Denied, only.createDatabase("shop2", 1))
	w.refused(mesh.Denied, reader.createDatabase("shop", 1))
	w.refused(mesh.Denied, files.createDatabase("shop", 1))
	w.ok(only.createDatabase("shop", 1))
	for i := range 5 {
		w.ok(alice.createDatabase(fmt.Sprint("more-", i), 1))
	}
	list := func(u user, limit uint32) (all []string) {
		for after := ""; ; {
			a := new(wirepb.DatabasesAnswer)
			if err := w.ask(u.pub(), &wirepb.Question{Question: &wirepb.Question_Databases{Databases: &wirepb.DatabasesPage{After: after, Limit: limit}}}, a); err != nil {
				t.Fatal(err)
			}
			for _, d := range a.Databases {
				all = append(all, d.Name)
				after = d.Name
			}
			if !a.Truncated {
				return all
			}
		}
	}
	want := []string{"more-0", "more-1", "more-2", "more-3", "more-4", "shop"}
	for limit := uint32(1); limit < 8; limit++ {
		if got := list(alice, limit); !slices.Equal(got, want) {
			t.Errorf("alice, %d at a time: %v", limit, got)
		}
	}
	if a, b, c := list(only, 2), list(reader, 2), list(files, 2); len(a) != 1 || len(b) != 1 || len(c) != 0 {
		t.Errorf("shown are %v, %v, %v", a, b, c)
	}
	if w.databaseOf(reader, "shop") == nil || w.databaseOf(reader, "more-1") != nil || w.databaseOf(files, "shop") != nil {
		t.Error("a grant for one database does not show that alone")
	}
	w.refused(mesh.Denied, reader.dropDatabase("shop"))
	w.refused(mesh.Denied, only.dropDatabase("more-1"))
	w.ok(only.dropDatabase("shop"))
}

// Cells fill up, nodes are in so many, and each member has another operator.
func TestCellsAreDrawn(t *testing.T) {
	w := newWorld(t, 1, 0)
	var records []*wirepb.OutboxRecord
	for i := range 12 { // six operators, one of them with a deposit of six
		n := newMember(fmt.Sprint("node ", i))
		w.nodes = append(w.nodes, n)
		r := nodeRecord(n, fmt.Sprint("operator ", i%6), fmt.Sprint("label ", i), wirepb.NodeStatus_NODE_STATUS_ACTIVE)
		r.GetNode().DepositWei = "1000000000000000000000"
		if i%6 == 0 {
			r.GetNode().DepositWei = "6000000000000000000000"
		}
		if i == 11 {
			r.GetNode().Kinds = placement.Storage
		}
		records = append(records, r)
	}
	w.facts(records...)
	w.online(w.nodes...)
	var owner user
	cells := map[string]int{}
	drawn := map[string]int{}
	for i := 0; ; i++ {
		if i%maxDatabases == 0 {
			owner = w.session(w.person(fmt.Sprint("owner ", i), 100*oz), fmt.Sprint("owner ", i))
		}
		name := fmt.Sprint("db-", i)
		r := w.blockOf(owner.createDatabase(name, 1))
		if r.Kind == uint32(mesh.Exhausted)+1 {
			break
		}
		if r.Kind != 0 {
			t.Fatal(r.Text)
		}
		c := w.cellOf(owner, name)
		cells[string(c.Id)]++
		operators := map[string]bool{}
		for _, m := range c.Members {
			operators[string(m.Operator)] = true
			if cells[string(c.Id)] == 1 {
				drawn[string(m.Operator)]++
			}
			if string(m.Node) == string(w.nodes[11].id[:]) {
				t.Fatal("a node that runs no databases is drawn")
			}
		}
		if len(operators) != 4 {
			t.Fatalf("a cell of %d operators", len(operators))
		}
	}
	for _, n := range cells {
		if n != database.MaxCellDatabases {
			t.Errorf("a cell has %d databases", n)
		}
	}
	for _, n := range w.nodes {
		if got := len(w.cellsOf(n)); got > database.MaxNodeCells {
			t.Errorf("%s is in %d cells", n.name, got)
		}
	}
	// 11 nodes of 6 operators with 4 cells each: 11, less what cannot be matched.
	if len(cells) < 8 || len(cells) > 11 {
		t.Errorf("%d cells were drawn", len(cells))
	}
	most := string(operatorOf("operator 0"))
	for o, n := range drawn {
		if o != most && n > drawn[most] {
			t.Errorf("the operator with six times the deposit is in %d cells, another in %d", drawn[most], n)
		}
	}
}

// blockOf applies one transaction in a block whose hash is its own.
func (w *world) blockOf(tx []byte) *wirepb.TxResult {
	w.t.Helper()
	w.now += 1000
	b := Block{Height: w.m.tip.Height + 1, TimeMs: w.now, Hash: bytesOf(fmt.Sprint("block ", w.m.tip.Height), 32), Txs: [][]byte{tx}}
	o, err := w.m.Apply(b)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.m.Commit(o); err != nil {
		w.t.Fatal(err)
	}
	return o.Results[0]
}

// Which nodes are drawn hangs on the block that was decided.
func TestDrawHangsOnTheBlock(t *testing.T) {
	w := newWorld(t, 1, 20)
	w.online(w.nodes...)
	alice := w.session(w.person("alice", oz), "alice")
	create := alice.createDatabase("shop", 1)
	seen := map[string]bool{}
	for i := range 40 {
		for range 2 {
			o, err := w.m.Apply(Block{Height: w.m.tip.Height + 1, TimeMs: w.now, Hash: bytesOf(fmt.Sprint(i), 32), Txs: [][]byte{create}})
			if err != nil || o.Results[0].Kind != 0 {
				t.Fatal(o.Results, err)
			}
			v, d, c := view{db: o.batch}, new(statepb.Database), new(statepb.Cell)
			if !v.get(key(databaseKey, bytesOf("database shop", 16)), d) || !v.get(key(cellKey, d.Cell), c) {
				t.Fatal("no cell")
			}
			text := ""
			for _, m := range c.Members {
				text += string(m.Node)
			}
			seen[text] = true
		}
	}
	if len(seen) < 39 { // of 116,280 drawings
		t.Errorf("40 blocks drew %d groups", len(seen))
	}
}
