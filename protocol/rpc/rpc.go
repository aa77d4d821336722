// Package rpc carries single protobuf messages over HTTP/1.1: POST, one message each way, a wirepb.Problem when it
// fails. It has no retries and no state; whoever calls decides what to try next.
package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/tlsid"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// ContentType of requests, answers and problems.
const ContentType = "application/x-protobuf"

// MaxProblem bounds the bytes of a problem that a client reads.
const MaxProblem = 8 << 10

// A Request is what a handler gets: the decoded message and the key that the caller's connection proved, zero when
// the connection is not TLS.
type Request[T any] struct {
	Message *T
	Peer    mesh.PublicKey
}

type message[T any] interface {
	*T
	proto.Message
}

// Handler serves one method: it reads a T of at most limit bytes, calls f, and answers what f returns.
func Handler[T any, P message[T]](limit int, f func(context.Context, Request[T]) (proto.Message, error)) http.Handler {
	return Limited[T, P](func(context.Context, mesh.PublicKey, int64) (int, func(), error) { return limit, func() {}, nil }, f)
}

// A Limit tells how many bytes a request may have, by who asks, and by how many it says that it has, -1 if it does not: nothing of it
// was read yet. done is called when it is answered.
type Limit func(ctx context.Context, peer mesh.PublicKey, length int64) (limit int, done func(), err error)

// Limited is Handler for requests some of which may be larger than others.
func Limited[T any, P message[T]](limit Limit, f func(context.Context, Request[T]) (proto.Message, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "POST only", http.StatusMethodNotAllowed)
			return
		}
		var peer mesh.PublicKey
		var err error
		if r.TLS != nil {
			if peer, err = tlsid.PeerKey(r.TLS); err != nil {
				WriteError(w, err)
				return
			}
		}
		limit, done, err := limit(r.Context(), peer, r.ContentLength)
		if err != nil {
			WriteError(w, err)
			return
		}
		defer done()
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
		if err != nil {
			WriteError(w, mesh.Errorf(mesh.Invalid, "the request's body: %w", err))
			return
		}
		req := Request[T]{Message: new(T), Peer: peer}
		if err := wire.Decode(body, limit, P(req.Message)); err != nil {
			WriteError(w, err)
			return
		}
		answer, err := f(r.Context(), req)
		if err != nil {
			WriteError(w, err)
			return
		}
		w.Header().Set("Content-Type", ContentType)
		w.Write(wire.Encode(answer)) // the client is gone when this fails; there is nobody to tell
	})
}

// WriteError answers err as a Problem with the status of its kind.
func WriteError(w http.ResponseWriter, err error) {
	kind := mesh.KindOf(err)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		kind = mesh.Unavailable
	}
	text := err.Error()
	if len(text) > MaxProblem/2 {
		text = text[:MaxProblem/2]
	}
	w.Header().Set("Content-Type", ContentType)
	w.WriteHeader(kind.HTTPStatus())
	w.Write(wire.Encode(&wirepb.Problem{Kind: uint32(kind), Text: text, Hint: mesh.HintOf(err)}))
}

// large is from how many bytes on a request waits for the other side to say that it reads it, as long as the client's transport has
// ExpectContinueTimeout: who refuses it unread ends the connection, and the refusal could be lost.
const large = 1 << 20

// Call posts req to url and decodes the answer of at most limit bytes into resp. A problem comes back with its kind,
// and everything that went wrong on the way with kind Unavailable.
func Call(ctx context.Context, hc *http.Client, url string, limit int, req, resp proto.Message) error {
	raw := wire.Encode(req)
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "calling %s: %w", url, err)
	}
	hr.Header.Set("Content-Type", ContentType)
	if len(raw) > large {
		hr.Header.Set("Expect", "100-continue")
	}
	r, err := hc.Do(hr)
	if err != nil {
		return Failed(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return ReadError(r)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	if err != nil {
		return Failed(err)
	}
	return wire.Decode(body, limit, resp)
}

// Failed gives an error of the transport its kind: Denied when the other side was not who it should be, else Unavailable.
func Failed(err error) error {
	var e *mesh.Error
	if errors.As(err, &e) {
		return mesh.Errorf(e.Kind, "%w", err)
	}
	return mesh.Errorf(mesh.Unavailable, "%w", err)
}

// ReadError reads the problem that an answer with another status than 200 carries.
func ReadError(r *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxProblem))
	p := new(wirepb.Problem)
	if err != nil || r.Header.Get("Content-Type") != ContentType || proto.Unmarshal(body, p) != nil {
		return mesh.Errorf(mesh.KindOfStatus(r.StatusCode), "the server answered %s", r.Status)
	}
	return &mesh.Error{Kind: mesh.Kind(min(p.Kind, 255)), Text: p.Text, Hint: p.Hint}
}
