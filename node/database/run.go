package database

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/stratosmesh/stratos/internal/consensus"
	"github.com/stratosmesh/stratos/internal/pebbledb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/database/replica"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/transfer"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// RunReplica is what the child process of a host does: the replica in home joins its cell and follows the cell's log, until ctx or
// parent ends. The error is Corrupt when it was found damaged. Then it is empty, and takes everything from the others at the next
// start, provided that so many of them have it that one is honest; else nothing is touched.
func RunReplica(ctx context.Context, home string, parent io.ReadCloser, log *slog.Logger) error {
	opts := replica.Options{Parent: parent}
	if err := replica.Join(ctx, home, opts, log); err != nil {
		return err
	}
	err := follow(ctx, home, opts, log)
	if err == nil || mesh.KindOf(err) != mesh.Corrupt {
		return err
	}
	log.Error("the replica is damaged", "err", err)
	if there := others(ctx, home); there != nil {
		return errors.Join(err, fmt.Errorf("it is not emptied: %w", there))
	}
	log.Info("the replica is emptied, and takes everything from the others")
	return errors.Join(err, replica.Reset(home))
}

// follow runs the replica. Its error is Corrupt when a file of its is damaged, also where CometBFT panics for that.
func follow(ctx context.Context, home string, opts replica.Options, log *slog.Logger) (err error) {
	defer func() {
		p := recover()
		if e, ok := p.(error); ok && consensus.Damaged(e) {
			err = e
		} else if p != nil {
			panic(p)
		}
		if consensus.Damaged(err) || pebbledb.Damaged(err) {
			err = mesh.Errorf(mesh.Corrupt, "%w", err)
		}
	}()
	r, err := replica.New(home, opts, log)
	if err != nil {
		return err
	}
	return errors.Join(r.Run(ctx), r.Close())
}

// others fails unless so many other members have the cell's log that one of them is honest.
func others(ctx context.Context, home string) error {
	c, err := replica.ReadConfig(home)
	if err != nil {
		return err
	}
	own, err := replica.Init(home)
	if err != nil {
		return err
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return fmt.Errorf("drawing a key: %w", err)
	}
	d := transfer.NewDialer(key, time.Second)
	defer d.Close()
	there := 0
	for _, m := range c.Members {
		if m.AnswerKey == own.AnswerKey {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, lookTime)
		s := new(wirepb.CellStatus)
		hc, err := d.Client(m.AnswerKey)
		if err == nil {
			err = rpc.Call(ctx, hc, "https://"+m.Address+wirepb.CellStatusPath, wiredatabase.MaxReply, new(wirepb.CellStatusRequest), s)
		}
		if cancel(); err == nil && s.Height > 0 {
			there++
		}
	}
	if !wiredatabase.Believed(there, len(c.Members)) {
		return mesh.Errorf(mesh.Unavailable, "%d of the %d other members answer, too few to take it from", there, len(c.Members)-1)
	}
	return nil
}
