package database

import (
	"math/bits"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// PageBytes is the size of a page, by which what a database holds is charged.
const PageBytes = 4096

// PriceUnit is what prices are counted in: so many of it are a noz, which is the price of a byte of traffic.
const PriceUnit = 1_000_000

// maxPrice bounds a price, so that no bill overflows: a million noz.
const maxPrice = 1_000_000 * PriceUnit

// DefaultPrices are those of a network whose governance has set no others. A noz is a byte of traffic; what is used here is used on 3f+1 machines, of
// which most databases have four.
//
//	gas        4 noz: up to a microsecond of a processor on each
//	row      500 noz: finding or changing a page on each disk, and syncing it
//	byte in    8 noz: on each in the log and in the file
//	byte out   4 noz: on each in the record of results
//	holding    3 noz for a byte on each disk and a thousand hours
//
// So an INSERT of one small row, of some 200 gas and 60 bytes, costs about 2 KB of traffic, and a database of 1 GB 2.2 GB a month.
func DefaultPrices() *wirepb.Prices {
	return &wirepb.Prices{Gas: 4 * PriceUnit, Row: 500 * PriceUnit, ByteIn: 8 * PriceUnit, ByteOut: 4 * PriceUnit, ByteHour: 3000}
}

// Allowances that the meta layer sets aside for a database.
const (
	// AllowanceNoz is what a database may use beyond what certificates say that it has used: 1 oz. It bounds what is used and
	// settled by nobody.
	AllowanceNoz = uint64(mesh.NozPerOz)
	// LeastTopUpNoz is what an allowance grows by at least, and what stays with the account for its log writes: 1 MB.
	LeastTopUpNoz = 1_000_000
)

// CheckPrices checks prices that governance sets: gas costs something, or an owner could keep a cell busy for nothing.
func CheckPrices(p *wirepb.Prices) error {
	if p.GetGas() == 0 {
		return mesh.Errorf(mesh.Invalid, "gas of databases costs nothing")
	}
	return checkPrices(p)
}

// checkPrices checks a notice's prices. Where it has none, all are zero.
func checkPrices(p *wirepb.Prices) error {
	for _, n := range []uint64{p.GetGas(), p.GetRow(), p.GetByteIn(), p.GetByteOut(), p.GetByteHour()} {
		if n > maxPrice {
			return mesh.Errorf(mesh.Invalid, "a price of %d millionths of a noz, at most %d", n, uint64(maxPrice))
		}
	}
	return nil
}

// A bill is a sum in 128 bits.
type bill struct{ hi, lo uint64 }

func (b *bill) add(amount, price uint64) {
	hi, lo := bits.Mul64(amount, price) // below 2^104: maxPrice is below 2^40
	var carry uint64
	b.lo, carry = bits.Add64(b.lo, lo, 0)
	b.hi += hi + carry
}

// over divides and rounds up, to at most MaxNoz.
func (b bill) over(unit uint64) uint64 {
	lo, carry := bits.Add64(b.lo, unit-1, 0)
	hi := b.hi + carry
	if hi >= unit {
		return uint64(mesh.MaxNoz)
	}
	n, _ := bits.Div64(hi, lo, unit)
	return min(n, uint64(mesh.MaxNoz))
}

// Price is what the use by one envelope costs in noz, rounded up.
func Price(p *wirepb.Prices, u *wirepb.Usage) uint64 {
	var b bill
	b.add(u.GetGas(), p.GetGas())
	b.add(u.GetRows(), p.GetRow())
	b.add(u.GetBytesIn(), p.GetByteIn())
	b.add(u.GetBytesOut(), p.GetByteOut())
	return b.over(PriceUnit)
}

// HoldingPrice is what it costs to hold so many pages for a time, in noz, rounded up.
func HoldingPrice(p *wirepb.Prices, pages uint64, ms int64) uint64 {
	const hour = 3600 * 1000
	pages, ms = min(pages, 1<<32), min(max(ms, 0), 1<<40)
	hi, lo := bits.Mul64(pages*PageBytes, p.GetByteHour()) // below 2^84
	// (hi, lo) * ms: the product of the low half carries into the high one, which stays below 2^62.
	up, low := bits.Mul64(lo, uint64(ms))
	return bill{hi*uint64(ms) + up, low}.over(PriceUnit * hour)
}

// SumNoz adds what was used, up to MaxNoz.
func SumNoz(a, b uint64) uint64 {
	limit := uint64(mesh.MaxNoz)
	return min(a, limit) + min(b, limit-min(a, limit))
}
