package guard

import (
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// An AccessLog writes a line a request in Combined Log Format, one Write each:
//
//	client - user [time] "method uri proto" status bytes "referer" "agent"
type AccessLog struct {
	mu sync.Mutex
	w  io.Writer
}

// NewAccessLog writes to w; nowhere when that is nil.
func NewAccessLog(w io.Writer) *AccessLog { return &AccessLog{w: w} }

// A Line is a request that was answered. What is empty is shown as "-".
type Line struct {
	Client, User       string
	Begin              time.Time
	Method, URI, Proto string
	Status             int
	Bytes              int64
	Referer, Agent     string
}

// Write adds a line. A full disk does not stop the gateway.
func (l *AccessLog) Write(e Line) {
	if l.w == nil {
		return
	}
	size := "-"
	if e.Bytes > 0 {
		size = strconv.FormatInt(e.Bytes, 10)
	}
	line := fmt.Sprintf("%s - %s [%s] \"%s %s %s\" %d %s \"%s\" \"%s\"\n", plain(e.Client), plain(e.User), e.Begin.Format("02/Jan/2006:15:04:05 -0700"),
		plain(e.Method), plain(e.URI), plain(e.Proto), e.Status, size, plain(e.Referer), plain(e.Agent))
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.w, line)
}

// plain makes a text that ends no field and no line.
func plain(s string) string {
	if s == "" {
		return "-"
	}
	q := strconv.QuoteToASCII(s)
	return q[1 : len(q)-1]
}
