package index

import (
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Access key actions and limits.
const (
	PublishKey  = 1
	WithdrawKey = 2

	MinKeyName  = 16
	MaxKeyName  = 64
	MaxGateways = 16
	MaxKeyBox   = 8 << 10
)

// CheckAccessKey checks an access key's message by itself.
func CheckAccessKey(k *wirepb.AccessKey) error {
	if err := checkKeyName(k.Name); err != nil {
		return err
	}
	if k.Action != PublishKey && k.Action != WithdrawKey || (k.Action == PublishKey) != (len(k.Sealed) > 0) || len(k.Sealed) > MaxGateways {
		return mesh.Errorf(mesh.Invalid, "an access key for %d gateways, at most %d, is malformed", len(k.Sealed), MaxGateways)
	}
	for _, s := range k.Sealed {
		if len(s.Gateway) != len(mesh.PublicKey{}) || len(s.Box) == 0 || len(s.Box) > MaxKeyBox {
			return mesh.Errorf(mesh.Invalid, "what an access key seals to a gateway is malformed")
		}
	}
	return checkID(k.Id, "an access key")
}

func checkKeyName(name string) error {
	if len(name) < MinKeyName || len(name) > MaxKeyName {
		return mesh.Errorf(mesh.Invalid, "an access key's name has %d characters, want %d to %d", len(name), MinKeyName, MaxKeyName)
	}
	for _, c := range []byte(name) {
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return mesh.Errorf(mesh.Invalid, "an access key's name has other characters than letters and digits")
		}
	}
	return nil
}
