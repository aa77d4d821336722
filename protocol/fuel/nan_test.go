package fuel_test

import (
	"encoding/hex"
	"math"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/stratosmesh/stratos/protocol/fuel"
)

// TestNaNs holds the paths by which a NaN's bits come to light, and those by which they must be kept. Local 0 is an f64
// infinity and local 1 a vector of two; infinity less infinity is a NaN with its sign set on amd64, canonical nowhere.
func TestNaNs(t *testing.T) {
	const (
		canonical = 0x7ff8000000000000
		loaded    = 0x7ff4000000000001
	)
	inf := []byte{0x20, 0}
	nan := join(inf, inf, []byte{0xa1})                            // f64.sub
	vector := join([]byte{0x20, 1, 0x20, 1}, []byte{0xfd, 241, 1}) // f64x2.sub
	single := join([]byte{0x20, 1, 0x20, 1}, []byte{0xfd, 229, 1}) // f32x4.sub: 0x7ff00000 is a NaN as f32
	bits := []byte{0xbd}                                           // i64.reinterpret_f64
	lane := []byte{0xfd, 29, 0}                                    // i64x2.extract_lane 0
	constant := []byte{0x44, 1, 0, 0, 0, 0, 0, 0xf4, 0x7f}
	tests := []struct {
		name string
		body []byte
		want uint64
	}{
		{"reinterpreted", join(nan, bits), canonical},
		{"through a local", join(nan, []byte{0x21, 2, 0x20, 2}, bits), canonical},
		{"by tee", join(nan, []byte{0x22, 2}, bits), canonical},
		{"through two locals", join(nan, []byte{0x21, 2, 0x20, 2, 0x21, 3, 0x20, 3}, bits), canonical},
		{"through a local that also holds a constant", join(constant, []byte{0x21, 2}, nan, []byte{0x21, 2, 0x20, 2}, bits), canonical},
		{"a constant in a local that also holds a result", join(nan, []byte{0x21, 2}, constant, []byte{0x21, 2, 0x20, 2}, bits), loaded},
		{"a constant in two locals", join(constant, []byte{0x21, 2, 0x20, 2, 0x21, 3, 0x20, 3}, bits), loaded},
		{"a constant copied to a local that also holds a result", join(nan, []byte{0x21, 3}, constant, []byte{0x21, 2, 0x20, 2, 0x21, 3, 0x20, 3}, bits), loaded},
		{"selected", join(nan, nan, num(1), []byte{0x1b}, bits), canonical},
		{"negated", join(nan, []byte{0x9a}, bits), canonical | 1<<63},
		{"its sign copied", join([]byte{0x44, 0, 0, 0, 0, 0, 0, 0, 0}, nan, []byte{0xa6}, bits), 0},
		{"out of a block", join([]byte{0x02, 0x7c}, nan, []byte{0x0b}, bits), canonical},
		{"through memory", join(num(0), nan, []byte{0x39, 0, 0}, num(0), []byte{0x29, 0, 0}), canonical},
		{"passed", join(nan, []byte{0x10, 1}), canonical},
		{"more arithmetic on it", join(nan, inf, []byte{0xa0, 0x9f}, bits), canonical},
		{"a vector's lane", join(vector, lane), canonical},
		{"a vector in a local", join(vector, []byte{0x21, 4, 0x20, 4}, lane), canonical},
		{"a vector in a local, read as numbers of another size", join(single, []byte{0x21, 4, 0x20, 4, 0x20, 4}, []byte{0xfd, 228, 1}, lane), 0x7fc0000000000000},
		{"a vector of another size, compared", join(vector, []byte{0x21, 4, 0x20, 4, 0x20, 4}, []byte{0xfd, 65}, lane), 0x00000000ffffffff},
		{"a vector of singles, compared as doubles", join(single, []byte{0x21, 4, 0x20, 4, 0x20, 1, 0xfd, 73}, lane), math.MaxUint64},
		{"a vector given one of two shapes", join(num(1), []byte{0x04, 0x40}, single, []byte{0x21, 4, 0x05}, vector, []byte{0x21, 4, 0x0b, 0x20, 4}, lane), 0x7fc0000000000000},
		{"a vector given two shapes", join(single, []byte{0x21, 4}, vector, []byte{0x21, 4, 0x20, 4}, lane), canonical},
		{"a vector given two shapes, the other one", join(vector, []byte{0x21, 4}, single, []byte{0x21, 4, 0x20, 4}, lane), 0x7fc0000000000000},
	}
	for _, tt := range tests {
		for _, e := range engines {
			r := wazero.NewRuntimeWithConfig(ctx, e.config())
			b := handmade(nil, code{"Fv", "I", "FFv", tt.body}, code{"F", "I", "", join(inf, bits)})
			m := instantiate(t, r, b, fuel.Options{}, plenty)
			inf := math.Float64bits(math.Inf(1))
			got, err := m.ExportedFunction("f0").Call(ctx, inf, inf, inf)
			if err != nil || got[0] != tt.want {
				t.Errorf("%s, %s: %#x, want %#x, %v", tt.name, e.name, got, tt.want, err)
			}
			r.Close(ctx)
		}
	}
}

// TestDigest fails when a price changes: then raise Version, and write the new digest here.
func TestDigest(t *testing.T) {
	const want = "3700a5f98df36aa911db03caeb62b004c845bd05058906d730837a73827eb575"
	if d := fuel.Digest(); hex.EncodeToString(d[:]) != want {
		t.Errorf("version %d has the digest %x, it was %s", fuel.Version, d, want)
	}
}
