package postgres

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// Relations of pg_catalog and information_schema are made of the catalog at hand when a statement is compiled: a list of VALUES.
// They hold the database's own objects and the types. Of those in lackColumns, a column that is not listed here is refused, and so is *.

// A systemTable says what one holds.
type systemTable struct {
	columns string // name:type, or name:type=constant, which no row tells; the constant @ is the database's name
	rows    func(c *compiler) [][]any
}

// A systemColumn is one of its columns.
type systemColumn struct {
	name     string
	typ      oid
	mod      int32
	fixed    bool
	constant any
}

func (t systemTable) list() (out []systemColumn) {
	for _, text := range strings.Fields(t.columns) {
		name, typ, _ := strings.Cut(text, ":")
		typ, constant, fixed := strings.Cut(typ, "=")
		col := systemColumn{name: name, mod: -1, fixed: fixed}
		if typ == "yes" { // yes_or_no is varchar(3)
			typ, col.mod = "varchar", 7
		}
		x, _ := postgres.TypeNamed(typ)
		col.typ = x.OID
		if constant == "@" {
			col.constant, constant = databaseName{}, "NULL"
		}
		if fixed && constant != "NULL" {
			v, err := postgres.Input(&postgres.Call{}, x.OID, -1, constant)
			if err != nil {
				panic(err) // the tables are constants
			}
			col.constant = v
		}
		out = append(out, col)
	}
	return out
}

// databaseName is a cell that holds the name of the database, which a statement learns when it runs.
type databaseName struct{}

// typeOwner is the OID of PostgreSQL's first role, who owns all.
const typeOwner = int64(10)

const (
	catalogOID     = 11
	informationOID = 13000
)

var typeNames = strings.Fields("bool bytea name int8 int2 int4 regproc text oid json float4 float8 unknown bpchar varchar date time timestamp timestamptz interval timetz numeric regclass regtype regnamespace record uuid tsvector tsquery regconfig jsonb")

func (c *catalog) namespace(name string) uint32 {
	if n := c.schema(name); n != nil {
		return n.OID
	}
	return 0
}

func numbers(list []int) any {
	var out []string
	for _, n := range list {
		out = append(out, strconv.Itoa(n))
	}
	return "{" + strings.Join(out, ",") + "}"
}

// referencedIndex is the unique index that a foreign key rests on.
func referencedIndex(c *catalog, k *constraint) int64 {
	parent := c.byOID[k.References]
	if parent == nil {
		return 0
	}
	for _, p := range parent.Constraints {
		if p.Index != 0 && sameSet(p.Columns, k.ReferencedColumns) {
			return int64(p.Index)
		}
	}
	return 0
}

// systemTables are all of them, by schema and name. They are made when they are asked for, because they compile expressions, which
// may ask for them.
func systemTables() map[string]systemTable {
	all := catalogTables()
	maps.Copy(all, informationTables())
	return all
}

// systemRelation finds one of them. ok tells whether the name is PostgreSQL's.
func (c *compiler) systemRelation(r *pg.RangeVar, it *item) (sql string, ok bool, err error) {
	schema := r.Schemaname
	if schema == "" {
		schema = catalogSchema
	}
	if sql, ok := c.feedRelation(r, it); ok {
		return sql, true, nil
	}
	t, ok := systemTables()[schema+"."+r.Relname]
	if !ok {
		if schema == informationSchema || schema == catalogSchema && strings.HasPrefix(r.Relname, "pg_") && slices.Contains(systemNames, r.Relname) {
			return "", true, c.refuse(r.Location, "%s.%s", schema, r.Relname)
		}
		return "", false, nil
	}
	it.schema, it.partial = schema, slices.Contains(lackColumns, r.Relname)
	columns := t.list()
	var told, none []string
	for _, col := range columns {
		sql := c.cell(col.constant)
		if !col.fixed {
			told = append(told, "column"+strconv.Itoa(len(told)+1))
			sql = it.alias + "." + told[len(told)-1]
			none = append(none, "NULL AS "+told[len(told)-1])
		}
		it.columns = append(it.columns, &field{name: col.name, sql: sql, typ: col.typ, mod: col.mod})
	}
	var b strings.Builder
	for i, row := range t.rows(c) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		for j, v := range row {
			if j > 0 {
				b.WriteByte(',')
			}
			b.WriteString(c.cell(v))
		}
		b.WriteByte(')')
		if b.Len() > maxText {
			return "", true, fail("54001", "statement too complex: the catalog is too large")
		}
	}
	if b.Len() == 0 {
		return "(SELECT " + strings.Join(none, ",") + " WHERE 0) AS " + it.alias, true, nil
	}
	return "(VALUES " + b.String() + ") AS " + it.alias, true, nil
}

// lackColumns are relations of pg_catalog of which some columns are not here.
var lackColumns = strings.Fields("pg_class pg_attribute pg_attrdef pg_type pg_index pg_constraint pg_sequences pg_am pg_partitioned_table pg_proc pg_range pg_subscription pg_trigger pg_database")

// systemNames are relations of pg_catalog that are not here.
var systemNames = strings.Fields(`pg_user pg_settings pg_stat_activity pg_opclass pg_operator pg_cast pg_rewrite pg_tablespace pg_authid pg_language pg_aggregate
	pg_stat_user_tables pg_statistic pg_stats pg_locks pg_constraint_trigger pg_shdescription pg_timezone_names pg_timezone_abbrevs pg_rules pg_group pg_shadow
	pg_opfamily pg_amop pg_amproc pg_conversion pg_default_acl pg_file_settings pg_hba_file_rules pg_init_privs pg_largeobject pg_prepared_statements pg_prepared_xacts
	pg_replication_slots pg_seclabel pg_shdepend pg_statio_user_tables pg_stat_all_tables pg_stat_database pg_transform pg_ts_config pg_ts_dict pg_user_mapping
	pg_available_extensions pg_cursors pg_stat_user_indexes pg_statio_user_indexes pg_db_role_setting`)

// formatType is format_type(oid, typmod).
func formatType(a []any) (any, error) {
	if a[0] == nil {
		return nil, nil
	}
	mod := int32(-1)
	if a[1] != nil {
		mod = int32(a[1].(int64))
	}
	return postgres.FormatType(oid(a[0].(int64)), mod), nil
}

// description is obj_description(oid) or col_description(oid, number).
func (s *session) description(a []any) (any, error) {
	if a[0] == nil || a[1] == nil {
		return nil, nil
	}
	r := s.relation(uint32(a[0].(int64)))
	if r == nil {
		return nil, nil
	}
	text := r.Comment
	if n := a[1].(int64); n > 0 {
		if n > int64(len(r.Columns)) {
			return nil, nil
		}
		text = r.column(int(n)).Comment
	}
	if text == "" {
		return nil, nil
	}
	return text, nil
}

// visible is pg_table_is_visible(oid).
func (s *session) visible(a []any) (any, error) {
	if a[0] == nil {
		return nil, nil
	}
	r := s.relation(uint32(a[0].(int64)))
	if r == nil {
		return nil, nil
	}
	return boolean(r.Schema == publicSchema), nil
}
