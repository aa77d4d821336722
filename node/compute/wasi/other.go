package wasi

// strings writes strings with zeros at their ends, and where each begins.
func (t *Task) strings(list []string, pointers, buffer uint64) Errno {
	total := 0
	for _, s := range list {
		total += len(s) + 1
	}
	t.charge(PriceString, uint64(len(list)))
	t.charge(PriceByte, uint64(total))
	p, ok := t.bytes(pointers, uint64(4*len(list)))
	if !ok {
		return Fault
	}
	b, ok := t.bytes(buffer, uint64(total))
	if !ok {
		return Fault
	}
	at := uint32(buffer)
	for i, s := range list {
		le.PutUint32(p[4*i:], at)
		n := copy(b, s)
		b[n] = 0
		b, at = b[n+1:], at+uint32(n)+1
	}
	return Success
}

// sizes writes how many strings there are, and their bytes.
func (t *Task) sizes(list []string, count, bytes uint64) Errno {
	c, ok := t.bytes(count, 4)
	if !ok {
		return Fault
	}
	b, ok := t.bytes(bytes, 4)
	if !ok {
		return Fault
	}
	total := 0
	for _, s := range list {
		total += len(s) + 1
	}
	le.PutUint32(c, uint32(len(list)))
	le.PutUint32(b, uint32(total))
	return Success
}

func argsGet(t *Task, a []uint64) Errno         { return t.strings(t.args, a[0], a[1]) }
func argsSizesGet(t *Task, a []uint64) Errno    { return t.sizes(t.args, a[0], a[1]) }
func environGet(t *Task, a []uint64) Errno      { return t.strings(t.env, a[0], a[1]) }
func environSizesGet(t *Task, a []uint64) Errno { return t.sizes(t.env, a[0], a[1]) }

// clocks is how many there are: realtime, monotonic, and those of the process and the thread, which go as the monotonic.
const clocks = 4

func clockResGet(t *Task, a []uint64) Errno {
	if uint32(a[0]) >= clocks {
		return Inval
	}
	b, ok := t.bytes(a[1], 8)
	if !ok {
		return Fault
	}
	le.PutUint64(b, 1)
	return Success
}

func clockTimeGet(t *Task, a []uint64) Errno {
	if uint32(a[0]) >= clocks {
		return Inval
	}
	b, ok := t.bytes(a[2], 8)
	if !ok {
		return Fault
	}
	le.PutUint64(b, uint64(t.clock(uint32(a[0]))))
	return Success
}

func (t *Task) clock(id uint32) int64 {
	if id == 0 {
		return t.now()
	}
	return t.elapsed()
}

// Types of events and subscriptions, and their sizes.
const (
	eventClock = iota
	eventRead
	eventWrite

	subscriptionBytes = 48
	eventBytes        = 32
)

// pollOneoff waits for descriptors and timers. A descriptor is always ready, so only timers make it wait; and waiting only
// puts the clocks forward, to the first that is due.
func pollOneoff(t *Task, a []uint64) Errno {
	n := uint64(uint32(a[2]))
	if n == 0 || n > MaxSubscriptions {
		return Inval
	}
	t.charge(PriceSubscription, n)
	count, ok := t.bytes(a[3], 4)
	if !ok {
		return Fault
	}
	in, ok := t.bytes(a[0], n*subscriptionBytes)
	if !ok {
		return Fault
	}
	out, ok := t.bytes(a[1], n*eventBytes)
	if !ok {
		return Fault
	}
	events := make([]event, 0, n)
	wait := int64(maxSleep)
	for ; len(in) > 0; in = in[subscriptionBytes:] {
		e := event{user: le.Uint64(in), kind: in[8]}
		switch e.kind {
		case eventClock:
			e.left, e.errno = t.timer(le.Uint32(in[16:]), le.Uint64(in[24:]), le.Uint16(in[40:]))
		case eventRead, eventWrite:
			e.bytes, e.errno = t.ready(uint64(le.Uint32(in[16:])), e.kind)
		default:
			return Inval
		}
		wait = min(wait, e.left)
		events = append(events, e)
	}
	wait = min(wait, maxSleep-t.slept)
	t.slept += wait
	written := 0
	for _, e := range events {
		if e.left > wait && t.slept < maxSleep {
			continue
		}
		b := out[written*eventBytes:][:eventBytes]
		clear(b)
		le.PutUint64(b, e.user)
		le.PutUint16(b[8:], uint16(e.errno))
		b[10] = e.kind
		le.PutUint64(b[16:], e.bytes)
		written++
	}
	le.PutUint32(count, uint32(written))
	return Success
}

// An event is what a subscription will be told, once as many nanoseconds have passed.
type event struct {
	user  uint64
	kind  byte
	errno Errno
	bytes uint64
	left  int64
}

// timer is how long a timer has to run.
func (t *Task) timer(clock uint32, timeout uint64, flags uint16) (left int64, e Errno) {
	if clock >= clocks || flags > 1 {
		return 0, Inval
	}
	left = int64(min(timeout, maxSleep))
	if flags == 1 { // a time, not a length
		left = max(int64(min(timeout, 1<<63-1))-t.clock(clock), 0)
	}
	return min(left, maxSleep), Success
}

// ready is how many bytes a descriptor has to be read, where that is known, and 1 where a read or write will not wait.
func (t *Task) ready(fd uint64, kind byte) (uint64, Errno) {
	d, e := t.lookup(fd)
	switch {
	case e != Success:
		return 0, e
	case kind == eventRead && d.node != nil && !d.node.dir:
		return uint64(max(d.node.size-d.at, 0)), Success
	}
	return 1, Success
}

func randomGet(t *Task, a []uint64) Errno {
	b, ok := t.bytes(a[0], a[1])
	if !ok {
		return Fault
	}
	t.charge(PriceRandom, uint64(len(b)))
	t.random.Read(b)
	return Success
}

func procExit(t *Task, a []uint64) Errno {
	t.end(Exit(a[0]))
	return Success
}

func procRaise(*Task, []uint64) Errno { return NotSup }

func schedYield(*Task, []uint64) Errno { return Success }

// sock is every function of sockets: a task has none.
func sock(t *Task, a []uint64) Errno {
	if _, e := t.lookup(a[0]); e != Success {
		return e
	}
	return NotSup
}
