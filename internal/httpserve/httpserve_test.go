package httpserve_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stratosmesh/stratos/internal/httpserve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whoever closes what handlers use does so after Run, so that no handler outlives it, whatever became of its connection.
func TestRunWaitsForHandlers(t *testing.T) {
	l, err := httpserve.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	began, end := make(chan struct{}), make(chan struct{})
	s := httpserve.Pages(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done() // the connection is closed
		<-end
	}), slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- httpserve.Run(ctx, s, l) }()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		c := &http.Client{Transport: &http.Transport{}}
		defer c.CloseIdleConnections()
		r, err := c.Get("http://" + l.Addr().String())
		if err == nil {
			_, _ = io.Copy(io.Discard, r.Body) // what comes does not matter
			r.Body.Close()
		}
	}()
	<-began
	stop()
	<-asked // after the moment that it was given
	defer func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	defer close(end)
	select {
	case err := <-done:
		done <- err
		t.Error("Run returned before its handler")
	case <-time.After(50 * time.Millisecond):
	}
}
