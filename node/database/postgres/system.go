package postgres

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

// Relations of pg_catalog and information_schema are made of the catalog at hand when a statement is compiled: a list of VALUES.
// They hold the database's own objects and the types, and the columns that are listed here; another column is refused, and so is *.

// A systemTable says what one holds.
type systemTable struct {
	columns string // name:type ...
	rows    func(c *catalog) [][]any
}

// typeOwner is the OID of PostgreSQL's first role, who owns all.
const typeOwner = int64(10)

var typeNames = strings.Fields("bool bytea name int8 int2 int4 regproc text oid json float4 float8 unknown bpchar varchar date time timestamp timestamptz interval timetz numeric regclass regtype record uuid jsonb")

var systemTables = map[string]systemTable{
	"pg_catalog.pg_namespace": {"oid:oid nspname:name nspowner:oid", func(c *catalog) (rows [][]any) {
		rows = [][]any{{int64(11), catalogSchema, typeOwner}, {int64(informationOID), "information_schema", typeOwner}}
		for _, n := range c.head.Schemas {
			rows = append(rows, []any{int64(n.OID), n.Name, typeOwner})
		}
		return rows
	}},
	"pg_catalog.pg_class": {"oid:oid relname:name relnamespace:oid relowner:oid relkind:text relnatts:int2 relhasindex:bool relpersistence:text relisshared:bool relchecks:int2 relispartition:bool relrowsecurity:bool relhasrules:bool", func(c *catalog) (rows [][]any) {
		for _, r := range c.all() {
			natts := len(r.Columns)
			if r.Index != nil {
				natts = len(r.Index.Keys)
			} else if r.Sequence != nil {
				natts = 3
			}
			checks := 0
			for _, k := range r.Constraints {
				if k.Kind == "c" {
					checks++
				}
			}
			rows = append(rows, []any{int64(r.OID), r.Name, int64(c.namespace(r.Schema)), typeOwner, r.Kind, int64(natts), boolean(len(c.indexes(r.OID)) > 0), "p", int64(0), int64(checks), int64(0), int64(0), boolean(r.Kind == "v")})
		}
		return rows
	}},
	"pg_catalog.pg_attribute": {"attrelid:oid attname:name atttypid:oid attlen:int2 attnum:int2 attndims:int4 atttypmod:int4 attnotnull:bool atthasdef:bool attidentity:text attgenerated:text attisdropped:bool attislocal:bool", func(c *catalog) (rows [][]any) {
		for _, r := range c.all() {
			if r.Kind != "r" && r.Kind != "v" {
				continue
			}
			for _, col := range r.Columns {
				t := typeOf(col.Type)
				dims := 0
				if t.Elem != 0 {
					dims = 1
				}
				typ := int64(col.Type)
				if col.Dropped {
					typ = 0
				}
				rows = append(rows, []any{int64(r.OID), col.Name, typ, int64(t.Length), int64(col.Number), int64(dims), int64(col.Typmod), boolean(col.NotNull && !col.Dropped), boolean(col.Default != "" || col.Sequence != 0 && col.Identity == ""),
					col.Identity, "", boolean(col.Dropped), int64(1)})
			}
		}
		return rows
	}},
	"pg_catalog.pg_type": {"oid:oid typname:name typnamespace:oid typowner:oid typlen:int2 typtype:text typcategory:text typispreferred:bool typisdefined:bool typdelim:text typrelid:oid typelem:oid typarray:oid typbasetype:oid typtypmod:int4 typnotnull:bool", func(*catalog) (rows [][]any) {
		for _, n := range typeNames {
			t, _ := postgres.TypeNamed(n)
			for _, t := range []postgres.Type{t, typeOf(t.Array)} {
				if t.OID == 0 {
					continue
				}
				kind := "b"
				if t.Category == 'P' || t.Category == 'X' {
					kind = "p"
				}
				rows = append(rows, []any{int64(t.OID), t.Internal, int64(11), typeOwner, int64(t.Length), kind, string(t.Category), boolean(t.Preferred), int64(1), ",", int64(0), int64(t.Elem), int64(t.Array), int64(0), int64(-1), int64(0)})
			}
		}
		return rows
	}},
	"pg_catalog.pg_index": {"indexrelid:oid indrelid:oid indnatts:int2 indnkeyatts:int2 indisunique:bool indisprimary:bool indisexclusion:bool indimmediate:bool indisvalid:bool indisready:bool indislive:bool", func(c *catalog) (rows [][]any) {
		for _, r := range c.all() {
			if i := r.Index; i != nil {
				n := int64(len(i.Keys))
				rows = append(rows, []any{int64(r.OID), int64(i.Table), n, n, boolean(i.Unique), boolean(i.Primary), int64(0), int64(1), int64(1), int64(1), int64(1)})
			}
		}
		return rows
	}},
	"pg_catalog.pg_constraint": {"oid:oid conname:name connamespace:oid contype:text condeferrable:bool condeferred:bool convalidated:bool conrelid:oid contypid:oid conindid:oid confrelid:oid confupdtype:text confdeltype:text confmatchtype:text conkey:_int2 confkey:_int2", func(c *catalog) (rows [][]any) {
		for _, r := range c.all() {
			for _, k := range r.Constraints {
				update, del, match, index := " ", " ", " ", int64(k.Index)
				var theirs any
				if k.Kind == "f" {
					update, del, match = k.OnUpdate, k.OnDelete, "s"
					theirs = numbers(k.ReferencedColumns)
					index = referencedIndex(c, k)
				}
				rows = append(rows, []any{int64(k.OID), k.Name, int64(c.namespace(r.Schema)), k.Kind, boolean(k.Deferrable), boolean(k.Deferred), int64(1), int64(r.OID), int64(0), index, int64(k.References), update, del, match, numbers(k.Columns), theirs})
			}
		}
		return rows
	}},
	"information_schema.tables": {"table_schema:name table_name:name table_type:varchar is_insertable_into:yes is_typed:yes", func(c *catalog) (rows [][]any) {
		for _, r := range c.all() {
			switch r.Kind {
			case "r":
				rows = append(rows, []any{r.Schema, r.Name, "BASE TABLE", "YES", "NO"})
			case "v":
				rows = append(rows, []any{r.Schema, r.Name, "VIEW", nil, "NO"})
			}
		}
		return rows
	}},
	"information_schema.columns": {"table_schema:name table_name:name column_name:name ordinal_position:int4 is_nullable:yes data_type:varchar character_maximum_length:int4 numeric_precision:int4 numeric_scale:int4 udt_schema:name udt_name:name is_identity:yes identity_generation:varchar is_generated:varchar", func(c *catalog) (rows [][]any) {
		for _, r := range c.all() {
			if r.Kind != "r" && r.Kind != "v" {
				continue
			}
			for _, col := range r.live() {
				t := typeOf(col.Type)
				name := t.Name
				if t.Elem != 0 {
					name = "ARRAY"
				}
				var length, precision, scale, generation any
				switch col.Type {
				case postgres.Varchar, postgres.Bpchar:
					if col.Typmod >= 4 {
						length = int64(col.Typmod - 4)
					}
				case postgres.Int2:
					precision, scale = int64(16), int64(0)
				case postgres.Int4:
					precision, scale = int64(32), int64(0)
				case postgres.Int8:
					precision, scale = int64(64), int64(0)
				case postgres.Float4:
					precision = int64(24)
				case postgres.Float8:
					precision = int64(53)
				case postgres.Numeric:
					if col.Typmod >= 4 {
						precision = int64((col.Typmod - 4) >> 16 & 0xffff)
						scale = int64(((col.Typmod-4)&0x7ff ^ 1024) - 1024)
					}
				}
				identity := "NO"
				if col.Identity != "" {
					identity, generation = "YES", map[string]string{"a": "ALWAYS", "d": "BY DEFAULT"}[col.Identity]
				}
				rows = append(rows, []any{r.Schema, r.Name, col.Name, int64(col.Number), map[bool]string{true: "NO", false: "YES"}[col.NotNull], name, length, precision, scale, catalogSchema, t.Internal, identity, generation, "NEVER"})
			}
		}
		return rows
	}},
}

const informationOID = 13000

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

// systemRelation finds one of them. ok tells whether the name is PostgreSQL's.
func (c *compiler) systemRelation(r *pg.RangeVar, it *item) (sql string, ok bool, err error) {
	schema := r.Schemaname
	if schema == "" {
		schema = catalogSchema
	}
	t, ok := systemTables[schema+"."+r.Relname]
	if !ok {
		if schema == "information_schema" || schema == catalogSchema && strings.HasPrefix(r.Relname, "pg_") && slices.Contains(systemNames, r.Relname) {
			return "", true, c.refuse(r.Location, "%s.%s", schema, r.Relname)
		}
		return "", false, nil
	}
	it.schema, it.partial = schema, true
	columns := strings.Fields(t.columns)
	for i, col := range columns {
		name, typ, _ := strings.Cut(col, ":")
		mod := int32(-1)
		if typ == "yes" { // yes_or_no is varchar(3)
			typ, mod = "varchar", 7
		}
		x, _ := postgres.TypeNamed(typ)
		it.columns = append(it.columns, &field{name: name, sql: it.alias + ".column" + strconv.Itoa(i+1), typ: x.OID, mod: mod})
	}
	var b strings.Builder
	for i, row := range t.rows(c.cat) {
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
		var none []string
		for i := range columns {
			none = append(none, "NULL AS column"+strconv.Itoa(i+1))
		}
		return "(SELECT " + strings.Join(none, ",") + " WHERE 0) AS " + it.alias, true, nil
	}
	return "(VALUES " + b.String() + ") AS " + it.alias, true, nil
}

// systemNames are relations of pg_catalog that are not here.
var systemNames = strings.Fields(`pg_attrdef pg_proc pg_description pg_sequence pg_sequences pg_tables pg_views pg_indexes pg_roles pg_user pg_database pg_settings pg_stat_activity
	pg_enum pg_range pg_am pg_opclass pg_operator pg_cast pg_collation pg_depend pg_inherits pg_trigger pg_rewrite pg_tablespace pg_authid pg_auth_members pg_extension
	pg_language pg_aggregate pg_policy pg_publication pg_subscription pg_stat_user_tables pg_statistic pg_stats pg_matviews pg_locks pg_constraint_trigger pg_event_trigger
	pg_foreign_table pg_foreign_server pg_shdescription pg_partitioned_table pg_timezone_names pg_timezone_abbrevs`)

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
