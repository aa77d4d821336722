package compute

import (
	"math/bits"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// PriceUnit is what prices are counted in: so many of it are a noz.
const PriceUnit = 1_000_000

// maxPrice bounds a price, so that no bill overflows: a million noz.
const maxPrice = 1_000_000 * PriceUnit

// DefaultPrices are those of a network whose governance has set no others: a noz, which is the price of a byte of traffic, for 100,000 fuel,
// and one for each byte of output.
func DefaultPrices() *wirepb.ComputePrices {
	return &wirepb.ComputePrices{Fuel: 10 * PriceUnit, OutputByte: PriceUnit}
}

// CheckPrices checks prices that governance sets: fuel costs something, or an author could keep nodes busy for nothing.
func CheckPrices(p *wirepb.ComputePrices) error {
	if p.GetFuel() == 0 || p.Fuel > maxPrice || p.OutputByte > maxPrice {
		return mesh.Errorf(mesh.Invalid, "tasks for %d and %d millionths of a noz, at most %d, and fuel costs something", p.GetFuel(), p.GetOutputByte(), uint64(maxPrice))
	}
	return nil
}

// Price is what one run of a task costs in noz, rounded up; at most MaxNoz.
func Price(p *wirepb.ComputePrices, fuel, output uint64) uint64 {
	const fuelUnit = 1_000_000
	hi, lo := bits.Mul64(fuel, min(p.GetFuel(), maxPrice))                                  // below 2^104
	byHi, byLo := bits.Mul64(min(output, 1<<40), min(p.GetOutputByte(), maxPrice)*fuelUnit) // below 2^100
	lo, carry := bits.Add64(lo, byLo, 0)
	hi += byHi + carry
	lo, carry = bits.Add64(lo, PriceUnit*fuelUnit-1, 0)
	if hi += carry; hi >= PriceUnit*fuelUnit {
		return uint64(mesh.MaxNoz)
	}
	noz, _ := bits.Div64(hi, lo, PriceUnit*fuelUnit)
	return min(noz, uint64(mesh.MaxNoz))
}
