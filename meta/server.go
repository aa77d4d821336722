package meta

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta/state"
	"github.com/stratosmesh/stratos/meta/state/statepb"
	"github.com/stratosmesh/stratos/protocol/rpc"
	"github.com/stratosmesh/stratos/protocol/sign"
	"github.com/stratosmesh/stratos/protocol/signed"
	"github.com/stratosmesh/stratos/protocol/wire"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Limits of the API.
const (
	maxQuery     = 256 << 10
	submitWait   = 20 * time.Second // for a transaction to be applied
	heightWait   = 5 * time.Second  // for a height that a query asks for
	appliedWait  = 20 * time.Second // of a long poll
	maxBodyBytes = state.MaxTx
)

// api is what sessions, nodes and other authorities may ask.
func (a *Authority) api() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(wirepb.SubmitPath, rpc.Handler(maxBodyBytes, a.handleSubmit))
	mux.Handle(wirepb.QueryPath, rpc.Handler(maxQuery, a.handleQuery))
	mux.Handle(wirepb.TicketPath, rpc.Handler(maxQuery, a.handleTicket))
	mux.Handle(wirepb.AppliedPath, rpc.Handler(64, a.handleApplied))
	mux.Handle(wirepb.HeaderPath, rpc.Handler(64, a.handleHeader))
	mux.Handle(wirepb.HeartbeatPath, rpc.Handler(4<<10, a.handleHeartbeat))
	mux.Handle(wirepb.NoticePath, rpc.Handler(64, a.handleNotice))
	mux.Handle(wirepb.JoinPath, rpc.Handler(64, a.handleJoin))
	return mux
}

func (a *Authority) handleSubmit(ctx context.Context, r rpc.Request[wirepb.Tx]) (proto.Message, error) {
	return a.Submit(ctx, wire.Encode(r.Message))
}

// Submit puts a transaction on the log and waits until this authority has applied it. A refusal is an error; kind
// Unavailable means that it is not known whether it will be applied, and that the same bytes may be submitted again.
func (a *Authority) Submit(ctx context.Context, raw []byte) (*wirepb.SubmitAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, submitWait)
	defer cancel()
	height, result, err := a.app.results.Submit(ctx, a.engine.Mempool(), raw)
	if err != nil {
		if ctx.Err() != nil {
			err = mesh.WithHint(err, "try again, or look at 'stratos meta status'")
		}
		return nil, err
	}
	if k := result.Kind; k != 0 {
		return nil, &mesh.Error{Kind: mesh.Kind(k - 1), Text: result.Text, Hint: result.Hint}
	}
	return &wirepb.SubmitAnswer{Height: height, Result: result}, nil
}

func (a *Authority) handleQuery(ctx context.Context, r rpc.Request[wirepb.Query]) (proto.Message, error) {
	if n := len(r.Message.Questions); n > state.MaxQuestions {
		return nil, mesh.Errorf(mesh.Invalid, "%d questions at once, at most %d", n, state.MaxQuestions)
	}
	ctx, cancel := context.WithTimeout(ctx, heightWait)
	defer cancel()
	if err := a.app.waitHeight(ctx, r.Message.MinHeight); err != nil {
		return nil, err
	}
	answer := new(wirepb.QueryAnswer)
	err := a.app.read(func(s *state.Reader) error {
		answer.Height, answer.Root = s.Tip().Height, s.Tip().Digest
		asker, now := r.Peer, max(time.Now().UnixMilli(), s.Tip().TimeMs)
		size := 0
		for _, q := range r.Message.Questions {
			b, err := s.Answer(q, asker, now)
			if err != nil {
				return err
			}
			if size += len(b); size > wirepb.MaxQueryAnswer {
				return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "the answers have more than %d bytes", wirepb.MaxQueryAnswer), "ask fewer questions at once")
			}
			answer.Answers = append(answer.Answers, b)
		}
		return nil
	})
	return answer, err
}

func (a *Authority) handleTicket(_ context.Context, r rpc.Request[wirepb.TicketRequest]) (answer proto.Message, err error) {
	err = a.app.read(func(s *state.Reader) (err error) {
		answer, err = a.tickets.issue(s, r.Message, r.Peer, a.presence.look, time.Now())
		return err
	})
	return answer, err
}

func (a *Authority) handleApplied(ctx context.Context, r rpc.Request[wirepb.Applied]) (proto.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, appliedWait)
	defer cancel()
	_ = a.app.waitHeight(ctx, r.Message.Height+1) // an answer without progress is an answer too
	h, _ := a.app.height()
	return &wirepb.Applied{Height: h}, nil
}

func (a *Authority) handleHeader(_ context.Context, r rpc.Request[wirepb.Applied]) (proto.Message, error) {
	bs := a.engine.BlockStore()
	meta, commit := bs.LoadBlockMeta(r.Message.Height), bs.LoadSeenCommit(r.Message.Height)
	if c := bs.LoadBlockCommit(r.Message.Height); c != nil {
		commit = c
	}
	if meta == nil || commit == nil {
		return nil, mesh.Errorf(mesh.NotFound, "this authority has no block %d", r.Message.Height)
	}
	b, err := signedHeader(meta, commit)
	return &wirepb.SignedHeader{Header: b}, err
}

func (a *Authority) handleHeartbeat(_ context.Context, r rpc.Request[wirepb.Signed]) (proto.Message, error) {
	err := a.app.read(func(s *state.Reader) error { return a.presence.hear(s, r.Message) })
	h, _ := a.app.height()
	return &wirepb.Applied{Height: h}, err
}

func (a *Authority) handleJoin(context.Context, rpc.Request[wirepb.JoinRequest]) (proto.Message, error) {
	return &wirepb.JoinAnswer{Genesis: a.genesis, Peer: a.identity.PeerID + "@" + a.config.P2P}, nil
}

func (a *Authority) handleNotice(_ context.Context, r rpc.Request[wirepb.NoticeRequest]) (answer proto.Message, err error) {
	err = a.app.read(func(s *state.Reader) error {
		n := s.Notice(r.Message.Database)
		if n == nil {
			return mesh.Errorf(mesh.NotFound, "there is no such database")
		}
		answer = signed.Seal(a.domain, a.reportKey, sign.Notice, n)
		return nil
	})
	return answer, err
}

// statusPages is what people and monitors may read in plain HTTP.
func (a *Authority) statusPages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/status", http.StatusFound))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s := a.status(); !s.Ready {
			http.Error(w, s.Why, http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(a.status()) // the reader is gone when this fails
	})
	return mux
}

// Status is what an authority says of itself.
type Status struct {
	Name        string           `json:"name"`
	ID          mesh.AuthorityID `json:"id"`
	Ready       bool             `json:"ready"`
	Why         string           `json:"why,omitempty"` // not ready
	Height      int64            `json:"height"`
	ValueHeight int64            `json:"value_height"`
	Epoch       mesh.Epoch       `json:"epoch"`
	Authorities int              `json:"authorities"`
	Nodes       int              `json:"nodes"`
	Online      int              `json:"online"` // nodes that this authority hears
	Listed      int              `json:"listed"` // nodes that are not offline on the log, by which cells are drawn
	Objects     uint64           `json:"objects"`
	Segments    uint64           `json:"segments"`
	Reduced     uint64           `json:"reduced"`
}

// AskStatus asks an authority's status page.
func AskStatus(ctx context.Context, url string) (s Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/status", nil)
	if err != nil {
		return s, mesh.Errorf(mesh.Invalid, "asking for the status: %w", err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return s, mesh.Errorf(mesh.Unavailable, "asking for the status: %w", err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&s); err != nil {
		return s, mesh.Errorf(mesh.Corrupt, "the status of %s: %w", url, err)
	}
	return s, nil
}

func (a *Authority) status() Status {
	s := Status{Name: a.config.Name, ID: a.identity.ID}
	err := a.app.read(func(r *state.Reader) error {
		t := r.Tip()
		s.Height, s.ValueHeight, s.Epoch = t.Height, t.ValueHeight, mesh.Epoch(t.Epoch)
		s.Objects, s.Segments, s.Reduced = t.Objects, t.Segments, t.Reduced
		for range r.Authorities() {
			s.Authorities++
		}
		r.Nodes(func(id mesh.NodeID, n *statepb.Node) {
			s.Nodes++
			if a.presence.online(id, n) {
				s.Online++
			}
			if n.Status != state.Offline {
				s.Listed++
			}
		})
		return nil
	})
	switch {
	case err != nil:
		s.Why = err.Error()
	case s.Authorities == 0:
		s.Why = "nothing of the value layer has been proven yet"
	case a.engine.ConsensusReactor().WaitSync():
		s.Why = "catching up with the log"
	default:
		s.Ready = true
	}
	return s
}
