package wasi

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// Version numbers what the functions do, charge and bound. Whatever changes what a task gets or pays raises it.
const Version = 2

// A Price is something that a function of WASI charges for.
type Price uint8

// What is charged, before it is done and whether or not it succeeds.
const (
	PriceCall         Price = iota // each call of any function: wazero leaves compiled code for it
	PriceTransfer                  // each buffer that is read or written: it may be a call of the node's reader or writer
	PriceByte                      // each byte read, written or listed
	PriceString                    // each argument or variable
	PricePath                      // each path that is looked up
	PricePathByte                  // each byte of it; two may name a directory
	PriceEntry                     // each file, directory or descriptor that is made, removed or moved
	PriceMoved                     // each entry of /tmp when a directory is moved, whose depth must be known
	PriceChunk                     // each 4 KiB by which a file in /tmp grows, written or not
	PriceListed                    // each entry of a directory that is listed
	PriceSorted                    // each entry of a directory that is listed for the first time since it changed
	PriceSubscription              // each subscription of poll_oneoff
	PriceRandom                    // each byte of randomness
	PriceAsk                       // each request to whoever the task works for: it waits for that
	prices
)

// costs are the prices in fuel. They are meant to let a unit buy no more of the machine's time than in ordinary code;
// DESIGN.md has the measurement.
var costs = [prices]uint64{
	PriceCall:         5_000,
	PriceTransfer:     2_000,
	PriceByte:         4,
	PriceString:       500,
	PricePath:         2_000,
	PricePathByte:     300,
	PriceEntry:        15_000,
	PriceMoved:        1_000,
	PriceChunk:        20_000,
	PriceListed:       2_000,
	PriceSorted:       10_000,
	PriceSubscription: 1_000,
	PriceRandom:       20,
	PriceAsk:          300_000,
}

// Cost is the fuel of one unit of what is priced.
func (p Price) Cost() int64 { return int64(costs[p]) }

// maxCharge is the most that one charge takes: fuel is at most fuel.MaxFuel and never negative before, so it cannot wrap.
const maxCharge = 1 << 60

// cost is the fuel of n units, at most maxCharge.
func (p Price) cost(n uint64) int64 {
	hi, lo := bits.Mul64(costs[p], n)
	if hi > 0 || lo > maxCharge {
		return maxCharge
	}
	return int64(lo)
}

// Digest commits to Version, to every price and to every bound. It belongs into whatever binds a result, beside that of
// protocol/fuel.
func Digest() [sha256.Size]byte {
	b := append([]byte("stratos-wasi-v1"), 0)
	b = binary.BigEndian.AppendUint64(b, Version)
	for _, c := range costs {
		b = binary.BigEndian.AppendUint64(b, c)
	}
	for _, n := range []uint64{
		MaxOpen, MaxPath, MaxName, MaxNesting, MaxStrings, MaxStringBytes, MaxIovecs, MaxSubscriptions, MaxFiles, MaxTmpBytes, MaxTmpEntries,
		MaxStdout, MaxStderr, MaxAsk, MaxAnswer, MaxTime, FuelPerNanosecond, chunkBytes,
	} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return sha256.Sum256(append(b, Dropped...))
}
