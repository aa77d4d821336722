package postgres

import (
	"crypto/tls"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratosmesh/stratos/gateway/internal/guard"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
)

// Options of a Server. Zero stands for the default; a negative value is refused.
type Options struct {
	// TLS is what connections are secured with. nil: they cannot be.
	TLS *tls.Config
	// Connections is how many there may be at once, PerKey how many of one access key. Defaults 512 and 100.
	Connections, PerKey int
	// StartupTime is how long a client may take to show its key. Default 20 s.
	StartupTime time.Duration
	// StatementTime bounds a statement; statement_timeout can shorten it. Default 5 minutes.
	StatementTime time.Duration
	// IdleTransaction is how long a transaction may wait for its next statement: its time must not be older than ten minutes when it
	// is committed. Default 5 minutes.
	IdleTransaction time.Duration
	// MessageBytes bounds a client's message, PortalBytes what a connection keeps of results that were not fetched yet. Defaults 16 MiB
	// and 64 MiB.
	MessageBytes, PortalBytes int
	// ProgramBytes bounds the statements and parameters that all connections together keep until their transactions end; they take up
	// to six times as much memory. Default 128 MiB.
	ProgramBytes int
	// Prepared bounds the statements, portals and cursors of a connection. Default 10,000.
	Prepared int
	// Grace is how long statements under way have when the server stops. Default 10 s.
	Grace time.Duration

	// Registry gets the metrics. nil: nobody does.
	Registry *prometheus.Registry
}

func (o Options) withDefaults() (Options, error) {
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.MessageBytes > 0 && o.MessageBytes < 1<<20 {
		return o, mesh.Errorf(mesh.Invalid, "postgres: messages of %d bytes, want at least 1 MiB", o.MessageBytes)
	}
	if o.ProgramBytes > 0 && o.ProgramBytes < database.MaxProgram {
		return o, mesh.Errorf(mesh.Invalid, "postgres: room for %d bytes of programs, want at least %d", o.ProgramBytes, database.MaxProgram)
	}
	return o, guard.Defaults(
		guard.Default{Name: "Connections", Number: &o.Connections, Of: 512},
		guard.Default{Name: "PerKey", Number: &o.PerKey, Of: 100},
		guard.Default{Name: "StartupTime", Time: &o.StartupTime, Of: int(20 * time.Second)},
		guard.Default{Name: "StatementTime", Time: &o.StatementTime, Of: int(5 * time.Minute)},
		guard.Default{Name: "IdleTransaction", Time: &o.IdleTransaction, Of: int(5 * time.Minute)},
		guard.Default{Name: "MessageBytes", Number: &o.MessageBytes, Of: 16 << 20},
		guard.Default{Name: "PortalBytes", Number: &o.PortalBytes, Of: 64 << 20},
		guard.Default{Name: "ProgramBytes", Number: &o.ProgramBytes, Of: 128 << 20},
		guard.Default{Name: "Prepared", Number: &o.Prepared, Of: 10_000},
		guard.Default{Name: "Grace", Time: &o.Grace, Of: int(10 * time.Second)},
	)
}
