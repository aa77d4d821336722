package postgres_test

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// testdata/vectors.txt holds answers of PostgreSQL 15, so that they are compared where it is not at hand. Each line is
//
//	kind <tab> name <tab> declared types <tab> types <tab> arguments <tab> answer
//
// where kind is input (and back to text), order (of two values), cast (the name is the typmod), function or operator. It is
// written with
//
//	STRATOS_TOOLS=1 go test -run 'TestOracle(Input|Compare|Casts|Operators|Functions)' -p 1 -oracle.seed=15 -oracle.record=testdata/vectors.txt
//
// and testdata/search.txt, which holds those of full-text search, with these besides:
//
//	-oracle.only='ts(vector|query)|regconfig|@@' -oracle.cases=200 -oracle.kept=20 -oracle.long=1200 -oracle.record=testdata/search.txt
var vectorsFiles = map[string]int{"testdata/vectors.txt": 3000, "testdata/search.txt": 1000} // and how many answers they hold at least

var (
	oracleRecord = flag.String("oracle.record", "", "append answers that agree to this file")
	oracleKept   = flag.Int("oracle.kept", 8, "answers that are recorded of each group")
	oracleLong   = flag.Int("oracle.long", 200, "bytes of arguments that are recorded")
)

type record struct {
	kind, name      string
	declared, types []postgres.OID
	args            []string // \x00 is NULL
}

func oids(list []postgres.OID) string {
	var s []string
	for _, o := range list {
		t, _ := postgres.TypeOf(o)
		s = append(s, t.Internal)
	}
	return strings.Join(s, " ")
}

func (o *oracle) keep(t *testing.T, r record, answer string) {
	if *oracleRecord == "" || r.kind == "" || o.kept >= *oracleKept || len(answer) > 2**oracleLong {
		return
	}
	var args []string
	for _, a := range r.args {
		if len(a) > *oracleLong {
			return
		}
		args = append(args, strconv.Quote(a))
	}
	o.kept++
	if strings.HasPrefix(answer, "!") {
		answer = answer[:6]
	}
	f, err := os.OpenFile(*oracleRecord, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "%s\t%s\t%s\t%s\t%s\t%s\n", r.kind, r.name, oids(r.declared), oids(r.types), strings.Join(args, " "), strconv.Quote(answer))
}

func typesNamed(t *testing.T, s string) (list []postgres.OID) {
	for _, n := range strings.Fields(s) {
		if n == "char" { // which alone is another name of bpchar
			n = `"char"`
		}
		typ, ok := postgres.TypeNamed(n)
		if !ok {
			t.Fatalf("no type %s", n)
		}
		list = append(list, typ.OID)
	}
	return list
}

func quoted(t *testing.T, s string) (list []string) {
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		q, err := strconv.QuotedPrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		s = s[len(q):]
		v, _ := strconv.Unquote(q)
		list = append(list, v)
	}
	return list
}

// again computes what a record says.
func (r record) again(c *postgres.Call) string {
	show := func(oid postgres.OID, v any, err error) string {
		if err != nil || v == nil {
			return answer("", true, err)
		}
		s, err := postgres.Output(c, oid, v)
		return answer(s, false, err)
	}
	switch r.kind {
	case "input":
		v, err := postgres.Input(c, r.types[0], -1, r.args[0])
		return show(r.types[0], v, err)
	case "order":
		a, _ := postgres.Input(c, r.types[0], -1, r.args[0])
		b, _ := postgres.Input(c, r.types[0], -1, r.args[1])
		return "=" + strconv.Itoa(sign(postgres.Compare(r.types[0], a, b)))
	case "cast":
		mod, _ := strconv.Atoi(r.name)
		v, err := postgres.Input(c, r.types[0], -1, r.args[0])
		if err == nil {
			v, err = postgres.Convert(c, r.types[0], r.types[1], int32(mod), true, v)
		}
		return show(r.types[1], v, err)
	}
	all := postgres.Functions()
	if r.kind == "operator" {
		all = postgres.Operators()
	}
	for i := range all {
		if all[i].Name == r.name && slices.Equal(all[i].Args, r.declared) {
			return evaluate(c, &all[i], r.types, r.args)
		}
	}
	return "no such routine"
}

func TestVectors(t *testing.T) {
	for name, least := range vectorsFiles {
		t.Run(name, func(t *testing.T) { replay(t, name, least) })
	}
}

func replay(t *testing.T, name string, least int) {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		w := strings.Split(s.Text(), "\t")
		if len(w) != 6 {
			t.Fatalf("%q", s.Text())
		}
		r := record{w[0], w[1], typesNamed(t, w[2]), typesNamed(t, w[3]), quoted(t, w[4])}
		want, err := strconv.Unquote(w[5])
		if err != nil {
			t.Fatal(err)
		}
		n++
		if got := r.again(&postgres.Call{}); got != want && !(strings.HasPrefix(want, "!") && strings.HasPrefix(got, want)) {
			t.Errorf("%s\n got %q", s.Text(), got)
		}
	}
	if s.Err() != nil || n < least {
		t.Errorf("%d vectors, %v", n, s.Err())
	}
}
