package fuel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/fuel"
)

// A script is one file of the WebAssembly specification's tests, as wast2json writes it.
type script struct {
	Commands []command `json:"commands"`
}

type command struct {
	Type       string     `json:"type"`
	Line       int        `json:"line"`
	Name       string     `json:"name"`
	Filename   string     `json:"filename"`
	As         string     `json:"as"`
	ModuleType string     `json:"module_type"`
	Text       string     `json:"text"`
	Expected   []constant `json:"expected"`
	Action     struct {
		Type   string     `json:"type"`
		Module string     `json:"module"`
		Field  string     `json:"field"`
		Args   []constant `json:"args"`
	} `json:"action"`
}

type constant struct {
	Type     string `json:"type"`
	LaneType string `json:"lane_type"`
	Value    any    `json:"value"`
}

var laneBits = map[string]int{"i8": 8, "i16": 16, "i32": 32, "f32": 32, "i64": 64, "f64": 64, "externref": 64, "funcref": 64}

// words gives a constant as wazero passes it: one number, or two for a vector. A NaN that the specification leaves open, of
// whatever payload, must be the canonical one; sign and all.
func (c constant) words() []uint64 {
	lanes, typ := []any{c.Value}, c.Type
	if c.Type == "v128" {
		lanes, typ = c.Value.([]any), c.LaneType
	}
	bits := laneBits[typ]
	words := make([]uint64, max(1, len(lanes)*bits/64))
	for i, lane := range lanes {
		at := i * bits
		words[at/64] |= number(lane, typ, bits) << (at % 64)
	}
	return words
}

func number(v any, typ string, bits int) uint64 {
	s, _ := v.(string)
	switch {
	case v == nil || s == "null":
		return 0
	case strings.HasPrefix(s, "nan:") && bits == 32:
		return 0x7fc00000
	case strings.HasPrefix(s, "nan:"):
		return 0x7ff8000000000000
	case strings.HasPrefix(s, "-"):
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			panic(err)
		}
		return uint64(n) & (math.MaxUint64 >> (64 - bits))
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	if typ == "externref" {
		n++ // for wazero, 0 is the null reference
	}
	return n
}

// traps is what wazero says of each trap of the scripts.
var traps = map[string]string{
	"out of bounds memory access":   "out of bounds memory access",
	"indirect call type mismatch":   "indirect call type mismatch",
	"indirect call":                 "indirect call type mismatch",
	"undefined element":             "invalid table access",
	"undefined":                     "invalid table access",
	"out of bounds table access":    "invalid table access",
	"integer overflow":              "integer overflow",
	"invalid conversion to integer": "invalid conversion to integer",
	"integer divide by zero":        "integer divide by zero",
	"unreachable":                   "unreachable",
	"uninitialized":                 "invalid table access",
	"uninitialized element":         "invalid table access",
	"uninitialized element 2":       "invalid table access",
	"uninitialized element 7":       "invalid table access",
	"call stack exhausted":          "stack",
}

// An exception is a command of the scripts that the pass answers otherwise on purpose.
type exception struct {
	Script string `json:"script"`
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

func TestSpecification(t *testing.T) {
	root := filepath.Join(wazeroSource(t), "internal", "integration_test", "spectest")
	host, err := os.ReadFile(filepath.Join(root, "testdata", "spectest.wasm"))
	if err != nil {
		t.Skipf("the specification's tests are part of wazero's module, whose source is not here: %v", err)
	}
	raw, err := os.ReadFile("testdata/exceptions.json")
	if err != nil {
		t.Fatal(err)
	}
	var exceptions []exception
	if err := json.Unmarshal(raw, &exceptions); err != nil {
		t.Fatal(err)
	}
	for _, e := range engines {
		for version, features := range map[string]api.CoreFeatures{"v1": api.CoreFeaturesV1, "v2": api.CoreFeaturesV2} {
			files, err := filepath.Glob(filepath.Join(root, version, "testdata", "*.json"))
			if err != nil || len(files) < 70 {
				t.Fatalf("%d scripts of %s: %v", len(files), version, err)
			}
			for _, file := range files {
				name := version + "/" + strings.TrimSuffix(filepath.Base(file), ".json")
				t.Run(e.name+"/"+name, func(t *testing.T) {
					s := &spec{t: t, dir: filepath.Dir(file), name: name, v1: version == "v1", interpreter: e.name == "interpreter", modules: map[string]*instance{}, skip: map[int]bool{}}
					for _, x := range exceptions {
						if x.Script == name {
							s.skip[x.Line] = true
						}
					}
					s.run(e.config().WithCoreFeatures(features), host, file)
				})
			}
		}
	}
}

// A spec is a running script.
type spec struct {
	t           *testing.T
	dir         string
	name        string
	v1          bool
	interpreter bool
	runtime     wazero.Runtime
	modules     map[string]*instance
	last        *instance
	skip        map[int]bool
	line        int
}

var ctx = context.Background()

func (s *spec) errorf(format string, a ...any) {
	s.t.Helper()
	s.t.Errorf("%s:%d: %s", s.name, s.line, fmt.Sprintf(format, a...))
}

func (s *spec) run(config wazero.RuntimeConfig, host []byte, file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	var script script
	if err := json.Unmarshal(raw, &script); err != nil {
		s.t.Fatal(err)
	}
	s.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	defer s.runtime.Close(ctx)
	if _, err := s.runtime.InstantiateWithConfig(ctx, host, wazero.NewModuleConfig()); err != nil {
		s.t.Fatal(err)
	}
	for i, c := range script.Commands {
		s.line = c.Line
		if s.skip[c.Line] {
			continue
		}
		var as string
		if i+1 < len(script.Commands) && script.Commands[i+1].Type == "register" {
			as = script.Commands[i+1].As
		}
		s.command(c, as)
	}
}

func (s *spec) command(c command, as string) {
	switch c.Type {
	case "register":
	case "module":
		m, err := s.instantiate(c, as)
		if err != nil {
			s.errorf("%s: %v", c.Filename, err)
			return
		}
		s.last = m
		if c.Name != "" {
			s.modules[c.Name] = m
		}
	case "assert_return", "action":
		got, typ, err := s.act(c)
		if err != nil {
			s.errorf("%s: %v", c.Action.Field, err)
			return
		}
		s.compare(c, got, typ)
	case "assert_trap", "assert_exhaustion":
		_, _, err := s.act(c)
		want, ok := traps[c.Text]
		if !ok {
			s.errorf("an unknown trap %q", c.Text)
		}
		if err == nil {
			s.errorf("%s returned, %q is wanted", c.Action.Field, want)
			return
		}
		m := s.module(c)
		if want == "stack" {
			// The interpreter takes no more than 2,000 calls, which is less than the budget of small functions.
			if m.Outcome() != fuel.OutOfStack && !(s.interpreter && strings.Contains(err.Error(), "stack overflow")) {
				s.errorf("out of stack is wanted: %v, %v", m.Outcome(), err)
			}
			m.Stack.Set(fuel.StackBudget)
		} else if !strings.Contains(err.Error(), want) || m.Outcome() != fuel.Within {
			s.errorf("%q is wanted: %v, %v", want, m.Outcome(), err)
		}
	case "assert_invalid", "assert_malformed", "assert_unlinkable":
		if c.ModuleType == "text" {
			return
		}
		_, err := s.instantiate(c, "")
		if err == nil {
			s.errorf("%s: accepted: %s", c.Filename, c.Text)
		}
		var plain *mesh.Error
		if c.Type != "assert_unlinkable" && !errors.As(err, &plain) && !s.v1 {
			s.errorf("%s: the pass lets through what only the engine refuses: %v", c.Filename, err)
		}
	case "assert_uninstantiable":
		// wazero takes a table access out of bounds by a segment for no error; the start function is called by s.instantiate.
		if _, err := s.instantiate(c, ""); (err == nil) != (c.Text == "out of bounds table access") {
			s.errorf("%s: %v, %s", c.Filename, err, c.Text)
		}
	default:
		s.errorf("an unknown command %s", c.Type)
	}
}

func (s *spec) instantiate(c command, as string) (*instance, error) {
	binary, err := os.ReadFile(filepath.Join(s.dir, c.Filename))
	if err != nil {
		s.t.Fatal(err)
	}
	got, err := fuel.Meter(binary, fuel.Options{})
	if err != nil {
		return nil, err
	}
	m, err := s.runtime.InstantiateWithConfig(ctx, got.Module, wazero.NewModuleConfig().WithName(as).WithStartFunctions())
	if err != nil {
		return nil, fmt.Errorf("engine: %v", err)
	}
	i := metered(s.t, m)
	i.Fuel.Set(uint64(plenty))
	if got.Start {
		if _, err := m.ExportedFunction(fuel.StartExport).Call(ctx); err != nil {
			return nil, fmt.Errorf("start: %v", err)
		}
	}
	return &i, nil
}

func (s *spec) module(c command) *instance {
	if c.Action.Module != "" {
		return s.modules[c.Action.Module]
	}
	return s.last
}

func (s *spec) act(c command) ([]uint64, []api.ValueType, error) {
	m := s.module(c)
	if m == nil {
		return nil, nil, errors.New("there is no such module")
	}
	if c.Action.Type == "get" {
		g := m.ExportedGlobal(c.Action.Field)
		return []uint64{g.Get()}, []api.ValueType{g.Type()}, nil
	}
	var args []uint64
	for _, a := range c.Action.Args {
		args = append(args, a.words()...)
	}
	f := m.ExportedFunction(c.Action.Field)
	m.Fuel.Set(uint64(plenty))
	before := m.Stack.Get()
	got, err := f.Call(ctx, args...)
	if err == nil && m.Stack.Get() != before {
		s.errorf("%s took %d bytes of stack and kept them", c.Action.Field, int64(before)-int64(m.Stack.Get()))
	}
	if err != nil && m.Outcome() == fuel.Within {
		m.Stack.Set(before) // the scripts go on with the instance, which a host must not
	}
	return got, f.Definition().ResultTypes(), err
}

func (s *spec) compare(c command, got []uint64, types []api.ValueType) {
	var want []uint64
	for _, x := range c.Expected {
		words := x.words()
		if x.Value == nil && strings.HasSuffix(x.Type, "ref") && len(want) < len(got) {
			words[0] = got[len(want)] // any reference
		}
		if len(x.Type) == 3 && strings.HasSuffix(x.Type, "32") && len(want) < len(got) {
			got[len(want)] = uint64(uint32(got[len(want)])) // what lies above is not the value's
		}
		want = append(want, words...)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.errorf("%s(%v) = %#x, want %#x", c.Action.Field, c.Action.Args, got, want)
	}
}
