package state

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A player makes random transactions, most of them sound, some not.
type player struct {
	*world
	r        *rand.Rand
	people   []person
	credited []uint64
	users    []user
	serial   int
	segments []*wirepb.Segment
	cell     *testCell
	used     map[string]uint64 // by databases, as the newest checkpoint has it
	last     []byte            // certificate that was handed in
	said     map[string]byte   // result to which a node has committed
}

func (p *player) pick(n int) int { return p.r.IntN(n) }

func (p *player) tx() []byte {
	who := p.pick(len(p.users))
	u := p.users[who]
	node := p.nodes[p.pick(len(p.nodes))]
	lease := fmt.Sprint(p.pick(30))
	bucket := fmt.Sprint("bucket-", who/2)
	if p.pick(8) == 0 { // perhaps another's
		bucket = fmt.Sprint("bucket-", p.pick(4))
	}
	name := fmt.Sprint("name/", p.pick(12))
	p.serial++
	if p.pick(6) == 0 {
		return p.databaseTx(u)
	}
	if p.pick(3) == 0 {
		return p.versionTx(u, bucket, name)
	}
	switch p.pick(16) {
	case 0:
		return u.open()
	case 1, 2:
		return u.lease(lease, uint64(1<<20+p.pick(1<<28)), time.Duration(p.pick(3600))*time.Second)
	case 3:
		return u.closeLease(lease)
	case 4, 5, 6:
		return settlement(node, u.receipt(lease, node, uint64(p.pick(1<<27))), p.users[0].receipt(lease, node, uint64(p.pick(1<<26))))
	case 7:
		return u.bucket(bucket, uint32(1+p.pick(8)/7), false)
	case 8:
		return u.put(u.inline(bucket, name, fmt.Sprint(p.serial)))
	case 9, 10:
		s := u.segment(fmt.Sprint("segment ", p.serial), uint64(200+p.pick(5000)))
		if p.pick(3) == 0 {
			s.Pieces[p.pick(len(s.Pieces))].Ack = nil
		}
		p.segments = append(p.segments, s)
		return u.put(u.object(bucket, name, s))
	case 11:
		if len(p.segments) == 0 {
			return nil
		}
		s := p.segments[p.pick(len(p.segments))] // packed into another object, if it is the account's and still there
		return u.put(u.entry(bucket, name, nil, []*wirepb.Extent{extentOf(s, 0, s.Length/2+1), extentOf(s, 0, s.Length)}))
	case 12:
		return u.delete(bucket, name)
	case 13:
		upload := fmt.Sprint("upload ", p.pick(6))
		return u.putPage(u.page(upload, uint32(p.pick(2)), bucket, name, u.segment(fmt.Sprint("page ", p.serial), 300)))
	case 14:
		return vote(p.authorities[p.pick(len(p.authorities))], node, uint32(Offline+p.pick(2)), p.now)
	default:
		if len(p.segments) == 0 {
			return nil
		}
		s := p.segments[p.pick(len(p.segments))]
		i := p.pick(len(s.Pieces))
		by := user{w: p.world, key: p.authorities[0].key}
		return repair(by, s, &wirepb.RepairedPiece{Index: uint32(i), Piece: by.piece(s.Pieces[i].Slice, p.nodes[p.pick(len(p.nodes))], s.PieceBytes)})
	}
}

// databaseTx makes, uses and drops databases, and has that settled, by few or all and now and then falsely.
func (p *player) databaseTx(u user) []byte {
	name := fmt.Sprint("db-", p.pick(9))
	switch p.pick(8) {
	case 0, 1:
		return u.createDatabase(name, 1)
	case 2:
		return u.dropDatabase(name)
	case 3:
		return p.last // again
	}
	c := p.cell
	noz, ended := map[string]uint64{}, []string{}
	for i := range 9 {
		name := fmt.Sprint("db-", i)
		d, key := new(statepb.Database), key(databaseKey, []byte(databaseID(name)))
		if v := (&view{db: p.m.db}); !v.get(key, d) || string(d.Cell) != string(c.id) || p.pick(9) == 0 {
			continue
		}
		if d.State == database.Dropped && p.pick(3) > 0 {
			ended = append(ended, name)
		} else {
			p.used[databaseID(name)] += uint64(p.pick(1 << p.pick(32)))
		}
		if noz[databaseID(name)] = p.used[databaseID(name)]; p.pick(60) == 0 { // a lie
			noz[databaseID(name)] /= 2
		}
	}
	by := p.r.Perm(len(c.members))[:2+p.pick(len(c.members)-1)]
	m := c.checkpoint(noz, ended...)
	p.last = c.settled(m, p.r.Perm(len(c.members))...)
	return c.settled(m, by...)
}

// jobTx opens and ends jobs, and has nodes work on them: mostly well, some late, some falsely.
func (p *player) jobTx() []byte {
	which := p.pick(8)
	u := p.users[which%len(p.users)]
	if p.pick(9) == 0 {
		u = p.users[p.pick(len(p.users))]
	}
	job, level := fmt.Sprint(which), uint32(1+which%4) // of the level that is its number's
	n := p.nodes[p.pick(len(p.nodes))]
	j := new(statepb.Job)
	(&view{db: p.m.db}).get(key(jobKey, jobID(job)), j)
	number := uint32(p.pick(int(j.Tasks) + 1))
	switch p.pick(12) {
	case 0:
		return tx(wirepb.TxKind_TX_JOB, u.key, &wirepb.Job{Id: jobID(job), Level: level, Budget: uint64(1 + p.pick(9000)), DeadlineMs: p.now + int64(p.pick(compute.MaxDeadlineMs)), AtMs: p.now})
	case 1, 2, 3:
		return u.more(job, j.Tasks, uint32(1+p.pick(8)))
	case 4:
		return u.reissue(job, number, n.id[:])
	case 5:
		return u.accept(job, 0, number)
	case 6:
		if p.pick(3) == 0 {
			return u.endJob(job)
		}
	}
	var c []*wirepb.Commitment
	var o []*wirepb.Opening
	for _, t := range p.work(n) {
		for i := range 8 {
			if job := fmt.Sprint(i); string(t.Job) == string(jobID(job)) && p.pick(8) > 0 {
				switch me := t.Workers[0]; {
				case me.State == workerDrawn && i%4+1 == int(compute.Receipt):
					o = append(o, opening(n, job, t.Number, 0))
					o[len(o)-1].Salt = nil
				case me.State == workerDrawn:
					c = append(c, commitment(n, job, t.Number, p.says(n, t)))
				default:
					o = append(o, opening(n, job, t.Number, p.says(n, t)))
				}
			}
		}
	}
	if len(c) > 0 && (len(o) == 0 || p.pick(2) == 0) {
		return commits(n, c...)
	}
	return opens(n, o...)
}

// says is what a node gives as the result of a task: one in 60 is a lie.
func (p *player) says(n member, t *wirepb.TaskAnswer) byte {
	k := string(n.id[:]) + string(t.Job) + string(be32(t.Number))
	if _, ok := p.said[k]; !ok {
		p.said[k] = byte(p.pick(60) / 59 * (1 + p.pick(2)))
	}
	return p.said[k]
}

// versionTx makes a transaction about versions, locks and multipart uploads.
func (p *player) versionTx(u user, bucket, name string) []byte {
	version := p.someVersion(bucket, name)
	upload := fmt.Sprint("multipart ", p.pick(4))
	part := func() *wirepb.Entry {
		if p.pick(2) == 0 {
			return u.inline(bucket, name, fmt.Sprint("part ", p.serial))
		}
		return u.object(bucket, name, u.segment(fmt.Sprint("part ", p.serial), uint64(200+p.pick(5000))))
	}
	switch p.pick(9) {
	case 0:
		return u.change(bucket, func(b *wirepb.Bucket) { b.Versioning = uint32(1 + p.pick(2)) })
	case 1:
		return u.change(bucket, func(b *wirepb.Bucket) {
			b.Locking = p.pick(6) == 0
			b.Sections = []*wirepb.Section{{Kind: uint32(1 + p.pick(3)), Body: []byte(fmt.Sprint(p.serial))[:p.pick(2)]}}
		})
	case 2, 3:
		return u.purge(bucket, name, version, p.pick(2) == 0)
	case 4:
		return u.amend(bucket, name, version, func(a *wirepb.Amendment) {
			a.SetTags, a.SealedTags = true, []byte("tags")
			a.SetHold, a.Lock = p.pick(2) == 0, &wirepb.Lock{Hold: p.pick(3) == 0}
		})
	case 5:
		return u.upload(upload, bucket, name, uint32(1+p.pick(5)/4))
	case 6, 7:
		return u.part(upload, uint32(1+p.pick(3)), part())
	default:
		return u.complete(upload, bucket, name)
	}
}

// someVersion draws one of the versions that there are of an object.
func (p *player) someVersion(bucket, name string) []byte {
	v := view{db: p.m.db}
	all := [][]byte{make([]byte, 16)}
	if d, err := objectAt(&v, objectKeyOf(bucket, name)); d != nil && err == nil {
		all = append(all, d.version())
	}
	v.scanPrefix(named(versionKey, bucket, name), func(k, _ []byte) bool {
		all = append(all, bytes.Clone(k[len(k)-16:]))
		return true
	})
	return all[p.pick(len(all))]
}

// play runs a world through random blocks, recounting everything as it goes.
func play(t *testing.T, r *rand.Rand, blocks int) *player {
	p := &player{world: newWorld(t, 4, 9), r: r, said: map[string]byte{}}
	for i := range 3 {
		who := p.person(fmt.Sprint("person ", i), 5*oz)
		p.people, p.credited = append(p.people, who), append(p.credited, 5*oz)
		u := p.chain(who, fmt.Sprint("user ", i), nil)
		guest := u.extend(fmt.Sprint("guest ", i), func(l *wirepb.Link) { n := 2 * oz; l.Budget = &n })
		p.users = append(p.users, u, guest)
		p.ok(u.open())
		p.ok(guest.open())
		p.ok(u.bucket(fmt.Sprint("bucket-", i), index.CreateBucket, false))
	}
	p.online(p.nodes...)
	p.ok(p.users[0].createDatabase("first", 1))
	p.cell, p.used = p.found(p.users[0], "first"), map[string]uint64{}
	applied := map[uint32]int{}
	for n := range blocks {
		var txs [][]byte
		for range p.pick(6) {
			txs = append(txs, p.tx())
		}
		for range p.pick(12) {
			txs = append(txs, p.jobTx())
		}
		for i := range txs {
			if p.pick(20) == 0 && len(txs[i]) > 0 { // damaged on the way
				txs[i] = bytes.Clone(txs[i])
				txs[i][p.pick(len(txs[i]))] ^= byte(1 + p.pick(255))
			}
		}
		if p.pick(10) == 0 && len(txs) > 0 {
			txs = append(txs, txs[0]) // twice in a block
		}
		for _, result := range p.block(txs...) {
			applied[result.Kind]++
		}
		switch p.pick(12) {
		case 0:
			i := p.pick(len(p.people))
			p.credited[i] += uint64(p.pick(1 << 30))
			p.facts(credit(p.people[i].id, p.credited[i]))
		case 1:
			p.epoch(p.m.tip.Epoch + 1 + uint64(p.pick(2)))
		case 2:
			p.now += int64(p.pick(5 * 3600_000))
		}
		if n%5 == 0 {
			p.check()
		}
	}
	p.check()
	v, paid := &view{db: p.m.db}, uint64(0)
	v.scanPrefix(key(databaseKey), func(k, b []byte) bool {
		d := new(statepb.Database)
		v.decode(k, b, d)
		paid += d.Paid
		return true
	})
	if paid == 0 {
		t.Error("no database was ever paid for: the game is not worth playing")
	}
	verified := uint64(0)
	v.scanPrefix(key(jobKey), func(k, b []byte) bool {
		j := new(statepb.Job)
		v.decode(k, b, j)
		verified += uint64(j.Verified)
		return true
	})
	if t.Logf("%d tasks of the present jobs are verified, %d nodes convicted", verified, p.count(evidenceKey)); verified == 0 && blocks >= 150 {
		t.Error("no task of the present jobs was ever verified: the game is not worth playing")
	}
	if applied[0] < blocks/2 {
		t.Errorf("only %v were applied: the game is not worth playing", applied)
	}
	return p
}

// No ozone appears or vanishes and no reference dangles, whatever is thrown at the machine.
func TestConservation(t *testing.T) {
	play(t, seeded(t), 150)
}

// One log gives one state: applied twice, reopened between blocks, or replayed after a crash that lost what was not
// synced, the digest and the application hash of every height are the same, byte for byte.
func TestOneLogOneState(t *testing.T) {
	r := seeded(t)
	p := play(t, r, 80)
	fs := vfs.NewCrashableMem()
	db := openDB(t, fs)
	defer func() { db.Close() }()
	m := openMachine(t, db)
	digests := map[int64][]byte{}
	crashes, reopened := 0, 0
	for i := 0; i < len(p.blocks); {
		b := p.blocks[i]
		if r.IntN(4) == 0 { // consensus may ask twice
			if _, err := m.Apply(b); err != nil {
				t.Fatal(err)
			}
		}
		o, err := m.Apply(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Commit(o); err != nil {
			t.Fatal(err)
		}
		sum := append(bytes.Clone(m.tip.Digest), o.AppHash...)
		if was, ok := digests[b.Height]; ok && !bytes.Equal(was, sum) {
			t.Fatalf("height %d: another digest after a crash", b.Height)
		}
		digests[b.Height] = sum
		i++
		switch r.IntN(12) {
		case 0:
			reopened++
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		case 1:
			crashes++
			dead := fs
			fs = dead.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		default:
			continue
		}
		db = openDB(t, fs)
		m = openMachine(t, db)
		if m.tip.Height > int64(i) {
			t.Fatalf("the state is at %d after %d blocks", m.tip.Height, i)
		}
		i = int(m.tip.Height) // consensus replays from here
	}
	t.Logf("%d blocks, %d reopened, %d crashes", len(p.blocks), reopened, crashes)
	if !bytes.Equal(m.tip.Digest, p.m.tip.Digest) {
		t.Error("the two machines have other digests")
	}
	a, b := dump(p.db), dump(db)
	if a != b {
		t.Error("the two stores hold other records")
	}
}

func dump(db pebble.Reader) string {
	var out []byte
	v := &view{db: db}
	v.scan([]byte{0}, []byte{0xff}, func(k, b []byte) bool { out = fmt.Appendf(out, "%x=%x\n", k, b); return true })
	return string(out)
}

// A refused transaction leaves no trace, not even in the digest.
func TestRefusalLeavesNothing(t *testing.T) {
	w, _, u := newShop(t, 3)
	before := dump(w.db)
	digest := w.m.tip.Digest
	bad := u.inline("photos", "a", "x")
	bad.ContentRoot = make([]byte, 32)
	o, err := w.m.Apply(Block{Height: w.m.tip.Height + 1, TimeMs: w.now, Txs: [][]byte{u.put(bad), u.delete("photos", "a"), nil}})
	if err != nil {
		t.Fatal(err)
	}
	empty, err := w.m.Apply(Block{Height: w.m.tip.Height + 1, TimeMs: w.now})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(o.tip.Digest, empty.tip.Digest) || bytes.Equal(o.tip.Digest, digest) {
		t.Error("refusals enter the digest")
	}
	if dump(w.db) != before {
		t.Error("Apply alone changed the state")
	}
	if _, err := w.m.Apply(Block{Height: w.m.tip.Height + 2}); err == nil {
		t.Error("a block was skipped")
	}
	if _, err := w.m.Apply(Block{Height: w.m.tip.Height}); err == nil {
		t.Error("a block was applied twice")
	}
}

// The application hash is the digest at the last checkpoint, which an epoch's end or a change of authorities makes.
func TestCheckpoints(t *testing.T) {
	w, _, u := newShop(t, 3)
	at := w.outcome.AppHash
	w.ok(u.put(u.inline("photos", "a", "x")))
	if !bytes.Equal(w.outcome.AppHash, at) {
		t.Error("the application hash moves with every block, so that an idle group would never rest")
	}
	w.epoch(1)
	if bytes.Equal(w.outcome.AppHash, at) || !bytes.Equal(w.outcome.AppHash, w.m.tip.Digest) {
		t.Error("an epoch's end is no checkpoint")
	}
	at = w.outcome.AppHash
	w.facts(authoritySet(w.authorities[:3]...))
	if bytes.Equal(w.outcome.AppHash, at) {
		t.Error("a change of authorities is no checkpoint")
	}
}
