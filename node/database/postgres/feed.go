package postgres

import (
	"slices"
	"strconv"
	"strings"
	"time"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/postgres/jsonb"
)

// Feeds are what a database tells those who follow it: changes of published tables, and notifications. They lie in tables of the same
// file, are written by the transactions that they tell of, and are in the content's digest:
//
//	pg_change(id, publications, namespace, name, kind, old, new): a change each
//	pg_notification(id, channel, payload)
//	pg_feed(id, lost, sealed, bytes): 1 changes, 2 notifications: the last id that was removed, that was counted, and the bytes that are kept
//	pg_feed_block(feed, height, time_ms, bytes): blocks of which there is something
//
// An id is a position: the block's height times 2^24, and the place within the block, from 1. Triggers write changes: p, the table's OID,
// and i, u or d. A statement reads them as relations of the schema stratos, see feedRelations.
const (
	feedsSchema = "stratos"

	changesFeed       = 1
	notificationsFeed = 2

	positionBits = 24
	maxHeight    = 1 << 38

	// What is older in block time, or beyond these bytes, is removed with the next block, oldest blocks first; of age a few at a time.
	feedTime      = time.Hour
	feedBytes     = 64 << 20
	feedRowBytes  = 64 // that a row counts besides its texts
	agedPerBlock  = 16
	maxChannel    = 63   // bytes
	maxPayload    = 7999 // bytes
	rowArguments  = 60   // columns of one call of "row"
	recordedQuiet = "quiet"
)

var feedTables = []string{
	"CREATE TABLE pg_change(id INTEGER PRIMARY KEY, publications TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, old TEXT, new TEXT) STRICT",
	"CREATE TABLE pg_notification(id INTEGER PRIMARY KEY, channel TEXT NOT NULL, payload TEXT NOT NULL) STRICT",
	"CREATE TABLE pg_feed(id INTEGER PRIMARY KEY, lost INTEGER NOT NULL, sealed INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT",
	"CREATE TABLE pg_feed_block(feed INTEGER NOT NULL, height INTEGER NOT NULL, time_ms INTEGER NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY(feed, height)) STRICT, WITHOUT ROWID",
	"INSERT INTO pg_feed VALUES(1,0,0,0),(2,0,0,0)",
}

// feeds makes the tables, once.
func (e *edit) feeds() {
	if e.head.Feeds {
		return
	}
	e.head.Feeds = true
	for _, sql := range feedTables {
		e.do(sql)
	}
}

// feedSQL are the statements of Seal, by feed.
var feedSQL = map[int64]struct{ count, remove string }{
	changesFeed: {"SELECT max(id), sum(length(CAST(publications||namespace||name||kind||coalesce(old,'')||coalesce(new,'') AS BLOB))), count(*) FROM main.pg_change WHERE id>?",
		"DELETE FROM main.pg_change WHERE id BETWEEN ? AND ?"},
	notificationsFeed: {"SELECT max(id), sum(length(CAST(channel||payload AS BLOB))), count(*) FROM main.pg_notification WHERE id>?",
		"DELETE FROM main.pg_notification WHERE id BETWEEN ? AND ?"},
}

// Seal counts what the block has told, and removes what is too old or too much.
func (s *session) Seal(f engine.File, height uint64, timeMs int64) error {
	if s.cat == nil {
		c, err := loadCatalog(f)
		if err != nil {
			return err
		}
		s.cat = c
	}
	if !s.cat.head.Feeds {
		return nil
	}
	for _, feed := range []int64{changesFeed, notificationsFeed} {
		if err := sealFeed(f, feed, int64(height), timeMs); err != nil {
			return err
		}
	}
	return nil
}

// whole reads integers of a row of the file's own.
func whole(row []any, to ...*int64) error {
	for i, p := range to {
		n, ok := row[i].(int64)
		if !ok && row[i] != nil {
			return corrupt("a feed that cannot be")
		}
		*p = n
	}
	return nil
}

func sealFeed(f engine.File, feed, height, timeMs int64) error {
	rows, err := f.Query("SELECT lost, sealed, bytes FROM main.pg_feed WHERE id=?", feed)
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		return corrupt("no feed")
	}
	var lost, sealed, kept, last, size, count int64
	if err := whole(rows[0], &lost, &sealed, &kept); err != nil {
		return err
	}
	was := [3]int64{lost, sealed, kept}
	if rows, err = f.Query(feedSQL[feed].count, sealed); err != nil {
		return err
	}
	if err := whole(rows[0], &last, &size, &count); err != nil {
		return err
	}
	if count > 0 {
		size += feedRowBytes * count
		sealed, kept = last, kept+size
		if _, err := f.Query("INSERT INTO main.pg_feed_block VALUES(?,?,?,?)", feed, height, timeMs, size); err != nil {
			return err
		}
	}
	for aged := 0; ; {
		rows, err := f.Query("SELECT height, time_ms, bytes FROM main.pg_feed_block WHERE feed=? ORDER BY height LIMIT 1", feed)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		var h, t, n int64
		if err := whole(rows[0], &h, &t, &n); err != nil {
			return err
		}
		if old := t < timeMs-feedTime.Milliseconds(); kept <= feedBytes && (!old || aged == agedPerBlock) {
			break
		} else if old {
			aged++
		}
		end := (h+1)<<positionBits - 1
		if _, err := f.Query(feedSQL[feed].remove, h<<positionBits, end); err != nil {
			return err
		}
		if _, err := f.Query("DELETE FROM main.pg_feed_block WHERE feed=? AND height=?", feed, h); err != nil {
			return err
		}
		lost, kept = end, kept-n
	}
	if was != [3]int64{lost, sealed, kept} {
		_, err = f.Query("UPDATE main.pg_feed SET lost=?, sealed=?, bytes=? WHERE id=?", lost, sealed, kept, feed)
	}
	return err
}

// nextPosition is the id of what is told next, after the last there is.
func nextPosition(c *engine.Call, a []any) (any, error) {
	if c.Height() >= maxHeight {
		return nil, fail("54000", "block %d is too high for a feed", c.Height())
	}
	next := int64(c.Height())<<positionBits + 1
	if last, ok := a[0].(int64); ok {
		next = max(next, last+1)
	}
	if next>>positionBits != int64(c.Height()) {
		return nil, fail("54000", "a block tells more than %d changes", 1<<positionBits-1)
	}
	return next, nil
}

// ---- Changes

// recorded are the columns of a table's rows, or of its key, as jsonb orders them.
func (r *relation) recorded(key bool) []*column {
	list := r.live()
	if key {
		list = nil
		if p := r.primary(); p != nil {
			for _, n := range p.Columns {
				list = append(list, r.column(n))
			}
		}
	}
	slices.SortFunc(list, func(a, b *column) int {
		if len(a.Name) != len(b.Name) {
			return len(a.Name) - len(b.Name)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list
}

// rowSQL is a row, or its key, as a jsonb; prefix stands before the columns. A table without a key gives NULL.
func (r *relation) rowSQL(prefix string, key bool) string {
	list := r.recorded(key)
	if len(list) == 0 {
		return "NULL"
	}
	sql := "'{'"
	for from := 0; from < len(list); from += rowArguments {
		sql += `||"row"(` + strconv.FormatUint(uint64(r.OID), 10) + "," + strconv.FormatInt(boolean(key).(int64), 10) + "," + strconv.Itoa(from)
		for _, col := range list[from:min(from+rowArguments, len(list))] {
			sql += "," + prefix + col.stored()
		}
		sql += ")"
	}
	return sql + "||'}'"
}

// row is "row"(oid, key, from, value...): columns of a row from a place on, as members of a jsonb.
func (s *session) row(c *engine.Call, a []any) (any, error) {
	oid, key, from := uint32(a[0].(int64)), a[1] != int64(0), int(a[2].(int64))
	list := s.shapes[shape{oid, key}]
	if list == nil {
		r := s.relation(oid)
		if r == nil {
			return nil, fail("XX000", "a change of a table that is not known")
		}
		list = r.recorded(key)
		if s.shapes == nil {
			s.shapes = map[shape][]*column{}
		}
		s.shapes[shape{oid, key}] = list
	}
	if from+len(a)-3 > len(list) {
		return nil, fail("XX000", "a change with other columns than its table's")
	}
	call := &postgres.Call{Charge: c.Charge} // in UTC, whatever the session's time zone
	var b []byte
	for i, v := range a[3:] {
		if from+i > 0 {
			b = append(b, ", "...)
		}
		b = append(jsonb.AppendQuoted(b, list[from+i].Name), ": "...)
		x, err := postgres.ToJSON(call, list[from+i].Type, v)
		if text, ok := v.(string); err != nil && ok && list[from+i].Type == postgres.JSON { // json may hold what jsonb may not
			x, err = jsonb.Value{Kind: jsonb.String, Text: text}, nil
		}
		if err != nil {
			return nil, err
		}
		b = append(b, x.String()...)
	}
	if !c.Charge(uint64(len(b)) / 16) {
		return nil, fail("53400", "the gas limit is reached")
	}
	return string(b), nil
}

type shape struct {
	table uint32
	key   bool
}

// changeSQL records a change of a table; "" where no publication has it.
func (c *catalog) changeSQL(r *relation, kind, old, new string) string {
	list := c.publishing(r.OID, kind[:1])
	if len(list) == 0 {
		return ""
	}
	var oids []string
	for _, o := range list {
		oids = append(oids, strconv.FormatUint(uint64(o), 10))
	}
	return `INSERT INTO pg_change VALUES("position"((SELECT max(id) FROM pg_change)),` + strings.Join([]string{quoteText("{" + strings.Join(oids, ",") + "}"), quoteText(r.Schema), quoteText(r.Name), quoteText(kind), old, new}, ",") + ")"
}

// recorders are the triggers that record a table's changes, by name.
func (c *catalog) recorders(r *relation) (names, triggers []string) {
	if len(c.head.Publications) == 0 || r.Kind != "r" {
		return nil, nil
	}
	for _, k := range []struct{ kind, old, new, when string }{
		{"insert", "NULL", r.rowSQL("NEW.", false), ""},
		{"update", r.rowSQL("OLD.", true), r.rowSQL("NEW.", false), ""},
		{"delete", r.rowSQL("OLD.", true), "NULL", " WHEN NOT \"" + recordedQuiet + "\"()"},
	} {
		if sql := c.changeSQL(r, k.kind, k.old, k.new); sql != "" {
			name := "p" + strconv.FormatUint(uint64(r.OID), 10) + k.kind[:1]
			names = append(names, name)
			triggers = append(triggers, "CREATE TRIGGER "+name+" AFTER "+strings.ToUpper(k.kind)+" ON "+r.table()+k.when+" BEGIN "+sql+"; END")
		}
	}
	return names, triggers
}

// record makes the triggers of tables that are new, and again of those that were changed, or are published otherwise: what changes a
// table's shape is no change of its rows.
func (e *edit) record(was *catalog) {
	changed := len(e.steps) > 0
	var drops, makes []engine.Step
	for _, r := range e.all() {
		var names, old []string
		if before := was.byOID[r.OID]; before != nil {
			names, old = was.recorders(before)
		}
		_, now := e.recorders(r)
		if slices.Equal(old, now) && !(changed && e.changed[r.OID]) {
			continue
		}
		for _, name := range names {
			drops = append(drops, engine.Step{SQL: "DROP TRIGGER IF EXISTS " + name})
		}
		for _, sql := range now {
			makes = append(makes, engine.Step{SQL: sql})
		}
	}
	e.steps = slices.Concat(drops, e.steps, makes)
}

// unpublish takes tables that are gone out of publications.
func (e *edit) unpublish() {
	for i := range e.head.Publications {
		p := &e.head.Publications[i]
		p.Tables = slices.DeleteFunc(p.Tables, func(m publicationEntry) bool { return e.gone[m.Table] })
	}
}

// truncated records that tables are emptied, instead of each row that goes, and empties their indexes of words.
func (e *edit) truncated(all []*relation) {
	var told []engine.Step
	silent := false
	for _, r := range slices.Backward(all) { // who was named first, first
		if sql := e.changeSQL(r, "truncate", "NULL", "NULL"); sql != "" {
			told = append(told, engine.Step{SQL: sql})
		}
		silent = silent || len(e.publishing(r.OID, "d")) > 0
		for _, i := range e.inverted(r.OID) {
			e.do("DELETE FROM " + i.words())
			silent = true
		}
	}
	if silent {
		e.steps = slices.Concat([]engine.Step{{SQL: `SELECT "` + recordedQuiet + `"(1)`}}, e.steps, []engine.Step{{SQL: `SELECT "` + recordedQuiet + `"(0)`}})
	}
	e.steps = slices.Concat(told, e.steps)
}

// ---- Notifications

// A notice is what NOTIFY and pg_notify say, until the statement's end.
type notice struct{ channel, payload string }

// notify is "pg_notify"(channel, payload). What a program says twice, it says once.
func (s *session) notify(channel, payload any) (any, error) {
	var n notice
	n.channel, _ = channel.(string)
	n.payload, _ = payload.(string)
	switch {
	case n.channel == "":
		return nil, fail("22023", "channel name cannot be empty")
	case len(n.channel) > maxChannel:
		return nil, fail("22023", "channel name too long")
	case len(n.payload) > maxPayload:
		return nil, fail("22023", "payload string too long")
	}
	if !s.said[n] {
		if s.said == nil {
			s.said = map[notice]bool{}
		}
		s.said[n] = true
		s.notices = append(s.notices, n)
	}
	return "", nil
}

// writeNotices records them, in their order. It makes the tables first where the catalog has none.
func (s *session) writeNotices(was *catalog) (steps []engine.Step) {
	if len(s.notices) > 0 && !was.head.Feeds {
		e := was.edit()
		e.feeds()
		steps = e.finish()
	}
	for _, n := range s.notices {
		steps = append(steps, engine.Step{SQL: `INSERT INTO pg_notification VALUES("position"((SELECT max(id) FROM pg_notification)),?,?)`, Args: []any{n.channel, n.payload}})
	}
	s.notices = nil
	return steps
}

func (c *compiler) notify(s *pg.NotifyStmt) (*engine.Translation, error) {
	c.notifies = true
	return &engine.Translation{Steps: []engine.Step{{SQL: `SELECT "pg_notify"(?,?)`, Args: []any{s.Conditionname, s.Payload}}}, Tag: "NOTIFY"}, nil
}

// ---- What statements read

// feedRelations are read as relations of the schema stratos; @ stands for the relation in SQL.
var feedRelations = map[string]struct {
	from    string
	columns []systemColumn
	sql     []string
}{
	"changes": {"pg_change", []systemColumn{{name: "position", typ: postgres.Int8}, {name: "height", typ: postgres.Int8}, {name: "place", typ: postgres.Int4}, {name: "publications", typ: postgres.ArrayOf(postgres.OIDType)},
		{name: "schemaname", typ: postgres.Name}, {name: "tablename", typ: postgres.Name}, {name: "kind", typ: postgres.Text}, {name: "old", typ: postgres.JSONB}, {name: "new", typ: postgres.JSONB}},
		[]string{"@id", "(@id>>24)", "(@id&16777215)", "@publications", "@namespace", "@name", "@kind", "@old", "@new"}},
	"notifications": {"pg_notification", []systemColumn{{name: "position", typ: postgres.Int8}, {name: "height", typ: postgres.Int8}, {name: "place", typ: postgres.Int4}, {name: "channel", typ: postgres.Text}, {name: "payload", typ: postgres.Text}},
		[]string{"@id", "(@id>>24)", "(@id&16777215)", "@channel", "@payload"}},
	"feeds": {"pg_feed", []systemColumn{{name: "name", typ: postgres.Text}, {name: "lost", typ: postgres.Int8}, {name: "bytes", typ: postgres.Int8}},
		[]string{"(CASE @id WHEN 1 THEN 'changes' ELSE 'notifications' END)", "@lost", "@bytes"}},
}

// feedRelation finds one of them. ok tells whether the name is one.
func (c *compiler) feedRelation(r *pg.RangeVar, it *item) (sql string, ok bool) {
	f, ok := feedRelations[r.Relname]
	if !ok || r.Schemaname != feedsSchema {
		return "", false
	}
	if c.limited() && r.Relname == "changes" && c.denied == nil { // of rows that a role may not see; its owner can make a view of some
		c.denied = fail("42501", "permission denied for table %s.changes", feedsSchema)
	}
	it.schema = feedsSchema
	var none []string
	for i, col := range f.columns {
		sql := strings.ReplaceAll(f.sql[i], "@", it.alias+".")
		if !c.cat.head.Feeds {
			sql = it.alias + "." + outputName(i)
			none = append(none, "NULL AS "+outputName(i))
		}
		it.columns = append(it.columns, &field{name: col.name, sql: sql, typ: col.typ, mod: -1})
	}
	if !c.cat.head.Feeds {
		if r.Relname == "feeds" {
			return "(SELECT 'changes' AS " + outputName(0) + ",0 AS " + outputName(1) + ",0 AS " + outputName(2) + " UNION ALL SELECT 'notifications',0,0) AS " + it.alias, true
		}
		return "(SELECT " + strings.Join(none, ",") + " WHERE 0) AS " + it.alias, true
	}
	return f.from + " AS " + it.alias, true
}
