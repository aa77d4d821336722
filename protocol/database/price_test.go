package database_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// ceil is the dumb version: n/unit rounded up, at most MaxNoz.
func ceil(n *big.Int, unit int64) uint64 {
	n.Add(n, big.NewInt(unit-1)).Div(n, big.NewInt(unit))
	if !n.IsUint64() || n.Uint64() > uint64(mesh.MaxNoz) {
		return uint64(mesh.MaxNoz)
	}
	return n.Uint64()
}

func product(factors ...uint64) *big.Int {
	p := big.NewInt(1)
	for _, f := range factors {
		p.Mul(p, new(big.Int).SetUint64(f))
	}
	return p
}

func TestPrices(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	amounts := []uint64{0, 1, 2, 999_999, 1_000_000, math.MaxUint64, math.MaxUint64 - 1, 1 << 32, 1 << 40}
	prices := []uint64{0, 1, 999_999, 1_000_000, 1_000_001, 1_000_000_000_000, 999_999_999_999}
	any := func(all []uint64, limit uint64) uint64 {
		if r.IntN(2) == 0 {
			return all[r.IntN(len(all))]
		}
		return r.Uint64N(limit) >> r.IntN(40)
	}
	for range 20_000 {
		p := &wirepb.Prices{Gas: any(prices, 1e12), Row: any(prices, 1e12), ByteIn: any(prices, 1e12), ByteOut: any(prices, 1e12), ByteHour: any(prices, 1e12)}
		u := &wirepb.Usage{Gas: any(amounts, math.MaxUint64), Rows: any(amounts, math.MaxUint64), BytesIn: any(amounts, math.MaxUint64), BytesOut: any(amounts, math.MaxUint64)}
		sum := product(u.Gas, p.Gas)
		sum.Add(sum, product(u.Rows, p.Row)).Add(sum, product(u.BytesIn, p.ByteIn)).Add(sum, product(u.BytesOut, p.ByteOut))
		if got, want := database.Price(p, u), ceil(sum, database.PriceUnit); got != want {
			t.Fatalf("%v at %v: %d noz, want %d", u, p, got, want)
		}
		pages, ms := min(any(amounts, 1<<32), 1<<32), min(any(amounts, 1<<40), 1<<40)
		if got, want := database.HoldingPrice(p, pages, int64(ms)), ceil(product(pages, database.PageBytes, ms, p.ByteHour), database.PriceUnit*3600*1000); got != want {
			t.Fatalf("%d pages for %d ms at %d: %d noz, want %d", pages, ms, p.ByteHour, got, want)
		}
	}
	if n := database.HoldingPrice(database.DefaultPrices(), 7, -5); n != 0 {
		t.Errorf("time that goes back costs %d", n)
	}
}

// What the default prices say beside them.
func TestDefaultPrices(t *testing.T) {
	p := database.DefaultPrices()
	if n := database.Price(p, &wirepb.Usage{Gas: 200, Rows: 1, BytesIn: 60}); n < 1000 || n > 5000 {
		t.Errorf("a small INSERT costs %d noz", n)
	}
	if n := database.HoldingPrice(p, 1_000_000_000/database.PageBytes, 30*24*3600*1000); n < 2.1e9 || n > 2.2e9 {
		t.Errorf("a month of 1 GB costs %d noz", n)
	}
	n := &wirepb.Notice{Database: make([]byte, 16), Cell: make([]byte, 16), Owner: make([]byte, 20), Sequence: 1, State: database.Open, Name: "shop", Dialect: database.SQLite, Prices: p}
	if err := database.CheckNotice(n); err != nil {
		t.Error(err)
	}
	p.Row = 1_000_000*database.PriceUnit + 1
	if err := database.CheckNotice(n); mesh.KindOf(err) != mesh.Invalid || err == nil {
		t.Errorf("a price out of range: %v", err)
	}
	n.Prices, n.AllowanceNoz = nil, uint64(mesh.MaxNoz)+1
	if err := database.CheckNotice(n); mesh.KindOf(err) != mesh.Invalid || err == nil {
		t.Errorf("an allowance out of range: %v", err)
	}
	if a, b := database.SumNoz(math.MaxUint64, 1), database.SumNoz(2, 3); a != uint64(mesh.MaxNoz) || b != 5 {
		t.Errorf("sums: %d, %d", a, b)
	}
}
