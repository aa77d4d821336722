package textsearch

import "math"

// A fragment is a part of a cover that is no longer than a headline may be.
type fragment struct {
	first, last   int
	count, length int // words that the query has, words
	done          bool
}

// cut returns the next fragment of a cover.
func (h *headline) cut(first, last int) (f fragment) {
	most := int(h.o.maxWords)
	for i := first; i <= last; i++ {
		if first = i; h.interesting(i) {
			break
		}
	}
	i := first
	for ; i <= last && f.length < most; i++ {
		f.length += h.counted(i)
		f.count += h.interest(i)
	}
	if last > i {
		last = i
		for ; i >= first; i-- {
			if last = i; h.interesting(i) {
				break
			}
			f.length -= h.counted(i)
		}
	}
	h.m.pay(8 * (last - first + 1))
	f.first, f.last = first, last
	return f
}

// fragments marks the best parts of covers.
func (h *headline) fragments() {
	var all []fragment
	for p := 0; ; {
		first, last, ok := h.cover(p)
		if !ok {
			break
		}
		for at := first; at <= last && h.m.failed == nil; {
			f := h.cut(at, last)
			all = append(all, f)
			at = f.last + 1
		}
		p = first + 1
	}
	marked := false
	for range h.o.maxFragments {
		h.m.pay(4 * len(all))
		if h.m.failed != nil {
			return
		}
		best, count, length := -1, 0, math.MaxInt32
		for i, f := range all {
			if !f.done && (f.count > count || f.count == count && f.length < length) {
				best, count, length = i, f.count, f.length
			}
		}
		if best < 0 {
			break
		}
		f := &all[best]
		f.done = true
		h.stretch(f)
		h.mark(f.first, f.last)
		marked = true
		for i := range all {
			o := &all[i]
			if i != best && (o.first >= f.first && o.first <= f.last || o.last >= f.first && o.last <= f.last || o.first < f.first && o.last > f.last) {
				o.done = true
			}
		}
	}
	if !marked {
		h.beginning()
	}
}

// stretch takes in words on both sides, as far as there is room, up to what is marked.
func (h *headline) stretch(f *fragment) {
	most := int(h.o.maxWords)
	if f.length >= most {
		return
	}
	room, at := (most-f.length)/2, f.first
	for i, n := f.first-1, 0; i >= 0 && n < room && !h.words[i].in; i-- {
		n += h.counted(i)
		f.length += h.counted(i)
		at = i
	}
	for ; at < f.first && h.badEnd(at); at++ {
		f.length -= h.counted(at)
	}
	f.first = at
	at = f.last
	for i := f.last + 1; i < len(h.words) && f.length < most && !h.words[i].in; i++ {
		f.length += h.counted(i)
		at = i
	}
	for ; at > f.last && h.badEnd(at); at-- {
		f.length -= h.counted(at)
	}
	f.last = at
	h.m.pay(16 * (f.last - f.first + 1))
}
