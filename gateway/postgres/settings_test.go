package postgres

import (
	"testing"
)

func TestSettings(t *testing.T) {
	w := newWorld(t, Options{})
	c := w.connect("&application_name=test")
	show := func(name, want string) {
		t.Helper()
		var got string
		if err := c.QueryRow(t.Context(), "SHOW "+name).Scan(&got); err != nil {
			got = code(err)
		}
		if got != want {
			t.Errorf("SHOW %s: %s, want %s", name, got, want)
		}
	}
	do := func(sql, want string) {
		t.Helper()
		if _, err := c.Exec(t.Context(), sql); code(err) != want {
			t.Errorf("%s: %v, want %q", sql, err, want)
		}
	}
	show("application_name", "test")
	show("TRANSACTION ISOLATION LEVEL", "read committed")
	show("nothing", "42704")
	do("SET TIME ZONE 'Europe/Berlin'", "")
	show("timezone", "Europe/Berlin")
	if got := c.PgConn().ParameterStatus("TimeZone"); got != "Europe/Berlin" {
		t.Errorf("the client was told of zone %q", got)
	}
	do("BEGIN; SET LOCAL timezone TO 'Asia/Tokyo'", "")
	show("timezone", "Asia/Tokyo")
	do("COMMIT", "")
	show("timezone", "Europe/Berlin")
	do("BEGIN; SET timezone TO 'Asia/Tokyo'; ROLLBACK", "")
	show("timezone", "Europe/Berlin")
	do("BEGIN; SAVEPOINT s; SET timezone TO 'Asia/Tokyo'; ROLLBACK TO s; COMMIT", "")
	show("timezone", "Europe/Berlin")
	do("BEGIN; SELECT v FROM t; SET timezone TO 'Asia/Tokyo'", "0A000")
	do("ROLLBACK", "")
	do("RESET ALL", "")
	show("timezone", "UTC")
	do("SET search_path = public, pg_catalog", "")
	do("SET search_path = other", "0A000")
	do("SET statement_timeout = '1min'", "")
	show("statement_timeout", "1min")
	do("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY", "")
	do("BEGIN", "")
	show("transaction_isolation", "serializable")
	show("transaction_read_only", "on")
	do("COMMIT", "")
	do("SET NAMES 'utf8'", "")
	do("SET DateStyle = 'ISO, DMY'", "0A000")
	do("SET ROLE postgres", "0A000")
	do("SET application_name = 'kept'; SET ROLE NONE", "")
	show("application_name", "kept")
	do("SET x", "42601")
	do("DISCARD ALL", "")
	do("LISTEN", "42601")
	do("LISTEN x y", "42601")
	do("UNLISTEN *", "")
}
