// Package home knows the folder in which a person's Stratos lives: what lies where in it, which format it has, and the
// profile that tells a client which network it speaks to.
//
// It keeps no secrets (package client/wallet does) and starts nothing (package devnet does). Every command calls it.
//
//	VERSION        the format of the folder, a number
//	config.toml    settings, written by people
//	profile.json   the network that commands speak to
//	network.json   a development network as it was created
//	keys/          accounts, Ethereum keystore v3
//	logs/          NAME.log of each process
//	validator-0/ authority-N/ node-N/ gateway-0/
package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/mesh"
)

// Format is the newest format of a home that this program knows. Version history: 1 is the first.
const Format = 1

const versionFile = "VERSION"

// A Home is a folder of the right format. Open and Create make one.
type Home struct{ dir string }

// Default is ~/.stratos.
func Default() (string, error) {
	user, err := os.UserHomeDir()
	if err != nil {
		return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "there is no default home: %w", err), "name one with --home")
	}
	return filepath.Join(user, ".stratos"), nil
}

// Open returns the home at dir, which it does not change. One that is not there is NotFound; a folder of another
// format, or with another content, is Invalid.
func Open(dir string) (Home, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Home{}, mesh.Errorf(mesh.Invalid, "home: %w", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, versionFile))
	switch {
	case err == nil:
		return Home{dir}, checkFormat(dir, string(b))
	case !errors.Is(err, fs.ErrNotExist):
		return Home{}, mesh.WithHint(mesh.Errorf(mesh.Invalid, "home %s cannot be used: %w", dir, err),
			"name another with --home")
	}
	if err := checkEmpty(dir); err != nil {
		return Home{}, err
	}
	return Home{}, mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no Stratos in %s", dir), "start a network with: stratos up")
}

func checkFormat(dir, text string) error {
	format, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || format < 1 {
		return mesh.WithHint(mesh.Errorf(mesh.Corrupt, "%s holds no format number", filepath.Join(dir, versionFile)),
			"name another home with --home")
	}
	if format > Format {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "home %s has format %d, this program knows formats up to %d", dir, format, Format),
			"use a newer stratos, or another home with --home")
	}
	return nil
}

// checkEmpty refuses a folder with somebody else's files. Settings may be written before the home is created.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "home %s cannot be used: %w", dir, err), "name another with --home")
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.Name() != "config.toml" && !strings.HasPrefix(e.Name(), "."+versionFile) // being written right now
	}) {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s is not empty and is not a Stratos home (it has no %s)", dir, versionFile),
			"name another folder with --home")
	}
	return nil
}

// Create opens the home at dir, or makes it when there is none.
func Create(dir string) (Home, error) {
	h, err := Open(dir)
	if err == nil {
		return h, h.complete()
	}
	if mesh.KindOf(err) != mesh.NotFound {
		return h, err
	}
	if h.dir, err = filepath.Abs(dir); err != nil {
		return Home{}, mesh.Errorf(mesh.Invalid, "home: %w", err)
	}
	// The number comes first: whoever finds the folder half made, finds a home.
	err = os.MkdirAll(h.dir, 0o700)
	if err == nil {
		err = atomicfile.Write(filepath.Join(h.dir, versionFile), []byte(strconv.Itoa(Format)+"\n"), 0o644)
	}
	if err != nil {
		return Home{}, mesh.WithHint(mesh.Errorf(mesh.Invalid, "create home: %w", err), "name another with --home")
	}
	return h, h.complete()
}

// complete makes what a home has from the start and may be lacking after a crash.
func (h Home) complete() error {
	for _, d := range []string{h.Keys(), h.Logs()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return mesh.Errorf(mesh.Internal, "create home: %w", err)
		}
	}
	err := atomicfile.Create(h.Config(), []byte(configTemplate), 0o600)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return mesh.Errorf(mesh.Internal, "create home: %w", err)
	}
	return nil
}

// Dir is the absolute path of the home.
func (h Home) Dir() string { return h.dir }

// Keys is the folder of the accounts.
func (h Home) Keys() string { return filepath.Join(h.dir, "keys") }

// Logs is the folder of the logs.
func (h Home) Logs() string { return filepath.Join(h.dir, "logs") }

// Log is the path of the log of one process.
func (h Home) Log(name string) string { return filepath.Join(h.Logs(), name+".log") }

// Config is the path of the settings.
func (h Home) Config() string { return filepath.Join(h.dir, "config.toml") }

// Path joins names of ours to the home. Nothing that came from outside may be among them.
func (h Home) Path(names ...string) string {
	return filepath.Join(append([]string{h.dir}, names...)...)
}

// Process is the folder of one process of a development network: validator-0, authority-1, node-7.
func (h Home) Process(role string, i int) string { return h.Path(fmt.Sprintf("%s-%d", role, i)) }

const configTemplate = `# Settings of Stratos. A flag wins over an environment variable STRATOS_NAME, which wins over this file, which wins
# over the default; "stratos config show --origin" tells what holds and why.

# The account that pays and signs when no --account is given. Default: that of the profile.
# account = "alice"

# The file with the password of that account. Default: ask.
# password_file = "/home/me/.stratos-password"

# The development network that "stratos up" creates; read when it is created, kept from then on.
# validators = 1
# authorities = 4
# nodes = 8
# base_port = 26000   # 0 takes a free block of ports
# epoch = "30s"

# The program of the value layer. Default: stchaind beside stratos, else on the PATH.
# stchaind = "/opt/stratos/stchaind"
`
