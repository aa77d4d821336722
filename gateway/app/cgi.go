package app

import (
	"bufio"
	"bytes"
	"maps"
	"net"
	nethttp "net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/stratosmesh/stratos/mesh"
)

// environment is a request as CGI (RFC 3875) has it, with the parts of its path that the route names as PARAM_name, and UNIQUE_ID, which nobody
// can guess.
func environment(r *nethttp.Request, q *Visitor, pattern, id string, body int) []string {
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = r.Host, "80"
		if q.Secure {
			port = "443"
		}
	}
	env := []string{"GATEWAY_INTERFACE=CGI/1.1", "SERVER_SOFTWARE=stratos", "SERVER_PROTOCOL=" + r.Proto, "SERVER_NAME=" + host, "SERVER_PORT=" + port, "REMOTE_ADDR=" + q.From,
		"REQUEST_METHOD=" + r.Method, "SCRIPT_NAME=", "PATH_INFO=" + r.URL.Path, "QUERY_STRING=" + r.URL.RawQuery, "CONTENT_LENGTH=" + strconv.Itoa(body), "UNIQUE_ID=" + id}
	if q.Secure {
		env = append(env, "HTTPS=on")
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		env = append(env, "CONTENT_TYPE="+t)
	}
	env = append(env, parameters(pattern, r.URL.Path)...)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		switch name {
		case "Content-Type", "Content-Length", "Connection", "Proxy", "Transfer-Encoding", "Te", "Trailer", "Upgrade": // Proxy: httpoxy
			continue
		}
		env = append(env, "HTTP_"+strings.ReplaceAll(strings.ToUpper(name), "-", "_")+"="+strings.Join(r.Header[name], ", "))
	}
	for i, v := range env {
		env[i] = strings.ReplaceAll(v, "\x00", "")
	}
	return env
}

// parameters are the parts of a path that a pattern which it matches has names for.
func parameters(pattern, path string) (all []string) {
	pattern = pattern[strings.IndexByte(pattern, '/'):] // it was checked
	for pattern != "" {
		segment, rest, _ := strings.Cut(strings.TrimPrefix(pattern, "/"), "/")
		value, further, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if name, ok := strings.CutPrefix(segment, "{"); ok && name != "$}" {
			name = strings.TrimSuffix(name, "}")
			if strings.HasSuffix(name, "...") {
				name, value = strings.TrimSuffix(name, "..."), strings.TrimPrefix(path, "/")
			}
			all = append(all, "PARAM_"+name+"="+value)
		}
		pattern, path = rest, further
	}
	return all
}

// A response is what a function answers.
type response struct {
	status int
	header nethttp.Header
	body   []byte
}

// ours are header fields that are between the gateway and the visitor.
var ours = []string{"Connection", "Content-Length", "Date", "Keep-Alive", "Server", "Status", "Trailer", "Transfer-Encoding", "Upgrade"}

// parse reads an output: header fields, an empty line, and the body. Status is the status; a Location without one redirects.
func parse(out []byte) (*response, error) {
	bad := func(what string, a ...any) error {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the function's output: "+what, a...), "print header fields, an empty line, and the body: Content-Type: text/plain")
	}
	in := bytes.NewReader(out)
	buffered := bufio.NewReaderSize(in, 4096)
	fields, err := textproto.NewReader(buffered).ReadMIMEHeader()
	if err != nil {
		return nil, bad("it begins with no header: %w", err)
	}
	r := &response{status: nethttp.StatusOK, header: nethttp.Header(fields), body: out[len(out)-in.Len()-buffered.Buffered():]}
	location := r.header.Get("Location")
	switch text := r.header.Get("Status"); {
	case text != "":
		number, _, _ := strings.Cut(text, " ")
		if r.status, err = strconv.Atoi(number); err != nil || r.status < 200 || r.status > 599 {
			return nil, bad("its status is %q", text)
		}
	case location != "":
		r.status = nethttp.StatusFound
	case r.header.Get("Content-Type") == "":
		return nil, bad("it has no Content-Type, no Status and no Location")
	}
	for _, name := range ours {
		r.header.Del(name)
	}
	return r, nil
}

func (a *response) send(w nethttp.ResponseWriter, r *nethttp.Request) {
	h := w.Header()
	for name, values := range a.header {
		h[name] = values
	}
	bodyless := a.status == nethttp.StatusNoContent || a.status == nethttp.StatusNotModified
	if !bodyless {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	if r.Method != nethttp.MethodHead && !bodyless {
		_, _ = w.Write(a.body) // the visitor has gone when this fails
	}
}
