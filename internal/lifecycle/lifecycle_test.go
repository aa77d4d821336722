package lifecycle_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/internal/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func untilCancelled(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestFirstErrorCancelsTheOthers(t *testing.T) {
	boom := errors.New("boom")
	g := lifecycle.New(t.Context())
	for range 3 {
		if err := g.Go(untilCancelled); err != nil {
			t.Fatal(err)
		}
	}
	_ = g.Go(func(context.Context) error { return boom })
	if err := g.Wait(); err != boom {
		t.Fatalf("Wait = %v, want the first error", err)
	}
	if g.Context().Err() == nil {
		t.Fatal("the context outlived the group")
	}
}

func TestCloseWaitsAndIsNotAnError(t *testing.T) {
	g := lifecycle.New(t.Context())
	ended := false
	_ = g.Go(func(ctx context.Context) error {
		<-ctx.Done()
		ended = true
		return ctx.Err()
	})
	for range 2 {
		if err := g.Close(); err != nil {
			t.Fatalf("Close = %v", err)
		}
	}
	if !ended {
		t.Fatal("Close did not wait")
	}
	if err := g.Go(untilCancelled); err != lifecycle.ErrClosed {
		t.Fatalf("Go after Close = %v", err)
	}
}

func TestAGoroutineMayStartAnother(t *testing.T) {
	g := lifecycle.New(t.Context())
	done := make(chan struct{})
	_ = g.Go(func(context.Context) error {
		return g.Go(func(context.Context) error { close(done); return nil })
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	<-done
}
