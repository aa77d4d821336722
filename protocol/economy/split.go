package economy

import (
	"math/big"

	"github.com/stratosmesh/stratos/mesh"
)

// How a reward is shared, in percent. What rounding leaves goes to the community pool, beside the tax.
const (
	TaxPercent         = 1
	NodesPercent       = 60 // of what the tax leaves; the same holds for the next two
	AuthoritiesPercent = 20
	ChainPercent       = 20 // validators and their delegators
)

// A Split is a reward in its parts; they sum to it.
type Split struct {
	Tax, Nodes, Authorities, Chain, Remainder *big.Int
}

// SplitReward takes the tax off first and shares the rest 60/20/20, each part rounded down.
func SplitReward(reward *big.Int) Split {
	s := Split{Tax: percent(reward, TaxPercent)}
	rest := new(big.Int).Sub(reward, s.Tax)
	s.Nodes, s.Authorities, s.Chain = percent(rest, NodesPercent), percent(rest, AuthoritiesPercent), percent(rest, ChainPercent)
	s.Remainder = rest.Sub(rest, s.Nodes)
	s.Remainder.Sub(s.Remainder, s.Authorities)
	s.Remainder.Sub(s.Remainder, s.Chain)
	return s
}

func percent(v *big.Int, p int64) *big.Int { return floorDiv(mul(v, big.NewInt(p)), big.NewInt(100)) }

// Share of a part that belongs to volume of total, rounded down. It is 0 when total is.
func Share(part *big.Int, volume, total mesh.Noz) *big.Int {
	if total == 0 {
		return new(big.Int)
	}
	return floorDiv(mul(part, bigNoz(volume)), bigNoz(total))
}

// Clip scales a share down to what can be paid of owed, rounded down, so that the shares of a debit that is not wholly
// there never sum to more than is there.
func Clip(share, available, owed mesh.Noz) mesh.Noz {
	if available >= owed {
		return share
	}
	return mesh.Noz(floorDiv(mul(bigNoz(share), bigNoz(available)), bigNoz(owed)).Uint64())
}

// TopReached tells whether nodes with so much of an epoch's total traffic are those that settle: at least 80 %.
func TopReached(selected, total mesh.Noz) bool {
	return mul(bigNoz(selected), big.NewInt(5)).Cmp(mul(bigNoz(total), big.NewInt(4))) >= 0
}

func bigNoz(n mesh.Noz) *big.Int { return new(big.Int).SetUint64(uint64(n)) }

// Epochs maps heights to epochs. Epoch e is made of the heights e*Blocks+1 to (e+1)*Blocks.
type Epochs struct{ Blocks uint64 }

// Of returns the epoch of a height; heights below 1, which genesis has, belong to epoch 0.
func (e Epochs) Of(h mesh.Height) mesh.Epoch {
	if h < 1 {
		return 0
	}
	return mesh.Epoch((uint64(h) - 1) / e.Blocks)
}

// First returns the first height of an epoch.
func (e Epochs) First(epoch mesh.Epoch) mesh.Height { return mesh.Height(uint64(epoch)*e.Blocks + 1) }
