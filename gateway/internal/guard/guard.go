// Package guard is what stands before a gateway's protocols: connections that hold their client to a pace, and how many
// requests each may make. It knows no protocol. gateway/s3 and gateway/http call it.
package guard

import (
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/stratosmesh/stratos/mesh"
)

// Limits of what clients may take of a server. Zero stands for the default; a negative value is refused.
type Limits struct {
	// HeaderTime is how long a client may take for the lines before a body and the first 8 KiB of a body, and for the TLS handshake before
	// the first. Default 10 s.
	HeaderTime time.Duration
	// BodyRate, in bytes a second, is what a client must send or take on average. Default 16 KiB: a bad mobile link.
	BodyRate int
	// BodyStall is how far a client may fall behind BodyRate. Default 30 s: a lost link that comes back.
	BodyStall time.Duration
	// IdleTime is how long a connection is kept for the next request. Default 60 s, as load balancers have it.
	IdleTime time.Duration

	// Connections is how many are open at once; one more is closed unanswered. Default 1024: 72 KiB of buffers each.
	Connections int
	// ClientConnections is how many of them one client address may have. Default 256: an office behind one address.
	ClientConnections int
	// ClientRate is how many requests a second one client address may make, in the long run. Default 2000.
	ClientRate int
	// ClientBurst is how many it may make at once. Default twice ClientRate.
	ClientBurst int
	// Clients is how many addresses are remembered for ClientRate; the one that was longest silent is forgotten, and
	// begins anew. Default 16384: 3 MiB.
	Clients int
}

// moves is how many bytes a client at BodyRate moves within BodyStall.
func (l Limits) moves() int { return int(l.BodyStall.Seconds() * float64(l.BodyRate)) }

// WithDefaults completes the limits.
func (l Limits) WithDefaults() (Limits, error) {
	err := Defaults(
		Default{Name: "HeaderTime", Time: &l.HeaderTime, Of: int(10 * time.Second)},
		Default{Name: "BodyRate", Number: &l.BodyRate, Of: 16 << 10},
		Default{Name: "BodyStall", Time: &l.BodyStall, Of: int(30 * time.Second)},
		Default{Name: "IdleTime", Time: &l.IdleTime, Of: int(time.Minute)},
		Default{Name: "Connections", Number: &l.Connections, Of: 1024},
		Default{Name: "ClientConnections", Number: &l.ClientConnections, Of: 256},
		Default{Name: "ClientRate", Number: &l.ClientRate, Of: 2000},
		Default{Name: "Clients", Number: &l.Clients, Of: 16384},
	)
	if err != nil {
		return l, err
	}
	return l, Defaults(Default{Name: "ClientBurst", Number: &l.ClientBurst, Of: 2 * l.ClientRate})
}

// A Default is an option, a number or a time, and what zero stands for.
type Default struct {
	Name   string
	Number *int
	Time   *time.Duration
	Of     int // for a time in nanoseconds
}

// Defaults sets options that are zero, and refuses negative ones.
func Defaults(all ...Default) error {
	for _, d := range all {
		if d.Time != nil {
			d.Number = new(int)
			*d.Number = int(*d.Time)
		}
		if *d.Number < 0 {
			return mesh.Errorf(mesh.Invalid, "the limit %s is negative", d.Name)
		}
		if *d.Number == 0 {
			*d.Number = d.Of
		}
		if d.Time != nil {
			*d.Time = time.Duration(*d.Number)
		}
	}
	return nil
}

// Clients bounds how many requests each client address makes: a bucket of ClientBurst tokens that fills at ClientRate.
type Clients = Rates[netip.Addr]

// NewClients returns the bounds that complete limits say.
func NewClients(o Limits) (*Clients, error) {
	return NewRates[netip.Addr](float64(o.ClientRate), o.ClientBurst, o.Clients)
}

// Rates bound how often each of many may do something: a bucket of tokens each. They may be used by many goroutines.
type Rates[K comparable] struct {
	rate, burst float64 // tokens a second, and at most
	now         func() time.Time

	mu      sync.Mutex
	buckets *lru.Cache[K, bucket]
}

type bucket struct {
	tokens float64
	at     time.Time
}

// NewRates allows rate times a second in the long run, and burst at once. most are remembered; the one that was longest silent is
// forgotten, and begins anew.
func NewRates[K comparable](rate float64, burst, most int) (*Rates[K], error) {
	b, err := lru.New[K, bucket](most)
	return &Rates[K]{rate: rate, burst: float64(burst), now: time.Now, buckets: b}, err
}

// Admit tells whether one may do it now, and counts it.
func (l *Rates[K]) Admit(who K) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b, ok := l.buckets.Get(who)
	if !ok {
		b = bucket{l.burst, now}
	}
	b.tokens, b.at = min(l.burst, b.tokens+now.Sub(b.at).Seconds()*l.rate), now
	admitted := b.tokens >= 1
	if admitted {
		b.tokens--
	}
	l.buckets.Add(who, b)
	return admitted
}
