package sim_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/internal/fence"
	"github.com/stratosmesh/stratos/mesh"
	nodedatabase "github.com/stratosmesh/stratos/node/database"
)

// What several writers and readers of a database see while its replicas are killed, held up, cut off and damaged, is what one after the
// other would have seen: registers and lists are linearizable, and nothing that was acknowledged is lost. With STRATOS_LONG there are 200
// faults.
func TestDatabaseHistory(t *testing.T) {
	const name = "sim-history"
	chance := random(t)
	mustCLI(t, "db", "create", name, "--dialect", "sqlite")
	mustCLI(t, "db", "sql", name, "CREATE TABLE register(k INTEGER PRIMARY KEY, v INTEGER); CREATE TABLE list(n INTEGER PRIMARY KEY AUTOINCREMENT, k INTEGER, v INTEGER UNIQUE)")
	faults, writers := len(disturbances), 8
	if long() {
		faults = 200
	}
	h := &history{begin: time.Now()}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i := range writers {
		db := openDatabase(t, shared.client(t, "alice", i%4, client.Options{}), name)
		r := rand.New(rand.NewPCG(chance.Uint64(), uint64(i)))
		all.Go(func() { h.work(t, i, db, r, stop) })
	}
	for n := range faults {
		disturb(t, chance, n)
	}
	close(stop)
	all.Wait()

	db := openDatabase(t, shared.client(t, "alice", 0, client.Options{}), name)
	agreed(t, db)
	h.check(t, db)
	mustCLI(t, "db", "drop", name, "--yes")
}

// disturbances are the faults, by turns. Two that are killed at once are more than a cell stands.
var disturbances = []string{"kill", "pause", "kill two", "cut off", "rot"}

// disturb does something to replicas for a while, and waits until all run again.
func disturb(t *testing.T, chance *rand.Rand, n int) {
	t.Helper()
	var all map[string]nodedatabase.Status
	until(t, "replicas that all run", func() (bool, error) { // one that was damaged starts more than once
		all = hosts(t)
		for name, s := range all {
			if s.PID == 0 || s.Height == 0 {
				return false, fmt.Errorf("%s: %+v", name, s)
			}
		}
		return len(all) > 3, nil
	})
	names := slices.Sorted(maps.Keys(all))
	chance.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	fault, victims := disturbances[n%len(disturbances)], names[:1]
	if fault == "kill two" {
		victims = names[:2]
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("fault %d, %s: %v", n, fault, err)
		}
	}
	last := func() { time.Sleep(time.Duration(chance.IntN(2500)) * time.Millisecond) } // how long a fault lasts is a part of it
	switch fault {
	case "pause":
		signalReplica(t, all[victims[0]], syscall.SIGSTOP)
		last()
		signalReplica(t, all[victims[0]], syscall.SIGCONT)
		return
	case "cut off":
		mend, err := fence.Cut(all[victims[0]].PID)
		if mesh.KindOf(err) == mesh.Denied && err != nil {
			t.Logf("fault %d is left out: %v", n, err)
			return
		}
		must(err)
		last()
		must(mend())
		return
	case "rot":
		until(t, "a replica with databases", func() (bool, error) { // one that joins again has none for a while, and may fill its home just now
			n, err := rot(chance, filepath.Join(shared.dir, victims[0]))
			return n > 0, err
		})
	}
	for _, v := range victims {
		signalReplica(t, all[v], syscall.SIGKILL)
	}
	last()
	until(t, "the replicas that were killed", func() (bool, error) {
		now := hosts(t)
		for _, v := range victims {
			if s := now[v]; s.PID == 0 || s.PID == all[v].PID || s.Height == 0 {
				return false, fmt.Errorf("%s: %+v", v, s)
			}
		}
		return true, nil
	})
}

// rot flips a bit in each of the files that hold a replica's databases, and tells how many there are.
func rot(chance *rand.Rand, node string) (int, error) {
	files, err := filepath.Glob(filepath.Join(node, "cells", "*", "databases", "*"))
	for _, f := range files {
		if strings.HasSuffix(f, "-shm") { // which is in memory, and made anew
			continue
		}
		if err := flipBit(chance, f); err != nil {
			return 0, err
		}
	}
	return len(files), err
}

func flipBit(chance *rand.Rand, name string) (err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil || st.Size() == 0 || st.IsDir() {
		return err
	}
	var b [1]byte
	at := chance.Int64N(st.Size())
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 1 << chance.IntN(8)
	_, err = f.WriteAt(b[:], at)
	return err
}

// An action on a key: of a register or a list, a read or a write of a value.
type action struct {
	list, write bool
	key, value  int64
}

type history struct {
	begin time.Time

	mu       sync.Mutex
	all      []porcupine.Operation
	next     int64
	appended []int64 // acknowledged
	unknown  int
}

// historyKeys are in use at a time; after so many actions there are others, so that a check of each stays short.
const historyKeys, historyTurn = 4, 500

// work acts until stop is closed.
func (h *history) work(t *testing.T, who int, db *database.DB, random *rand.Rand, stop <-chan struct{}) {
	ctx := context.WithoutCancel(t.Context())
	for {
		select {
		case <-stop:
			return
		default:
		}
		a := action{list: random.IntN(2) == 0, write: random.IntN(2) == 0, key: random.Int64N(historyKeys)}
		h.mu.Lock()
		h.next++
		a.value = h.next
		h.mu.Unlock()
		a.key += a.value / historyTurn * historyKeys
		h.act(t, ctx, who, db, a)
	}
}

func (h *history) act(t *testing.T, ctx context.Context, who int, db *database.DB, a action) {
	s := database.SQL("SELECT coalesce(max(v), 0) FROM register WHERE k = ?", a.key)
	switch {
	case a.list && a.write:
		s = database.SQL("INSERT INTO list(k, v) VALUES(?, ?)", a.key, a.value)
	case a.list:
		s = database.SQL("SELECT coalesce(group_concat(v), '') FROM (SELECT v FROM list WHERE k = ? ORDER BY n)", a.key)
	case a.write:
		s = database.SQL("INSERT INTO register VALUES(?, ?) ON CONFLICT(k) DO UPDATE SET v = excluded.v", a.key, a.value)
	}
	op := porcupine.Operation{ClientId: who, Input: a, Call: time.Since(h.begin).Nanoseconds()}
	o, err := db.Query(ctx, database.Ordered, s)
	op.Return = time.Since(h.begin).Nanoseconds()
	h.mu.Lock()
	defer h.mu.Unlock()
	var unknown *database.UnknownError
	switch {
	case errors.As(err, &unknown):
		h.unknown++
		if !a.write {
			return
		}
		op.Return = math.MaxInt64 // it may yet happen, or never
	case err != nil:
		if mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("%+v: %v", a, err)
		}
		return // nothing has happened
	case a.list && !a.write:
		op.Output, _ = o.Results[0].Rows[0][0].(string)
	case !a.write:
		op.Output = strconv.FormatInt(o.Results[0].Rows[0][0].(int64), 10)
	case a.list:
		h.appended = append(h.appended, a.value)
	}
	h.all = append(h.all, op)
}

// model is a register, or a list, of each key; its state is what a read gives.
var model = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		parts := map[action][]porcupine.Operation{}
		for _, op := range all {
			a := op.Input.(action)
			k := action{list: a.list, key: a.key}
			parts[k] = append(parts[k], op)
		}
		var out [][]porcupine.Operation
		for _, p := range parts {
			out = append(out, p)
		}
		return out
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		s, a := state.(string), input.(action)
		v := strconv.FormatInt(a.value, 10)
		switch {
		case a.write && a.list && s != "":
			return true, s + "," + v
		case a.write:
			return true, v
		case !a.list && s == "":
			return output.(string) == "0", s
		}
		return output.(string) == s, s
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %v", input, output) },
}

// checkTime bounds the search for an order; a history of this length takes less than a second.
const checkTime = 2 * time.Minute

func (h *history) check(t *testing.T, db *database.DB) {
	t.Helper()
	var took []time.Duration
	for _, op := range h.all {
		if op.Return < math.MaxInt64 {
			took = append(took, time.Duration(op.Return-op.Call).Round(time.Millisecond))
		}
	}
	slices.Sort(took)
	t.Logf("%d operations, %d of which nobody knew the outcome; half took at most %v, all %v", len(h.all), h.unknown, took[len(took)/2], took[len(took)-1])
	if len(h.all) < 50 {
		t.Errorf("only %d operations were done", len(h.all))
	}
	if r := porcupine.CheckOperationsTimeout(model, h.all, checkTime); r != porcupine.Ok {
		t.Errorf("the history is not linearizable: %s", r)
	}
	o, err := db.Query(t.Context(), database.Ordered, database.SQL("SELECT coalesce(group_concat(v), '') FROM list"))
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]int{}
	text, _ := o.Results[0].Rows[0][0].(string)
	for _, v := range strings.Split(text, ",") {
		there[v]++
	}
	for _, v := range h.appended {
		if n := there[strconv.FormatInt(v, 10)]; n != 1 {
			t.Errorf("%d was acknowledged, and is there %d times", v, n)
		}
	}
}

// The check finds what it is for.
func TestHistoryCheck(t *testing.T) {
	op := func(call, ret int64, a action, out string) porcupine.Operation {
		return porcupine.Operation{Input: a, Call: call, Return: ret, Output: out}
	}
	w, r := action{write: true, value: 7}, action{}
	a1, a2, l := action{list: true, write: true, value: 1}, action{list: true, write: true, value: 2}, action{list: true}
	for _, c := range []struct {
		name string
		all  []porcupine.Operation
		ok   bool
	}{
		{"read after write", []porcupine.Operation{op(0, 1, r, "0"), op(2, 3, w, ""), op(4, 5, r, "7")}, true},
		{"a lost write", []porcupine.Operation{op(0, 1, w, ""), op(2, 3, r, "0")}, false},
		{"a write that nobody knows of", []porcupine.Operation{op(0, math.MaxInt64, w, ""), op(2, 3, r, "0"), op(4, 5, r, "7")}, true},
		{"it is there and is not", []porcupine.Operation{op(0, math.MaxInt64, w, ""), op(2, 3, r, "7"), op(4, 5, r, "0")}, false},
		{"a list", []porcupine.Operation{op(0, 9, a1, ""), op(0, 9, a2, ""), op(2, 3, l, "2"), op(10, 11, l, "2,1")}, true},
		{"an order that turns", []porcupine.Operation{op(0, 9, a1, ""), op(0, 9, a2, ""), op(2, 3, l, "2"), op(10, 11, l, "1,2")}, false},
	} {
		if got := porcupine.CheckOperations(model, c.all); got != c.ok {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
