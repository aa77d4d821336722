package function

import (
	"bytes"
	"context"
	"errors"
	"sync"
)

// A talk is what a call asked and was answered. All nodes that run the call have the same: the first that comes to a request has it answered, and
// the others get that answer when they ask the same.
type talk struct {
	ask func(ctx context.Context, request []byte) ([]byte, error) // nil: nobody answers any more, the talk is replayed

	mu    sync.Mutex
	turns []*turn
}

// A turn is a request with its answer, which is there when ready is closed.
type turn struct {
	request []byte
	ready   chan struct{}
	answer  []byte
	err     error
}

// errStrayed is why a node is answered no more: it asks something else than who was first.
var errStrayed = errors.New("the node asks something else than the other")

// A side is one node's part in a talk.
type side struct {
	talk   *talk
	next   int
	stray  []byte // the request with which it left the talk
	failed error  // of whoever answers
}

// answer answers the next request of a side.
func (s *side) answer(ctx context.Context, request []byte) ([]byte, error) {
	t := s.talk
	t.mu.Lock()
	first := s.next == len(t.turns)
	if first && t.ask == nil {
		t.mu.Unlock()
		s.stray = bytes.Clone(request)
		return nil, errStrayed
	}
	if first {
		t.turns = append(t.turns, &turn{request: bytes.Clone(request), ready: make(chan struct{})})
	}
	at := t.turns[s.next]
	s.next++
	t.mu.Unlock()
	if first {
		at.answer, at.err = t.ask(ctx, request)
		close(at.ready)
	}
	if !bytes.Equal(at.request, request) {
		s.stray = bytes.Clone(request)
		return nil, errStrayed
	}
	select {
	case <-at.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if at.err != nil {
		s.failed = at.err
	}
	return at.answer, at.err
}

// replay is the talk as it went, for a node that runs the call again.
func (t *talk) replay() *talk {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := new(talk)
	for _, at := range t.turns {
		select {
		case <-at.ready:
			if at.err == nil {
				r.turns = append(r.turns, at)
				continue
			}
		default:
		}
		break
	}
	return r
}
