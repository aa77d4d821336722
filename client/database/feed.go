package database

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/postgres"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Position is a place in what a database tells: who follows goes on behind it. It is written HEIGHT.PLACE.
type Position struct {
	Height int64  // of the block
	Place  uint32 // within it, from 1
}

// Oldest stands before what is kept, Now behind what there is when it is asked first.
var (
	Oldest = Position{}
	Now    = Position{Height: -1}
)

const (
	placeBits = 24 // of a position as an integer
	lastPlace = 1<<placeBits - 1
	maxHeight = 1 << 38
)

// After is the position behind all of a block: who read the whole table at a height goes on from there.
func After(height int64) Position { return Position{height, lastPlace} }

func (p Position) String() string {
	return strconv.FormatInt(p.Height, 10) + "." + strconv.FormatUint(uint64(p.Place), 10)
}

// Compare is below zero when p is before q.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Height, q.Height), cmp.Compare(p.Place, q.Place))
}

func (p Position) integer() int64 { return p.Height<<placeBits | int64(p.Place) }

func positionOf(n int64) Position { return Position{n >> placeBits, uint32(n & lastPlace)} }

// ParsePosition reads what String writes, the words oldest and now, and a height alone, which is After it.
func ParsePosition(s string) (Position, error) {
	switch s {
	case "oldest":
		return Oldest, nil
	case "now":
		return Now, nil
	}
	height, place, some := strings.Cut(s, ".")
	h, err := strconv.ParseUint(height, 10, 38)
	p := uint64(lastPlace)
	if err == nil && some {
		p, err = strconv.ParseUint(place, 10, placeBits)
	}
	if err != nil {
		return Position{}, mesh.WithHint(mesh.Errorf(mesh.Invalid, "%.40q is no position", s), "name a height, or HEIGHT.PLACE as it was told; or now, or oldest")
	}
	return Position{int64(h), uint32(p)}, nil
}

// A Change is what happened to a row of a published table, or to the table.
type Change struct {
	Position Position        `json:"-"`
	Schema   string          `json:"schema"`
	Table    string          `json:"table"`
	Kind     string          `json:"kind"`          // insert, update, delete or truncate
	Old      json.RawMessage `json:"old,omitempty"` // the primary key of the row that was; of an update and a delete
	New      json.RawMessage `json:"new,omitempty"` // the row that is; of an insert and an update
}

// A Notification is what NOTIFY said.
type Notification struct {
	Position Position `json:"-"`
	Channel  string   `json:"channel"`
	Payload  string   `json:"payload"`
}

// A Feed is what is followed: changes of a publication, or notifications by channels; nil: of all.
type Feed struct {
	Publication string
	Channels    []string
}

// A Batch is the next of what is told, in order. Everything that the feed tells up to Position was told with it and those before; it
// may have nothing.
type Batch struct {
	Changes       []Change
	Notifications []Notification
	Position      Position
}

// How a feed is followed: rows asked for at once, the least time between two questions, the longest wait for a block, and how long a
// replica is not believed that has told of blocks which there were not.
const (
	feedRows     = 500
	feedPace     = 20 * time.Millisecond
	growthMisses = 8
	growthDoubt  = time.Minute

	codeTooBig = "54000" // a result of more bytes than one may have
)

// Follow tells what a feed has behind a position, and then what comes, each part when so many replicas say it that one of them is
// honest, until ctx ends or the loop is left. It yields a batch when there is something, and at least every 20 s. The last thing that it
// yields is an error: NotFound when what followed the position is not kept any more, or there is no such publication; Unavailable when
// the cell does not answer: who opens the database again goes on from the last batch's position. It is for dialect postgres.
func (d *DB) Follow(ctx context.Context, f Feed, from Position) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		if d.opts.Dialect != wiredatabase.Postgres {
			yield(Batch{}, mesh.Errorf(mesh.Invalid, "database %q is of dialect %s, which has no feeds", d.name, d.opts.Dialect))
			return
		}
		if from != Now && (from.Height < 0 || from.Height >= maxHeight || from.Place > lastPlace) {
			yield(Batch{}, mesh.Errorf(mesh.Invalid, "%s is no position", from))
			return
		}
		s := &follower{db: d, feed: f, at: from, rows: feedRows, told: -1, misses: make([]int, len(d.cell.Members)), doubted: make([]time.Time, len(d.cell.Members))}
		var last time.Time // when a batch was told
		for {
			asked := time.Now()
			b, more, err := s.next(ctx)
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Batch{}, err)
				return
			}
			if len(b.Changes)+len(b.Notifications) > 0 || asked.Sub(last) >= wiredatabase.MaxGrowthWait/2 {
				if last = asked; !yield(b, nil) {
					return
				}
			}
			for grown := more; !grown; {
				if grown, err = s.grown(ctx); err == nil && !grown && s.at != Now && s.at.Height > s.height {
					err = mesh.WithHint(mesh.Errorf(mesh.Invalid, "database %q is at height %d, and %s is yet to come", d.name, s.height, s.at), "name a position that was told, or now")
				}
				if err != nil {
					yield(Batch{}, err)
					return
				}
				if !grown {
					if last = time.Now(); !yield(Batch{Position: s.at}, nil) {
						return
					}
				}
			}
			if !more {
				select {
				case <-time.After(time.Until(asked.Add(feedPace))):
				case <-ctx.Done():
				}
			}
		}
	}
}

// Newest is the position behind all that the database has told so far.
func (d *DB) Newest(ctx context.Context) (Position, error) {
	all := (&follower{db: d}).statements(math.MaxInt64, 1)[:1]
	o, height, err := d.Ask(ctx, Default, Request{Statements: all})
	if err == nil {
		_, err = outcomeOf(o, all, height)
	}
	return After(height), err
}

// Changes tells the changes of a publication's tables behind a position; see Follow.
func (d *DB) Changes(ctx context.Context, publication string, from Position) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		for b, err := range d.Follow(ctx, Feed{Publication: publication}, from) {
			if err != nil {
				yield(Change{}, err)
				return
			}
			for _, c := range b.Changes {
				if !yield(c, nil) {
					return
				}
			}
		}
	}
}

// Notifications tells what NOTIFY says to channels, nil for all, behind a position; see Follow.
func (d *DB) Notifications(ctx context.Context, channels []string, from Position) iter.Seq2[Notification, error] {
	return func(yield func(Notification, error) bool) {
		for b, err := range d.Follow(ctx, Feed{Channels: channels}, from) {
			if err != nil {
				yield(Notification{}, err)
				return
			}
			for _, n := range b.Notifications {
				if !yield(n, nil) {
					return
				}
			}
		}
	}
}

// A follower is one that follows.
type follower struct {
	db     *DB
	feed   Feed
	at     Position
	rows   int   // that are asked for at once
	height int64 // of the newest answer

	told    int         // the member that told of a block since; below 0: none did
	misses  []int       // times that a member told of a block which there was not, one after the other
	doubted []time.Time // until when a member is not asked for its word
}

// name of the feed among stratos.feeds.
func (f Feed) name() string {
	if f.Publication != "" {
		return "changes"
	}
	return "notifications"
}

func textValue(s string) *wirepb.Value { return &wirepb.Value{Value: &wirepb.Value_Text{Text: s}} }

// statements ask for what comes behind a position. They have one text each, so that replicas compile them once.
func (s *follower) statements(from int64, limit int) []*wirepb.Statement {
	number := func(n int64) *wirepb.Value { return &wirepb.Value{Value: &wirepb.Value_Integer{Integer: n}} }
	all := []*wirepb.Statement{{Sql: "SELECT lost FROM stratos.feeds WHERE name = '" + s.feed.name() + "'"}}
	if s.feed.Publication != "" {
		name, types := []*wirepb.Value{textValue(s.feed.Publication)}, []uint32{uint32(postgres.Text)}
		return append(all, &wirepb.Statement{Sql: "SELECT oid FROM pg_publication WHERE pubname = $1", Parameters: name, ParameterTypes: types},
			&wirepb.Statement{Sql: "SELECT position, schemaname, tablename, kind, old, new FROM stratos.changes WHERE position > $2 AND (SELECT oid FROM pg_publication WHERE pubname = $1) = ANY (publications) ORDER BY position LIMIT $3",
				Parameters: append(name, number(from), number(int64(limit))), ParameterTypes: append(types, uint32(postgres.Int8), uint32(postgres.Int8))})
	}
	return append(all, &wirepb.Statement{Sql: "SELECT position, channel, payload FROM stratos.notifications WHERE position > $1 ORDER BY position LIMIT $2",
		Parameters: []*wirepb.Value{number(from), number(int64(limit))}, ParameterTypes: []uint32{uint32(postgres.Int8), uint32(postgres.Int8)}})
}

// next asks for what comes, and tells whether there is more of it already.
func (s *follower) next(ctx context.Context) (b Batch, more bool, err error) {
	from, rows := s.at.integer(), s.rows
	if s.at == Now {
		from = math.MaxInt64
	}
	all := s.statements(from, rows)
	o, height, err := s.db.Ask(ctx, Default, Request{Statements: all})
	if err != nil {
		return b, false, err
	}
	s.judge(height)
	if o.Code == codeTooBig && rows > 1 {
		s.rows = max(1, rows/8)
		return b, true, nil
	}
	out, err := outcomeOf(o, all, height)
	if err != nil {
		return b, false, err
	}
	bad := mesh.Errorf(mesh.Corrupt, "replicas answered something else than a feed")
	if len(out.Results) != len(all) || len(out.Results[0].Rows) != 1 || len(out.Results[0].Rows[0]) != 1 {
		return b, false, bad
	}
	lost, ok := out.Results[0].Rows[0][0].(int64)
	if !ok {
		return b, false, bad
	}
	if s.feed.Publication != "" && len(out.Results[1].Rows) == 0 {
		return b, false, mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no publication %q in database %q", s.feed.Publication, s.db.name), "make it: CREATE PUBLICATION %s FOR TABLE ...", s.feed.Publication)
	}
	if s.at != Oldest && from < lost {
		return b, false, mesh.WithHint(mesh.Errorf(mesh.NotFound, "what database %q told behind %s is not kept any more: all up to %s is gone", s.db.name, s.at, positionOf(lost)),
			"take the tables anew, and go on from the height at which they were read")
	}
	list := out.Results[len(all)-1].Rows
	for _, row := range list {
		if err := s.take(&b, row); err != nil {
			return b, false, err
		}
	}
	if more = len(list) == rows; more {
		s.rows = min(2*rows, feedRows)
	} else if end := After(height); end.integer() > s.at.integer() {
		s.at = end
	}
	b.Position = s.at
	return b, more, nil
}

// take adds a row to a batch, unless it is of another channel.
func (s *follower) take(b *Batch, row []any) error {
	text := func(i int) string { t, _ := row[i].(string); return t }
	n, ok := row[0].(int64)
	if !ok || s.at != Now && n <= s.at.integer() || n>>placeBits >= maxHeight {
		return mesh.Errorf(mesh.Corrupt, "replicas told a feed out of its order")
	}
	s.at = positionOf(n)
	if s.feed.Publication == "" {
		if channel := text(1); s.feed.Channels == nil || slices.Contains(s.feed.Channels, channel) {
			b.Notifications = append(b.Notifications, Notification{s.at, channel, text(2)})
		}
		return nil
	}
	c := Change{Position: s.at, Schema: text(1), Table: text(2), Kind: text(3)}
	for i, to := range []*json.RawMessage{&c.Old, &c.New} {
		if t := text(4 + i); t != "" {
			if *to = json.RawMessage(t); !json.Valid(*to) {
				return mesh.Errorf(mesh.Corrupt, "replicas told a row that is no JSON")
			}
		}
	}
	b.Changes = append(b.Changes, c)
	return nil
}

// grown waits for a block above the newest answer that touches the database, by the word of one of so many members that one of them is
// honest. False: there was none for as long as replicas let one wait. Where none lets it wait, true after a second: then is time to ask.
func (s *follower) grown(parent context.Context) (bool, error) {
	d, above := s.db, s.height
	d.mu.Lock()
	first := d.first
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(parent, wiredatabase.MaxGrowthWait+d.opts.Patience)
	type word struct {
		member int
		height int64
		err    error
	}
	n, began := len(d.cell.Members), time.Now()
	words, under := make(chan word), 0
	defer func() { // nobody is left behind
		cancel()
		for range under {
			<-words
		}
	}()
	for k := 0; ; {
		for ; k < n && under < d.cell.Faults()+1; k++ {
			i := (first + k) % n
			if began.Before(s.doubted[i]) {
				continue
			}
			under++
			go func() {
				g := new(wirepb.Growth)
				err := d.admitted(ctx, i, wirepb.CellGrowthPath, &wirepb.GrowthRequest{Database: d.id[:], Above: above, WaitMs: uint32(wiredatabase.MaxGrowthWait.Milliseconds())}, g)
				words <- word{i, g.Height, err}
			}()
		}
		if under == 0 {
			select {
			case <-time.After(time.Until(began.Add(time.Second))):
				return true, nil
			case <-parent.Done():
				return false, parent.Err()
			}
		}
		w := <-words
		under--
		switch {
		case parent.Err() != nil:
			return false, parent.Err()
		case w.err == nil && w.height > above:
			s.told = w.member
			return true, nil
		case time.Since(began) >= wiredatabase.MaxGrowthWait:
			return false, nil
		}
	}
}

// judge counts how often a member told of a block that so many others had not; it is not asked then for a while.
func (s *follower) judge(height int64) {
	i := s.told
	if s.told = -1; i >= 0 {
		if s.misses[i]++; height > s.height {
			s.misses[i] = 0
		} else if s.misses[i] >= growthMisses {
			s.misses[i], s.doubted[i] = 0, time.Now().Add(growthDoubt)
		}
	}
	s.height = max(s.height, height)
}
