package dump

import (
	"maps"
	"slices"
)

// A Ref is a table's reference to another, or to itself.
type Ref struct {
	To   int  // the table's number
	Soft bool // rows can be without it for a while
}

// Order puts tables behind those that they reference, and else as they are given. late tells of which references that cannot be: those to
// the table itself, and of a circle those that are soft, or one if none is.
func Order(refs [][]Ref) (order []int, late [][]bool) {
	late = make([][]bool, len(refs))
	for i, all := range refs {
		late[i] = make([]bool, len(all))
		for j, r := range all {
			late[i][j] = r.To == i || r.Soft && reaches(refs, r.To, i)
		}
	}
	const (
		unseen = iota
		open
		done
	)
	state := make([]int, len(refs))
	// A path of references may be as long as there are tables: so it is no recursion.
	type place struct{ table, next int }
	for root := range refs {
		if state[root] != unseen {
			continue
		}
		path := []place{{root, 0}}
		state[root] = open
		for len(path) > 0 {
			at := &path[len(path)-1]
			if at.next == len(refs[at.table]) {
				state[at.table] = done
				order = append(order, at.table)
				path = path[:len(path)-1]
				continue
			}
			i, j := at.table, at.next
			at.next++
			to := refs[i][j].To
			late[i][j] = late[i][j] || state[to] == open
			if !late[i][j] && state[to] == unseen {
				state[to] = open
				path = append(path, place{to, 0})
			}
		}
	}
	return order, late
}

// reaches tells whether references lead from one table to another.
func reaches(refs [][]Ref, from, to int) bool {
	seen, next := map[int]bool{from: true}, []int{from}
	for len(next) > 0 {
		i := next[len(next)-1]
		if i == to {
			return true
		}
		next = next[:len(next)-1]
		for _, r := range refs[i] {
			if !seen[r.To] {
				seen[r.To] = true
				next = append(next, r.To)
			}
		}
	}
	return false
}

func sortedNames(all ...map[string]*Sum) []string {
	names := map[string]bool{}
	for _, m := range all {
		for k := range m {
			names[k] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
