package replica

import (
	"testing"

	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// TestDialects shows that each database speaks its own dialect, also after a restart, and that replicas agree.
func TestDialects(t *testing.T) {
	w := newWorld(t, 4, 1)
	anna, bert := w.user("anna"), w.user("bert")
	anna.dialect = database.Postgres
	r, other := newRig(w, 0, Rules{}), newRig(w, 1, Rules{})
	both := func(txs ...[]byte) {
		t.Helper()
		mine, theirs := r.must(txs...), other.must(txs...)
		for i := range mine {
			if string(mine[i].Data) != string(theirs[i].Data) || mine[i].GasUsed != theirs[i].GasUsed {
				t.Errorf("transaction %d: %v and %v", i, mine[i], theirs[i])
			}
		}
	}
	ask := func(u *user, e *wirepb.Envelope) *wirepb.Outcome {
		t.Helper()
		both(u.send(e))
		return r.outcome(u, e)
	}
	both(anna.opened(), bert.opened(), anna.session(anna.link()), bert.session(bert.link()))
	if o := ask(anna, anna.envelope(r.next(), `CREATE TABLE "T" (n numeric(6,2) PRIMARY KEY, at timestamptz DEFAULT now())`, `INSERT INTO "T" (n) VALUES (1.005), (2) RETURNING n`)); o.Code != "" || o.Results[1].Tag != "INSERT 0 2" ||
		o.Results[1].Rows[0].Values[0].GetText() != "1.01" || o.Results[1].Columns[0].TypeOid != 1700 {
		t.Errorf("%v", o)
	}
	if o := ask(bert, bert.envelope(r.next(), "CREATE TABLE t(v)", "INSERT INTO t VALUES(1.005) RETURNING typeof(v)")); o.Code != "" || o.Results[1].Rows[0].Values[0].GetText() != "real" {
		t.Errorf("%v", o)
	}
	r.close()
	r.open()
	zoned := anna.envelope(r.next(), "SELECT at::text, n FROM \"T\" WHERE n = 2.0")
	zoned.Settings = &wirepb.Settings{TimeZone: "Asia/Tokyo"}
	o := ask(anna, zoned)
	if o.Code != "" || len(o.Results[0].Rows) != 1 || o.Results[0].Rows[0].Values[0].GetText()[22:] != "+09" && o.Results[0].Rows[0].Values[0].GetText()[19:] != "+09" {
		t.Errorf("%v", o)
	}
	if o := ask(anna, anna.envelope(r.next(), `INSERT INTO "T" VALUES (2.00)`)); o.Code != "23505" || o.Constraint != "T_pkey" {
		t.Errorf("%v", o)
	}
	if o := ask(bert, bert.envelope(r.next(), "SELECT 1::int")); o.Code != "42601" {
		t.Errorf("%v", o)
	}
	// One session, shown with other grants, is another caller each time.
	ask(anna, anna.envelope(r.next(), "CREATE ROLE reader", `GRANT SELECT ON "T" TO reader`))
	guest := w.user("anna")
	guest.key, guest.dialect = keyOf("a guest of anna's"), database.Postgres
	for _, c := range []struct{ role, caller, sql, code, want string }{
		{"reader", "carol", "SELECT current_user || current_setting('stratos.caller') || current_database()", "", "readercarolanna"},
		{"reader", "dave", "SELECT current_user || current_setting('stratos.caller')", "", "readerdave"},
		{"reader", "dave", `DELETE FROM "T"`, "42501", ""},
		{"nobody", "", "SELECT 1", "28000", ""},
	} {
		l := guest.link()
		l.Prefix = grant.Role{Name: c.role, Caller: c.caller}.Prefix("anna")
		if x := r.run(guest.session(l))[0]; x.Code == 0 {
			other.must(guest.session(l))
		} else {
			other.run(guest.session(l))
		}
		o := ask(guest, guest.envelope(r.next(), c.sql))
		if o.Code != c.code || c.want != "" && o.Results[0].Rows[0].Values[0].GetText() != c.want {
			t.Errorf("%+v: %v", c, o)
		}
	}
	mine, theirs := r.digests(), other.digests()
	for id, d := range mine {
		if theirs[id] != d {
			t.Errorf("database %s: %x and %x", id, d, theirs[id])
		}
	}
}
