// Package seal encrypts objects: AES-256-GCM in frames under a random key of the object version, that key wrapped under
// the key of its folder, and folder keys derived from the account's root, so that a grant can carry one folder's key
// and open nothing else. See DESIGN.md in the folder above.
//
// It stores nothing. Clients and gateways call it; authorities and nodes never hold a key.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"strings"

	"filippo.io/edwards25519"
	"golang.org/x/crypto/scrypt"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/index"
)

// A Key is a symmetric key of 32 bytes.
type Key [32]byte

// RootText is what an account signs, as an EIP-191 personal message, to derive the root of its path keys. The signature
// is a secret: whoever has it reads everything.
const RootText = "Stratos: unlock the keys of my files.\n\nSign this only in a program that you trust with all of them."

// RootOf derives the root from the account's signature over RootText. The signature must be the deterministic one of
// RFC 6979, as wallets make it.
func RootOf(signature []byte) Key { return derive(signature[:min(64, len(signature))], "root") }

func derive(secret []byte, label string) (k Key) {
	b, err := hkdf.Key(sha256.New, secret, nil, "stratos-path-key-v1 "+label, len(k))
	if err != nil {
		panic("seal: " + err.Error()) // only for lengths that do not occur
	}
	copy(k[:], b)
	return k
}

// NewKey draws the key of an object version.
func NewKey() (k Key) {
	if _, err := rand.Read(k[:]); err != nil {
		panic("seal: no randomness: " + err.Error())
	}
	return k
}

// Folder derives the key of a folder below one whose key is k. Both paths are "", or end in "/": "bucket/",
// "bucket/a/". The error is Denied when the path is not below.
func Folder(k Key, at, path string) (Key, error) {
	rest, ok := strings.CutPrefix(path, at)
	if !ok || at != "" && !strings.HasSuffix(at, "/") {
		return Key{}, mesh.Errorf(mesh.Denied, "the key of %q does not open %q", at, path)
	}
	for rest != "" {
		name, tail, ok := strings.Cut(rest, "/")
		if !ok {
			return Key{}, mesh.Errorf(mesh.Invalid, "%q is no folder", path)
		}
		k = derive(k[:], "folder "+name)
		rest = tail
	}
	return k, nil
}

// FolderOf returns the folder of an object: everything up to the last slash of bucket/key.
func FolderOf(bucket, key string) string {
	p := bucket + "/" + key
	return p[:strings.LastIndexByte(p, '/')+1]
}

// Wrap seals an object's key under its folder's, bound to the version: nonce 12 | key and tag 48.
func Wrap(folder, object Key, version mesh.VersionID) []byte {
	nonce := make([]byte, 12, 12+32+index.TagBytes)
	if _, err := rand.Read(nonce); err != nil {
		panic("seal: no randomness: " + err.Error())
	}
	return aead(folder).Seal(nonce, nonce, object[:], wrapData(version))
}

// Unwrap opens what Wrap sealed; the error is Denied when the folder's key or the version is another's.
func Unwrap(folder Key, wrapped []byte, version mesh.VersionID) (k Key, err error) {
	if len(wrapped) != 12+32+index.TagBytes {
		return k, mesh.Errorf(mesh.Corrupt, "a wrapped key has %d bytes", len(wrapped))
	}
	b, err := aead(folder).Open(nil, wrapped[:12], wrapped[12:], wrapData(version))
	if err != nil {
		return k, mesh.Errorf(mesh.Denied, "the object's key does not open with the key of its folder")
	}
	copy(k[:], b)
	return k, nil
}

func wrapData(v mesh.VersionID) []byte { return append([]byte("stratos-object-key-v1"), v[:]...) }

func aead(k Key) cipher.AEAD {
	b, err := aes.NewCipher(k[:])
	if err != nil {
		panic("seal: " + err.Error())
	}
	g, err := cipher.NewGCM(b)
	if err != nil {
		panic("seal: " + err.Error())
	}
	return g
}

// A Sealer seals and opens the frames of one object version. It may be used by many goroutines.
//
// The nonce is: reserved 4 B | frame number u64 BE; the additional data: last u8. Frame numbers count from 0 and the
// last frame is marked, so that frames cannot be swapped, repeated, cut off or appended.
type Sealer struct{ aead cipher.AEAD }

// NewSealer returns the sealer of an object's key.
func NewSealer(object Key) *Sealer { return &Sealer{aead(object)} }

func nonce(n uint64) []byte {
	b := make([]byte, 12)
	binary.BigEndian.PutUint64(b[4:], n)
	return b
}

func lastData(last bool) []byte {
	if last {
		return []byte{1}
	}
	return []byte{0}
}

// Frame appends the sealed form of frame number n to dst.
func (s *Sealer) Frame(dst, plain []byte, n uint64, last bool) []byte {
	return s.aead.Seal(dst, nonce(n), plain, lastData(last))
}

// OpenFrame appends the plaintext of frame number n to dst; the error is of kind Corrupt.
func (s *Sealer) OpenFrame(dst, sealed []byte, n uint64, last bool) ([]byte, error) {
	out, err := s.aead.Open(dst, nonce(n), sealed, lastData(last))
	if err != nil {
		return nil, mesh.Errorf(mesh.Corrupt, "frame %d of the object does not open: its bytes are not those that were written", n)
	}
	return out, nil
}

// OfPassword makes a key of a password. It takes 32 MiB and a tenth of a second, so that guessing does.
func OfPassword(password string, salt [16]byte) (k Key, err error) {
	b, err := scrypt.Key([]byte(password), salt[:], 1<<15, 8, 1, len(k))
	if err != nil {
		return k, mesh.Errorf(mesh.Internal, "making a key of a password: %w", err)
	}
	return Key(b), nil
}

// A Use says what is sealed beside an object's frames.
type Use string

// The uses. Each is sealed under a key of its own, derived from the object's with a salt that is used once: the version
// for metadata and summary, the upload for what its beginning says, random bytes for tags and shares.
const (
	Metadata Use = "metadata"
	Summary  Use = "summary"
	Tags     Use = "tags"
	Share    Use = "share" // a grant, under a password's key
)

// Box seals what is said about an object. A salt of 16 bytes is used for one text only.
func Box(object Key, use Use, salt [16]byte, plain []byte) []byte {
	return aead(boxKey(object, use, salt)).Seal(nil, nonce(0), plain, nil)
}

// OpenBox opens it; the error is of kind Corrupt.
func OpenBox(object Key, use Use, salt [16]byte, sealed []byte) ([]byte, error) {
	out, err := aead(boxKey(object, use, salt)).Open(nil, nonce(0), sealed, nil)
	if err != nil {
		return nil, mesh.Errorf(mesh.Corrupt, "the object's %s does not open", use)
	}
	return out, nil
}

func boxKey(object Key, use Use, salt [16]byte) Key {
	return derive(object[:], "box "+string(use)+" "+string(salt[:]))
}

// ToHolder seals a folder's key to the holder of a grant: ephemeral X25519 key 32 | nonce 12 | key and tag 48. The
// holder's X25519 key is the Montgomery form of his ed25519 key.
func ToHolder(holder mesh.PublicKey, folder Key) ([]byte, error) {
	p, err := new(edwards25519.Point).SetBytes(holder[:])
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "the holder's key is no point: %w", err)
	}
	to, err := ecdh.X25519().NewPublicKey(p.BytesMontgomery())
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "the holder's key: %w", err)
	}
	from, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("drawing a key: %w", err)
	}
	shared, err := from.ECDH(to)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "the holder's key: %w", err)
	}
	k := holderKey(shared, from.PublicKey().Bytes(), holder)
	out := append(from.PublicKey().Bytes(), make([]byte, 12)...) // the key is used once; a nonce of zeros is safe
	return aead(k).Seal(out, out[32:44], folder[:], nil), nil
}

// FromHolder opens what ToHolder sealed.
func FromHolder(holder ed25519.PrivateKey, sealed []byte) (k Key, err error) {
	if len(sealed) != 32+12+32+index.TagBytes {
		return k, mesh.Errorf(mesh.Invalid, "a sealed key has %d bytes", len(sealed))
	}
	h := sha512.Sum512(holder.Seed())
	own, err := ecdh.X25519().NewPrivateKey(h[:32])
	if err != nil {
		return k, mesh.Errorf(mesh.Invalid, "the holder's key: %w", err)
	}
	from, err := ecdh.X25519().NewPublicKey(sealed[:32])
	if err != nil {
		return k, mesh.Errorf(mesh.Invalid, "a sealed key: %w", err)
	}
	shared, err := own.ECDH(from)
	if err != nil {
		return k, mesh.Errorf(mesh.Invalid, "a sealed key: %w", err)
	}
	b, err := aead(holderKey(shared, sealed[:32], mesh.PublicKeyOf(holder))).Open(nil, sealed[32:44], sealed[44:], nil)
	if err != nil {
		return k, mesh.Errorf(mesh.Denied, "the key is sealed to another holder")
	}
	copy(k[:], b)
	return k, nil
}

func holderKey(shared, ephemeral []byte, holder mesh.PublicKey) Key {
	return derive(shared, "holder "+string(ephemeral)+string(holder[:]))
}

// BoxTo seals a text to the holder of an ed25519 key: a fresh key as ToHolder does, 92 bytes, and under it the text.
func BoxTo(holder mesh.PublicKey, plain []byte) ([]byte, error) {
	k := NewKey()
	box, err := ToHolder(holder, k)
	if err != nil {
		return nil, err
	}
	return aead(k).Seal(box, nonce(0), plain, nil), nil
}

// OpenFrom opens what BoxTo sealed; the error is Denied when it is sealed to another.
func OpenFrom(holder ed25519.PrivateKey, sealed []byte) ([]byte, error) {
	const head = 32 + 12 + 32 + index.TagBytes
	if len(sealed) < head {
		return nil, mesh.Errorf(mesh.Invalid, "a sealed text has %d bytes", len(sealed))
	}
	k, err := FromHolder(holder, sealed[:head])
	if err != nil {
		return nil, err
	}
	out, err := aead(k).Open(nil, nonce(0), sealed[head:], nil)
	if err != nil {
		return nil, mesh.Errorf(mesh.Corrupt, "a sealed text does not open")
	}
	return out, nil
}
