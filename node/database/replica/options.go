package replica

import (
	"cmp"
	"io"
	"time"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/engine"
	"github.com/stratosmesh/stratos/protocol/database"
)

// Options of a replica. The zero value of a field means its default.
type Options struct {
	// Rules must be the same on every replica of the cell: its genesis holds them.
	Rules Rules
	// Engine says how the files are run. Its limits must be the same on every replica; the cache is per connection, of which a file
	// has as many as queries run at once, and one. Default cache 4 MiB.
	Engine engine.Options

	Connections int           // to the service. Default 1,024
	Submits     int           // transactions waited for at once. Default 1,024
	Queries     int           // that run at once, three quarters of them of one database at most; of each, twice as many may wait. Default 8
	QueryGas    uint64        // of a query. Default 100,000,000
	QueryTime   time.Duration // of a query, its wait for a height not counted; as much again for each 8 MiB of its request. Default 5 s
	// LargeQueries is how many requests of queries that are larger than a transaction are read and run at once: each may take 200 MiB
	// of memory. Twice as many of an account may wait, unread. Default 2.
	LargeQueries int
	Waits        int           // for databases to grow, at once; a quarter of them for one database. Default 512
	HeightWait   time.Duration // of a query for a height. Default 5 s
	Copies       int           // backups that are sent at once. Default 4
	SubmitWait   time.Duration // of a transaction to be applied. Default 20 s
	ExportKeep   time.Duration // of an exported checkpoint, and of a backup. Default 1 h
	ExportTime   time.Duration // for one of its files to be fetched. Default 1 h
	// JoinBlocks is from how many blocks on an empty replica fetches a checkpoint instead of the whole log, and how many blocks
	// behind the newest certificate are kept for others. It should be the same on every replica. Default 10,000
	JoinBlocks int64
	JoinTime   time.Duration // for a checkpoint to be had from a member; after it the next is asked. Default 30 minutes
	JoinPoll   time.Duration // between asking a member whether it has exported one. Default 5 s

	// Overtaken is how often a replica asks whether the others have still what it lacks. Default 30 s.
	Overtaken time.Duration

	// Unused is for how long nobody asks before a database's readers are closed, with their caches: so long, up to twice. Default 30 s.
	Unused time.Duration

	// Pending bounds how many envelopes of one database wait for their block, and sessions and revocations of one account,
	// PendingBytes how large they are together, so that nobody can fill the mempool. Defaults 1,024 and 4 MiB.
	Pending      int
	PendingBytes int
	// IdleBlock is how long an idle cell waits for its next block, so that its clock goes on, and that a transaction which only one
	// replica has is not forgotten. Default 10 s, or half the time between checkpoints where that is less.
	IdleBlock time.Duration
	// Stale is how old a block's time may be that this replica proposes transactions with. Default 2 s.
	Stale time.Duration

	// Parent, if any, is read to its end, after which Run ends: the write end is held by whoever started this process. Closing it
	// must end a read.
	Parent io.ReadCloser

	// reached is called at each point of a commit; tests end the process there.
	reached func(point string)
}

// Rules of a cell's log. What a block may take decides how long it may last: a unit of gas is 10 ns to 1 us of a processor, so that
// blocks last less than a second as a rule, and twenty at worst.
type Rules struct {
	EnvelopeGas  uint64        `json:"envelope_gas"`  // limit of an envelope. Default 20,000,000
	DatabaseGas  uint64        `json:"database_gas"`  // limits of a database's envelopes in a block, together. Default 20,000,000
	BlockGas     uint64        `json:"block_gas"`     // of all envelopes in a block. Default 25,000,000: beside the largest is room for others'
	BlockBytes   int           `json:"block_bytes"`   // of a block's transactions. Default 8 MiB
	PartBytes    int           `json:"part_bytes"`    // of a block's parts of programs. Default 4 MiB
	Parts        int           `json:"parts"`         // of an account that wait for their envelopes, of 512 KiB each. Default 128
	Control      int           `json:"control"`       // transactions of a block that the cell needs, and as many of accounts that are no envelopes. Default 64
	CheckpointMs int64         `json:"checkpoint_ms"` // of block time between checkpoints. Default: the settings', or 10 minutes
	Sessions     int           `json:"sessions"`      // of an account that the cell keeps. Default 256
	Revocations  int           `json:"revocations"`   // of an account that the cell keeps. Default 4,096
	Limits       engine.Limits `json:"limits"`        // of programs; zero: the engine's defaults
}

// of fills in the rules that the cell has from the meta layer, and defaults.
func (o Options) of(c Config) Options {
	o.Rules.CheckpointMs = cmp.Or(o.Rules.CheckpointMs, c.CheckpointMs)
	return o.withDefaults()
}

func (o Options) withDefaults() Options {
	r := &o.Rules
	r.EnvelopeGas = cmp.Or(r.EnvelopeGas, database.MaxGas)
	r.DatabaseGas = cmp.Or(r.DatabaseGas, database.MaxGas)
	r.BlockGas = cmp.Or(r.BlockGas, database.MaxGas+database.MaxGas/4)
	r.BlockBytes = cmp.Or(r.BlockBytes, 8<<20)
	r.PartBytes = cmp.Or(r.PartBytes, 4<<20)
	r.Parts = cmp.Or(r.Parts, 128)
	r.Control = cmp.Or(r.Control, 64)
	r.CheckpointMs = cmp.Or(r.CheckpointMs, 10*60*1000)
	r.Sessions = cmp.Or(r.Sessions, 256)
	r.Revocations = cmp.Or(r.Revocations, 4096)
	o.Engine.Limits = r.Limits
	o.Engine.CacheBytes = cmp.Or(o.Engine.CacheBytes, 4<<20)
	o.Connections = cmp.Or(o.Connections, 1024)
	o.Submits = cmp.Or(o.Submits, 1024)
	o.Queries = cmp.Or(o.Queries, 8)
	o.Engine.Readers = cmp.Or(o.Engine.Readers, o.Queries) // a connection is dear to open
	o.LargeQueries = cmp.Or(o.LargeQueries, 2)
	o.Waits = cmp.Or(o.Waits, 512)
	o.QueryGas = cmp.Or(o.QueryGas, database.MaxQueryGas)
	o.QueryTime = cmp.Or(o.QueryTime, 5*time.Second)
	o.HeightWait = cmp.Or(o.HeightWait, 5*time.Second)
	o.SubmitWait = cmp.Or(o.SubmitWait, 20*time.Second)
	o.Copies = cmp.Or(o.Copies, 4)
	o.ExportKeep = cmp.Or(o.ExportKeep, time.Hour)
	o.ExportTime = cmp.Or(o.ExportTime, time.Hour)
	o.JoinBlocks = cmp.Or(o.JoinBlocks, 10_000)
	o.JoinTime = cmp.Or(o.JoinTime, 30*time.Minute)
	o.JoinPoll = cmp.Or(o.JoinPoll, 5*time.Second)
	o.Overtaken = cmp.Or(o.Overtaken, 30*time.Second)
	o.Unused = cmp.Or(o.Unused, 30*time.Second)
	o.Pending = cmp.Or(o.Pending, 1024)
	o.PendingBytes = cmp.Or(o.PendingBytes, 4<<20)
	o.IdleBlock = cmp.Or(o.IdleBlock, min(10*time.Second, max(250*time.Millisecond, time.Duration(r.CheckpointMs)*time.Millisecond/2)))
	o.Stale = cmp.Or(o.Stale, 2*time.Second)
	if o.reached == nil {
		o.reached = func(string) {}
	}
	return o
}

func (o Options) validate() error {
	r := o.Rules
	switch {
	case r.EnvelopeGas > r.DatabaseGas || r.DatabaseGas > r.BlockGas:
		return mesh.Errorf(mesh.Invalid, "an envelope may have %d gas, a database %d in a block of %d: each is within the next", r.EnvelopeGas, r.DatabaseGas, r.BlockGas)
	case r.BlockBytes < 2*database.MaxTx || r.BlockBytes > 64<<20:
		return mesh.Errorf(mesh.Invalid, "blocks of %d bytes, want %d to %d", r.BlockBytes, 2*database.MaxTx, 64<<20)
	case r.PartBytes < database.MaxTx || r.PartBytes > r.BlockBytes-database.MaxTx:
		return mesh.Errorf(mesh.Invalid, "parts of %d bytes in a block of %d: there must be room for one, and for an envelope beside", r.PartBytes, r.BlockBytes)
	case r.Parts < database.MaxParts || r.Parts > database.MaxAccountParts:
		return mesh.Errorf(mesh.Invalid, "%d parts of an account, want %d to %d", r.Parts, database.MaxParts, database.MaxAccountParts)
	case r.CheckpointMs < 0 || r.Control < 0 || r.Sessions < 0 || r.Revocations < 0:
		return mesh.Errorf(mesh.Invalid, "a rule of the cell is below zero")
	case o.PendingBytes < database.MaxTx:
		return mesh.Errorf(mesh.Invalid, "room for %d bytes of a database's envelopes, want at least %d", o.PendingBytes, database.MaxTx)
	}
	for _, n := range []int64{int64(o.Connections), int64(o.Submits), int64(o.Queries), int64(o.LargeQueries), int64(o.Waits), int64(o.Copies), int64(o.Pending), int64(o.QueryTime), int64(o.HeightWait), int64(o.SubmitWait),
		int64(o.ExportKeep), int64(o.ExportTime), o.JoinBlocks, int64(o.JoinTime), int64(o.JoinPoll), int64(o.Overtaken), int64(o.Unused),
		int64(o.IdleBlock), int64(o.Stale)} {
		if n < 0 {
			return mesh.Errorf(mesh.Invalid, "a limit of the replica is below zero")
		}
	}
	return nil
}
