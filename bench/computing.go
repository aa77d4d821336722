package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// computing measures applications and jobs by the program, one figure after the other, each for a time.
func computing(n *network, f *Figures, each time.Duration) error {
	out := f.Computing
	stratos := func(into any, args ...string) (seconds float64, err error) {
		cmd := exec.Command(filepath.Join("bin", "stratos"), append(args, "--json", "--home", n.home)...)
		cmd.Stderr = os.Stderr
		began := time.Now()
		b, err := cmd.Output()
		if err != nil {
			return 0, fmt.Errorf("stratos %s: %w", strings.Join(args, " "), err)
		}
		return time.Since(began).Seconds(), json.Unmarshal(b, into)
	}
	var app struct{ URL string }
	for _, d := range []struct{ name, dir string }{{"deploy_guestbook_s", "examples/guestbook"}, {"deploy_guestbook_again_s", "examples/guestbook"}, {"deploy_hello_s", "bench/testdata/hello"}} {
		var err error
		if out[d.name], err = stratos(&app, "deploy", d.dir); err != nil {
			return err
		}
	}
	visitor := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port) // whatever the resolver thinks of hosts below localhost
	}}}
	visit := func(method, url, body string) error {
		q, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			return err
		}
		r, err := visitor.Do(q)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err == nil && r.StatusCode >= 300 {
			err = fmt.Errorf("%s %s: %d %.100q", method, url, r.StatusCode, b)
		}
		return err
	}
	book := strings.Replace(app.URL, "hello.", "guestbook.", 1)
	for _, c := range []struct {
		name, method, url, body string
		clients                 int
	}{
		{"hello_c", "GET", app.URL + "c", "", 1},
		{"hello_c_8", "GET", app.URL + "c", "", 8},
		{"hello_c_pair", "POST", app.URL + "c", "", 1},
		{"hello_js", "GET", app.URL + "js", "", 1},
		{"hello_js_8", "GET", app.URL + "js", "", 8},
		{"posts_read", "GET", book + "api/posts", "", 1},
		{"posts_read_8", "GET", book + "api/posts", "", 8},
		{"posts_write", "POST", book + "api/posts", `{"name": "a", "message": "b"}`, 1},
		{"posts_write_8", "POST", book + "api/posts", `{"name": "a", "message": "b"}`, 8},
		{"page", "GET", book, "", 1},
	} {
		began := time.Now()
		if err := visit(c.method, c.url, c.body); err != nil {
			return err
		}
		out[c.name+"_first_ms"] = 1000 * time.Since(began).Seconds()
		took, err := latencies(each, c.clients, func() error { return visit(c.method, c.url, c.body) })
		if err != nil {
			return err
		}
		out[c.name+"_p50_ms"], out[c.name+"_p99_ms"] = quantile(took, 50), quantile(took, 99)
		out[c.name+"_per_s"] = float64(len(took)) / each.Seconds()
	}
	var err error
	if out["rollback_s"], err = stratos(new(any), "app", "rollback", "guestbook"); err != nil {
		return err
	}
	return jobs(stratos, out)
}

// jobs measures jobs of many small tasks, and of large ones.
func jobs(stratos func(any, ...string) (float64, error), out map[string]float64) error {
	dir, err := os.MkdirTemp("", "bench-jobs")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	const modules = "node/compute/local/testdata/"
	small, large := filepath.Join(dir, "small"), filepath.Join(dir, "large")
	for i := range 64 {
		if err := write(filepath.Join(small, fmt.Sprintf("%02d.txt", i)), "a few words\n"); err != nil {
			return err
		}
	}
	if err := write(filepath.Join(large, "large.txt"), strings.Repeat("some words of a text that is counted\n", 64<<20/37)); err != nil {
		return err
	}
	if _, err := stratos(new(any), "mb", "stratos://bench-jobs"); err != nil {
		return err
	}
	for _, d := range []string{small, large} {
		if _, err := stratos(new(any), "cp", "-r", d, "stratos://bench-jobs/"+filepath.Base(d)); err != nil {
			return err
		}
	}
	for _, j := range []struct {
		name string
		args []string
	}{
		{"job_1_chunk_s", []string{"stratos://bench-jobs/small/00.txt", "--whole"}},
		{"job_64_chunks_s", []string{"stratos://bench-jobs/small/", "--whole"}},
		{"job_64_mib_s", []string{"stratos://bench-jobs/large/"}},
	} {
		var told struct{ Maps int }
		args := append([]string{"run", "--map", modules + "words.wasm", "--reduce", modules + "sum.wasm", "--level", "receipt", "-o", "stratos://bench-jobs/" + j.name}, j.args...)
		if out[j.name], err = stratos(&told, args...); err != nil {
			return err
		}
		out[strings.TrimSuffix(j.name, "_s")+"_tasks"] = float64(told.Maps)
	}
	return nil
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}

// latencies has clients call f again and again for a time, and gives how many milliseconds each call took, in order.
func latencies(d time.Duration, clients int, f func() error) (took []float64, err error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	end := time.Now().Add(d)
	for range clients {
		all.Go(func() {
			for time.Now().Before(end) {
				began := time.Now()
				failed := f()
				ms := 1000 * time.Since(began).Seconds()
				mu.Lock()
				if took = append(took, ms); failed != nil {
					err = failed
				}
				mu.Unlock()
				if failed != nil {
					return
				}
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	return took, err
}

// quantile is the value that so many per cent do not exceed, of sorted ones.
func quantile(sorted []float64, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}
