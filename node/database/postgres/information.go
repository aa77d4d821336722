package postgres

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/stratosmesh/stratos/protocol/postgres"
)

func informationTables() map[string]systemTable {
	return map[string]systemTable{
		"information_schema.tables": {"table_catalog:name=@ table_schema:name table_name:name table_type:varchar self_referencing_column_name:name=NULL reference_generation:varchar=NULL user_defined_type_catalog:name=NULL user_defined_type_schema:name=NULL user_defined_type_name:name=NULL is_insertable_into:yes is_typed:yes commit_action:varchar=NULL", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				if !c.shown(r) {
					continue
				}
				switch r.Kind {
				case "r":
					rows = append(rows, []any{r.Schema, r.Name, "BASE TABLE", "YES", "NO"})
				case "v":
					rows = append(rows, []any{r.Schema, r.Name, "VIEW", nil, "NO"})
				}
			}
			return rows
		}},
		"information_schema.columns": {`table_catalog:name=@ table_schema:name table_name:name column_name:name ordinal_position:int4 column_default:varchar is_nullable:yes data_type:varchar character_maximum_length:int4
		character_octet_length:int4 numeric_precision:int4 numeric_precision_radix:int4 numeric_scale:int4 datetime_precision:int4 interval_type:varchar=NULL interval_precision:int4=NULL character_set_catalog:name=NULL
		character_set_schema:name=NULL character_set_name:name=NULL collation_catalog:name=NULL collation_schema:name=NULL collation_name:name=NULL domain_catalog:name=NULL domain_schema:name=NULL domain_name:name=NULL
		udt_catalog:name=@ udt_schema:name=pg_catalog udt_name:name scope_catalog:name=NULL scope_schema:name=NULL scope_name:name=NULL maximum_cardinality:int4=NULL dtd_identifier:name is_self_referencing:yes=NO
		is_identity:yes identity_generation:varchar identity_start:varchar identity_increment:varchar identity_maximum:varchar identity_minimum:varchar identity_cycle:yes is_generated:varchar=NEVER
		generation_expression:varchar=NULL is_updatable:yes`, func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				if r.Kind != "r" && r.Kind != "v" || !c.shown(r) {
					continue
				}
				for _, col := range r.live() {
					t := typeOf(col.Type)
					name := t.Name
					if t.Elem != 0 {
						name = "ARRAY"
					}
					var length, octets, precision, radix, scale, fraction, generation, start, increment, most, least any
					switch col.Type {
					case postgres.Varchar, postgres.Bpchar:
						octets = int64(1 << 30)
						if col.Typmod >= 4 {
							length, octets = int64(col.Typmod-4), int64(col.Typmod-4)*4
						}
					case postgres.Text:
						octets = int64(1 << 30)
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
					switch {
					case col.Type == postgres.Numeric:
						radix = int64(10)
					case precision != nil:
						radix = int64(2)
					case typeOf(col.Type).Category == 'D' || col.Type == postgres.Interval:
						fraction = fractionOf(col)
					}
					def := nullable(c.cat.defaultText(col))
					identity, cycle := "NO", "NO"
					if q := c.cat.byOID[col.Sequence]; q != nil && col.Identity != "" {
						text := func(n int64) any { return strconv.FormatInt(n, 10) }
						start, increment, most, least, cycle = text(q.Sequence.Start), text(q.Sequence.Increment), text(q.Sequence.Max), text(q.Sequence.Min), yes(q.Sequence.Cycle)
					}
					if col.Identity != "" {
						identity, generation = "YES", map[string]string{"a": "ALWAYS", "d": "BY DEFAULT"}[col.Identity]
					}
					rows = append(rows, []any{r.Schema, r.Name, col.Name, int64(col.Number), def, map[bool]string{true: "NO", false: "YES"}[col.NotNull], name, length, octets, precision, radix, scale, fraction,
						t.Internal, strconv.Itoa(col.Number), identity, generation, start, increment, most, least, cycle, yes(r.Kind == "r")})
				}
			}
			return rows
		}},
		"information_schema.schemata": {"catalog_name:name=@ schema_name:name schema_owner:name default_character_set_catalog:name=NULL default_character_set_schema:name=NULL default_character_set_name:name=NULL sql_path:varchar=NULL", func(c *compiler) (rows [][]any) {
			rows = [][]any{{catalogSchema, ownerName}, {informationSchema, ownerName}}
			for _, n := range c.cat.head.Schemas {
				owner := ownerName
				if n.OID == publicOID {
					owner = databaseOwnerAs
				}
				rows = append(rows, []any{n.Name, owner})
			}
			return rows
		}},
		"information_schema.table_constraints": {"constraint_catalog:name=@ constraint_schema:name constraint_name:name table_catalog:name=@ table_schema:name table_name:name constraint_type:varchar is_deferrable:yes initially_deferred:yes enforced:yes=YES nulls_distinct:yes", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				for _, k := range r.Constraints {
					var distinct any
					if k.Kind == "u" {
						distinct = "YES"
					}
					rows = append(rows, []any{r.Schema, k.Name, r.Schema, r.Name, constraintKinds[k.Kind], yes(k.Deferrable), yes(k.Deferred), distinct})
				}
				for _, name := range c.cat.notNull(r) {
					rows = append(rows, []any{r.Schema, name[0], r.Schema, r.Name, constraintKinds["c"], yes(false), yes(false), nil})
				}
			}
			return rows
		}},
		"information_schema.check_constraints": {"constraint_catalog:name=@ constraint_schema:name constraint_name:name check_clause:varchar", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				for _, k := range r.Constraints {
					if k.Kind == "c" {
						rows = append(rows, []any{r.Schema, k.Name, "(" + wrapped(k.Check) + ")"})
					}
				}
				for _, name := range c.cat.notNull(r) {
					rows = append(rows, []any{r.Schema, name[0], name[1] + " IS NOT NULL"})
				}
			}
			return rows
		}},
		"information_schema.key_column_usage": {"constraint_catalog:name=@ constraint_schema:name constraint_name:name table_catalog:name=@ table_schema:name table_name:name column_name:name ordinal_position:int4 position_in_unique_constraint:int4", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				for _, k := range r.Constraints {
					if k.Kind == "c" {
						continue
					}
					for i, n := range k.Columns {
						var theirs any
						if _, key := c.cat.referencedKey(k); key != nil {
							theirs = int64(slices.Index(key.Columns, k.ReferencedColumns[i]) + 1)
						}
						rows = append(rows, []any{r.Schema, k.Name, r.Schema, r.Name, r.column(n).Name, int64(i + 1), theirs})
					}
				}
			}
			return rows
		}},
		"information_schema.constraint_column_usage": {"table_catalog:name=@ table_schema:name table_name:name column_name:name constraint_catalog:name=@ constraint_schema:name constraint_name:name", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				for _, k := range r.Constraints {
					t, columns := r, k.Columns
					if k.Kind == "f" {
						if t = c.cat.byOID[k.References]; t == nil {
							continue
						}
						columns = k.ReferencedColumns
					}
					for _, n := range columns {
						rows = append(rows, []any{t.Schema, t.Name, t.column(n).Name, r.Schema, k.Name})
					}
				}
			}
			return rows
		}},
		"information_schema.referential_constraints": {"constraint_catalog:name=@ constraint_schema:name constraint_name:name unique_constraint_catalog:name unique_constraint_schema:name unique_constraint_name:name match_option:varchar=NONE update_rule:varchar delete_rule:varchar", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				for _, k := range r.Constraints {
					if k.Kind != "f" {
						continue
					}
					var catalog, schema, name any
					if t, key := c.cat.referencedKey(k); key != nil {
						catalog, schema, name = databaseName{}, t.Schema, key.Name
					}
					rows = append(rows, []any{r.Schema, k.Name, catalog, schema, name, actions[k.OnUpdate], actions[k.OnDelete]})
				}
			}
			return rows
		}},
		"information_schema.views": {"table_catalog:name=@ table_schema:name table_name:name view_definition:varchar check_option:varchar=NONE is_updatable:yes=NO is_insertable_into:yes=NO is_trigger_updatable:yes=NO is_trigger_deletable:yes=NO is_trigger_insertable_into:yes=NO", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				if r.Kind == "v" {
					rows = append(rows, []any{r.Schema, r.Name, viewText(r)})
				}
			}
			return rows
		}},
		"information_schema.sequences": {"sequence_catalog:name=@ sequence_schema:name sequence_name:name data_type:varchar numeric_precision:int4 numeric_precision_radix:int4=2 numeric_scale:int4=0 start_value:varchar minimum_value:varchar maximum_value:varchar increment:varchar cycle_option:yes", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				q := r.Sequence
				if q == nil {
					continue
				}
				if t := c.cat.byOID[q.OwnerTable]; t != nil && t.column(q.OwnerColumn).Identity != "" {
					continue // an identity's is not shown
				}
				text := func(n int64) string { return strconv.FormatInt(n, 10) }
				rows = append(rows, []any{r.Schema, r.Name, typeName(q.Type), int64(typeOf(q.Type).Length) * 8, text(q.Start), text(q.Min), text(q.Max), text(q.Increment), yes(q.Cycle)})
			}
			return rows
		}},
	}
}

var constraintKinds = map[string]string{"p": "PRIMARY KEY", "u": "UNIQUE", "c": "CHECK", "f": "FOREIGN KEY"}

func yes(b bool) string {
	if b {
		return "YES"
	}
	return "NO"
}

// notNull are the names of the checks by which information_schema tells NOT NULL, each with its column's.
func (c *catalog) notNull(r *relation) (list [][2]string) {
	for _, col := range r.live() {
		if r.Kind == "r" && col.NotNull {
			list = append(list, [2]string{fmt.Sprintf("%d_%d_%d_not_null", c.namespace(r.Schema), r.OID, col.Number), col.Name})
		}
	}
	return list
}

// referencedKey is the unique constraint that a foreign key rests on; nil if that is an index only, or k is none.
func (c *catalog) referencedKey(k *constraint) (*relation, *constraint) {
	t := c.byOID[k.References]
	if k.Kind != "f" || t == nil {
		return nil, nil
	}
	for _, p := range t.Constraints {
		if p.Index != 0 && sameSet(p.Columns, k.ReferencedColumns) {
			return t, p
		}
	}
	return nil, nil
}

// fractionOf are the digits of a second that a column of a time has.
func fractionOf(col *column) int64 {
	switch {
	case col.Type == postgres.Date:
		return 0
	case col.Typmod >= 0:
		return int64(col.Typmod)
	}
	return 6
}
