package databases

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
)

// run runs a statement, as a connection to SQLite would.
func (s *stream) run(ctx context.Context, st database.Statement) (*database.Result, error) {
	words := strings.Fields(strings.ToUpper(strings.TrimSuffix(strings.TrimSpace(st.SQL), ";")))
	switch database.Keyword(st.SQL) {
	case "BEGIN":
		if s.tx != nil {
			return nil, sqlError("25001", "cannot start a transaction within a transaction")
		}
		s.tx, s.readOnly = s.db.Begin(), slices.Contains(words, "READONLY")
		return new(database.Result), nil
	case "COMMIT", "END":
		if s.tx == nil {
			return nil, sqlError("25P01", "cannot commit - no transaction is active")
		}
		return new(database.Result), s.commit(ctx)
	case "ROLLBACK":
		if i := slices.Index(words, "TO"); i >= 0 {
			return s.back(words[i+1:])
		}
		if s.tx == nil {
			return nil, sqlError("25P01", "cannot rollback - no transaction is active")
		}
		s.end()
		return new(database.Result), nil
	case "SAVEPOINT":
		if len(words) != 2 {
			return nil, sqlError("42601", "near \"SAVEPOINT\": syntax error")
		}
		p := savepoint{name: words[1], begins: s.tx == nil}
		if p.begins {
			s.tx = s.db.Begin()
		}
		p.at = s.tx.Save()
		s.savepoints = append(s.savepoints, p)
		return new(database.Result), nil
	case "RELEASE":
		return s.release(ctx, words[1:])
	case "PRAGMA": // what libSQL's client sends when it migrates: SQLite does nothing either within a transaction, as every statement here is
		if m := strings.Join(words, ""); strings.HasPrefix(m, "PRAGMAFOREIGN_KEYS=") {
			return new(database.Result), nil
		}
	}
	if s.tx == nil {
		o, err := s.db.Do(ctx, s.level, database.Program{Statements: []database.Statement{st}})
		if err != nil {
			return nil, err
		}
		return &o.Results[0], nil
	}
	if s.readOnly && !reads(st.SQL) {
		return nil, sqlError("25006", "attempt to write in a read-only transaction")
	}
	return s.tx.Exec(ctx, s.level, st)
}

// reads tells whether a statement cannot write, as far as its first word says.
func reads(sql string) bool {
	k := database.Keyword(sql)
	return k == "SELECT" || k == "VALUES"
}

func sqlError(code, text string) error { return &database.Error{Code: code, Text: text} }

func (s *stream) commit(ctx context.Context) error {
	tx := s.tx
	s.end()
	return tx.Commit(ctx)
}

// end ends the transaction, without a commit.
func (s *stream) end() { s.tx, s.readOnly, s.savepoints = nil, false, nil }

// find returns the place of the newest savepoint that words name.
func (s *stream) find(words []string) (int, error) {
	if len(words) == 2 && words[0] == "SAVEPOINT" {
		words = words[1:]
	}
	if len(words) == 1 {
		for i, p := range slices.Backward(s.savepoints) {
			if p.name == words[0] {
				return i, nil
			}
		}
	}
	return 0, sqlError("3B001", "no such savepoint: "+strings.Join(words, " "))
}

func (s *stream) back(words []string) (*database.Result, error) {
	i, err := s.find(words)
	if err != nil {
		return nil, err
	}
	s.tx.Back(s.savepoints[i].at)
	s.savepoints = s.savepoints[:i+1]
	return new(database.Result), nil
}

func (s *stream) release(ctx context.Context, words []string) (*database.Result, error) {
	i, err := s.find(words)
	if err != nil {
		return nil, err
	}
	begins := s.savepoints[i].begins
	s.savepoints = s.savepoints[:i]
	if begins {
		return new(database.Result), s.commit(ctx)
	}
	return new(database.Result), nil
}

// batch runs steps, each if its condition holds.
func (s *stream) batch(ctx context.Context, b *batch) (*batchResult, error) {
	if len(b.Steps) > maxSteps {
		return nil, mesh.Errorf(mesh.Exhausted, "%d steps in a batch, at most %d", len(b.Steps), maxSteps)
	}
	out := &batchResult{StepResults: make([]*statementResult, len(b.Steps)), StepErrors: make([]*protocolError, len(b.Steps))}
	from := 0
	if n := program(b.Steps); n > 0 && s.tx == nil {
		done, err := s.whole(ctx, b.Steps[:n], out)
		if err != nil {
			return nil, err
		}
		if done {
			from = n
		}
	}
	for i := from; i < len(b.Steps); i++ {
		holds, err := s.holds(b.Steps[i].Condition, i, out, 0)
		if err != nil {
			return nil, err
		}
		if !holds {
			continue
		}
		r, err := s.execute(ctx, &b.Steps[i].Stmt)
		if err != nil {
			out.StepErrors[i] = errorOf(err)
			continue
		}
		out.StepResults[i] = r
	}
	return out, nil
}

// holds tells whether a condition of step i holds.
func (s *stream) holds(c *condition, i int, out *batchResult, depth int) (bool, error) {
	if c == nil {
		return true, nil
	}
	if depth > maxCondition {
		return false, mesh.Errorf(mesh.Invalid, "a condition that is more than %d deep", maxCondition)
	}
	switch c.Type {
	case "ok", "error":
		if c.Step < 0 || c.Step >= i {
			return false, mesh.Errorf(mesh.Invalid, "the condition of step %d is about step %d", i, c.Step)
		}
		if c.Type == "ok" {
			return out.StepResults[c.Step] != nil, nil
		}
		return out.StepErrors[c.Step] != nil, nil
	case "not":
		if c.Cond == nil {
			return false, mesh.Errorf(mesh.Invalid, "the condition of step %d is not nothing", i)
		}
		h, err := s.holds(c.Cond, i, out, depth+1)
		return !h, err
	case "and", "or":
		for _, o := range c.Conds {
			h, err := s.holds(o, i, out, depth+1)
			if err != nil || h == (c.Type == "or") {
				return h, err
			}
		}
		return c.Type == "and", nil
	case "is_autocommit":
		return s.tx == nil, nil
	}
	return false, mesh.Errorf(mesh.Invalid, "a condition of type %.40q, which is not known here", c.Type)
}

// program tells how many of the first steps are BEGIN, statements each of which runs if the one before did, and COMMIT if the last did:
// a program, which goes to the log at once. 0: they are none.
func program(steps []step) int {
	if len(steps) < 3 || steps[0].Condition != nil || !is(&steps[0], "BEGIN") || slices.Contains(strings.Fields(strings.ToUpper(*steps[0].Stmt.SQL)), "READONLY") {
		return 0
	}
	for i := 1; i < len(steps); i++ {
		if !follows(steps[i].Condition, i-1) {
			return 0
		}
		if is(&steps[i], "COMMIT") {
			if i == 1 {
				return 0
			}
			return i + 1
		}
		for _, k := range []string{"BEGIN", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA"} {
			if is(&steps[i], k) {
				return 0
			}
		}
	}
	return 0
}

// is tells whether a step's text, if it is not stored, begins with a word.
func is(s *step, word string) bool { return s.Stmt.SQL != nil && database.Keyword(*s.Stmt.SQL) == word }

// follows tells whether a condition is that a step went well, and that there is a transaction still.
func follows(c *condition, step int) bool {
	switch {
	case c == nil:
		return false
	case c.Type == "ok":
		return c.Step == step
	case c.Type == "and" && len(c.Conds) == 2 && c.Conds[1] != nil:
		n := c.Conds[1]
		return follows(c.Conds[0], step) && n.Type == "not" && n.Cond != nil && n.Cond.Type == "is_autocommit"
	}
	return false
}

// whole runs the steps of a program at once. When a statement fails, it has not, and the steps are to be run one by one: so that who
// asks sees what those before it gave.
func (s *stream) whole(ctx context.Context, steps []step, out *batchResult) (bool, error) {
	var p database.Program
	for i := range steps[1 : len(steps)-1] {
		st, err := s.statement(&steps[1+i].Stmt)
		if err != nil {
			return false, nil
		}
		p.Statements = append(p.Statements, st)
	}
	o, err := s.db.Do(ctx, s.level, p)
	var failed *database.Error
	if errors.As(err, &failed) && failed.Code != "40001" {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	empty := resultOf(new(database.Result), false)
	out.StepResults[0], out.StepResults[len(steps)-1] = empty, empty
	for i := range o.Results {
		r, err := s.result(&o.Results[i], &steps[1+i].Stmt)
		if err != nil {
			out.StepErrors[1+i] = errorOf(err)
			continue
		}
		out.StepResults[1+i] = r
	}
	return true, nil
}

// maxParameter is the greatest number of a parameter that replicas take.
const maxParameter = 32_766

// parameters lists the parameters of a statement by their number, each with its name, sign and all, or "".
func parameters(sql string) (names []string, err error) {
	grow := func(n int) error {
		if n < 1 || n > maxParameter {
			return mesh.Errorf(mesh.Invalid, "a parameter's number is 1 to %d", maxParameter)
		}
		for len(names) < n {
			names = append(names, "")
		}
		return nil
	}
	for p := range database.Parameters(sql) {
		switch {
		case p == "?":
			err = grow(len(names) + 1)
		case p[0] == '?':
			n, _ := strconv.Atoi(p[1:]) // 0 is refused as what is too large is
			if err = grow(n); err == nil {
				names[n-1] = p
			}
		case !slices.Contains(names, p):
			if err = grow(len(names) + 1); err == nil {
				names[len(names)-1] = p
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}
