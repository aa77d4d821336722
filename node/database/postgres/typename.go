package postgres

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// typeName finds a type.
func (c *compiler) typeName(t *pg.TypeName) (oid, int32, error) {
	list := names(t.Names)
	if len(list) == 0 {
		return 0, 0, c.refuse(t.Location, "a type without a name")
	}
	name := list[len(list)-1]
	if len(list) > 2 || len(list) == 2 && list[0] != catalogSchema {
		return 0, 0, c.fail(t.Location, "42704", "type \"%s\" does not exist", strings.Join(list, "."))
	}
	if t.PctType || t.Setof {
		return 0, 0, c.refuse(t.Location, "%%TYPE")
	}
	switch name {
	case "serial", "serial4", "bigserial", "serial8", "smallserial", "serial2":
		return 0, 0, c.fail(t.Location, "42704", "type \"%s\" does not exist", name)
	}
	x, ok := postgres.TypeNamed(name)
	if name == "char" {
		ok = false // "char", a type of one byte
	}
	if ok && (x.Category == 'P' || x.OID == postgres.Unknown || x.OID == postgres.Int2Vector) {
		return 0, 0, c.refuse(t.Location, "type %s here", name)
	}
	if !ok {
		if unsupportedTypes[name] {
			return 0, 0, c.refuse(t.Location, "type %s", name)
		}
		return 0, 0, c.fail(t.Location, "42704", "type \"%s\" does not exist", name)
	}
	mod := int32(-1)
	if len(t.Typmods) > 0 {
		var mods []int32
		for _, m := range t.Typmods {
			a := m.GetAConst()
			if a == nil {
				return 0, 0, c.fail(t.Location, "42601", "type modifiers must be simple constants or identifiers")
			}
			i, ok := a.Val.(*pg.A_Const_Ival)
			if !ok {
				return 0, 0, c.refuse(t.Location, "such a type modifier")
			}
			mods = append(mods, i.Ival.GetIval())
		}
		if x.OID == postgres.Interval {
			return 0, 0, c.refuse(t.Location, "a type modifier of interval")
		}
		var err error
		if mod, err = postgres.Typmod(x.OID, mods); err != nil {
			e := toError(err)
			e.Position = c.position(t.Location)
			return 0, 0, e
		}
	}
	typ := x.OID
	if len(t.ArrayBounds) > 0 {
		if typ = postgres.ArrayOf(typ); typ == 0 {
			return 0, 0, c.refuse(t.Location, "arrays of %s", name)
		}
	}
	return typ, mod, nil
}

var unsupportedTypes = func() map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(`money bit varbit inet cidr macaddr macaddr8 point line lseg box path polygon circle xml int4range int8range numrange
		tsrange tstzrange daterange int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange pg_lsn char xid xid8 cid tid oidvector
		int2vector regoper regoperator regprocedure regrole regdictionary jsonpath txid_snapshot pg_snapshot refcursor aclitem
		pg_node_tree anyelement anyarray record void cstring trigger`) {
		m[n] = true
	}
	return m
}()
