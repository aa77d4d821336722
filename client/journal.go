package client

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/index"
	"github.com/stratosmesh/stratos/protocol/seal"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A journal notes what an upload has done: a line of JSON for its beginning and one for each segment that is written. A
// torn line counts for nothing. It holds the object's key, so its file is its owner's only. A journal without a path
// notes nothing.
type journal struct {
	head journalHead
	old  bool // it goes on from an earlier upload

	mu       sync.Mutex
	f        *os.File
	segments map[int]journalLine
}

// A journalHead says what the upload is of. Two uploads with equal heads but for key and version are the same.
type journalHead struct {
	Format  int            `json:"format"` // 1
	Source  string         `json:"source"`
	Path    mesh.Path      `json:"path"`
	Session mesh.PublicKey `json:"session"` // to whom nodes gave their acknowledgements
	Key     seal.Key       `json:"key"`
	Version mesh.VersionID `json:"version"`
}

type journalLine struct {
	N       int    `json:"n"`
	Hash    []byte `json:"hash"` // BLAKE3 of the segment's plaintext
	Segment []byte `json:"segment"`
}

// openJournal goes on with the journal at path if it is of the same source, object and session as head, and replaces
// any other.
func openJournal(path string, head journalHead) (*journal, error) {
	j := &journal{head: head, segments: map[int]journalLine{}}
	if path == "" {
		return j, nil
	}
	if head.Source == "" {
		return nil, mesh.Errorf(mesh.Invalid, "an upload with a journal says which source it has")
	}
	if err := j.read(path); err != nil {
		return nil, err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if !j.old {
		flags |= os.O_TRUNC
	}
	var err error
	if j.f, err = os.OpenFile(path, flags, 0o600); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "the upload's journal: %w", err)
	}
	if !j.old {
		return j, j.write(j.head)
	}
	return j, nil
}

func (j *journal) read(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "the upload's journal: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	var h journalHead
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &h) != nil {
		return nil
	}
	same := h
	same.Key, same.Version = j.head.Key, j.head.Version
	if same != j.head {
		return nil
	}
	j.head, j.old = h, true
	for lines.Scan() {
		var l journalLine
		if json.Unmarshal(lines.Bytes(), &l) == nil {
			j.segments[l.N] = l
		}
	}
	return nil
}

// done returns segment n if it was written before. The error is Conflict when it had other bytes then: the same key and
// frame numbers must never seal two texts.
func (j *journal) done(n int, hash [32]byte) (*wirepb.Segment, error) {
	j.mu.Lock()
	l, ok := j.segments[n]
	j.mu.Unlock()
	if !ok {
		return nil, nil
	}
	if string(l.Hash) != string(hash[:]) {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Conflict, "the source changed since its upload began"), "remove %s and start again", j.f.Name())
	}
	s := new(wirepb.Segment)
	if proto.Unmarshal(l.Segment, s) != nil || index.CheckSegment(s) != nil {
		return nil, nil // damaged: it is written again, with the same bytes
	}
	return s, nil
}

// add notes that segment n is written.
func (j *journal) add(n int, hash [32]byte, s *wirepb.Segment) error {
	if j.f == nil {
		return nil
	}
	b, err := proto.Marshal(s)
	if err != nil {
		return fmt.Errorf("the upload's journal: %w", err)
	}
	return j.write(journalLine{N: n, Hash: hash[:], Segment: b})
}

func (j *journal) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("the upload's journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.f.Write(append(b, '\n')); err != nil {
		return mesh.Errorf(mesh.Exhausted, "the upload's journal: %w", err)
	}
	return nil
}

// close keeps the journal for another try; remove drops it.
func (j *journal) close() error {
	if j.f == nil {
		return nil
	}
	err := j.f.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func (j *journal) remove() error {
	if j.f == nil {
		return nil
	}
	return errors.Join(j.close(), os.Remove(j.f.Name()))
}
