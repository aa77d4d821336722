package engine

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"lukechampine.com/blake3"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Program is statements that happen all or not at all. The engine keeps what it points to only until Commit.
type Program struct {
	ID         [16]byte // what comes a second time with it has the outcome of the first
	Sent       [32]byte // digest of what its author sent, to which the id is bound
	Statements []*wirepb.Statement
	GasLimit   uint64
	// View has the time and the seed of an interactive transaction, and the digests of the results that its author saw, from
	// the first statement on. Default: the block's time and a seed of the block, the program's place in it, and the program.
	View *wirepb.View
	// Settings are of the session, for a dialect.
	Settings *wirepb.Settings
	// Role is as whom the program runs, for a dialect; the zero value is the owner.
	Role grant.Role
	// Database is what its owner calls it, for a dialect.
	Database string
	// Describe asks for the columns and the types of parameters of the last statement, which does not run. It is for questions.
	Describe bool
}

// Digest is the program's part in the rolling digest: BLAKE3 over "stratos database program/1", a zero, the id, the gas
// limit, the number of statements, each one's length, SQL, number of parameters and parameters (as in content), and, if
// there are types of parameters, "types", their number and each; then, if
// it does not run as the owner, "role", the role's name and the caller, each after its length; then, if
// there is a view, its time, the length of the seed, the seed, the number of results, and each one's length and bytes. Numbers are u64 LE.
func (p *Program) Digest() [32]byte {
	b := append([]byte("stratos database program/1\x00"), p.ID[:]...)
	number := func(n int) { b = binary.LittleEndian.AppendUint64(b, uint64(n)) }
	b = binary.LittleEndian.AppendUint64(b, p.GasLimit)
	number(len(p.Statements))
	for _, s := range p.Statements {
		number(len(s.GetSql()))
		b = append(b, s.GetSql()...)
		number(len(s.GetParameters()))
		for _, v := range s.GetParameters() {
			b = appendValue(b, v)
		}
		if types := s.GetParameterTypes(); len(types) > 0 {
			b = append(b, "types"...)
			number(len(types))
			for _, t := range types {
				number(int(t))
			}
		}
	}
	if z := p.Settings.GetTimeZone(); z != "" {
		b = append(b, "zone"...)
		number(len(z))
		b = append(b, z...)
	}
	if r := p.Role; r.Name != "" {
		b = append(b, "role"...)
		for _, s := range []string{r.Name, r.Caller} {
			number(len(s))
			b = append(b, s...)
		}
	}
	if v := p.View; v != nil {
		number(int(v.TimeMs))
		number(len(v.Seed))
		b = append(b, v.Seed...)
		number(len(v.Results))
		for _, r := range v.Results {
			number(len(r))
			b = append(b, r...)
		}
	}
	return blake3.Sum256(b)
}

// ResultDigest is what View.results holds of a result.
func ResultDigest(r *wirepb.Result) [32]byte { return database.ResultDigest(r) }

// A plan is a program that was looked at: what of it depends neither on the schema nor on the state.
type plan struct {
	p      *Program
	digest [32]byte
	height uint64 // of its block; of a view, the first that its block could have
	timeMs int64
	seed   [32]byte
	args   [][]byte // of each statement, as they cross
	bytes  []uint64 // of each statement and its parameters
	in     uint64
	tier   int // the least that its parameters need
	code   string
	text   string
	failed int

	tentative bool // all is undone, and more may come before the end
}

func (p *plan) refuse(i int, code, text string) {
	if p.code == "" {
		p.code, p.text, p.failed = code, text, i
	}
}

// planned looks at p. Time and seed are what it runs with when it brings none.
func planned(p *Program, l *Limits, timeMs int64, seed [32]byte) *plan {
	pl := &plan{p: p, timeMs: timeMs, seed: seed}
	switch {
	case len(p.Statements) == 0:
		pl.refuse(0, codeParameter, "a program without statements")
	case len(p.Statements) > l.Statements:
		pl.refuse(0, codeTooBig, fmt.Sprintf("more than %d statements", l.Statements))
	case p.GasLimit < l.MinGas || p.GasLimit > maxGas:
		pl.refuse(0, codeParameter, fmt.Sprintf("a gas limit of %d, want %d to %d", p.GasLimit, l.MinGas, uint64(maxGas)))
	}
	if v := p.View; v != nil {
		if len(v.Seed) != len(pl.seed) || len(v.Results) > len(p.Statements) {
			pl.refuse(0, codeParameter, "a view wants a seed of 32 bytes, and no more results than statements")
		} else {
			pl.timeMs = v.TimeMs
			copy(pl.seed[:], v.Seed)
		}
	}
	if pl.timeMs < 0 || pl.timeMs > maxTimeMs {
		pl.refuse(0, codeParameter, "a time outside of 1970 to 9999")
	}
	largest := 0
	for i, s := range p.Statements {
		if pl.code != "" { // a program that is refused is not walked through
			break
		}
		if len(s.GetSql()) > l.SQLBytes {
			pl.refuse(i, codeTooBig, fmt.Sprintf("a statement of %d bytes, at most %d", len(s.GetSql()), l.SQLBytes))
		}
		if len(s.GetParameters()) > l.Parameters || len(s.GetParameterTypes()) > l.Parameters {
			pl.refuse(i, codeTooBig, fmt.Sprintf("%d parameters, at most %d", len(s.GetParameters()), l.Parameters))
		}
		if !utf8.ValidString(s.GetSql()) {
			pl.refuse(i, codeEncoding, "a statement that is not UTF-8")
		}
		n := uint64(len(s.GetSql()))
		var b []byte
		for _, v := range s.GetParameters() {
			from := len(b)
			b = appendValue(b, v)
			largest = max(largest, len(v.GetText()), len(v.GetBlob()))
			n += uint64(len(b) - from)
			if math.IsNaN(v.GetReal()) || !utf8.ValidString(v.GetText()) {
				pl.refuse(i, codeParameter, "a parameter that is not a number, or not UTF-8")
			}
		}
		pl.args, pl.bytes, pl.in = append(pl.args, b), append(pl.bytes, n), pl.in+n
	}
	for pl.tier < len(tiers)-1 && largest > tiers[pl.tier].bytes {
		pl.tier++
	}
	if largest > tiers[pl.tier].bytes {
		pl.refuse(0, codeTooBig, fmt.Sprintf("a parameter of %d bytes, at most %d", largest, tiers[pl.tier].bytes))
	}
	return pl
}

const maxTimeMs = 253402300799999 // the last millisecond that SQLite's dates know

// deriveSeed is where random numbers come from that nobody brought.
func deriveSeed(from []byte, height, index uint64, program [32]byte) [32]byte {
	b := append([]byte("stratos database random/1\x00"), from...)
	b = binary.BigEndian.AppendUint64(b, height)
	b = binary.BigEndian.AppendUint64(b, index)
	return blake3.Sum256(append(b, program[:]...))
}

// An attempt is one run of a program at one tier.
type attempt struct {
	conn   *conn
	plan   *plan
	tier   int
	limit  uint64 // what is left of the gas
	gas    uint64
	bytes  int // of rows, as they cross
	out    uint64
	rows   uint64
	result []*wirepb.Result
	sums   [][32]byte // digests of results

	code, text string
	failed     int
	before     *schema // when the schema was changed: what it was
	wrote      bool
	tooBig     bool
	more       *Error // says more than code and text
}

func (a *attempt) fail(i int, code, text string) bool {
	a.code, a.text, a.failed = code, text, i
	return false
}

// charge takes gas; false means that there is none left. What is exhausted has cost everything.
func (a *attempt) charge(i int, gas uint64) bool {
	if gas > a.limit-a.gas {
		a.gas = a.limit
		return a.fail(i, codeExhausted, "the gas limit is reached")
	}
	a.gas += gas
	return true
}

func (a *attempt) price() uint64 { return tiers[a.tier].price }

// run executes the program's statements. The caller has begun a savepoint, and ends it by the code. An error is of the
// file, and stops the database.
func (a *attempt) run(cancelled func() bool, readOnly bool) error {
	c := a.conn
	if _, err := c.readSchema(); err != nil {
		return err
	}
	c.length(tiers[a.tier].bytes)
	c.begin(a.plan.timeMs, &a.plan.seed)
	c.height = a.plan.height
	defer c.end()
	if c.dialect != nil {
		if e := c.dialect.Begin(a.plan.timeMs, a.plan.p); e != nil {
			a.failWith(0, e)
			return nil
		}
	}
	for i := range a.plan.p.Statements {
		if cancelled() {
			a.fail(i, codeCancelled, "the time for the question is over")
			return nil
		}
		c.statement(int(a.plan.p.View.GetFirst()) + i)
		if ok, err := a.statement(i, readOnly); !ok || err != nil {
			return err
		}
	}
	if !a.plan.tentative && c.deferred() {
		a.fail(len(a.plan.p.Statements)-1, codeForeignKey, "a foreign key that is checked at the end of the transaction is violated")
	}
	if a.code == "" && a.before != nil {
		code, text, err := c.checkSchema(a.before)
		if code != "" {
			a.fail(len(a.plan.p.Statements)-1, code, text)
		}
		return err
	}
	return nil
}

// statement runs one statement; ok tells to go on.
func (a *attempt) statement(i int, readOnly bool) (ok bool, err error) {
	c := a.conn
	if c.dialect != nil {
		return a.translated(i, readOnly)
	}
	sch, err := c.readSchema()
	if err != nil {
		return false, err
	}
	c.length(tiers[a.tier].bytes)
	return a.sqlite(i, a.plan.p.Statements[i].GetSql(), sch, gasStatement+a.plan.bytes[i]/gasBytes, readOnly, a.plan.args[i], nil)
}

// sqlite runs one statement of SQLite's, which costs so much besides its words. t is what it is a step of, or nil.
func (a *attempt) sqlite(i int, sql string, sch *schema, cost uint64, readOnly bool, args []byte, t *translation) (ok bool, err error) {
	c := a.conn
	s := c.cached(sql, a.tier)
	tokens, first := 0, ""
	if s != nil {
		tokens, first = s.tokens, s.first
	} else {
		var code, text string
		if first, tokens, code, text = check(sql, sch.weight); code != "" {
			return a.fail(i, code, text), nil
		}
		most := c.limits.Tokens
		if t != nil {
			most *= translatedWords
		}
		if tokens > most {
			return a.fail(i, codeTooComplex, fmt.Sprintf("more than %d words, with those of views and triggers", most)), nil
		}
	}
	if !a.charge(i, cost+gasToken*uint64(tokens)) {
		return false, nil
	}
	if s == nil {
		var rc int
		if s, rc = c.compile(sql, c.limits.Effort); rc != rcOK {
			return false, a.compileError(i, s, rc)
		}
		s.tokens, s.first = tokens, first
		if !empty(s.tail) {
			s.finalize()
			return a.fail(i, codeSyntax, "more than one statement"), nil
		}
		if s.names = s.nameBytes(); t == nil && s.names > c.limits.SQLBytes {
			s.finalize()
			return a.fail(i, codeTooBig, fmt.Sprintf("columns whose names have more than %d bytes together", c.limits.SQLBytes)), nil
		}
		s.key = keptKey{sql, a.tier}
	}
	defer func() { c.release(s, a.before == nil && err == nil) }()
	if n := s.parameters(); t == nil && n != len(a.plan.p.Statements[i].GetParameters()) {
		return a.fail(i, codeParameter, fmt.Sprintf("%d parameters for a statement of %d", len(a.plan.p.Statements[i].GetParameters()), n)), nil
	}
	if !s.readOnly() {
		if readOnly {
			return a.fail(i, codeReadOnly, "a question may not write"), nil
		}
		a.wrote = true
	}
	if s.flags&flagSchema != 0 {
		if ok, err := a.changesSchema(i, s, sch); !ok || err != nil {
			return false, err
		}
	}
	if a.described(i) {
		a.result = append(a.result, &wirepb.Result{Columns: s.columns(), ParameterTypes: make([]uint32, s.parameters())})
		return true, nil
	}
	return a.execute(i, s, args, t)
}

// described tells whether a statement is not run, but described.
func (a *attempt) described(i int) bool {
	return a.plan.p.Describe && i == len(a.plan.p.Statements)-1
}

func (a *attempt) compileError(i int, s *statement, rc int) error {
	text := a.conn.message()
	switch {
	case ofFile(rc, s.flags, false):
		return fileErrorFlags("compiling", rc, s.flags, text)
	case s.flags&flagDenied != 0:
		a.fail(i, codeRefused, a.conn.refused()+" is refused")
	case rc&0xff == rcNoMem:
		a.fail(i, codeTooComplex, "the statement is too large when it is compiled")
	case s.flags&flagExhausted != 0:
		a.fail(i, codeTooComplex, "the statement is too hard to plan")
	default:
		a.failed, a.tooBig = i, rc&0xff == rcTooBig
		a.fail(i, stateOf(rc, text, false), text)
	}
	return nil
}

// changesSchema charges for what SQLite does in few steps, however large: SQL of all objects is read again, and a table
// that loses rows or columns gives back its pages at once.
func (a *attempt) changesSchema(i int, s *statement, now *schema) (ok bool, err error) {
	if a.before == nil {
		a.before = now
	}
	if !a.charge(i, gasSchema+gasObject*uint64(now.count)) {
		return false, nil
	}
	if s.dropped == "" {
		return true, nil
	}
	c := a.conn
	count, rc := c.compile("SELECT count(*) FROM main."+quoteName(s.dropped), c.limits.Effort)
	defer count.finalize()
	flags := count.flags
	if rc == rcOK {
		r := c.step(count, nil, (a.limit-a.gas)/a.price(), a.limit-a.gas, 1, math.MaxInt)
		defer r.free()
		rc, flags = r.rc, r.flags
		if !a.spend(i, r) {
			return false, nil
		}
	}
	if ofFile(rc, flags, true) && rc&0xff != rcNoMem {
		return false, fileErrorFlags("counting", rc, flags, c.message())
	}
	return true, nil // a view that cannot be counted has no rows to lose
}

// spend charges what a run took.
func (a *attempt) spend(i int, r *run) bool {
	if r.flags&flagExhausted != 0 || r.steps > (a.limit-a.gas)/a.price() {
		a.gas = a.limit
		return a.fail(i, codeExhausted, "the gas limit is reached")
	}
	return a.charge(i, r.steps*a.price()+r.charged)
}

func (a *attempt) execute(i int, s *statement, args []byte, t *translation) (ok bool, err error) {
	c := a.conn
	c.failed = nil
	left := a.limit - a.gas
	room := c.limits.ResultBytes - a.bytes
	r := c.step(s, args, left/a.price(), left, uint64(c.limits.Rows), room)
	defer r.free()
	text := ""
	if r.rc != rcOK && r.rc != rcRow {
		text = c.message()
	}
	// A statement that changes the schema compiles others while it runs.
	if r.rc != rcRow && ofFile(r.rc, r.flags, s.flags&flagSchema == 0) {
		return false, fileErrorFlags("running a statement", r.rc, r.flags, text)
	}
	if r.flags&flagRowID != 0 {
		// From the next row on SQLite drew numbers, so that what it spent since is not the same everywhere.
		a.gas = a.limit
		return a.fail(i, codeOutOfRange, "row id 9223372036854775807 is the last and refused"), nil
	}
	if !a.spend(i, r) {
		return false, nil
	}
	switch {
	case r.flags&flagRows != 0:
		return a.fail(i, codeTooBig, fmt.Sprintf("a result of more than %d rows or %d bytes", c.limits.Rows, c.limits.ResultBytes)), nil
	case r.flags&flagDenied != 0:
		return a.fail(i, codeRefused, c.refused()+" is refused"), nil
	case r.rc != rcOK && c.failed != nil:
		return a.failWith(i, c.failed), nil
	case r.rc != rcOK:
		a.tooBig = r.rc&0xff == rcTooBig
		if t != nil && t.Explain != nil {
			if e := t.Explain(r.rc, text); e != nil {
				return a.failWith(i, e), nil
			}
		}
		return a.fail(i, stateOf(r.rc, text, true), text), nil
	}
	if s.flags&flagSchema != 0 {
		c.flush()
	}
	if t != nil && t.Tag == "" {
		return true, nil // a step without a result
	}
	return a.finish(i, s, r, t), nil
}

// finish makes the result of a statement that went well.
func (a *attempt) finish(i int, s *statement, r *run, t *translation) bool {
	res := &wirepb.Result{}
	if t != nil {
		res.Columns = t.Columns
	} else if r.columns > 0 {
		if s.cols == nil {
			s.cols = s.columns()
		}
		res.Columns = s.cols
		for _, col := range s.cols {
			if named(col.Name) {
				return a.fail(i, "42701", "column "+col.Name+" is one of five or more of the same name; name them apart")
			}
		}
	}
	if a.bytes += len(r.data) + s.names + valueBytes*int(r.count)*r.columns; a.bytes > a.conn.limits.ResultBytes {
		return a.fail(i, codeTooBig, fmt.Sprintf("results of more than %d bytes", a.conn.limits.ResultBytes))
	}
	var ok bool
	if res.Rows, ok = decodeRows(r); !ok {
		return a.fail(i, codeEncoding, "a text that is not UTF-8; cast it to a blob")
	}
	switch s.first {
	case "insert", "replace", "update", "delete", "with":
		if !s.readOnly() {
			res.Changed, res.LastRowId = r.changes, r.lastRowID
		}
	}
	if t != nil {
		n := r.count
		if res.LastRowId = 0; !s.readOnly() {
			n = res.Changed
		}
		res.Tag = strings.Replace(t.Tag, "%d", strconv.FormatUint(n, 10), 1)
	}
	return a.record(i, res, r.count, res.Changed)
}

// record puts a result into the outcome.
func (a *attempt) record(i int, res *wirepb.Result, rows, changed uint64) bool {
	encoded := wire.Encode(res)
	sum := blake3.Sum256(encoded)
	a.result, a.sums = append(a.result, res), append(a.sums, sum)
	a.out += uint64(len(encoded))
	a.rows += changed + rows
	if !a.charge(i, uint64(len(encoded))/gasBytes) {
		return false
	}
	if v := a.plan.p.View; v != nil && i < len(v.Results) && !slices.Equal(v.Results[i], sum[:]) {
		return a.fail(i, codeSerialize, "the result is not the one that was seen: another transaction came between")
	}
	return true
}

func decodeRows(r *run) ([]*wirepb.Row, bool) {
	if r.count == 0 {
		return nil, true
	}
	// One allocation for all rows and one for all values: a result has many.
	n := int(r.count) * r.columns
	rows, refs, values := make([]wirepb.Row, r.count), make([]*wirepb.Row, r.count), make([]wirepb.Value, n)
	cells := make([]*wirepb.Value, n)
	b := r.data
	for i := range values {
		tag, number, data, rest := next(b)
		b = rest
		v := &values[i]
		cells[i] = v
		switch tag {
		case tagInteger:
			v.Value = &wirepb.Value_Integer{Integer: int64(number)}
		case tagReal:
			v.Value = &wirepb.Value_Real{Real: math.Float64frombits(number)}
		case tagText:
			if !utf8.Valid(data) {
				return nil, false
			}
			v.Value = &wirepb.Value_Text{Text: string(data)}
		case tagBlob:
			v.Value = &wirepb.Value_Blob{Blob: append([]byte{}, data...)}
		default:
			v.Value = &wirepb.Value_Null{Null: true}
		}
	}
	for i := range rows {
		rows[i].Values = cells[i*r.columns : (i+1)*r.columns : (i+1)*r.columns]
		refs[i] = &rows[i]
	}
	return refs, true
}

// outcome of a program by its last attempt, and what attempts before it have cost.
func (p *plan) outcome(a *attempt, before uint64) *wirepb.Outcome {
	o := &wirepb.Outcome{Usage: &wirepb.Usage{BytesIn: p.in}}
	if a == nil {
		o.Code, o.Text, o.Failed = p.code, p.text, uint32(p.failed)
		return o
	}
	o.Usage.Gas = before + a.gas
	if a.code != "" {
		o.Code, o.Text, o.Failed = a.code, a.text, uint32(a.failed)
		if e := a.more; e != nil && e.Code == a.code {
			o.Hint, o.Position, o.Detail, o.Table, o.Column, o.Constraint = e.Hint, uint32(e.Position), e.Detail, e.Table, e.Column, e.Constraint
		}
		return o
	}
	o.Results, o.Usage.Rows, o.Usage.BytesOut = a.result, a.rows, a.out
	return o
}

// OutcomeDigest is what answers and results of blocks hold of an outcome.
func OutcomeDigest(o *wirepb.Outcome) [32]byte { return database.OutcomeDigest(o) }

func resultsDigest(o *wirepb.Outcome) [32]byte {
	h := blake3.New(32, nil)
	for _, r := range o.GetResults() {
		sum := ResultDigest(r)
		h.Write(sum[:])
	}
	return [32]byte(h.Sum(nil))
}

// fold is the rolling digest: BLAKE3(before | height u64 | index u64 | program 32 | code 5 | results 32 | gas u64), numbers
// big-endian, no code as zeros.
func fold(before [32]byte, height, index uint64, program [32]byte, o *wirepb.Outcome) [32]byte {
	b := append([]byte(nil), before[:]...)
	b = binary.BigEndian.AppendUint64(b, height)
	b = binary.BigEndian.AppendUint64(b, index)
	b = append(b, program[:]...)
	var code [5]byte
	copy(code[:], o.GetCode())
	b = append(b, code[:]...)
	results := resultsDigest(o)
	b = append(b, results[:]...)
	b = binary.BigEndian.AppendUint64(b, o.GetUsage().GetGas())
	return blake3.Sum256(b)
}

// stopped is what a database answers after the file failed it.
func stopped(err error) error {
	return mesh.WithHint(fmt.Errorf("the database has stopped: %w", err), "open it again, or take a snapshot of another replica")
}
