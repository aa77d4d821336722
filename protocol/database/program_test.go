package database_test

import (
	"bytes"
	"compress/flate"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

func TestDivide(t *testing.T) {
	var all []*wirepb.Statement
	for i := range 3000 {
		all = append(all, &wirepb.Statement{Sql: strings.Repeat("(?), ", i%300), Parameters: []*wirepb.Value{{Value: &wirepb.Value_Integer{Integer: int64(i) * 7919}}}, ParameterTypes: []uint32{23}})
	}
	e := &wirepb.Envelope{Statements: all}
	parts := database.Divide(all, e)
	raw := proto.Size(&wirepb.Program{Statements: all})
	if e.Statements != nil || len(parts) != len(e.Parts) || e.ProgramBytes != uint64(raw) || len(bytes.Join(parts, nil)) > raw/5 {
		t.Errorf("%d parts, %d digests, %d of %d bytes", len(parts), len(e.Parts), len(bytes.Join(parts, nil)), raw)
	}
	got, err := database.Join(e, parts)
	if err != nil || !proto.Equal(&wirepb.Program{Statements: got}, &wirepb.Program{Statements: all}) {
		t.Errorf("%d statements, %v", len(got), err)
	}
	again := new(wirepb.Envelope)
	database.Divide(got, again)
	if !proto.Equal(again, e) {
		t.Error("the same statements have other parts")
	}
}

// compressed is a program as an envelope brings it.
func compressed(t *testing.T, program []byte) (*wirepb.Envelope, []byte) {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(program); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &wirepb.Envelope{ProgramBytes: uint64(len(program))}, b.Bytes()
}

func TestJoinRefuses(t *testing.T) {
	good := wire.Encode(&wirepb.Program{Statements: []*wirepb.Statement{{Sql: "SELECT 1"}}})
	e, b := compressed(t, good)
	refused := func(why string, want mesh.Kind, e *wirepb.Envelope, parts ...[]byte) {
		t.Helper()
		if all, err := database.Join(e, parts); mesh.KindOf(err) != want || err == nil {
			t.Errorf("%s: %v, %v", why, all, err)
		}
	}
	if all, err := database.Join(e, [][]byte{b[:3], b[3:]}); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	refused("no parts", mesh.Invalid, e)
	refused("half", mesh.Invalid, e, b[:len(b)/2])
	refused("more than its end", mesh.Invalid, e, b, []byte{0})
	refused("longer than it says", mesh.Invalid, &wirepb.Envelope{ProgramBytes: e.ProgramBytes - 1}, b)
	refused("shorter than it says", mesh.Invalid, &wirepb.Envelope{ProgramBytes: e.ProgramBytes + 1}, b)
	refused("longer than programs are", mesh.Invalid, &wirepb.Envelope{ProgramBytes: database.MaxProgram + 1}, b)
	refused("nothing", mesh.Invalid, &wirepb.Envelope{}, []byte{3, 0})
	field := func(n protowire.Number, kind protowire.Type, b []byte, in ...byte) []byte {
		b = protowire.AppendTag(b, n, kind)
		return append(b, in...)
	}
	for why, program := range map[string][]byte{
		"a field of a program":           field(2, protowire.BytesType, bytes.Clone(good), 0),
		"a field of a statement":         {0x0a, 2, 0x22, 0},
		"a field of a value":             {0x0a, 4, 0x12, 2, 0x32, 0},
		"another type of a field":        {0x0a, 2, 0x08, 1},
		"types that are not packed":      {0x0a, 2, 0x18, 1},
		"a value of another type":        {0x0a, 4, 0x12, 2, 0x20, 1},
		"half a field":                   {0x0a, 200},
		"a text that is not UTF-8":       {0x0a, 3, 0x0a, 1, 0xff},
		"half a field within another":    {0x0a, 2, 0x12, 9},
		"a field whose number is no one": {0x02, 0},
	} {
		e, b := compressed(t, program)
		refused(why, mesh.Invalid, e, b)
	}
	// Little that becomes much: of a bomb no more is read than the envelope says, and of small values no more than there may be.
	_, bomb := compressed(t, make([]byte, 64<<20))
	refused("a bomb", mesh.Invalid, &wirepb.Envelope{ProgramBytes: 100}, bomb)
	refused("a bomb that says so", mesh.Invalid, &wirepb.Envelope{ProgramBytes: 64 << 20}, bomb)
	for why, statement := range map[string][]byte{
		"values": bytes.Repeat([]byte{0x12, 0}, database.MaxProgramValues+1),
		"types":  append(protowire.AppendVarint([]byte{0x1a}, database.MaxProgramValues+1), make([]byte, database.MaxProgramValues+1)...),
	} {
		e, b := compressed(t, protowire.AppendBytes([]byte{0x0a}, statement))
		refused(why, mesh.Exhausted, e, b)
	}
	e, b = compressed(t, bytes.Repeat([]byte{0x0a, 0}, database.MaxProgramValues+1))
	refused("statements", mesh.Exhausted, e, b)
}
