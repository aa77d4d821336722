package wasi

import (
	"bytes"

	"github.com/stratosmesh/stratos/mesh"
)

// AskPath is the file by which a task asks whoever it works for, where Config.Ask says that there is somebody: each line that is written is a
// request, and reading gives the answer to the last one, with a newline. Each opening of it is a conversation of its own.
const AskPath = "/dev/stratos"

// A talk is an opening of AskPath.
type talk struct {
	request []byte // of a line that has not ended
	answer  []byte // what was not read of the last
}

// read gives what is left of the answer.
func (k *talk) read(b []byte) int {
	n := copy(b, k.answer)
	k.answer = k.answer[n:]
	return n
}

// say takes what the guest writes, total bytes, and asks what it has put an end to. A request drops what was not read of the answer before.
func (t *Task) say(k *talk, list [][]byte, total uint64) Errno {
	if total > MaxAsk-uint64(len(k.request)) {
		k.request = nil
		return FBig
	}
	for _, b := range list {
		k.request = append(k.request, b...)
	}
	for {
		line, rest, ended := bytes.Cut(k.request, []byte{'\n'})
		if !ended {
			return Success
		}
		t.charge(PriceAsk, 1)
		answer, err := t.ask(line)
		if err == nil && len(answer) > MaxAnswer {
			err = mesh.Errorf(mesh.Corrupt, "an answer of %d bytes, %d are the most", len(answer), MaxAnswer)
		}
		if err != nil {
			t.fail(err)
		}
		t.charge(PriceByte, uint64(len(answer)))
		k.request, k.answer = rest, append(append(make([]byte, 0, len(answer)+1), answer...), '\n')
	}
}
