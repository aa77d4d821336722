package app_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/app"
	"github.com/stratosmesh/stratos/protocol/compute"
)

func manifest() *app.Manifest {
	return &app.Manifest{Format: 1, Version: 1, Functions: []app.Function{{Name: "posts", Module: strings.Repeat("0a", 32), Pages: 16, Fuel: 1000}},
		Routes:   []app.Route{{Pattern: "GET /api/posts", Level: compute.Spot}, {Pattern: "POST /api/posts", Level: compute.Pair, Writes: true}, {Pattern: "/all/{id}/{rest...}", Level: compute.Quorum, Writes: true}},
		Database: &app.Database{Name: "book", AccessKey: "ST"}, Schedules: []app.Schedule{{Seconds: 10}}, Triggers: []app.Trigger{{Prefix: "in/"}}}
}

func TestParse(t *testing.T) {
	b, err := json.Marshal(manifest())
	if err != nil {
		t.Fatal(err)
	}
	if m, err := app.Parse(b); err != nil || m.Functions[0].Name != "posts" {
		t.Fatal(m, err)
	}
	for name, c := range map[string]struct {
		edit func(*app.Manifest)
		kind mesh.Kind
	}{
		"another format":        {func(m *app.Manifest) { m.Format = 2 }, mesh.Unavailable},
		"no version":            {func(m *app.Manifest) { m.Version = 0 }, mesh.Invalid},
		"a name":                {func(m *app.Manifest) { m.Functions[0].Name = "A b" }, mesh.Invalid},
		"two of one name":       {func(m *app.Manifest) { m.Functions = append(m.Functions, m.Functions[0]) }, mesh.Invalid},
		"no module":             {func(m *app.Manifest) { m.Functions[0].Module = "../x" }, mesh.Invalid},
		"no script":             {func(m *app.Manifest) { m.Functions[0].Script = strings.Repeat("A", 64) }, mesh.Invalid},
		"much memory":           {func(m *app.Manifest) { m.Functions[0].Pages = app.MaxPages + 1 }, mesh.Invalid},
		"much fuel":             {func(m *app.Manifest) { m.Functions[0].Fuel = app.MaxFuel + 1 }, mesh.Invalid},
		"no fuel":               {func(m *app.Manifest) { m.Functions[0].Fuel = 0 }, mesh.Invalid},
		"a variable":            {func(m *app.Manifest) { m.Functions[0].Env = []string{"STRATOS_TASK=1"} }, mesh.Invalid},
		"another function":      {func(m *app.Manifest) { m.Routes[0].Function = 1 }, mesh.Invalid},
		"a function before":     {func(m *app.Manifest) { m.Routes[0].Function = -1 }, mesh.Invalid},
		"no level":              {func(m *app.Manifest) { m.Routes[0].Level = 0 }, mesh.Invalid},
		"writes alone":          {func(m *app.Manifest) { m.Routes[1].Level = compute.Spot }, mesh.Invalid},
		"a host":                {func(m *app.Manifest) { m.Routes[0].Pattern = "GET example.org/x" }, mesh.Invalid},
		"no path":               {func(m *app.Manifest) { m.Routes[0].Pattern = "GET" }, mesh.Invalid},
		"a malformed pattern":   {func(m *app.Manifest) { m.Routes[0].Pattern = "GET /{" }, mesh.Invalid},
		"one route twice":       {func(m *app.Manifest) { m.Routes[1].Pattern = m.Routes[0].Pattern }, mesh.Invalid},
		"routes that cross":     {func(m *app.Manifest) { m.Routes[0].Pattern, m.Routes[1].Pattern = "/{a}/b", "/a/{b}" }, mesh.Invalid},
		"a hasty schedule":      {func(m *app.Manifest) { m.Schedules = []app.Schedule{{Seconds: 9}} }, mesh.Invalid},
		"a schedule of nothing": {func(m *app.Manifest) { m.Schedules = []app.Schedule{{Function: 1, Seconds: 10}} }, mesh.Invalid},
		"a trigger for all":     {func(m *app.Manifest) { m.Triggers = []app.Trigger{{}} }, mesh.Invalid},
		"a trigger for itself":  {func(m *app.Manifest) { m.Triggers = []app.Trigger{{Prefix: ".app/logs/"}} }, mesh.Invalid},
		"a trigger for some":    {func(m *app.Manifest) { m.Triggers = []app.Trigger{{Prefix: ".a"}} }, mesh.Invalid},
		"many triggers":         {func(m *app.Manifest) { m.Triggers = make([]app.Trigger, 17) }, mesh.Invalid},
		"a database":            {func(m *app.Manifest) { m.Database.Name = "../x" }, mesh.Invalid},
	} {
		m := manifest()
		c.edit(m)
		if b, err = json.Marshal(m); err != nil {
			t.Fatal(err)
		}
		if _, err := app.Parse(b); mesh.KindOf(err) != c.kind || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := app.Parse([]byte(`{"format": 1, "version": 1, "x": 1}`)); mesh.KindOf(err) != mesh.Corrupt || err == nil {
		t.Error(err)
	}
	if app.CheckPlace(".app/secrets.json") == nil || app.CheckPlace("data/x") != nil || app.CheckPlace("") == nil {
		t.Error("places of functions")
	}
}
