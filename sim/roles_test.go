package sim_test

import (
	"strings"
	"testing"
)

// Two callers of one role use a table by keys of their owner's: each reads and writes rows of his own alone, whatever he asks for and at
// whatever level, and neither does what the role may not. What is revoked, in the database or on the log, is over.
func TestRoles(t *testing.T) {
	t.Parallel() // see TestS3Garbage
	const name = "sim-roles"
	mustCLI(t, "db", "create", name)
	mustCLI(t, "db", "sql", name, `CREATE TABLE orders(id serial PRIMARY KEY, buyer text NOT NULL, what text);
		CREATE TABLE secrets(v text); INSERT INTO secrets VALUES ('x');
		CREATE ROLE customer; GRANT SELECT, INSERT, UPDATE ON orders TO customer; GRANT USAGE ON SEQUENCE orders_id_seq TO customer;
		ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
		CREATE POLICY own ON orders TO customer USING (buyer = current_setting('stratos.caller'))`)
	key := func(who string, more ...string) string {
		return strings.TrimSpace(mustCLI(t, append([]string{"db", "grant", name, "roles-" + who, "--role", "customer", "--caller", who + "@example.org", "--format", "url"}, more...)...))
	}
	carol, dave := connect(t, key("carol")), connect(t, key("dave"))
	reader := connect(t, key("reader", "--read-only"))
	execute(t, carol, "INSERT INTO orders(buyer, what) VALUES (current_setting('stratos.caller'), 'tea'), ('carol@example.org', 'milk')")
	execute(t, dave, "INSERT INTO orders(buyer, what) VALUES ('dave@example.org', 'coffee')")
	for _, level := range []string{"fast", "default", "ordered"} {
		execute(t, carol, "SET stratos.level = "+level)
		var n int
		var who string
		if err := carol.QueryRow(t.Context(), "SELECT count(*), min(current_user) FROM orders WHERE 100 / length(what) > 0").Scan(&n, &who); err != nil || n != 2 || who != "customer" {
			t.Errorf("%s: carol sees %d orders, as %q, %v", level, n, who, err)
		}
	}
	if tag, err := dave.Exec(t.Context(), "UPDATE orders SET what = 'water'"); err != nil || tag.RowsAffected() != 1 {
		t.Errorf("dave changes %s, %v", tag, err)
	}
	for _, sql := range []string{"INSERT INTO orders(buyer) VALUES ('carol@example.org')", "UPDATE orders SET buyer = 'carol@example.org'", "DELETE FROM orders", "SELECT * FROM secrets", "TRUNCATE orders",
		"CREATE TABLE mine(a int)", "DROP POLICY own ON orders", "GRANT ALL ON secrets TO customer", "ALTER TABLE orders DISABLE ROW LEVEL SECURITY", "CREATE ROLE other"} {
		if _, err := dave.Exec(t.Context(), sql); sqlState(err) != "42501" {
			t.Errorf("dave: %s: %v", sql, err)
		}
	}
	tx, err := dave.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRow(t.Context(), "INSERT INTO orders(buyer, what) VALUES ('dave@example.org', 'juice') RETURNING (SELECT 3)").Scan(&n); sqlState(err) != "0A000" {
		t.Errorf("a refused statement: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if tx, err = dave.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRow(t.Context(), "INSERT INTO orders(buyer, what) VALUES ('dave@example.org', 'juice') RETURNING id").Scan(&n); err != nil || n != 4 {
		t.Errorf("%d, %v", n, err)
	}
	if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM orders").Scan(&n); err != nil || n != 2 {
		t.Errorf("within his transaction dave sees %d, %v", n, err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := reader.Exec(t.Context(), "INSERT INTO orders(buyer) VALUES ('reader@example.org')"); sqlState(err) != "42501" {
		t.Errorf("who may only read: %v", err)
	}
	text := strings.TrimSpace(mustCLI(t, "db", "grant", name, "roles-eve", "--role", "customer", "--caller", "dave@example.org"))
	if out := mustCLI(t, "db", "sql", name, "SELECT what FROM orders ORDER BY id", "--grant", text); !strings.Contains(out, "water") || !strings.Contains(out, "juice") || strings.Contains(out, "tea") {
		t.Errorf("a grant's text shows\n%s", out)
	}
	// What a role's key makes of itself is no more.
	if _, errOut, code := runCLI(t, "db", "grant", name, "roles-more", "--grant", text); code == 0 {
		t.Errorf("a key for the owner, made of a role's: %s", errOut)
	}
	if _, errOut, code := runCLI(t, "db", "grant", name, "roles-other", "--grant", text, "--role", "customer", "--caller", "dave@example.org.uk"); code == 0 {
		t.Errorf("a key for another caller, made of a role's: %s", errOut)
	}
	nobody := connect(t, strings.TrimSpace(mustCLI(t, "db", "grant", name, "roles-nobody", "--role", "nobody", "--format", "url")))
	if err := nobody.QueryRow(t.Context(), "SELECT 1").Scan(&n); sqlState(err) != "28000" {
		t.Errorf("a role that is not there: %v", err)
	}
	mustCLI(t, "db", "sql", name, "REVOKE SELECT ON orders FROM customer")
	if err := carol.QueryRow(t.Context(), "SELECT count(*) FROM orders").Scan(&n); sqlState(err) != "42501" {
		t.Errorf("a right that was revoked: %v", err)
	}
	mustCLI(t, "keys", "revoke", "roles-dave")
	if _, err := dave.Exec(t.Context(), "INSERT INTO orders(buyer, what) VALUES ('dave@example.org', 'wine')"); sqlState(err) != "42501" {
		t.Errorf("a key that was revoked: %v", err)
	}
	mustCLI(t, "db", "drop", name, "--yes")

	text = strings.TrimSpace(mustCLI(t, "db", "grant", name+"-lite", "roles-lite", "--role", "customer")) // before it is known that it cannot work
	mustCLI(t, "db", "create", name+"-lite", "--dialect", "sqlite")
	if _, errOut, code := runCLI(t, "db", "grant", name+"-lite", "roles-lite-2", "--role", "customer"); code != 5 || !strings.Contains(errOut, "no roles") {
		t.Errorf("a grant of a role there: exit %d, %s", code, errOut)
	}
	if _, errOut, code := runCLI(t, "db", "sql", name+"-lite", "SELECT 1", "--grant", text); code == 0 || !strings.Contains(errOut, "no roles") {
		t.Errorf("a role in a database of dialect sqlite: exit %d, %s", code, errOut)
	}
	mustCLI(t, "db", "drop", name+"-lite", "--yes")
}
