package postgres

import "github.com/stratosmesh/stratos/protocol/postgres"

// Columns that tell the database are not here, because a statement does not know it.
var informationTables = map[string]systemTable{
	"information_schema.tables": {"table_schema:name table_name:name table_type:varchar is_insertable_into:yes is_typed:yes", func(c *compiler) (rows [][]any) {
		for _, r := range c.cat.all() {
			switch r.Kind {
			case "r":
				rows = append(rows, []any{r.Schema, r.Name, "BASE TABLE", "YES", "NO"})
			case "v":
				rows = append(rows, []any{r.Schema, r.Name, "VIEW", nil, "NO"})
			}
		}
		return rows
	}},
	"information_schema.columns": {"table_schema:name table_name:name column_name:name ordinal_position:int4 column_default:varchar is_nullable:yes data_type:varchar character_maximum_length:int4 numeric_precision:int4 numeric_scale:int4 udt_schema:name udt_name:name is_identity:yes identity_generation:varchar is_generated:varchar", func(c *compiler) (rows [][]any) {
		for _, r := range c.cat.all() {
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
				def := nullable(c.cat.defaultText(col))
				identity := "NO"
				if col.Identity != "" {
					identity, generation = "YES", map[string]string{"a": "ALWAYS", "d": "BY DEFAULT"}[col.Identity]
				}
				rows = append(rows, []any{r.Schema, r.Name, col.Name, int64(col.Number), def, map[bool]string{true: "NO", false: "YES"}[col.NotNull], name, length, precision, scale, catalogSchema, t.Internal, identity, generation, "NEVER"})
			}
		}
		return rows
	}},
}
