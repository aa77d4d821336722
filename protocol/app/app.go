// Package app is what a bucket's owner says of an application: its pages, its functions and where they answer, as a section of the bucket's
// configuration. Deploying writes one, rolling back writes an earlier one; gateways read it with each request. See DESIGN.md beside.
//
// It is pure. cmd/stratos writes manifests, gateways serve them.
package app

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Section is the kind of the section of a bucket's configuration that holds its manifest. Those below it are of gateway/s3.
const Section = 9

// Folder is where an application keeps what it is made of, in its bucket. Functions neither read nor write there.
const Folder = ".app/"

// ScriptFile is the file in which a function that is a script finds it.
const ScriptFile = "script.js"

// Bounds of a manifest.
const (
	MaxFunctions = 64
	MaxRoutes    = 256
	MaxFuel      = 300_000_000_000 // of a request: about 10 s of a core
	MaxPages     = 4096            // 256 MiB
	MaxEvents    = 16              // schedules, and triggers
	MinSchedule  = 10              // seconds
	MaxWatched   = 10_000          // objects below a trigger's prefix
	MaxScript    = compute.MaxCallFiles / 2
	MaxSecrets   = 32 << 10 // bytes of all secrets
)

// A Manifest is one version of an application. Its JSON is what the section holds.
type Manifest struct {
	Format    int        `json:"format"`  // 1
	Version   uint64     `json:"version"` // counts from 1
	Deployed  time.Time  `json:"deployed"`
	Site      bool       `json:"site"` // there are pages below Site(Version)
	Functions []Function `json:"functions,omitempty"`
	Routes    []Route    `json:"routes,omitempty"`
	Schedules []Schedule `json:"schedules,omitempty"`
	Triggers  []Trigger  `json:"triggers,omitempty"`
	Database  *Database  `json:"database,omitempty"`
}

// A Function is a program that answers requests.
type Function struct {
	Name   string   `json:"name"`
	Module string   `json:"module"`           // SHA-256 of a WebAssembly binary, in hexadecimal; it lies at Module(...)
	Script string   `json:"script,omitempty"` // the same of a script that the module runs
	Args   []string `json:"args,omitempty"`
	Env    []string `json:"env,omitempty"` // NAME=value
	Pages  uint32   `json:"pages"`         // of 64 KiB
	Fuel   uint64   `json:"fuel"`          // that a request may spend
}

// A Route says which requests a function answers.
type Route struct {
	Pattern  string `json:"pattern"`  // as net/http's ServeMux has it, without a host: "GET /api/posts/{id}"
	Function int    `json:"function"` // in the manifest's list
	Level    uint32 `json:"level"`    // of package compute
	Writes   bool   `json:"writes"`   // it may change the database and objects; its level is at least pair
}

// A Schedule runs a function again and again, at multiples of a time since 1970.
type Schedule struct {
	Function int `json:"function"`
	Seconds  int `json:"seconds"` // at least MinSchedule
}

// A Trigger runs a function for each version of an object below a prefix that is written from then on.
type Trigger struct {
	Function int    `json:"function"`
	Prefix   string `json:"prefix"`
}

// A Database is what functions of an application use.
type Database struct {
	Name      string `json:"name"`
	AccessKey string `json:"access_key"` // under which gateways use it
}

// Where things lie in the application's bucket.
func SiteFolder(version uint64) string  { return fmt.Sprintf("%ssite/%d/", Folder, version) }
func ModuleKey(sum string) string       { return Folder + "modules/" + sum + ".wasm" }
func ScriptKey(sum string) string       { return Folder + "scripts/" + sum + ".js" }
func ManifestKey(version uint64) string { return fmt.Sprintf("%sversions/%d.json", Folder, version) }
func LogFolder() string                 { return Folder + "logs/" }
func EventsKey(name string) string      { return Folder + "events/" + name + ".json" }
func SecretsKey() string                { return Folder + "secrets.json" }

var functionName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// Parse reads a manifest and checks it.
func Parse(b []byte) (*Manifest, error) {
	m := new(Manifest)
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, mesh.Errorf(mesh.Corrupt, "the application's manifest: %w", err)
	}
	return m, m.Check()
}

// Check refuses, as Invalid, a manifest that is malformed or past a bound.
func (m *Manifest) Check() error {
	bad := func(format string, a ...any) error {
		return mesh.Errorf(mesh.Invalid, "application: "+format, a...)
	}
	if m.Format != 1 {
		return mesh.WithHint(mesh.Errorf(mesh.Unavailable, "the application's manifest has format %d, this program knows 1", m.Format), "use a newer version of Stratos")
	}
	if m.Version == 0 || len(m.Functions) > MaxFunctions || len(m.Routes) > MaxRoutes {
		return bad("version %d with %d functions and %d routes; at most %d and %d", m.Version, len(m.Functions), len(m.Routes), MaxFunctions, MaxRoutes)
	}
	for i, f := range m.Functions {
		switch {
		case !functionName.MatchString(f.Name):
			return bad("a function cannot be called %q: a letter, then small letters, digits and hyphens, at most 63", f.Name)
		case slices.ContainsFunc(m.Functions[:i], func(o Function) bool { return o.Name == f.Name }):
			return bad("two functions are called %s", f.Name)
		case !isSum(f.Module) || f.Script != "" && !isSum(f.Script):
			return bad("function %s: its program is not named by a SHA-256", f.Name)
		case f.Pages > MaxPages || f.Fuel > MaxFuel:
			return bad("function %s: %d pages of memory and %d fuel a request; at most %d and %d", f.Name, f.Pages, f.Fuel, MaxPages, uint64(MaxFuel))
		}
		if err := compute.CheckStage(f.Stage(nil)); err != nil {
			return fmt.Errorf("function %s: %w", f.Name, err)
		}
	}
	for _, r := range m.Routes {
		if r.Function < 0 || r.Function >= len(m.Functions) {
			return bad("route %q: there is no function %d", r.Pattern, r.Function)
		}
		if r.Level < compute.Receipt || r.Level > compute.Quorum {
			return bad("route %q: there is no level %d", r.Pattern, r.Level)
		}
		if r.Writes && r.Level < compute.Pair {
			return mesh.WithHint(bad("route %q may change something, and is run by one node only", r.Pattern), "give it level pair or quorum")
		}
	}
	if len(m.Schedules) > MaxEvents || len(m.Triggers) > MaxEvents {
		return bad("%d schedules and %d triggers, at most %d of either", len(m.Schedules), len(m.Triggers), MaxEvents)
	}
	for _, s := range m.Schedules {
		if s.Function < 0 || s.Function >= len(m.Functions) {
			return bad("a schedule: there is no function %d", s.Function)
		}
		if s.Seconds < MinSchedule || s.Seconds > 366*24*3600 {
			return bad("function %s is to run every %d s; at least %d, at most a year", m.Functions[s.Function].Name, s.Seconds, MinSchedule)
		}
	}
	for _, t := range m.Triggers {
		if t.Function < 0 || t.Function >= len(m.Functions) || t.Prefix != "" && CheckPlace(t.Prefix) != nil || strings.HasPrefix(Folder, t.Prefix) {
			return bad("a trigger of function %d for what begins with %q", t.Function, t.Prefix)
		}
	}
	if m.Database != nil {
		if err := mesh.CheckDatabase(m.Database.Name); err != nil {
			return err
		}
	}
	_, err := m.Mux(func(int) http.Handler { return http.NotFoundHandler() })
	return err
}

func isSum(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && strings.ToLower(s) == s
}

// Sum is the SHA-256 that a function's module is named by.
func (f *Function) Sum() (sum [32]byte) {
	hex.Decode(sum[:], []byte(f.Module)) // it was checked
	return sum
}

// Stage is what each call of a function gets, with the files given.
func (f *Function) Stage(files []*wirepb.ComputeFile) *wirepb.Stage {
	sum := f.Sum()
	return &wirepb.Stage{Module: sum[:], Pages: f.Pages, Fuel: f.Fuel, OutputBytes: compute.MaxCallOutput, Args: append([]string{f.Name}, f.Args...), Env: slices.Clone(f.Env), Files: files}
}

// Mux has requests answered by handlers of routes; Invalid when patterns are malformed or contradict each other.
func (m *Manifest) Mux(handler func(route int) http.Handler) (mux *http.ServeMux, err error) {
	mux = http.NewServeMux()
	at := ""
	defer func() {
		if p := recover(); p != nil {
			err = mesh.WithHint(mesh.Errorf(mesh.Invalid, "route %q: %v", at, p), `a route is like "GET /api/posts/{id}"; of two that fit a request, one must be for less`)
		}
	}()
	for i, r := range m.Routes {
		at = r.Pattern
		if _, path, _ := strings.Cut(at, " "); !strings.HasPrefix(at, "/") && !strings.HasPrefix(strings.TrimLeft(path, " \t"), "/") {
			return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "route %q names no path", at), `a route is like "GET /api/posts/{id}", or a path alone, for all methods`)
		}
		mux.Handle(at, handler(i))
	}
	return mux, nil
}

// CheckPlace refuses what functions may not reach: what the application is made of.
func CheckPlace(key string) error {
	if strings.HasPrefix(key, Folder) {
		return mesh.Errorf(mesh.Denied, "what begins with %s is the application itself", Folder)
	}
	return mesh.CheckKey(key)
}
