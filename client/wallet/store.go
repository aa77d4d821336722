package wallet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/google/uuid"

	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/mesh"
)

// A Strength is how much work it takes to try one password.
type Strength int

const (
	Standard Strength = iota // about a second and 256 MiB
	Light                    // some milliseconds; for keys that everybody knows
)

func (s Strength) scrypt() (n, p int) {
	if s == Light {
		return keystore.LightScryptN, keystore.LightScryptP
	}
	return keystore.StandardScryptN, keystore.StandardScryptP
}

// MaxName bounds the name of an account.
const MaxName = 32

// maxFile bounds a key file; a keystore v3 file has about 500 bytes.
const maxFile = 64 << 10

// A Store is a folder of keys: one Ethereum keystore v3 file NAME.json for each account. Other programs may read the
// files and put theirs beside them.
type Store struct{ dir string }

// OpenStore returns the store in a folder, which may not be there yet.
func OpenStore(dir string) Store { return Store{dir} }

// An Entry is an account in a store.
type Entry struct {
	Name    string
	Account mesh.Account
	Open    bool // its password is empty
}

// file is what we read of a key file. Field open is ours, other programs skip it.
type file struct {
	Address string `json:"address"`
	Open    bool   `json:"x_stratos_open,omitempty"`
}

// CheckName tells whether s can name an account: 1 to 32 small letters, digits and hyphens, beginning with a letter,
// and not to be mistaken for an address.
func CheckName(s string) error {
	ok := s != "" && len(s) <= MaxName && s[0] >= 'a' && s[0] <= 'z' && !strings.HasPrefix(s, "st1")
	for i := range len(s) {
		ok = ok && (s[i] >= 'a' && s[i] <= 'z' || s[i] >= '0' && s[i] <= '9' || s[i] == '-')
	}
	if !ok {
		return mesh.Errorf(mesh.Invalid, "%q cannot name an account: at most %d small letters, digits and hyphens, a letter first, not beginning with st1", s, MaxName)
	}
	return nil
}

func (s Store) path(name string) string { return filepath.Join(s.dir, name+".json") }

// Add keeps a key under a name. A name that is taken, or an account that has one, is a Conflict.
func (s Store) Add(name string, k Key, password string, strength Strength) error {
	if err := CheckName(name); err != nil {
		return err
	}
	entries, err := s.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case e.Name == name:
			return mesh.WithHint(mesh.Errorf(mesh.Conflict, "there is already an account named %s", name), "choose another name")
		case e.Account == k.Account():
			return mesh.Errorf(mesh.Conflict, "account %s is already here, as %s", e.Account, e.Name)
		}
	}
	b, err := encrypt(k, password, strength)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return mesh.Errorf(mesh.Internal, "keep key: %w", err)
	}
	err = atomicfile.Create(s.path(name), b, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return mesh.Errorf(mesh.Conflict, "there is already an account named %s", name)
	}
	if err != nil {
		return mesh.Errorf(mesh.Internal, "keep key: %w", err)
	}
	return nil
}

func encrypt(k Key, password string, strength Strength) ([]byte, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "encrypt key: %w", err)
	}
	n, p := strength.scrypt()
	b, err := keystore.EncryptKey(&keystore.Key{Id: id, Address: [20]byte(k.Account()), PrivateKey: k.priv}, password, n, p)
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "encrypt key: %w", err)
	}
	if password != "" {
		return b, nil
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, mesh.Errorf(mesh.Internal, "encrypt key: %w", err)
	}
	fields["x_stratos_open"] = true
	return json.Marshal(fields)
}

// List returns the accounts by name. What is not a key file is passed over.
func (s Store) List() ([]Entry, error) {
	files, err := os.ReadDir(s.dir) // sorted
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "list accounts: %w", err)
	}
	var out []Entry
	for _, f := range files {
		name, isJSON := strings.CutSuffix(f.Name(), ".json")
		if !isJSON || CheckName(name) != nil {
			continue
		}
		e, _, err := s.read(name)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (s Store) read(name string) (Entry, []byte, error) {
	info, err := os.Stat(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no account named %s", name), "see them with: stratos wallet list")
	}
	var b []byte
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("%d bytes are too many for a key file", info.Size())
	}
	if err == nil {
		b, err = os.ReadFile(s.path(name))
	}
	var f file
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	var a mesh.Account
	if err == nil {
		a, err = mesh.ParseAccount("0x" + strings.TrimPrefix(f.Address, "0x"))
	}
	if err != nil {
		return Entry{}, nil, mesh.WithHint(mesh.Errorf(mesh.Corrupt, "key file %s: %w", s.path(name), err), "move the file away")
	}
	return Entry{Name: name, Account: a, Open: f.Open}, b, nil
}

// Find returns the account with a name, or in the form st1... or 0x..., if it is in the store.
func (s Store) Find(ref string) (Entry, error) {
	if CheckName(ref) == nil {
		e, _, err := s.read(ref)
		return e, err
	}
	a, err := ParseAccount(ref)
	if err != nil {
		return Entry{}, err
	}
	entries, err := s.List()
	if err != nil {
		return Entry{}, err
	}
	for _, e := range entries {
		if e.Account == a {
			return e, nil
		}
	}
	return Entry{}, mesh.WithHint(mesh.Errorf(mesh.NotFound, "the key of %s is not here", a), "import it with: stratos wallet import NAME")
}

// Resolve returns the account that a name in the store, or an address, stands for.
func (s Store) Resolve(ref string) (mesh.Account, error) {
	if CheckName(ref) == nil {
		e, err := s.Find(ref)
		return e.Account, err
	}
	return ParseAccount(ref)
}

// Unlock decrypts the key of an account by name. A wrong password is Denied.
func (s Store) Unlock(name, password string) (Key, error) {
	if err := CheckName(name); err != nil {
		return Key{}, err
	}
	e, b, err := s.read(name)
	if err != nil {
		return Key{}, err
	}
	k, err := keystore.DecryptKey(b, password)
	if errors.Is(err, keystore.ErrDecrypt) {
		return Key{}, mesh.Errorf(mesh.Denied, "the password of account %s is another one", name)
	}
	if err != nil {
		return Key{}, mesh.Errorf(mesh.Corrupt, "key file %s: %w", s.path(name), err)
	}
	if key := (Key{k.PrivateKey}); key.Account() == e.Account {
		return key, nil
	}
	return Key{}, mesh.Errorf(mesh.Corrupt, "key file %s holds the key of another account than it says", s.path(name))
}
