package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgproto3"
	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// prepared is a statement that a client has parsed.
type prepared struct {
	statement *statement // nil: an empty one
	command   *command   // one that the gateway carries out; nil: SQL's
	declared  []uint32   // types of parameters, as far as the client told
	described *wirepb.Result
}

// A portal is a statement with its parameters, or a cursor.
type portal struct {
	prepared *prepared
	bound    *wirepb.Statement
	formats  []int16
	result   *wirepb.Result // nil: it did not run yet
	next     int            // row
	cursor   bool
	hold     bool // beyond its transaction
	scroll   bool
	kept     int
}

func (x *session) parse(m *pgproto3.Parse) *sqlError {
	all := split(m.Query)
	if len(all) > 1 {
		return newError(sqlstate.SyntaxError, "cannot insert multiple commands into a prepared statement")
	}
	p := &prepared{declared: append([]uint32{}, m.ParameterOIDs...)}
	if len(all) == 1 {
		p.statement = all[0]
		var refused *sqlError
		if p.command, refused = commandOf(p.statement); refused != nil {
			return refused
		}
	}
	if m.Name != "" && x.prepared[m.Name] != nil {
		return newError("42P05", "prepared statement \"%s\" already exists", m.Name)
	}
	if refused := x.keep(); refused != nil {
		return refused
	}
	if x.failed && !p.endsBlock() {
		return aborted
	}
	x.prepared[m.Name] = p
	x.send(&pgproto3.ParseComplete{})
	return nil
}

func (x *session) keep() *sqlError {
	if len(x.prepared)+len(x.portals) >= x.server.opts.Prepared {
		return newError("54000", "more than %d prepared statements and portals", x.server.opts.Prepared).hint("DEALLOCATE ALL, or close them")
	}
	return nil
}

func (p *prepared) endsBlock() bool { return p.statement == nil || p.command != nil && p.command.ends }

func (p *prepared) reads() bool { return p.statement.reads() }

// know asks for the types of a statement's parameters, and for its columns.
func (x *session) know(p *prepared) *sqlError {
	if p.described != nil || p.statement == nil || p.command != nil {
		return nil
	}
	st := &wirepb.Statement{Sql: p.statement.sql, ParameterTypes: p.declared}
	return x.within(func(ctx context.Context) *sqlError {
		program := Program{Statements: []*wirepb.Statement{st}, Settings: x.settings.wire()}
		if x.tx != nil && x.tx.written { // what it has made, the statement may be about
			program = x.tx.program(x.settings.wire(), st)
		}
		o, err := x.db.Describe(ctx, program)
		if err != nil {
			return errorOf(err)
		}
		if e := failure(o); e != nil {
			if e.position > 0 {
				e.position += int32(p.statement.offset)
			}
			return e
		}
		if len(o.Results) != 1 {
			return newError("XX000", "a replica described %d statements for one", len(o.Results))
		}
		p.described = o.Results[0]
		return nil
	})
}

// types are those of a statement's parameters.
func (p *prepared) types() []uint32 {
	if p.described != nil {
		return p.described.ParameterTypes
	}
	return p.declared
}

func (x *session) statementNamed(name string) (*prepared, *sqlError) {
	p := x.prepared[name]
	switch {
	case p != nil:
		return p, nil
	case name == "":
		return nil, newError("26000", "unnamed prepared statement does not exist")
	}
	return nil, newError("26000", "prepared statement \"%s\" does not exist", name)
}

func (x *session) bind(m *pgproto3.Bind) *sqlError {
	p, refused := x.statementNamed(m.PreparedStatement)
	if refused != nil {
		return refused
	}
	if x.failed && !p.endsBlock() {
		return aborted
	}
	if old := x.portals[m.DestinationPortal]; old != nil {
		if m.DestinationPortal != "" {
			return newError("42P03", "cursor \"%s\" already exists", m.DestinationPortal)
		}
		x.drop("")
	}
	if refused := x.keep(); refused != nil {
		return refused
	}
	if len(m.Parameters) > 0 {
		if refused := x.know(p); refused != nil {
			return refused
		}
	}
	types := p.types()
	if p.statement != nil && p.command == nil && len(m.Parameters) != len(types) && (p.described != nil || len(types) > 0) {
		return newError("08P01", "bind message supplies %d parameters, but prepared statement \"%s\" requires %d", len(m.Parameters), m.PreparedStatement, len(types))
	}
	for _, f := range [][]int16{m.ParameterFormatCodes, m.ResultFormatCodes} {
		for _, code := range f {
			if code != textFormat && code != binaryFormat {
				return newError(sqlstate.BadParameter, "unsupported format code: %d", code)
			}
		}
	}
	if n := len(m.ParameterFormatCodes); n > 1 && n != len(m.Parameters) {
		return newError("08P01", "bind message has %d parameter formats but %d parameters", n, len(m.Parameters))
	}
	o := &portal{prepared: p, formats: append([]int16{}, m.ResultFormatCodes...)}
	if p.statement != nil && p.command == nil {
		o.bound = &wirepb.Statement{Sql: p.statement.sql, ParameterTypes: types}
		c := x.call()
		for i, b := range m.Parameters {
			v, refused := decode(c, types[i], formatOf(m.ParameterFormatCodes, i), b)
			if refused != nil {
				return refused
			}
			o.bound.Parameters = append(o.bound.Parameters, v)
		}
	} else if len(m.Parameters) > 0 {
		return newError("08P01", "bind message supplies %d parameters, but the statement takes none", len(m.Parameters))
	}
	x.portals[m.DestinationPortal] = o
	x.send(&pgproto3.BindComplete{})
	return nil
}

// decode reads a parameter.
func decode(c *postgres.Call, oid uint32, format int16, b []byte) (*wirepb.Value, *sqlError) {
	if b == nil {
		return value(nil), nil
	}
	var v any
	var err error
	if format == binaryFormat {
		v, err = postgres.Decode(c, postgres.OID(oid), -1, b)
	} else {
		v, err = postgres.Input(c, postgres.OID(oid), -1, string(b))
	}
	if err != nil {
		return nil, errorOf(err)
	}
	return value(v), nil
}

func (x *session) portalNamed(name string) (*portal, *sqlError) {
	if o := x.portals[name]; o != nil {
		return o, nil
	}
	return nil, newError("34000", "portal \"%s\" does not exist", name)
}

func (x *session) describe(m *pgproto3.Describe) *sqlError {
	var p *prepared
	var formats []int16
	if m.ObjectType == 'S' {
		var refused *sqlError
		if p, refused = x.statementNamed(m.Name); refused != nil {
			return refused
		}
	} else {
		o, refused := x.portalNamed(m.Name)
		if refused != nil {
			return refused
		}
		p, formats = o.prepared, o.formats
	}
	if x.failed && !p.endsBlock() {
		return aborted
	}
	if refused := x.know(p); refused != nil {
		return refused
	}
	if m.ObjectType == 'S' {
		x.send(&pgproto3.ParameterDescription{ParameterOIDs: p.types()})
	}
	var columns []*wirepb.Column
	switch {
	case p.command != nil && p.command.columns != nil:
		columns = p.command.columns(x)
	case p.described != nil:
		columns = p.described.Columns
	}
	if len(columns) == 0 {
		x.send(&pgproto3.NoData{})
		return nil
	}
	x.send(describeRows(columns, formats))
	return nil
}

func (x *session) execute(m *pgproto3.Execute) *sqlError {
	o, refused := x.portalNamed(m.Portal)
	if refused != nil {
		return refused
	}
	p, most := o.prepared, int(m.MaxRows)
	switch {
	case p.statement == nil:
		x.send(&pgproto3.EmptyQueryResponse{})
		return nil
	case x.failed && !p.endsBlock():
		return aborted
	case o.result != nil: // to go on
		return x.more(o, most)
	case p.command != nil:
		return x.carryOut(p.command, o.formats)
	}
	answer := func(r *wirepb.Result) *sqlError {
		if p.described != nil && !sameColumns(p.described.Columns, r.Columns) {
			return unsupported("cached plan must not change result type")
		}
		o.result = r
		if refused := x.hold(o); refused != nil {
			return refused
		}
		return x.more(o, most)
	}
	if x.tx != nil {
		r, refused := x.one(o.bound, p.reads())
		if refused != nil {
			if refused.position > 0 {
				refused.position += int32(p.statement.offset)
			}
			return refused
		}
		return answer(r)
	}
	return x.later(o.bound, p.reads(), p.statement.offset, answer)
}

func sameColumns(a, b []*wirepb.Column) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].TypeOid != b[i].TypeOid {
			return false
		}
	}
	return true
}

// hold counts what a portal keeps of its result.
func (x *session) hold(o *portal) *sqlError {
	o.kept = proto.Size(o.result)
	if x.kept += o.kept; x.kept > x.server.opts.PortalBytes {
		return newError("54000", "results of more than %d bytes wait to be fetched", x.server.opts.PortalBytes).hint("close portals and cursors")
	}
	return nil
}

func (x *session) drop(name string) {
	if o := x.portals[name]; o != nil {
		x.kept -= o.kept
		delete(x.portals, name)
	}
}

// more sends rows of a portal from where it stands.
func (x *session) more(o *portal, most int) *sqlError {
	sent, refused := x.rows(o.result, o.formats, o.next, most)
	if refused != nil {
		return refused
	}
	o.next += sent
	if most > 0 && sent == most && o.next < len(o.result.Rows) {
		x.be.Send(&pgproto3.PortalSuspended{})
		return nil
	}
	x.be.Send(&pgproto3.CommandComplete{CommandTag: []byte(o.result.Tag)})
	return nil
}

func (x *session) close(m *pgproto3.Close) {
	if m.ObjectType == 'S' {
		delete(x.prepared, m.Name)
	} else {
		x.drop(m.Name)
	}
	x.send(&pgproto3.CloseComplete{})
}

// sync ends a pipeline: what waits happens now, or the transaction of a pipeline is committed.
func (x *session) sync() {
	refused := x.finish()
	if refused == nil && x.tx != nil && x.tx.implicit && !x.skipping {
		refused = x.commit()
	}
	if refused != nil {
		x.be.Send(refused.message("ERROR"))
	}
	x.skipping = false
	if x.tx != nil && x.tx.implicit {
		x.end(false)
	}
	if x.tx == nil {
		x.forgetPortals()
	}
	x.ready()
}

// forgetPortals closes what ends with its transaction.
func (x *session) forgetPortals() {
	for name, o := range x.portals {
		if !o.hold {
			x.drop(name)
		}
	}
}
