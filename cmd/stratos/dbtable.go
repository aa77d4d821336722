package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stratosmesh/stratos/client/database"
)

// writeOutcome shows results as psql does: a table with its count of rows, and of other statements how many rows they changed.
func writeOutcome(w io.Writer, o *database.Outcome) {
	for i, r := range o.Results {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if len(r.Columns) > 0 {
			tableOf(r).write(w)
		} else {
			fmt.Fprintln(w, done(r))
		}
	}
}

// done says what a statement without rows did.
func done(r database.Result) string {
	switch {
	case r.Tag != "":
		return r.Tag
	case r.Changed > 0:
		return count(r.Changed, "row") + " changed"
	}
	return "done"
}

// A table is a result as it is shown: as psql does.
type table struct {
	columns []string
	numbers []bool // they stand at the right
	rows    [][]string
}

func tableOf(r database.Result) table {
	t := table{}
	for _, c := range r.Columns {
		t.columns, t.numbers = append(t.columns, c.Name), append(t.numbers, len(r.Rows) > 0)
	}
	for _, row := range r.Rows {
		line := make([]string, len(t.columns))
		for i := range min(len(row), len(line)) {
			line[i] = cellText(row[i])
			switch row[i].(type) {
			case nil, int64, float64:
			default:
				t.numbers[i] = false
			}
		}
		t.rows = append(t.rows, line)
	}
	return t
}

// write shows a line a row.
func (t table) write(w io.Writer) {
	head, widths := make([]string, len(t.columns)), make([]int, len(t.columns))
	for i, c := range t.columns {
		head[i] = visible(c)
		widths[i] = utf8.RuneCountInString(head[i])
	}
	lines := make([][]string, len(t.rows))
	for n, row := range t.rows {
		lines[n] = make([]string, len(widths))
		for i, s := range row {
			lines[n][i] = visible(s)
			widths[i] = max(widths[i], utf8.RuneCountInString(lines[n][i]))
		}
	}
	for i, h := range head {
		free := widths[i] - utf8.RuneCountInString(h)
		head[i] = strings.Repeat(" ", free/2) + h + strings.Repeat(" ", free-free/2)
	}
	writeLine(w, head)
	for i, n := range widths {
		if i > 0 {
			io.WriteString(w, "+")
		}
		io.WriteString(w, strings.Repeat("-", n+2))
	}
	fmt.Fprintln(w)
	for _, line := range lines {
		for i, s := range line {
			if free := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(s)); t.numbers[i] {
				line[i] = free + s
			} else {
				line[i] = s + free
			}
		}
		writeLine(w, line)
	}
	fmt.Fprintf(w, "(%s)\n", count(len(t.rows), "row"))
}

func writeLine(w io.Writer, cells []string) {
	fmt.Fprintln(w, strings.TrimRight(" "+strings.Join(cells, " | "), " "))
}

// expand shows a line a value.
func (t table) expand(w io.Writer) {
	width := 0
	for _, c := range t.columns {
		width = max(width, utf8.RuneCountInString(visible(c)))
	}
	for n, row := range t.rows {
		fmt.Fprintf(w, "-[ record %d ]%s\n", n+1, strings.Repeat("-", max(0, width-10)))
		for i, s := range row {
			c := visible(t.columns[i])
			fmt.Fprintln(w, strings.TrimRight(c+strings.Repeat(" ", width-utf8.RuneCountInString(c))+" | "+visible(s), " "))
		}
	}
	fmt.Fprintf(w, "(%s)\n", count(len(t.rows), "row"))
}

// cellText shows a value in a table; NULL is empty.
func cellText(v any) string {
	switch v := v.(type) {
	case bool:
		return map[bool]string{true: "t", false: "f"}[v]
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return realText(v)
	case string:
		return v
	case []byte:
		return `\x` + hex.EncodeToString(v)
	}
	return ""
}

func realText(f float64) string {
	if math.IsInf(f, 0) {
		return map[bool]string{true: "Infinity", false: "-Infinity"}[f > 0]
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
