package gateway

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/internal/keyfile"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/group"
)

// Config is how a gateway is set up; it lies in its home as gateway.json.
type Config struct {
	Name      string         `json:"name"`
	Network   mesh.NetworkID `json:"network"`
	Group     mesh.GroupID   `json:"group"`
	S3        string         `json:"s3"`                  // host:port for S3
	HTTP      string         `json:"http,omitempty"`      // host:port for browsers; "" none
	Postgres  string         `json:"postgres,omitempty"`  // host:port for PostgreSQL's protocol; "" none
	Databases string         `json:"databases,omitempty"` // host:port for databases over HTTP; "" none
	Cert      string         `json:"cert,omitempty"`      // PEM file of a certificate chain, absolute: all of them speak TLS
	CertKey   string         `json:"cert_key,omitempty"`  // PEM file of its key; "" in Cert too
	ACME      *ACME          `json:"acme,omitempty"`      // in the place of Cert
	Status    string         `json:"status"`              // host:port for people and monitors, plain HTTP
	Domain    string         `json:"domain,omitempty"`    // whose sub-domains name buckets, for S3 and HTTP
	AccessLog string         `json:"access_log,omitempty"`
	Memory    int            `json:"memory,omitempty"` // bytes for objects that move; 0: defaultMemory
	// LifecycleEvery is how often buckets' lifecycle rules are carried out; 0 is the default, an hour.
	LifecycleEvery duration       `json:"lifecycle_every,omitempty"`
	Authorities    []group.Member `json:"authorities"`
}

// duration is a time.Duration that JSON writes as "1h0m0s".
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}

// Files in a gateway's home.
const (
	configFile = "gateway.json"
	keyFile    = "gateway.pem"
)

// Init makes a gateway's home with a key of its own, or returns the key of the one that is there: what access keys are
// sealed to.
func Init(home string) (mesh.PublicKey, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return mesh.PublicKey{}, fmt.Errorf("making the gateway's home: %w", err)
	}
	k, err := keyfile.ReadOrCreate(filepath.Join(home, keyFile))
	if err != nil {
		return mesh.PublicKey{}, err
	}
	return mesh.PublicKeyOf(k), nil
}

const (
	// defaultMemory is what a gateway holds of objects that move, but for the smallest step of each request. With a little
	// less, a lone upload would not have two whole segments.
	defaultMemory = 144 << 20
	// leastMemory still leaves a lone upload segments of 2 MiB.
	leastMemory = 16 << 20
	// otherMemory is what the program takes beside that before the garbage collector hurries: the smallest steps, and buffers
	// of connections. Its pages come on top. Measured to stay under 512 MiB: see DESIGN.md.
	otherMemory = 192 << 20
)

// Check tells what in the settings cannot be.
func (c Config) Check() error {
	if err := c.checkAddresses(); err != nil {
		return err
	}
	if c.Memory != 0 && c.Memory < leastMemory {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "%d bytes of memory for objects, at least %d", c.Memory, leastMemory), "leave it out, or set memory to %d", defaultMemory)
	}
	if c.CertKey != "" && c.Cert == "" {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the settings name a certificate's key and no certificate"), "add --cert")
	}
	if c.ACME != nil {
		if err := c.checkACME(); err != nil {
			return err
		}
	}
	if c.Cert != "" {
		if _, err := newRenewed(c.Cert, c.CertKey); err != nil {
			return err
		}
	}
	if len(c.Authorities) == 0 {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the settings name no authority"), "use the profile of a network that has a meta layer")
	}
	if every := time.Duration(c.LifecycleEvery); every < 0 || every > 0 && every < time.Second {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "lifecycle rules every %v", every), "use a second or more, or 0 for the default")
	}
	return nil
}

func (c Config) checkACME() error {
	switch u, err := url.Parse(c.ACME.Directory); {
	case c.Cert != "":
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the settings name both a certificate and ACME"), "leave one away: --cert or --acme")
	case c.Domain == "":
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "certificates by ACME are for a domain, and the settings name none"), "add --domain")
	case err != nil || u.Scheme != "https" || u.Host == "":
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the directory %q of the ACME authority", c.ACME.Directory), "it is a URL, like %s", LetsEncrypt)
	}
	if c.ACME.Email == "" {
		return nil
	}
	if a, err := mail.ParseAddress(c.ACME.Email); err != nil || a.Address != c.ACME.Email {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the address %q for the ACME authority", c.ACME.Email), "write it as you@example.org")
	}
	return nil
}

// An address is one that a gateway listens on.
type address struct {
	name string // in the settings, and of the flag
	what string
	at   string // host:port
}

func (c Config) addresses() []address {
	all := []address{{"s3", "S3", c.S3}}
	if c.HTTP != "" {
		all = append(all, address{"http", "HTTP", c.HTTP})
	}
	if c.Postgres != "" {
		all = append(all, address{"postgres", "Postgres", c.Postgres})
	}
	if c.Databases != "" {
		all = append(all, address{"databases", "databases", c.Databases})
	}
	return append(all, address{"status", "status", c.Status})
}

// checkAddresses finds what can be no address, and two that cannot be listened on at once.
func (c Config) checkAddresses() error {
	type taken struct{ what, host string }
	ports := map[string][]taken{}
	for _, a := range c.addresses() {
		host, port, err := net.SplitHostPort(a.at)
		if err != nil || host == "" {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the %s address %q", a.what, a.at), "it looks like 203.0.113.7:26200; 0.0.0.0 stands for every address of this machine")
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port != strconv.FormatUint(n, 10) {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the %s address %q has the port %q", a.what, a.at, port), "a port is a number from 1 to 65535")
		}
		if _, err := netip.ParseAddr(host); err != nil && !isHost(host) {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the %s address %q has the host %q", a.what, a.at, host), "a host is a name like gw.example.org, or an IP address")
		}
		for _, other := range ports[port] {
			if !apart(host, other.host) {
				return mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s and %s cannot both listen on port %s", other.what, a.what, port), "give one of them another port with --s3, --http, --postgres, --databases or --status")
			}
		}
		ports[port] = append(ports[port], taken{a.what, host})
	}
	return nil
}

// apart tells whether two hosts are surely different addresses of a machine.
func apart(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	return errX == nil && errY == nil && x != y && !x.IsUnspecified() && !y.IsUnspecified()
}

var hostLabel = regexp.MustCompile(`^[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?$`)

// isHost tells whether a text can be the name of a host.
func isHost(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if !hostLabel.MatchString(label) {
			return false
		}
	}
	return len(s) <= 253
}

// WriteConfig writes a gateway's settings into its home.
func WriteConfig(home string, c Config) error {
	b, err := json.MarshalIndent(c, "", "  ")
	if err := errors.Join(err, c.Check()); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(home, configFile), append(b, '\n'), 0o644)
}

// ReadConfig reads a gateway's settings. Without any the error is NotFound.
func ReadConfig(home string) (c Config, err error) {
	path := filepath.Join(home, configFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no gateway in %s", home), "name its folder with --home, or make one with: stratos gateway init DIR")
	}
	if err != nil {
		return c, mesh.WithHint(mesh.Errorf(mesh.Invalid, "the gateway's settings cannot be read: %w", err), "look at the owner and the mode of the file")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err = d.Decode(&c)
	if _, more := d.Token(); err == nil && more != io.EOF {
		err = errors.New("something follows the settings")
	}
	if err != nil {
		return c, mesh.WithHint(mesh.Errorf(mesh.Corrupt, "the gateway's settings in %s are damaged: %w", path, err),
			"mend the file, or remove it and give 'stratos gateway init %s' again: the gateway keeps its key", home)
	}
	if err := c.Check(); err != nil {
		hint := "mend " + path
		if h := mesh.HintOf(err); h != "" {
			hint += "; " + h
		}
		return c, mesh.WithHint(err, "%s", hint)
	}
	return c, nil
}

// ReadKey reads the key of the gateway in a home.
func ReadKey(home string) (ed25519.PrivateKey, error) {
	path := filepath.Join(home, keyFile)
	k, err := keyfile.Read(path)
	switch {
	case err == nil:
		return k, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "the gateway's key %s is missing", path), "%s", lostKey)
	case errors.Is(err, fs.ErrPermission):
		return nil, mesh.WithHint(mesh.Errorf(mesh.Denied, "the gateway's key cannot be read: %w", err), "run the gateway as the user who made it")
	}
	return nil, mesh.WithHint(mesh.Errorf(mesh.Corrupt, "the gateway's key %s is damaged: %w", path, err), "%s", lostKey)
}

const lostKey = "put it back from a copy. If there is none, what was sealed to it is lost: make another gateway with stratos gateway init, take this one out with stratos gateway remove, and make new access keys"

var nameText = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,79}$`)

// Create makes a gateway's home with settings and a key of its own; a key that is there already is kept. What it refuses leaves
// nothing behind, and undo takes back what it made.
func Create(home string, c Config) (key mesh.PublicKey, undo func() error, err error) {
	if _, err := os.Lstat(filepath.Join(home, configFile)); err == nil {
		return key, nil, mesh.WithHint(mesh.Errorf(mesh.Conflict, "there is a gateway in %s already", home), "choose another folder")
	}
	if !nameText.MatchString(c.Name) {
		return key, nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "%q cannot name a gateway", c.Name), "use letters, digits, dots and hyphens, at most 80, with --name")
	}
	if c.Domain != "" && (!isHost(c.Domain) || c.Domain != strings.ToLower(c.Domain)) {
		return key, nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "%q is no domain", c.Domain), "write it as gw.example.org, in small letters")
	}
	if err := c.Check(); err != nil {
		return key, nil, err
	}
	var made []string // in the order of making
	undo = func() error {
		var errs []error
		for _, path := range slices.Backward(made) {
			errs = append(errs, os.Remove(path))
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, undo())
			undo = nil
		}
	}()
	missing, err := missingFolders(home)
	if err != nil {
		return key, undo, mesh.WithHint(mesh.Errorf(mesh.Invalid, "the gateway's folder cannot be made: %w", err), "choose another folder")
	}
	for _, dir := range missing {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return key, undo, mesh.WithHint(mesh.Errorf(mesh.Invalid, "the gateway's folder cannot be made: %w", err), "choose another folder")
		}
		made = append(made, dir)
	}
	if c.AccessLog != "" {
		if err := tryAccessLog(logPath(home, c)); err != nil {
			return key, undo, err
		}
	}
	k, err := ReadKey(home)
	if mesh.KindOf(err) == mesh.NotFound {
		if k, err = keyfile.Create(filepath.Join(home, keyFile)); err == nil {
			made = append(made, filepath.Join(home, keyFile))
		} else {
			err = mesh.WithHint(mesh.Errorf(mesh.Invalid, "the gateway's folder cannot be written: %w", err), "choose another folder")
		}
	}
	if err != nil {
		return key, undo, err
	}
	if err := WriteConfig(home, c); err != nil {
		return key, undo, err
	}
	made = append(made, filepath.Join(home, configFile))
	return mesh.PublicKeyOf(k), undo, nil
}

// missingFolders lists what must be made for a folder to be there, from the top.
func missingFolders(dir string) (missing []string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return nil, fmt.Errorf("%s is no folder", dir)
		case err == nil:
			slices.Reverse(missing)
			return missing, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
		missing = append(missing, dir)
		dir = filepath.Dir(dir)
	}
}
