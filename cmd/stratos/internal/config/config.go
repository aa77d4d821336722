// Package config finds the settings of the command line: a flag wins over an environment variable STRATOS_NAME, which
// wins over config.toml, which wins over the default. It remembers where each came from.
//
// It does not interpret values beyond their form; the packages that use them check them. Command stratos calls it.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/mesh"
)

// The settings that are not of the development network.
const (
	Home         = "home" // a flag or an environment variable only: the file lies in it
	Account      = "account"
	PasswordFile = "password_file"
	NoRestart    = "no_restart"
	Stchaind     = "stchaind"
)

// Keys lists every setting.
func Keys() []string {
	return []string{Home, Account, PasswordFile, devnet.SetValidators, devnet.SetAuthorities, devnet.SetNodes, devnet.SetGateways,
		devnet.SetBasePort, devnet.SetEpoch, NoRestart, Stchaind}
}

func defaults(home string) map[string]any {
	n := devnet.Default()
	return map[string]any{
		Home: home, Account: "", PasswordFile: "", NoRestart: "false", Stchaind: "",
		devnet.SetValidators:  strconv.Itoa(n.Validators),
		devnet.SetGateways:    strconv.Itoa(n.Gateways),
		devnet.SetAuthorities: strconv.Itoa(n.Authorities),
		devnet.SetNodes:       strconv.Itoa(n.Nodes),
		devnet.SetBasePort:    strconv.Itoa(n.BasePort),
		devnet.SetEpoch:       n.Epoch.String(),
	}
}

// An Origin says where a setting was given.
type Origin string

// DefaultOrigin is the origin of what nobody gave.
const DefaultOrigin Origin = "default"

// A Value is a setting that holds.
type Value struct {
	Key    string `json:"key"`
	Text   string `json:"value"`
	Origin Origin `json:"origin"`
}

type layer struct {
	origin func(key string) Origin
	values *koanf.Koanf
}

// Config holds the settings.
type Config struct{ layers []layer }

// Load reads the settings: those of flags that were given, of environ (as os.Environ returns it), and of the
// config.toml in the home that those two name, or in fallback.
func Load(flags *pflag.FlagSet, environ []string, fallback string) (*Config, error) {
	c := &Config{}
	fromFlags, fromEnv := map[string]any{}, map[string]any{}
	for _, key := range Keys() {
		if f := flags.Lookup(flagName(key)); f != nil && f.Changed {
			fromFlags[key] = f.Value.String()
		}
		for _, kv := range environ {
			if name, value, _ := strings.Cut(kv, "="); name == envName(key) && value != "" {
				fromEnv[key] = value
			}
		}
	}
	layers := []struct {
		origin func(string) Origin
		values map[string]any
	}{
		{func(k string) Origin { return Origin("--" + flagName(k)) }, fromFlags},
		{func(k string) Origin { return Origin(envName(k)) }, fromEnv},
		{func(string) Origin { return DefaultOrigin }, defaults(fallback)},
	}
	for _, l := range layers {
		k := koanf.New(".")
		if err := k.Load(confmap.Provider(l.values, ""), nil); err != nil {
			return nil, mesh.Errorf(mesh.Internal, "settings: %w", err)
		}
		c.layers = append(c.layers, layer{l.origin, k})
	}
	settings, err := loadFile(filepath.Join(c.Get(Home), "config.toml"))
	if err != nil {
		return nil, err
	}
	c.layers = slices.Insert(c.layers, 2, settings)
	return c, nil
}

func flagName(key string) string { return strings.ReplaceAll(key, "_", "-") }
func envName(key string) string  { return "STRATOS_" + strings.ToUpper(key) }

func loadFile(path string) (layer, error) {
	k := koanf.New(".")
	l := layer{func(string) Origin { return Origin(path) }, k}
	err := k.Load(file.Provider(path), toml.Parser())
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, mesh.WithHint(mesh.Errorf(mesh.Invalid, "settings %s: %w", path, err), "mend the file, or move it away")
	}
	for _, key := range k.Keys() {
		if key == Home || !slices.Contains(Keys(), key) {
			return l, mesh.WithHint(mesh.Errorf(mesh.Invalid, "settings %s: there is no setting %q", path, key),
				"known are %s", strings.Join(Keys()[1:], ", "))
		}
	}
	return l, nil
}

// Value returns a setting. An unknown key is a programmer's mistake.
func (c *Config) Value(key string) Value {
	for _, l := range c.layers {
		if l.values.Exists(key) {
			return Value{key, l.values.String(key), l.origin(key)}
		}
	}
	panic("config: no setting " + key)
}

// Get returns the text of a setting.
func (c *Config) Get(key string) string { return c.Value(key).Text }

// Bool returns a setting that is true or false.
func (c *Config) Bool(key string) (bool, error) {
	b, err := strconv.ParseBool(c.Get(key))
	if err != nil {
		return false, c.malformed(key, "true or false")
	}
	return b, nil
}

// Network returns the declared network, and for each of its settings that somebody gave, where.
func (c *Config) Network() (devnet.Network, map[string]string, error) {
	n := devnet.Default()
	given := map[string]string{}
	for _, s := range []struct {
		key string
		to  *int
	}{{devnet.SetValidators, &n.Validators}, {devnet.SetAuthorities, &n.Authorities}, {devnet.SetNodes, &n.Nodes}, {devnet.SetGateways, &n.Gateways}, {devnet.SetBasePort, &n.BasePort}} {
		v, err := strconv.Atoi(c.Get(s.key))
		if err != nil {
			return n, nil, c.malformed(s.key, "a whole number")
		}
		*s.to = v
		c.note(given, s.key)
	}
	if err := n.Epoch.UnmarshalText([]byte(c.Get(devnet.SetEpoch))); err != nil {
		return n, nil, c.malformed(devnet.SetEpoch, "a duration like 30s")
	}
	c.note(given, devnet.SetEpoch)
	return n, given, n.Check()
}

func (c *Config) note(given map[string]string, key string) {
	if v := c.Value(key); v.Origin != DefaultOrigin {
		given[key] = string(v.Origin)
	}
}

func (c *Config) malformed(key, want string) error {
	v := c.Value(key)
	return mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s gives %s = %q", v.Origin, key, v.Text), "%s", fmt.Sprintf("it is %s", want))
}
