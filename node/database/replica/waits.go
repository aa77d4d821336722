package replica

import (
	"sync"

	"github.com/stratosmesh/stratos/mesh"
)

// waits counts who waits for a database to grow: as many as there are places, a quarter of them for one database.
type waits struct {
	places int

	mu  sync.Mutex
	all int
	of  map[mesh.DatabaseID]int
}

func newWaits(places int) *waits { return &waits{places: places, of: map[mesh.DatabaseID]int{}} }

// enter takes a place, which leave gives back.
func (w *waits) enter(id mesh.DatabaseID) (leave func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all >= w.places || w.of[id] >= max(1, w.places/4) {
		return nil, busy("waits for a database's growth")
	}
	w.all++
	w.of[id]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all--
		if w.of[id]--; w.of[id] == 0 {
			delete(w.of, id)
		}
	}, nil
}
