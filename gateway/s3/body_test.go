package s3

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/versity/versitygw/s3err"
)

// chunked makes the body of a signed chunked upload of r, whose header it completes.
func chunked(r *request, chunks []string, trailer bool) (whole string, frames []string) {
	r.defaults()
	r.payload = signedChunks
	n := 0
	for _, c := range chunks {
		n += len(c)
	}
	r.header = append(r.header, fmt.Sprintf("x-amz-decoded-content-length: %d", n))
	if trailer {
		r.payload = signedTrailer
		r.header = append(r.header, "x-amz-trailer: x-amz-checksum-crc32")
	}
	previous, _, _ := r.sign()
	at := r.at.Format("20060102T150405Z") + "\n" + r.scope() + "\n"
	empty := sha256.Sum256(nil)
	for _, c := range append(chunks, "") {
		sum := sha256.Sum256([]byte(c))
		previous = hex.EncodeToString(mac(r.signing(), "AWS4-HMAC-SHA256-PAYLOAD\n"+at+previous+"\n"+hex.EncodeToString(empty[:])+"\n"+hex.EncodeToString(sum[:])))
		frame := fmt.Sprintf("%x;chunk-signature=%s\r\n", len(c), previous)
		if c != "" {
			frame += c + "\r\n"
		}
		frames = append(frames, frame)
	}
	if trailer {
		line := "x-amz-checksum-crc32:" + base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(strings.Join(chunks, "")))))
		sum := sha256.Sum256([]byte(line + "\n"))
		frames = append(frames, line+"\r\n", "x-amz-trailer-signature:"+hex.EncodeToString(mac(r.signing(), "AWS4-HMAC-SHA256-TRAILER\n"+at+previous+"\n"+hex.EncodeToString(sum[:])))+"\r\n")
	}
	frames = append(frames, "\r\n")
	return strings.Join(frames, ""), frames
}

// What is whole is stored, and nothing else, in each way of sending a body.
func TestBodies(t *testing.T) {
	w := newWorld(t, Options{})
	content := strings.Repeat("0123456789abcdef", 2000)
	sum := sha256.Sum256([]byte(content))
	crc := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(content))))
	zero := strings.Repeat("0", 64)
	chunks := []string{content[:10000], content[10000:20000], content[20000:]}
	put := func(payload, body string, header ...string) request {
		return request{method: "PUT", path: "/photos/body", key: "ALICE", payload: payload, body: body, header: header}
	}
	signed := func(trailer bool, change func(whole string, frames []string) string) request {
		r := put("", "")
		whole, frames := chunked(&r, chunks, trailer)
		r.body = whole
		if change != nil {
			r.body = change(whole, frames)
		}
		return r
	}
	decoded := fmt.Sprintf("x-amz-decoded-content-length: %d", len(content))
	trailing := func(body string) request {
		return put(unsignedTrailer, body, decoded, "x-amz-trailer: x-amz-checksum-crc32")
	}
	chunk := fmt.Sprintf("%x\r\n%s\r\n", len(content), content)
	for _, c := range []struct {
		name   string
		r      request
		length int // Content-Length when it is more than is sent
		status int
		code   string
	}{
		{"unsigned", put(unsignedPayload, content), 0, 200, ""},
		{"unsigned, cut", put(unsignedPayload, content[:20000]), len(content), 400, "IncompleteBody"},
		{"unsigned, cut in the first 8 KiB", put(unsignedPayload, content[:100]), len(content), 400, "IncompleteBody"},
		{"unsigned, cut by a byte", put(unsignedPayload, content[:len(content)-1]), len(content), 400, "IncompleteBody"},
		{"hashed", put(hex.EncodeToString(sum[:]), content), 0, 200, ""},
		{"hashed, cut", put(hex.EncodeToString(sum[:]), content[:20000]), len(content), 400, "IncompleteBody"},
		{"hashed, changed", put(hex.EncodeToString(sum[:]), content[1:]+"x"), 0, 400, "XAmzContentSHA256Mismatch"},
		{"hashed, cut and told so", put(hex.EncodeToString(sum[:]), content[:20000]), 0, 400, "XAmzContentSHA256Mismatch"},
		{"wrong Content-MD5", put(unsignedPayload, content, "content-md5: 1B2M2Y8AsgTpgAmY7PhCfg=="), 0, 400, "BadDigest"},

		{"unsigned trailer", trailing(chunk + "0\r\nx-amz-checksum-crc32:" + crc + "\r\n\r\n"), 0, 200, ""},
		{"unsigned trailer, cut", trailing(chunk[:20000]), len(chunk) + 40, 400, "IncompleteBody"},
		{"unsigned trailer, no last chunk", trailing(chunk), 0, 400, "IncompleteBody"},
		{"unsigned trailer, wrong", trailing(chunk + "0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"), 0, 400, "BadDigest"},
		{"unsigned trailer, none", trailing(chunk + "0\r\n\r\n"), 0, 400, "MalformedTrailerError"},
		{"unsigned trailer, longer than decoded", trailing(fmt.Sprintf("%x\r\n%sx\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n", len(content)+1, content, crc)), 0, 400, "IncompleteBody"},

		{"signed", signed(false, nil), 0, 200, ""},
		{"signed, cut", signed(false, func(s string, _ []string) string { return s[:20000] }), len(content) + 500, 400, "IncompleteBody"},
		{"signed, no last chunk", signed(false, func(_ string, f []string) string { return strings.Join(f[:3], "") }), 0, 400, "IncompleteBody"},
		{"signed, ends with the data", signed(false, func(_ string, f []string) string { return strings.TrimSuffix(strings.Join(f[:3], ""), "\r\n") }), 0, 400, "IncompleteBody"},
		{"signed, last chunk without its end", signed(false, func(s string, _ []string) string { return strings.TrimSuffix(s, "\r\n") }), 0, 400, "IncompleteBody"},
		{"signed, more after the end", signed(false, func(s string, _ []string) string { return s + "x" }), 0, 400, "IncompleteBody"},
		{"signed, chunks swapped", signed(false, func(_ string, f []string) string { return f[1] + f[0] + f[2] + f[3] + f[4] }), 0, 403, "SignatureDoesNotMatch"},
		{"signed, last chunk forged", signed(false, func(s string, f []string) string {
			return f[0] + f[1] + f[2] + "0;chunk-signature=" + zero + "\r\n\r\n"
		}), 0, 403, "SignatureDoesNotMatch"},
		{"forged, one chunk and no last", forged("5;chunk-signature=" + zero + "\r\nEVIL!"), 0, 400, "IncompleteBody"},
		{"forged, and CR LF", forged("5;chunk-signature=" + zero + "\r\nEVIL!\r\n"), 0, 400, "IncompleteBody"},
		{"forged, and a last", forged("5;chunk-signature=" + zero + "\r\nEVIL!\r\n0;chunk-signature=" + zero + "\r\n\r\n"), 0, 403, "SignatureDoesNotMatch"},
		// What the server reads as 5 another reader takes for 0, or for another line.
		{"forged, a sign before the size", forged("+5;chunk-signature=" + zero + "\r\nEVIL!"), 0, 400, "IncompleteBody"},
		{"forged, the signature holds a line", forged("5;chunk-signature=" + zero[:10] + "\n" + zero[:53] + "\r\n0;EVI"), 0, 400, "IncompleteBody"},
		{"forged, a space", forged(" 5;chunk-signature=" + zero + "\r\nEVIL!"), 0, 400, "IncompleteBody"},

		{"signed trailer", signed(true, nil), 0, 200, ""},
		{"signed trailer, LF CR LF", signed(true, func(s string, f []string) string {
			return strings.Replace(s, f[4], strings.Replace(f[4], "\r\n", "\n\r\n", 1), 1)
		}), 0, 200, ""},
		{"signed trailer, LF", signed(true, func(s string, f []string) string {
			return strings.Replace(s, f[4], strings.Replace(f[4], "\r\n", "\n", 1), 1)
		}), 0, 400, "IncompleteBody"},
		{"signed trailer, LF LF CR LF", signed(true, func(s string, f []string) string {
			return strings.Replace(s, f[4], strings.Replace(f[4], "\r\n", "\n\n\r\n", 1), 1)
		}), 0, 400, "IncompleteBody"},
		{"signed trailer, CR LF CR LF", signed(true, func(s string, f []string) string { return strings.Replace(s, f[4], f[4]+"\r\n", 1) }), 0, 400, "IncompleteBody"},
		{"signed trailer, LF CR LF behind the signature", signed(true, func(s string, f []string) string {
			return strings.Replace(s, f[5], strings.Replace(f[5], "\r\n", "\n\r\n", 1), 1)
		}), 0, 400, "IncompleteBody"},
		{"signed trailer, LF CR LF, forged", signed(true, func(_ string, f []string) string {
			return strings.Join(f[:4], "") + "x-amz-checksum-crc32:AAAAAA==\n\r\n" + f[5] + f[6]
		}), 0, 400, "BadDigest"},
		{"signed trailer, absent", signed(true, func(_ string, f []string) string { return strings.Join(f[:4], "") + "\r\n" }), 0, 400, "MalformedTrailerError"},
		{"signed trailer, half", signed(true, func(s string, _ []string) string { return s[:len(s)-40] }), 0, 400, "IncompleteBody"},
		{"signed trailer, without its signature", signed(true, func(_ string, f []string) string { return strings.Join(f[:5], "") + "\r\n" }), 0, 400, "IncompleteBody"},
		{"signed trailer, twice", signed(true, func(_ string, f []string) string { return strings.Join(f[:5], "") + f[4] + f[5] + f[6] }), 0, 400, "IncompleteBody"},
		{"signed trailer, forged", signed(true, func(_ string, f []string) string {
			return strings.Join(f[:4], "") + "x-amz-checksum-crc32:AAAAAA==\r\n" + f[5] + f[6]
		}), 0, 400, "BadDigest"},
	} {
		w.be.mu.Lock()
		w.be.puts = 0
		w.be.mu.Unlock()
		c.r.length = c.length
		a := w.raw(c.r.String(), true)
		w.expect(c.name, a, c.status, c.code)
		w.be.mu.Lock()
		if stored := w.be.puts == 1; stored != (c.status == 200) {
			t.Errorf("%s: stored %v", c.name, stored)
		}
		w.be.mu.Unlock()
		if s, _ := w.be.object("photos/body"); s != content {
			t.Fatalf("%s: %d bytes are stored, %.20q", c.name, len(s), s)
		}
	}
	// An anonymous upload goes past our reader, and a part is no object.
	anonymous := request{method: "PUT", path: "/public/k", body: content[:20000], length: len(content), header: []string{"X-Amz-Content-Sha256: UNSIGNED-PAYLOAD"}}
	w.expect("anonymous, cut", w.raw(anonymous.String(), true), 400, "IncompleteBody")
	part := request{method: "PUT", path: "/photos/k", query: "partNumber=1&uploadId=u", key: "ALICE", body: content[:20000], length: len(content)}
	w.expect("a part, cut", w.raw(part.String(), true), 400, "IncompleteBody")
}

// A checksum behind the bytes reaches the backend, of objects and of parts, and is none of a part that has none.
func TestTrailers(t *testing.T) {
	w := newWorld(t, Options{})
	crc := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte("content"))))
	for _, query := range []string{"", "partNumber=1&uploadId=u"} {
		put := func(payload, body string, header ...string) request {
			return request{method: "PUT", path: "/photos/k", query: query, key: "ALICE", payload: payload, body: body, header: header}
		}
		signed := put("", "")
		signed.body, _ = chunked(&signed, []string{"content"}, true)
		for _, c := range []struct {
			name, want string
			r          request
		}{
			{"none", "", put(unsignedPayload, "content")},
			{"unsigned", "crc32 " + crc, put(unsignedTrailer, "7\r\ncontent\r\n0\r\nx-amz-checksum-crc32:"+crc+"\r\n\r\n", "x-amz-decoded-content-length: 7", "x-amz-trailer: x-amz-checksum-crc32")},
			{"signed", "crc32 " + crc, signed},
		} {
			w.expect(c.name, w.do(c.r), 200, "")
			w.be.set(func() {
				if w.be.trailer != c.want {
					t.Errorf("%s, %q: %q, want %q", c.name, query, w.be.trailer, c.want)
				}
			})
		}
	}
}

// transfer writes a request's body with Transfer-Encoding: chunked, up to where it is cut.
func transfer(text string, cut bool) string {
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	head = regexp.MustCompile(`Content-Length: \d+`).ReplaceAllString(head, "Transfer-Encoding: chunked")
	var b strings.Builder
	for part := range slices.Chunk([]byte(body), 9000) {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
	}
	if !cut {
		b.WriteString("0\r\n\r\n")
	}
	return head + "\r\n\r\n" + b.String()
}

// S3's own chunks need no Content-Length: they say where the object ends, and what is not whole is not stored.
func TestTransferChunked(t *testing.T) {
	w := newWorld(t, Options{})
	content := strings.Repeat("0123456789abcdef", 2000)
	crc := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(content))))
	put := func(payload, body string, header ...string) request {
		return request{method: "PUT", path: "/photos/k", key: "ALICE", payload: payload, body: body, header: header}
	}
	signed := func(chunks []string, trailer bool, frames int) request {
		r := put("", "")
		_, all := chunked(&r, chunks, trailer)
		r.body = strings.Join(all[:len(all)-frames], "")
		return r
	}
	unsigned := func(body string) request {
		return put(unsignedTrailer, body, fmt.Sprintf("x-amz-decoded-content-length: %d", len(content)), "x-amz-trailer: x-amz-checksum-crc32")
	}
	whole := fmt.Sprintf("%x\r\n%s\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n", len(content), content, crc)
	for _, c := range []struct {
		name   string
		r      request
		cut    bool
		want   string
		status int
		code   string
	}{
		{"signed", signed([]string{content}, false, 0), false, content, 200, ""},
		{"signed, nothing", signed(nil, false, 0), false, "", 200, ""},
		{"signed trailer", signed([]string{content}, true, 0), false, content, 200, ""},
		{"unsigned trailer", unsigned(whole), false, content, 200, ""},
		{"signed, cut", signed([]string{content}, false, 1), true, "", 400, "IncompleteBody"},
		{"signed, no last chunk", signed([]string{content}, false, 2), false, "", 400, "IncompleteBody"},
		{"signed trailer, no trailer", signed([]string{content}, true, 3), false, "", 400, "IncompleteBody"},
		{"unsigned trailer, cut", unsigned(whole[:len(whole)-2]), true, "", 400, "IncompleteBody"},
		{"unsigned trailer, no last chunk", unsigned(whole[:20000]), false, "", 400, "IncompleteBody"},
		{"forged, one chunk and no last", forged("5;chunk-signature=" + strings.Repeat("0", 64) + "\r\nEVIL!"), false, "", 400, "IncompleteBody"},
		{"no length", put(signedChunks, "x"), false, "", 411, "MissingContentLength"},
		{"no chunks", put(unsignedPayload, content), false, "", 411, "MissingContentLength"},
		{"a document", request{method: "PUT", path: "/photos/k", query: "tagging", key: "ALICE", payload: signedChunks, body: "x", header: []string{"x-amz-decoded-content-length: 1"}}, false, "", 411, "MissingContentLength"},
		{"nobody's", request{method: "PUT", path: "/public/k", body: whole, header: []string{"X-Amz-Content-Sha256: " + unsignedTrailer, fmt.Sprint("X-Amz-Decoded-Content-Length: ", len(content))}}, false, "", 411, "MissingContentLength"},
	} {
		w.be.set(func() { clear(w.be.objects) })
		conn := w.dial()
		go func() {
			_, _ = io.WriteString(conn, transfer(c.r.String(), c.cut))
			if c.cut {
				_ = conn.(*net.TCPConn).CloseWrite()
			}
		}()
		answers := bufio.NewReader(conn)
		a := readAnswer(answers, "PUT")
		w.expect(c.name, a, c.status, c.code)
		if more := readAnswer(answers, "PUT"); more.status != 0 {
			t.Errorf("%s: answered again: %v", c.name, more)
		}
		if got, stored := w.be.object(strings.TrimPrefix(c.r.path, "/")); stored != (c.status == 200) || got != c.want {
			t.Errorf("%s: stored %v, %d bytes", c.name, stored, len(got))
		}
	}
}

// forged is a signed upload of five bytes whose frames the client makes up.
func forged(body string) request {
	r := request{method: "PUT", path: "/photos/body", key: "ALICE", payload: signedChunks, body: body, header: []string{"x-amz-decoded-content-length: 5"}}
	return r
}

// The framing is followed alike however the bytes come.
func TestFramesInAnyPieces(t *testing.T) {
	r := request{method: "PUT", path: "/b/k", key: "K"}
	for _, trailer := range []bool{false, true} {
		whole, _ := chunked(&r, []string{strings.Repeat("x", 9000), "0;chunk\r\n"}, trailer)
		for name, read := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "halves": iotest.HalfReader, "end with data": iotest.DataErrReader} {
			for n := range len(whole) + 1 {
				if n < len(whole)-400 && n%97 != 0 {
					continue
				}
				b := &body{r: read(strings.NewReader(whole[:n])), left: n, frames: &frames{trailer: trailer}}
				_, err := io.Copy(io.Discard, struct{ io.Reader }{b})
				if (err == nil) != (n == len(whole)) {
					t.Fatalf("%s, trailer %v: %d of %d bytes: %v", name, trailer, n, len(whole), err)
				}
			}
		}
	}
}

func TestFramesAreStrict(t *testing.T) {
	sig := strings.Repeat("a", 64)
	for line, ok := range map[string]bool{
		"5;chunk-signature=" + sig + "\r\n": true, "000A;chunk-signature=" + sig + "\r\n": true,
		"+5;chunk-signature=" + sig + "\r\n": false, ";chunk-signature=" + sig + "\r\n": false, "5g;chunk-signature=" + sig + "\r\n": false,
		" 5;chunk-signature=" + sig + "\r\n": false, "5 ;chunk-signature=" + sig + "\r\n": false, "5;Chunk-signature=" + sig + "\r\n": false,
		"00000000000000005;chunk-signature=" + sig + "\r\n": false, "8000000000000000;chunk-signature=" + sig + "\r\n": false,
		"5;chunk-signature=" + sig[1:] + "\r\n": false, "5;chunk-signature=" + sig + "a\r\n": false, "5;chunk-signature=" + sig[1:] + "g\r\n": false,
		"5;chunk-signature=" + sig + "\n": false, "5;chunk-signature=" + sig + "\r\r\n": false, "5\r\n": false, "\r\n": false,
		strings.Repeat("0", 300): false,
	} {
		if _, got := (&frames{}).follow([]byte(line)); got != ok {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func FuzzFrames(f *testing.F) {
	r := request{method: "PUT", path: "/b/k", key: "K"}
	whole, _ := chunked(&r, []string{"hello"}, true)
	f.Add([]byte(whole), true)
	f.Add([]byte(strings.Replace(whole, "==\r\n", "==\n\r\n", 1)), true)
	f.Fuzz(func(t *testing.T, b []byte, trailer bool) {
		at, one, again := &frames{trailer: trailer}, &frames{trailer: trailer}, &frames{trailer: trailer}
		whole, pieces := bytes.Clone(b), []byte(nil)
		kept, all := at.follow(whole)
		each := true
		for i := 0; i < len(b) && each; i++ {
			var n int
			p := []byte{b[i]}
			n, each = one.follow(p)
			pieces = append(pieces, p[:n]...)
		}
		if all != each || all && (at.complete() != one.complete() || !bytes.Equal(whole[:kept], pieces)) {
			t.Fatal("the pieces matter")
		}
		if all && at.complete() && !bytes.HasSuffix(b, []byte("\r\n")) {
			t.Fatal("complete without an end")
		}
		if n, ok := again.follow(pieces); all && (!ok || again.complete() != at.complete() || n != len(pieces)) {
			t.Fatal("what goes on is not what was followed")
		}
	})
}

func TestCalm(t *testing.T) {
	c := &calm{ReadCloser: bomb{}, log: slog.New(slog.DiscardHandler)}
	_, read := c.Read(nil)
	_, write := c.WriteTo(io.Discard)
	for _, err := range []error{read, write, c.Close()} {
		if err != errPanic {
			t.Error(err)
		}
	}
}

func TestExact(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int64
		ok   bool
	}{{"abc", 3, true}, {"abc", 4, false}, {"abc", 2, false}, {"", 0, true}, {"", 1, false}} {
		for _, r := range []io.Reader{strings.NewReader(c.in), iotest.DataErrReader(strings.NewReader(c.in)), iotest.OneByteReader(strings.NewReader(c.in))} {
			e := exactly(r, &c.want)
			b, err := io.ReadAll(e)
			if (err == nil) != c.ok || c.ok && string(b) != c.in {
				t.Errorf("%q as %d: %q, %v", c.in, c.want, b, err)
			}
			if _, again := e.Read(make([]byte, 1)); !c.ok && again != s3err.GetAPIError(s3err.ErrContentLengthMismatch) {
				t.Errorf("%q as %d: read again %v", c.in, c.want, again)
			}
		}
	}
}
