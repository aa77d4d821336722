package sim_test

import (
	"os"
	"testing"
)

// libSQL's own client does its everyday work against a database of dialect sqlite. Run by `make test-tools`, which installs it.
func TestToolsLibSQL(t *testing.T) {
	if os.Getenv("STRATOS_TOOLS") == "" {
		t.Skip("run by make test-tools")
	}
	useTool(t, "tool-libsql", "sqlite", `
		cp "$TESTDATA/libsql.mjs" .
		npm i --no-audit --no-fund --loglevel=error @libsql/client@0.18 > /dev/null
		node libsql.mjs`)
}
