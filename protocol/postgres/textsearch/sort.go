package textsearch

import "slices"

// maxAsC is up to how many items are sorted as PostgreSQL does: its sort can be made to take the square of their number.
const maxAsC = 256

// sortAsC is PostgreSQL's qsort, because in what order it leaves items that are equal shows: its steps for fewer than 7, for
// what is sorted already, its medians and its partitions. More than maxAsC keep their order.
func sortAsC[T any](a []T, compare func(x, y T) int) {
	if len(a) > maxAsC {
		slices.SortStableFunc(a, compare)
		return
	}
	for {
		n := len(a)
		if n < 7 {
			for i := 1; i < n; i++ {
				for j := i; j > 0 && compare(a[j-1], a[j]) > 0; j-- {
					a[j-1], a[j] = a[j], a[j-1]
				}
			}
			return
		}
		sorted := true
		for i := 1; i < n && sorted; i++ {
			sorted = compare(a[i-1], a[i]) <= 0
		}
		if sorted {
			return
		}
		median := func(i, j, k int) int {
			x, y, z := a[i], a[j], a[k]
			if compare(x, y) < 0 {
				if compare(y, z) < 0 {
					return j
				}
				if compare(x, z) < 0 {
					return k
				}
				return i
			}
			if compare(y, z) > 0 {
				return j
			}
			if compare(x, z) < 0 {
				return i
			}
			return k
		}
		m := n / 2
		if n > 7 {
			l, r := 0, n-1
			if n > 40 {
				d := n / 8
				l, m, r = median(l, l+d, l+2*d), median(m-d, m, m+d), median(r-2*d, r-d, r)
			}
			m = median(l, m, r)
		}
		a[0], a[m] = a[m], a[0]
		pa, pb, pc, pd := 1, 1, n-1, n-1
		for {
			for pb <= pc {
				c := compare(a[pb], a[0])
				if c > 0 {
					break
				}
				if c == 0 {
					a[pa], a[pb] = a[pb], a[pa]
					pa++
				}
				pb++
			}
			for pb <= pc {
				c := compare(a[pc], a[0])
				if c < 0 {
					break
				}
				if c == 0 {
					a[pc], a[pd] = a[pd], a[pc]
					pd--
				}
				pc--
			}
			if pb > pc {
				break
			}
			a[pb], a[pc] = a[pc], a[pb]
			pb++
			pc--
		}
		exchange := func(i, j, n int) {
			for k := range n {
				a[i+k], a[j+k] = a[j+k], a[i+k]
			}
		}
		d := min(pa, pb-pa)
		exchange(0, pb-d, d)
		d = min(pd-pc, n-1-pd)
		exchange(pb, n-d, d)
		left, right := pb-pa, pd-pc
		if left <= right {
			sortAsC(a[:left], compare)
			a = a[n-right:]
		} else {
			sortAsC(a[n-right:], compare)
			a = a[:left]
		}
	}
}
