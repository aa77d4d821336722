package databases

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
)

// Messages of Hrana over HTTP, versions 2 and 3, as its specification has them.

type pipelineRequest struct {
	Baton    string          `json:"baton"`
	Requests []streamRequest `json:"requests"`
}

type pipelineAnswer struct {
	Baton   *string        `json:"baton"` // null: the stream is closed
	BaseURL *string        `json:"base_url"`
	Results []streamResult `json:"results"`
}

type cursorRequest struct {
	Baton string `json:"baton"`
	Batch *batch `json:"batch"`
}

type streamRequest struct {
	Type  string     `json:"type"`
	Stmt  *statement `json:"stmt"`
	Batch *batch     `json:"batch"`
	SQL   *string    `json:"sql"`
	SQLID *int32     `json:"sql_id"`
}

type streamResult struct {
	Type     string          `json:"type"` // ok or error
	Response *streamResponse `json:"response,omitempty"`
	Error    *protocolError  `json:"error,omitempty"`
}

type streamResponse struct {
	Type         string `json:"type"`
	Result       any    `json:"result,omitempty"`
	IsAutocommit *bool  `json:"is_autocommit,omitempty"`
}

type statement struct {
	SQL       *string    `json:"sql"`
	SQLID     *int32     `json:"sql_id"`
	Args      []value    `json:"args"`
	NamedArgs []namedArg `json:"named_args"`
	WantRows  *bool      `json:"want_rows"`
}

type namedArg struct {
	Name  string `json:"name"`
	Value value  `json:"value"`
}

type batch struct {
	Steps []step `json:"steps"`
}

type step struct {
	Condition *condition `json:"condition"`
	Stmt      statement  `json:"stmt"`
}

type condition struct {
	Type  string       `json:"type"`
	Step  int          `json:"step"`
	Cond  *condition   `json:"cond"`
	Conds []*condition `json:"conds"`
}

type column struct {
	Name     string  `json:"name"`
	Decltype *string `json:"decltype"`
}

type statementResult struct {
	Cols             []column  `json:"cols"`
	Rows             [][]value `json:"rows"`
	AffectedRowCount uint64    `json:"affected_row_count"`
	LastInsertRowid  *string   `json:"last_insert_rowid"`

	bytes int // of its rows, about
}

type batchResult struct {
	StepResults []*statementResult `json:"step_results"`
	StepErrors  []*protocolError   `json:"step_errors"`
}

type describeResult struct {
	Params     []describedParameter `json:"params"`
	Cols       []column             `json:"cols"`
	IsExplain  bool                 `json:"is_explain"`
	IsReadonly bool                 `json:"is_readonly"`
}

type describedParameter struct {
	Name *string `json:"name"`
}

// A value is nil, int64, float64, string or []byte.
type value struct{ v any }

func (v value) MarshalJSON() ([]byte, error) {
	switch x := v.v.(type) {
	case int64:
		return []byte(`{"type":"integer","value":"` + strconv.FormatInt(x, 10) + `"}`), nil
	case float64:
		if math.IsInf(x, 0) { // JSON has no word for it, and readers take what is too large for it
			return []byte(`{"type":"float","value":` + map[bool]string{true: "1e999", false: "-1e999"}[x > 0] + `}`), nil
		}
		return json.Marshal(map[string]any{"type": "float", "value": x})
	case string:
		return json.Marshal(map[string]string{"type": "text", "value": x})
	case []byte:
		return []byte(`{"type":"blob","base64":"` + base64.RawStdEncoding.EncodeToString(x) + `"}`), nil
	}
	return []byte(`{"type":"null"}`), nil
}

func (v *value) UnmarshalJSON(b []byte) error {
	var m struct {
		Type   string          `json:"type"`
		Value  json.RawMessage `json:"value"`
		Base64 string          `json:"base64"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	var err error
	switch m.Type {
	case "null":
		v.v = nil
	case "integer":
		text := ""
		if err = json.Unmarshal(m.Value, &text); err == nil {
			v.v, err = strconv.ParseInt(text, 10, 64)
		}
	case "float":
		var f float64
		err = json.Unmarshal(m.Value, &f)
		v.v = f
	case "text":
		text := ""
		err = json.Unmarshal(m.Value, &text)
		v.v = text
	case "blob":
		v.v, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(m.Base64, "="))
	default:
		return mesh.Errorf(mesh.Invalid, "a value of type %.40q", m.Type)
	}
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "a value of type %s: %w", m.Type, err)
	}
	return nil
}

// A protocolError is an error as Hrana tells it.
type protocolError struct {
	Message string `json:"message"`
	Code    string `json:"code"`
}

// codes are SQLite's names of errors, by SQLSTATE.
var codes = map[string]string{
	"23505": "SQLITE_CONSTRAINT_UNIQUE",
	"23502": "SQLITE_CONSTRAINT_NOTNULL",
	"23503": "SQLITE_CONSTRAINT_FOREIGNKEY",
	"23514": "SQLITE_CONSTRAINT_CHECK",
	"42601": "SQL_PARSE_ERROR",
	"40001": "SQLITE_BUSY",
	"42501": "SQLITE_AUTH",
	"25006": "SQLITE_READONLY",
	"53100": "SQLITE_FULL",
	"54000": "SQLITE_TOOBIG",
	"57014": "SQLITE_INTERRUPT",
}

// errorOf tells an error of whatever kind, with what to do next.
func errorOf(err error) *protocolError {
	e := &protocolError{Message: err.Error(), Code: strings.ToUpper(mesh.KindOf(err).String())}
	var sql *database.Error
	if errors.As(err, &sql) {
		e.Code = "SQLITE_ERROR"
		if c, ok := codes[sql.Code]; ok {
			e.Code = c
		} else if strings.HasPrefix(sql.Code, "23") {
			e.Code = "SQLITE_CONSTRAINT"
		}
	}
	if h := mesh.HintOf(err); h != "" {
		e.Message += "; next: " + h
	}
	return e
}

func resultOf(r *database.Result, wantRows bool) *statementResult {
	out := &statementResult{Cols: []column{}, Rows: [][]value{}, AffectedRowCount: r.Changed}
	if r.LastRowID != 0 {
		id := strconv.FormatInt(r.LastRowID, 10)
		out.LastInsertRowid = &id
	}
	for _, c := range r.Columns {
		col := column{Name: c.Name}
		if c.Type != "" {
			col.Decltype = &c.Type
		}
		out.Cols = append(out.Cols, col)
	}
	if !wantRows {
		return out
	}
	for _, row := range r.Rows {
		cells := make([]value, len(row))
		for i, v := range row {
			cells[i] = value{v}
			out.bytes += 40
			switch v := v.(type) {
			case string:
				out.bytes += len(v)
			case []byte:
				out.bytes += len(v) * 4 / 3
			}
		}
		out.Rows = append(out.Rows, cells)
	}
	return out
}
