package lifecycle

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turn Turn
		ctx, over, err := turn.Begin(t.Context())
		if err != nil || !turn.Running() {
			t.Fatalf("%v, running %v", err, turn.Running())
		}
		if _, _, err := turn.Begin(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("a second turn: %v", err)
		}
		var closed atomic.Int32
		for range 2 {
			go func() {
				if !turn.Close() {
					t.Error("there was a turn")
				}
				closed.Add(1)
			}()
		}
		synctest.Wait()
		if ctx.Err() == nil || closed.Load() != 0 || turn.Running() {
			t.Errorf("%v, %d closed before it was over, running %v", ctx.Err(), closed.Load(), turn.Running())
		}
		over()
		synctest.Wait()
		if closed.Load() != 2 {
			t.Errorf("%d of 2 closed", closed.Load())
		}
	})
	var never Turn
	if never.Close() || never.Close() {
		t.Error("there was no turn")
	}
	if _, _, err := never.Begin(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("a turn after Close: %v", err)
	}
	var ends Turn
	parent, cancel := context.WithCancel(context.Background())
	ctx, over, err := ends.Begin(parent)
	if err != nil {
		t.Fatal(err)
	}
	if cancel(); ctx.Err() == nil {
		t.Error("it outlives its parent")
	}
	over()
}
