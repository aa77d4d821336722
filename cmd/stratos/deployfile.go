package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/stratosmesh/stratos/client/job"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/app"
	"github.com/stratosmesh/stratos/protocol/compute"
)

// deployFile is what an application's folder says of it.
const deployFile = "stratos.toml"

// A deployment is stratos.toml.
type deployment struct {
	Name      string           `toml:"name"`   // of the application, and of its bucket
	Site      string           `toml:"site"`   // folder of pages
	Budget    string           `toml:"budget"` // that requests may spend in all, like 10oz
	Build     []string         `toml:"build"`  // a command line that makes the programs
	Secrets   []string         `toml:"secrets"`
	Database  *deployDatabase  `toml:"database"`
	Functions []deployFunction `toml:"function"`
	Schedules []deploySchedule `toml:"schedule"`
	Triggers  []deployTrigger  `toml:"trigger"`

	dir string
}

type deployDatabase struct {
	Name       string `toml:"name"`
	Dialect    string `toml:"dialect"`
	Migrations string `toml:"migrations"` // folder of .sql files, which are run once each, in the order of their names
}

type deployFunction struct {
	Name    string            `toml:"name"`
	Program string            `toml:"program"` // a module, or a script that ends in .js
	Routes  []string          `toml:"routes"`
	Level   string            `toml:"level"`  // default spot for GET and HEAD, else pair
	Memory  uint32            `toml:"memory"` // MiB
	Fuel    uint64            `toml:"fuel"`
	Args    []string          `toml:"args"`
	Env     map[string]string `toml:"env"`
}

type deploySchedule struct {
	Function string `toml:"function"`
	Every    string `toml:"every"` // like 10m or 24h
}

type deployTrigger struct {
	Function string `toml:"function"`
	Prefix   string `toml:"prefix"` // of objects
}

// Defaults of a function.
const (
	functionMemory = 64 // MiB
	functionFuel   = 10_000_000_000
)

var secretName = regexp.MustCompile(`^[A-Z_][A-Z0-9_]{0,63}$`)

// readDeployment reads the stratos.toml of a folder.
func readDeployment(dir string) (*deployment, error) {
	path := filepath.Join(dir, deployFile)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no %s", path), "see: stratos deploy --help")
	case err != nil:
		return nil, mesh.Errorf(mesh.Invalid, "%w", err)
	}
	d := &deployment{dir: dir}
	t := toml.NewDecoder(bytes.NewReader(b))
	t.DisallowUnknownFields()
	err = t.Decode(d)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s: it has what nobody knows:\n%s", path, unknown.String()), "see: stratos deploy --help")
	case errors.As(err, &wrong):
		return nil, mesh.Errorf(mesh.Invalid, "%s: %w\n%s", path, err, wrong.String())
	case err != nil:
		return nil, mesh.Errorf(mesh.Invalid, "%s: %w", path, err)
	}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

func (d *deployment) check() error {
	if d.Name == "" {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the application has no name"), `name = "guestbook"`)
	}
	if err := mesh.CheckBucket(d.Name); err != nil {
		return err
	}
	if d.Site == "" && len(d.Functions) == 0 {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "there is nothing to deploy"), "name a folder of pages as site, or functions as [[function]]")
	}
	if d.Database != nil {
		if d.Database.Name == "" {
			d.Database.Name = d.Name
		}
		if err := mesh.CheckDatabase(d.Database.Name); err != nil {
			return err
		}
	}
	for _, s := range d.Secrets {
		if !secretName.MatchString(s) {
			return mesh.Errorf(mesh.Invalid, "a secret cannot be called %q: capital letters, digits and underscores", s)
		}
	}
	return nil
}

// manifest is what stratos.toml says, without programs: they are named when they are read.
func (d *deployment) manifest() (*app.Manifest, error) {
	m := &app.Manifest{Format: 1, Deployed: time.Now().UTC().Truncate(time.Second), Site: d.Site != ""}
	for i, f := range d.Functions {
		if f.Memory == 0 {
			f.Memory = functionMemory
		}
		if f.Fuel == 0 {
			f.Fuel = functionFuel
		}
		to := app.Function{Name: f.Name, Args: f.Args, Pages: f.Memory << 4, Fuel: f.Fuel}
		for _, name := range slices.Sorted(maps.Keys(f.Env)) {
			to.Env = append(to.Env, name+"="+f.Env[name])
		}
		m.Functions = append(m.Functions, to)
		for _, r := range f.Routes {
			method, _, _ := strings.Cut(r, " ")
			route := app.Route{Pattern: r, Function: i, Level: compute.Spot, Writes: method != "GET" && method != "HEAD"}
			if route.Writes {
				route.Level = compute.Pair
			}
			if f.Level != "" {
				level, err := job.ParseLevel(f.Level)
				if err != nil {
					return nil, fmt.Errorf("function %s: %w", f.Name, err)
				}
				if route.Level = uint32(level); route.Writes && route.Level < compute.Pair {
					return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "function %s: %q may change something, and at level %s one node runs it", f.Name, r, f.Level), "leave level away: GET is run at spot, all else at pair")
				}
			}
			m.Routes = append(m.Routes, route)
		}
	}
	named := func(name string) (int, error) {
		i := slices.IndexFunc(d.Functions, func(f deployFunction) bool { return f.Name == name })
		if i < 0 {
			return 0, mesh.Errorf(mesh.Invalid, "there is no function %q to be run", name)
		}
		return i, nil
	}
	for _, s := range d.Schedules {
		i, err := named(s.Function)
		if err != nil {
			return nil, err
		}
		every, err := time.ParseDuration(s.Every)
		if err != nil || every%time.Second != 0 {
			return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "function %s: it cannot be run every %q", s.Function, s.Every), "write whole seconds, like 30s, 10m or 24h")
		}
		m.Schedules = append(m.Schedules, app.Schedule{Function: i, Seconds: int(every.Seconds())})
	}
	for _, t := range d.Triggers {
		i, err := named(t.Function)
		if err != nil {
			return nil, err
		}
		m.Triggers = append(m.Triggers, app.Trigger{Function: i, Prefix: t.Prefix})
	}
	return m, nil
}
