package postgres

import (
	"github.com/stratosmesh/stratos/protocol/postgres"
)

// none is for what there is nothing of.
func none(*compiler) [][]any { return nil }

const (
	heapOID  = int64(2) // of pg_am
	btreeOID = int64(403)
)

// collation of a type's values, by pg_collation's OID.
func collationOf(t oid) int64 {
	if e := typeOf(t).Elem; e != 0 {
		t = e
	}
	switch {
	case t == postgres.Name:
		return 950
	case isString(t):
		return 100
	}
	return 0
}

// storageOf is pg_attribute.attstorage.
func storageOf(t oid) string {
	switch {
	case typeOf(t).Length > 0:
		return "p"
	case t == postgres.Numeric:
		return "m"
	}
	return "x"
}

// referenced tells whether a table is on either side of a foreign key.
func (c *catalog) referenced(r *relation) bool {
	for _, o := range c.all() {
		for _, k := range o.Constraints {
			if k.Kind == "f" && (o == r || k.References == r.OID) {
				return true
			}
		}
	}
	return false
}

// keyType is the type of what an index orders by, 0 if it cannot be told.
func (c *compiler) keyType(r *relation, k indexKey) (oid, int32) {
	t := c.cat.byOID[r.Index.Table]
	if k.Column != 0 {
		return t.column(k.Column).Type, t.column(k.Column).Typmod
	}
	var e *expr
	err := c.within(k.Expression, func() error {
		n, err := c.parseExpression(k.Expression)
		if err == nil {
			e, err = c.keep(n, tableScope(t, "", "index expressions"))
		}
		if err == nil {
			e, err = c.resolveUnknown(e)
		}
		return err
	})
	if err != nil {
		return 0, -1
	}
	return e.typ, e.mod
}

// keyName is the name of an index's column.
func (c *compiler) keyName(r *relation, k indexKey) string {
	if k.Column != 0 {
		return c.cat.byOID[r.Index.Table].column(k.Column).Name
	}
	if n, err := c.parseExpression(k.Expression); err == nil {
		if name, strength := figure(n); strength > 0 {
			return name
		}
	}
	return "expr"
}

func nullable(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func catalogTables() map[string]systemTable {
	return map[string]systemTable{
		"pg_catalog.pg_namespace": {"oid:oid nspname:name nspowner:oid nspacl:_text", func(c *compiler) (rows [][]any) {
			rows = [][]any{{int64(catalogOID), catalogSchema, typeOwner, nil}, {int64(informationOID), informationSchema, typeOwner, nil}}
			for _, n := range c.cat.head.Schemas {
				owner := typeOwner
				if n.OID == publicOID {
					owner = databaseOwner
				}
				rows = append(rows, []any{int64(n.OID), n.Name, owner, c.cat.accessList(n.Grants, allRights["n"])})
			}
			return rows
		}},
		"pg_catalog.pg_class": {`oid:oid relname:name relnamespace:oid reloftype:oid=0 relowner:oid relam:oid reltablespace:oid=0 relpages:int4=0 reltuples:float4=-1 relallvisible:int4=0 reltoastrelid:oid=0
		relhasindex:bool relisshared:bool=f relpersistence:text=p relkind:text relnatts:int2 relchecks:int2 relhasrules:bool relhastriggers:bool relhassubclass:bool=f relrowsecurity:bool
		relforcerowsecurity:bool relispopulated:bool=t relreplident:text relispartition:bool=f relrewrite:oid=0 relacl:_text reloptions:_text=NULL relpartbound:text=NULL`, func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				natts, am, identity := len(r.Columns), int64(0), "n"
				switch {
				case r.Index != nil:
					natts, am = len(r.Index.Keys), btreeOID
					if r.Index.inverted() {
						am = ginOID
					}
				case r.Sequence != nil:
					natts = 3
				case r.Kind == "r":
					am, identity = heapOID, "d"
				}
				checks := 0
				for _, k := range r.Constraints {
					if k.Kind == "c" {
						checks++
					}
				}
				rows = append(rows, []any{int64(r.OID), r.Name, int64(c.cat.namespace(r.Schema)), typeOwner, am, boolean(len(c.cat.indexes(r.OID)) > 0), r.Kind, int64(natts), int64(checks), boolean(r.Kind == "v"), boolean(c.cat.referenced(r)),
					boolean(r.RowSecurity), boolean(r.ForceRows), identity, c.cat.accessList(r.Grants, allRights[r.Kind])})
			}
			return rows
		}},
		"pg_catalog.pg_attribute": {`attrelid:oid attname:name atttypid:oid attstattarget:int4=-1 attlen:int2 attnum:int2 attndims:int4 attcacheoff:int4=-1 atttypmod:int4 attstorage:text attcompression:text=
		attnotnull:bool atthasdef:bool atthasmissing:bool=f attidentity:text attgenerated:text= attisdropped:bool attislocal:bool=t attinhcount:int4=0 attcollation:oid attacl:_text=NULL
		attoptions:_text=NULL attfdwoptions:_text=NULL attmissingval:_text=NULL`, func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				if r.Index != nil {
					for i, k := range r.Index.Keys {
						typ, mod := c.keyType(r, k)
						rows = append(rows, []any{int64(r.OID), c.keyName(r, k), int64(typ), int64(typeOf(typ).Length), int64(i + 1), int64(0), int64(mod), storageOf(typ), int64(0), int64(0), "", int64(0), collationOf(typ)})
					}
				}
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
					rows = append(rows, []any{int64(r.OID), col.Name, typ, int64(t.Length), int64(col.Number), int64(dims), int64(col.Typmod), storageOf(col.Type), boolean(col.NotNull && !col.Dropped),
						boolean(!col.Dropped && c.cat.defaultText(col) != ""), col.Identity, boolean(col.Dropped), collationOf(col.Type)})
				}
			}
			return rows
		}},
		"pg_catalog.pg_attrdef": {"adrelid:oid adnum:int2 adbin:text", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				for _, col := range r.live() {
					if text := c.cat.defaultText(col); text != "" {
						rows = append(rows, []any{int64(r.OID), int64(col.Number), text})
					}
				}
			}
			return rows
		}},
		"pg_catalog.pg_type": {`oid:oid typname:name typnamespace:oid=11 typowner:oid typlen:int2 typtype:text typcategory:text typispreferred:bool typisdefined:bool=t typdelim:text=, typrelid:oid=0 typelem:oid
		typarray:oid typnotnull:bool=f typbasetype:oid=0 typtypmod:int4=-1 typndims:int4=0 typcollation:oid typdefault:text=NULL`, func(*compiler) (rows [][]any) {
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
					rows = append(rows, []any{int64(t.OID), t.Internal, typeOwner, int64(t.Length), kind, string(t.Category), boolean(t.Preferred), int64(t.Elem), int64(t.Array), collationOf(t.OID)})
				}
			}
			return rows
		}},
		"pg_catalog.pg_index": {`indexrelid:oid indrelid:oid indnatts:int2 indnkeyatts:int2 indisunique:bool indnullsnotdistinct:bool=f indisprimary:bool indisexclusion:bool=f indimmediate:bool=t indisclustered:bool=f
		indisvalid:bool=t indcheckxmin:bool=f indisready:bool=t indislive:bool=t indisreplident:bool=f indkey:int2vector indoption:int2vector indexprs:text indpred:text`, func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				i := r.Index
				if i == nil {
					continue
				}
				n := int64(len(i.Keys))
				var keys, options []int64
				expressions := ""
				for _, k := range i.Keys {
					option := int64(0)
					if k.Descending {
						option |= 1
					}
					if k.NullsFirst {
						option |= 2
					}
					keys, options = append(keys, int64(k.Column)), append(options, option)
					if k.Column == 0 {
						if expressions != "" {
							expressions += ", "
						}
						expressions += k.Expression
					}
				}
				var predicate any
				if i.Where != "" {
					predicate = wrapped(i.Where)
				}
				rows = append(rows, []any{int64(r.OID), int64(i.Table), n, n, boolean(i.Unique), boolean(i.Primary), listText(keys), listText(options), nullable(expressions), predicate})
			}
			return rows
		}},
		"pg_catalog.pg_constraint": {`oid:oid conname:name connamespace:oid contype:text condeferrable:bool condeferred:bool convalidated:bool=t conrelid:oid contypid:oid=0 conindid:oid conparentid:oid=0 confrelid:oid
		confupdtype:text confdeltype:text confmatchtype:text conislocal:bool=t coninhcount:int4=0 connoinherit:bool conkey:_int2 confkey:_int2 confdelsetcols:_int2=NULL conbin:text`, func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				for _, k := range r.Constraints {
					update, del, match, index := " ", " ", " ", int64(k.Index)
					var theirs, check any
					switch k.Kind {
					case "f":
						update, del, match = k.OnUpdate, k.OnDelete, "s"
						theirs = numbers(k.ReferencedColumns)
						index = referencedIndex(c.cat, k)
					case "c":
						check = wrapped(k.Check)
					}
					rows = append(rows, []any{int64(k.OID), k.Name, int64(c.cat.namespace(r.Schema)), k.Kind, boolean(k.Deferrable), boolean(k.Deferred), int64(r.OID), index, int64(k.References), update, del, match,
						boolean(k.Kind != "c"), numbers(k.Columns), theirs, check})
				}
			}
			return rows
		}},
		"pg_catalog.pg_description": {"objoid:oid classoid:oid objsubid:int4 description:text", func(c *compiler) (rows [][]any) {
			for _, d := range c.cat.descriptions() {
				rows = append(rows, []any{int64(d.object), d.class, int64(d.column), d.text})
			}
			return rows
		}},
		"pg_catalog.pg_depend": {"classid:oid=1259 objid:oid objsubid:int4=0 refclassid:oid=1259 refobjid:oid refobjsubid:int4 deptype:text", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() { // which column a sequence belongs to; of others nothing is told
				if r.Sequence == nil || r.Sequence.OwnerTable == 0 {
					continue
				}
				kind := "a"
				if t := c.cat.byOID[r.Sequence.OwnerTable]; t != nil && t.column(r.Sequence.OwnerColumn).Identity != "" {
					kind = "i"
				}
				rows = append(rows, []any{int64(r.OID), int64(r.Sequence.OwnerTable), int64(r.Sequence.OwnerColumn), kind})
			}
			return rows
		}},
		"pg_catalog.pg_sequence": {"seqrelid:oid seqtypid:oid seqstart:int8 seqincrement:int8 seqmax:int8 seqmin:int8 seqcache:int8 seqcycle:bool", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				if q := r.Sequence; q != nil {
					rows = append(rows, []any{int64(r.OID), int64(q.Type), q.Start, q.Increment, q.Max, q.Min, q.Cache, boolean(q.Cycle)})
				}
			}
			return rows
		}},
		"pg_catalog.pg_sequences": {"schemaname:name sequencename:name sequenceowner:name data_type:regtype start_value:int8 min_value:int8 max_value:int8 increment_by:int8 cycle:bool cache_size:int8", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				if q := r.Sequence; q != nil {
					rows = append(rows, []any{r.Schema, r.Name, ownerName, int64(q.Type), q.Start, q.Min, q.Max, q.Increment, boolean(q.Cycle), q.Cache})
				}
			}
			return rows
		}},
		"pg_catalog.pg_tables": {"schemaname:name tablename:name tableowner:name tablespace:name=NULL hasindexes:bool hasrules:bool=f hastriggers:bool rowsecurity:bool", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				if r.Kind == "r" {
					rows = append(rows, []any{r.Schema, r.Name, ownerName, boolean(len(c.cat.indexes(r.OID)) > 0), boolean(c.cat.referenced(r)), boolean(r.RowSecurity)})
				}
			}
			return rows
		}},
		"pg_catalog.pg_views": {"schemaname:name viewname:name viewowner:name definition:text", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				if r.Kind == "v" {
					rows = append(rows, []any{r.Schema, r.Name, ownerName, viewText(r)})
				}
			}
			return rows
		}},
		"pg_catalog.pg_indexes": {"schemaname:name tablename:name indexname:name tablespace:name=NULL indexdef:text", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				if r.Index != nil {
					rows = append(rows, []any{r.Schema, c.cat.byOID[r.Index.Table].Name, r.Name, c.cat.indexText(r, false)})
				}
			}
			return rows
		}},
		"pg_catalog.pg_am": {"oid:oid amname:name amtype:text", func(*compiler) [][]any {
			return [][]any{{heapOID, "heap", "t"}, {btreeOID, "btree", "i"}, {ginOID, gin, "i"}}
		}},
		"pg_catalog.pg_collation": {"oid:oid collname:name collnamespace:oid=11 collowner:oid=10 collprovider:text collisdeterministic:bool=t collencoding:int4=-1 collcollate:text collctype:text colliculocale:text=NULL collversion:text=NULL", func(*compiler) [][]any {
			return [][]any{{int64(100), "default", "d", nil, nil}, {int64(950), "C", "c", "C", "C"}, {int64(951), "POSIX", "c", "POSIX", "POSIX"}}
		}},
		"pg_catalog.pg_database": {"oid:oid datname:name=@ datdba:oid=10 encoding:int4=6 datlocprovider:text=c datistemplate:bool=f datallowconn:bool=t datcollate:text=C datctype:text=C daticulocale:text=NULL datconnlimit:int4=-1 datacl:_text=NULL", func(c *compiler) (rows [][]any) {
			return [][]any{{int64(5)}} // the one that is asked
		}},
		"pg_catalog.pg_roles": {"rolname:name rolsuper:bool rolinherit:bool=t rolcreaterole:bool rolcreatedb:bool rolcanlogin:bool rolreplication:bool rolconnlimit:int4=-1 rolpassword:text=******** rolvaliduntil:timestamptz=NULL rolbypassrls:bool rolconfig:_text=NULL oid:oid", func(c *compiler) (rows [][]any) {
			for _, o := range []int64{typeOwner, databaseOwner} {
				all := boolean(o == typeOwner)
				rows = append(rows, []any{roleName(o), all, all, all, all, all, all, o})
			}
			for _, r := range c.cat.head.Roles {
				no := boolean(false)
				rows = append(rows, []any{r.Name, no, no, no, boolean(r.Login), no, no, int64(r.OID)})
			}
			return rows
		}},
		"pg_catalog.pg_auth_members": {"roleid:oid member:oid grantor:oid=10 admin_option:bool=f", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.head.Roles {
				for _, in := range r.In {
					rows = append(rows, []any{int64(in), int64(r.OID)})
				}
			}
			return rows
		}},
		"pg_catalog.pg_policies": {"schemaname:name tablename:name policyname:name permissive:text roles:_name cmd:text qual:text with_check:text", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				for _, p := range r.Policies {
					command := "ALL"
					if p.Command != "*" {
						command = rightNames[p.Command[0]]
					}
					var roles []string
					for _, o := range p.Roles {
						name := "public"
						if o != everyone {
							name = c.cat.head.roleName(int64(o))
						}
						roles = append(roles, name)
					}
					rows = append(rows, []any{r.Schema, r.Name, p.Name, map[bool]string{false: "PERMISSIVE", true: "RESTRICTIVE"}[p.Restrictive], textArray(roles), command, policyText(p.Using), policyText(p.Check)})
				}
			}
			return rows
		}},
		"pg_catalog.pg_policy": {"oid:oid polname:name polrelid:oid polcmd:text polpermissive:bool polroles:_oid polqual:text polwithcheck:text", func(c *compiler) (rows [][]any) {
			for _, r := range c.cat.all() {
				for _, p := range r.Policies {
					var roles []int
					for _, o := range p.Roles {
						roles = append(roles, int(o))
					}
					rows = append(rows, []any{int64(p.OID), p.Name, int64(r.OID), p.Command, boolean(!p.Restrictive), numbers(roles), policyText(p.Using), policyText(p.Check)})
				}
			}
			return rows
		}},

		// What there is nothing of.
		"pg_catalog.pg_enum":                  {"oid:oid enumtypid:oid enumsortorder:float4 enumlabel:name", none},
		"pg_catalog.pg_event_trigger":         {"oid:oid evtname:name evtevent:name evtowner:oid evtfoid:oid evtenabled:text evttags:_text", none},
		"pg_catalog.pg_extension":             {"oid:oid extname:name extowner:oid extnamespace:oid extrelocatable:bool extversion:text extconfig:_oid extcondition:_text", none},
		"pg_catalog.pg_foreign_data_wrapper":  {"oid:oid fdwname:name fdwowner:oid fdwhandler:oid fdwvalidator:oid fdwacl:_text fdwoptions:_text", none},
		"pg_catalog.pg_foreign_server":        {"oid:oid srvname:name srvowner:oid srvfdw:oid srvtype:text srvversion:text srvacl:_text srvoptions:_text", none},
		"pg_catalog.pg_foreign_table":         {"ftrelid:oid ftserver:oid ftoptions:_text", none},
		"pg_catalog.pg_inherits":              {"inhrelid:oid inhparent:oid inhseqno:int4 inhdetachpending:bool", none},
		"pg_catalog.pg_matviews":              {"schemaname:name matviewname:name matviewowner:name tablespace:name hasindexes:bool ispopulated:bool definition:text", none},
		"pg_catalog.pg_partitioned_table":     {"partrelid:oid partstrat:text partnatts:int2 partdefid:oid partattrs:int2vector partexprs:text", none},
		"pg_catalog.pg_proc":                  {"oid:oid proname:name pronamespace:oid proowner:oid prolang:oid procost:float4 prorows:float4 provariadic:oid prokind:text prosecdef:bool proleakproof:bool proisstrict:bool proretset:bool provolatile:text proparallel:text pronargs:int2 pronargdefaults:int2 prorettype:oid proallargtypes:_oid proargmodes:_text proargnames:_text prosrc:text probin:text proconfig:_text proacl:_text", none},
		"pg_catalog.pg_publication":           {"oid:oid pubname:name pubowner:oid puballtables:bool pubinsert:bool pubupdate:bool pubdelete:bool pubtruncate:bool pubviaroot:bool", publications},
		"pg_catalog.pg_publication_namespace": {"oid:oid pnpubid:oid pnnspid:oid", none},
		"pg_catalog.pg_publication_rel":       {"oid:oid prpubid:oid prrelid:oid prqual:text=NULL prattrs:int2vector=NULL", publicationRels},
		"pg_catalog.pg_publication_tables":    {"pubname:name schemaname:name tablename:name attnames:_name rowfilter:text=NULL", publishedTables},
		"pg_catalog.pg_range":                 {"rngtypid:oid rngsubtype:oid rngmultitypid:oid rngcollation:oid rngsubopc:oid", none},
		"pg_catalog.pg_statistic_ext":         {"oid:oid stxrelid:oid stxname:name stxnamespace:oid stxowner:oid stxstattarget:int4 stxkeys:int2vector stxkind:_text stxexprs:text", none},
		"pg_catalog.pg_subscription":          {"oid:oid subdbid:oid subname:name subowner:oid subenabled:bool", none},
		"pg_catalog.pg_trigger":               {"oid:oid tgrelid:oid tgparentid:oid tgname:name tgfoid:oid tgtype:int2 tgenabled:text tgisinternal:bool tgconstrrelid:oid tgconstrindid:oid tgconstraint:oid tgdeferrable:bool tginitdeferred:bool tgnargs:int2 tgqual:text tgoldtable:name tgnewtable:name", none},
	}
}
