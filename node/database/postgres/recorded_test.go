package postgres_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/node/database/engine"
)

// recordedStatements is how many of the oracle's are kept, with what PostgreSQL said: go test -run TestOracle -update.
const recordedStatements = 1_600

var (
	recordsPath = filepath.Join("testdata", "answers.jsonl")
	reflectPath = filepath.Join("testdata", "reflect.jsonl")
)

// A record is a statement and what PostgreSQL 15 gave for it.
type record struct {
	SQL     string      `json:"sql"`
	Fresh   bool        `json:"fresh,omitempty"` // in a new database
	Code    string      `json:"code,omitempty"`
	Refused bool        `json:"refused,omitempty"` // here, with 0A000
	Either  bool        `json:"either,omitempty"`  // of several rows that fail another may be first, or none be needed
	Tag     string      `json:"tag,omitempty"`
	Columns []string    `json:"columns,omitempty"`
	Rows    [][]*string `json:"rows,omitempty"`
}

func recordOf(sql string, fresh bool, ours, theirs answer) record {
	r := record{SQL: sql, Fresh: fresh, Code: theirs.code, Tag: theirs.tag, Columns: theirs.columns}
	if !agree(ours, theirs, orderCounts(sql)) {
		r.Refused = ours.code == "0A000"
		r.Either = !r.Refused
	}
	for _, row := range theirs.rows {
		var out []*string
		for _, v := range row {
			if v == null {
				out = append(out, nil)
			} else {
				out = append(out, &v)
			}
		}
		r.Rows = append(r.Rows, out)
	}
	return r
}

func (r record) answer() answer {
	a := answer{code: r.Code, tag: r.Tag, columns: r.Columns}
	for _, row := range r.Rows {
		var out []string
		for _, v := range row {
			if v == nil {
				out = append(out, null)
			} else {
				out = append(out, *v)
			}
		}
		a.rows = append(a.rows, out)
	}
	return a
}

func writeRecords(t *testing.T, path string, list []record) {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, r := range list {
		if err := e.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readRecords(t testing.TB, path string, least int) (list []record) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(bytes.NewReader(b))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var r record
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	if len(list) < least {
		t.Fatalf("%d records", len(list))
	}
	return list
}

// TestRecorded compares with what PostgreSQL once said.
func TestRecorded(t *testing.T) {
	var us *ours
	refused := 0
	list := readRecords(t, recordsPath, 1_000)
	for _, r := range list {
		if r.Fresh {
			us = open(t, engine.Options{})
		}
		a := answerOf(us.exec(t, r.SQL))
		switch {
		case r.Refused:
			if refused++; a.code != "0A000" {
				t.Errorf("%s: %s, and was refused", r.SQL, a)
			}
		case r.Either:
			if a.code != "" && !strings.HasPrefix(a.code, "2") {
				t.Errorf("%s: %s", r.SQL, a)
			}
		case !agree(a, r.answer(), orderCounts(r.SQL)):
			t.Errorf("%s\n  ours:   %s\n  theirs: %s", r.SQL, a, r.answer())
		}
	}
	t.Logf("%d statements, %d refused", len(list), refused)
}
