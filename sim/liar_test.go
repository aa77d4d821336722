package sim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta"
	"github.com/stratosmesh/stratos/protocol/abi"
)

// What a lying node of the value layer does to its answers.
const (
	honest = iota
	forgeValue
	forgeHeader
	withhold
)

// Authorities whose only source of the value layer lies to them: a forged header and a forged value are refused, a withheld
// record is noticed, and nothing of it is believed. When the source is honest again they go on.
func TestLyingValueLayer(t *testing.T) {
	t.Parallel() // see TestS3Garbage
	n := devnet.Default()
	n.BasePort, n.Nodes = 0, 0
	dir := filepath.Join(t.TempDir(), "home")
	net, err := start(dir, n)
	if err != nil {
		t.Fatal(err)
	}
	_, p, _ := net.home(t)
	if err := net.stop(); err != nil {
		t.Fatal(err)
	}
	var lie atomic.Int32
	proxy := httptest.NewServer(liar(p.Endpoints.CometBFT, &lie))
	defer proxy.Close()
	for i := range n.Authorities {
		redirect(t, filepath.Join(dir, "authority-"+string(rune('0'+i)), "authority.json"), proxy.URL)
	}
	rec, err := devnet.ReadRecord(homeIn(t, net))
	if err != nil {
		t.Fatal(err)
	}
	if net, err = start(dir, rec.Network); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			net.logs(os.Stderr)
		}
		if err := net.stop(); err != nil {
			t.Error(err)
		}
	}()
	value, alice := net.chain(t), net.key(t, "alice")
	c := net.client(t, "alice", 0, client.Options{})
	credited := func() mesh.Noz {
		b, err := c.Balance(t.Context(), alice.Account())
		if err != nil {
			t.Fatal(err)
		}
		return b.Credited
	}
	for _, l := range []struct {
		name string
		lie  int32
		say  string
	}{
		{"forged value", forgeValue, "not what the store's tree holds"},
		{"forged header", forgeHeader, "commit signs block"},
		{"withheld record", withhold, "withholds number"},
	} {
		t.Run(l.name, func(t *testing.T) {
			before := credited()
			lie.Store(l.lie)
			if _, err := value.Transact(t.Context(), alice, abi.SDS(), mesh.Stos(1), "prepay", common.Address(alice.Account())); err != nil {
				t.Fatal(err)
			}
			until(t, "an authority to notice", func() (bool, error) { return logged(t, dir, l.say), nil })
			if now := credited(); now != before {
				t.Errorf("credited %d noz while the source lied", now-before)
			}
			lie.Store(honest)
			until(t, "the credit", func() (bool, error) { return credited() > before, nil })
		})
	}
}

func logged(t *testing.T, dir, text string) bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "logs", "authority-*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), text) {
			return true
		}
	}
	return false
}

// redirect gives an authority another source of the value layer.
func redirect(t *testing.T, path, url string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var c meta.Config
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	c.ValueRPC = []string{url}
	if b, err = json.Marshal(c); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// liar passes JSON-RPC on to a node and changes what comes back.
func liar(to string, lie *atomic.Int32) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, r.Method, to, bytes.NewReader(body))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		out, err := io.ReadAll(resp.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Write(twist(body, out, lie.Load())) // the client is gone when this fails
	})
}

func twist(request, answer []byte, lie int32) []byte {
	var q struct {
		Method string         `json:"method"`
		Params map[string]any `json:"params"`
	}
	var a map[string]any
	if lie == honest || json.Unmarshal(request, &q) != nil || json.Unmarshal(answer, &a) != nil {
		return answer
	}
	result, _ := a["result"].(map[string]any)
	key, _ := q.Params["data"].(string)
	record := strings.HasPrefix(key, "01")
	switch {
	case q.Method == "abci_query" && record && lie != forgeHeader:
		r, _ := result["response"].(map[string]any)
		v, _ := r["value"].(string)
		if lie == withhold || v == "" {
			delete(r, "value")
		} else {
			r["value"] = flip(v, len(v)/2)
		}
	case q.Method == "commit" && lie == forgeHeader:
		s, _ := result["signed_header"].(map[string]any)
		h, _ := s["header"].(map[string]any)
		v, _ := h["app_hash"].(string)
		h["app_hash"] = flip(v, 0)
	}
	out, err := json.Marshal(a)
	if err != nil {
		return answer
	}
	return out
}

// flip changes one character of a text into another that is as valid in hexadecimal and base64.
func flip(s string, at int) string {
	c := byte('A')
	if s[at] == c {
		c = 'B'
	}
	return s[:at] + string(c) + s[at+1:]
}
