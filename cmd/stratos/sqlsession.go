package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/cmd/stratos/internal/sqlproxy"
	gateway "github.com/stratosmesh/stratos/gateway/postgres"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/postgres/lex"
)

// A sqlSession runs statements one after the other. What is wrong with one is a *database.Error.
type sqlSession interface {
	// run runs one statement. out gets what it copies out.
	run(ctx context.Context, sql string, out io.Writer) ([]answer, error)
	// setLevel says how many replicas must agree on what is read.
	setLevel(ctx context.Context, l database.Level) error
	// mark is shown in the prompt: * in a transaction, ! in one that has failed.
	mark() string
	Close() error
}

// An answer is what a statement gave: rows, or how it is called what it did.
type answer struct {
	table *table
	tag   string
}

// openSession begins a session with a database, in which transactions go over several statements if its dialect has them.
func openSession(ctx context.Context, db *database.DB) (sqlSession, error) {
	if db.Dialect() != wiredatabase.Postgres {
		return &plainSession{db: db, level: database.Default}, nil
	}
	return openPostgres(ctx, db)
}

// giveUpTime bounds how long a session waits for a statement to end that was cancelled; after it the connection is of no use any more.
const giveUpTime = 2 * time.Minute

// A postgresSession speaks PostgreSQL's protocol with this process.
type postgresSession struct {
	proxy *sqlproxy.Proxy
	conn  *pgconn.PgConn
}

func openPostgres(ctx context.Context, db *database.DB) (*postgresSession, error) {
	p, err := sqlproxy.Start(db, "127.0.0.1:0", slog.New(slog.DiscardHandler), gateway.Options{})
	if err != nil {
		return nil, err
	}
	conn, err := connectSession(ctx, p.URL())
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return &postgresSession{p, conn}, nil
}

func connectSession(ctx context.Context, url string) (*pgconn.PgConn, error) {
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "the address of a proxy: %w", err)
	}
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler { // who breaks a statement off keeps the session
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: giveUpTime}
	}
	config.RuntimeParams["application_name"] = "stratos"
	conn, err := pgconn.ConnectConfig(ctx, config)
	return conn, sqlError(err)
}

func (s *postgresSession) Close() error {
	return errors.Join(s.conn.Close(context.Background()), s.proxy.Close())
}

func (s *postgresSession) mark() string {
	return map[byte]string{'T': "*", 'E': "!"}[s.conn.TxStatus()]
}

func (s *postgresSession) setLevel(ctx context.Context, l database.Level) error {
	_, err := s.run(ctx, "SET stratos.level = '"+l.String()+"'", nil)
	return err
}

func (s *postgresSession) run(ctx context.Context, sql string, out io.Writer) ([]answer, error) {
	if from, to := copies(sql); from {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "rows cannot be typed in here"), "import a file: stratos db import")
	} else if to {
		tag, err := s.conn.CopyTo(ctx, out, sql)
		return []answer{{tag: tag.String()}}, sqlError(err)
	}
	results := s.conn.Exec(ctx, sql)
	var all []answer
	for results.NextResult() {
		r := results.ResultReader()
		t := newTable(r.FieldDescriptions())
		for r.NextRow() {
			t.add(r.Values())
		}
		tag, err := r.Close()
		if err != nil {
			break // results has it too
		}
		all = append(all, answer{t, tag.String()})
	}
	return all, sqlError(results.Close())
}

// copies tells whether a statement is COPY from a client, or to one.
func copies(sql string) (from, to bool) {
	var before string
	first := true
	lex.Scan(sql, func(t lex.Token) bool {
		if first && t.Word != "copy" {
			return false
		}
		first = false
		from, to = from || before == "from" && t.Word == "stdin", to || before == "to" && t.Word == "stdout"
		before = t.Word
		return true
	})
	return from, to
}

// numeric are the types whose values stand at the right.
var numeric = []postgres.OID{postgres.Int2, postgres.Int4, postgres.Int8, postgres.Float4, postgres.Float8, postgres.Numeric, postgres.OIDType}

// newTable returns a table of columns, nil when there are none.
func newTable(columns []pgconn.FieldDescription) *table {
	if len(columns) == 0 {
		return nil
	}
	t := new(table)
	for _, f := range columns {
		t.columns, t.numbers = append(t.columns, f.Name), append(t.numbers, slices.Contains(numeric, postgres.OID(f.DataTypeOID)))
	}
	return t
}

func (t *table) add(values [][]byte) {
	row := make([]string, len(values))
	for i, v := range values {
		row[i] = string(v)
	}
	t.rows = append(t.rows, row)
}

// sqlError makes of what a connection said what a database says.
func sqlError(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	text := e.Message
	if e.Detail != "" {
		text += ": " + strings.TrimSuffix(e.Detail, ".")
	}
	return &database.Error{Code: e.Code, Text: text, Hint: e.Hint}
}

// A plainSession runs each statement by itself.
type plainSession struct {
	db    *database.DB
	level database.Level
}

func (s *plainSession) Close() error { return nil }
func (s *plainSession) mark() string { return "" }

func (s *plainSession) setLevel(_ context.Context, l database.Level) error {
	s.level = l
	return nil
}

func (s *plainSession) run(ctx context.Context, sql string, _ io.Writer) ([]answer, error) {
	o, err := s.db.Do(ctx, s.level, database.Program{Statements: []database.Statement{database.SQL(sql)}})
	if err != nil {
		return nil, err
	}
	var all []answer
	for _, r := range o.Results {
		a := answer{tag: done(r)}
		if len(r.Columns) > 0 {
			t := tableOf(r)
			a.table = &t
		}
		all = append(all, a)
	}
	return all, nil
}
