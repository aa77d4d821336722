package database

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Limits of programs that come in parts, because they are too large for one transaction.
const (
	MaxProgram = 24 << 20                 // bytes of a Program
	PartBytes  = 512 << 10                // of a part
	MaxParts   = MaxProgram/PartBytes + 1 // what cannot be compressed becomes a little longer

	// ProgramBytesPerGas is how much of a program a unit of its gas limit covers: what it takes to read one, is so bounded as what it
	// does is, though it may not be readable.
	ProgramBytesPerGas = 4

	MaxAccountParts = 128 // of one account that wait in a cell for their envelopes

	// MaxProgramValues bounds the parameters of a program with their types, and its statements together: each takes more memory than
	// it has bytes.
	MaxProgramValues = 2 << 20

	// MaxQuery bounds the request of a query: a program and what is around it.
	MaxQuery = MaxProgram + 1<<20
)

// PartDigest is what an envelope names a part by.
func PartDigest(data []byte) [32]byte { return blake3.Sum256(data) }

// Divide makes parts of statements for an envelope, which it is told by their digests and the program's length. Who sends a program again
// sends the same parts.
func Divide(statements []*wirepb.Statement, e *wirepb.Envelope) (parts [][]byte) {
	program := wire.Encode(&wirepb.Program{Statements: statements})
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(program)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		panic("database: compressing into memory: " + err.Error())
	}
	e.Statements, e.Parts, e.ProgramBytes = nil, nil, uint64(len(program))
	for b.Len() > 0 {
		part := b.Next(PartBytes)
		sum := PartDigest(part)
		parts, e.Parts = append(parts, part[:len(part):len(part)]), append(e.Parts, sum[:])
	}
	return parts
}

// Join makes statements of the bytes of all parts of an envelope. Another encoding of the same statements is as good: it has other
// digests, which its author has signed.
func Join(e *wirepb.Envelope, parts [][]byte) ([]*wirepb.Statement, error) {
	compressed := bytes.NewReader(bytes.Join(parts, nil))
	r := flate.NewReader(compressed) // reads no byte too many of what gives single bytes
	program := make([]byte, min(e.ProgramBytes, MaxProgram))
	if _, err := io.ReadFull(r, program); err != nil || uint64(len(program)) != e.ProgramBytes {
		return nil, unreadable()
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || err != io.EOF || compressed.Len() > 0 {
		return nil, unreadable()
	}
	if err := checkProgram(program); err != nil {
		return nil, err
	}
	m := new(wirepb.Program)
	if proto.Unmarshal(program, m) != nil { // its text differs from build to build
		return nil, unreadable()
	}
	if len(m.Statements) == 0 {
		return nil, mesh.Errorf(mesh.Invalid, "a program has statements")
	}
	return m.Statements, nil
}

func unreadable() error {
	return mesh.Errorf(mesh.Invalid, "a program that cannot be read, has another length than its envelope says, or fields that this version does not know")
}

// checkProgram looks how much memory a program will take, before any is taken, and whether all of its fields are known: replicas of
// other versions would read others differently.
func checkProgram(b []byte) error {
	n := 0
	count := func(more int) error {
		if n += more; n > MaxProgramValues {
			return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "a program of more than %d statements and parameters", MaxProgramValues), "divide it")
		}
		return nil
	}
	return fields(b, func(number protowire.Number, kind protowire.Type, statement []byte) error {
		if number != 1 || kind != protowire.BytesType {
			return unreadable()
		}
		if err := count(1); err != nil {
			return err
		}
		return fields(statement, func(number protowire.Number, kind protowire.Type, field []byte) error {
			switch {
			case number < 1 || number > 3 || kind != protowire.BytesType:
				return unreadable()
			case number == 2:
				if err := count(1); err != nil {
					return err
				}
				return fields(field, checkValue)
			case number == 3: // packed: a byte each at least
				return count(len(field))
			}
			return nil
		})
	})
}

// checkValue checks a field of a Value.
func checkValue(number protowire.Number, kind protowire.Type, _ []byte) error {
	for i, k := range [...]protowire.Type{protowire.VarintType, protowire.VarintType, protowire.Fixed64Type, protowire.BytesType, protowire.BytesType} {
		if number == protowire.Number(i+1) && kind == k {
			return nil
		}
	}
	return unreadable()
}

// fields calls f with each field of a message, and with the bytes of one that has a length.
func fields(b []byte, f func(number protowire.Number, kind protowire.Type, bytes []byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return unreadable()
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return unreadable()
		}
		var bytes []byte
		if kind == protowire.BytesType {
			bytes, _ = protowire.ConsumeBytes(b)
		}
		if err := f(number, kind, bytes); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// CheckPart checks a part by itself.
func CheckPart(p *wirepb.ProgramPart) error {
	switch {
	case len(p.Database) != len(mesh.DatabaseID{}):
		return mesh.Errorf(mesh.Invalid, "a part names a database with 16 bytes")
	case len(p.Data) == 0 || len(p.Data) > PartBytes:
		return mesh.Errorf(mesh.Invalid, "a part of %d bytes, want 1 to %d", len(p.Data), PartBytes)
	case p.NotAfterMs <= 0:
		return mesh.Errorf(mesh.Invalid, "a part says after which time it is forgotten")
	}
	return nil
}
