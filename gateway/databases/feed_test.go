package databases

import (
	"testing"

	"github.com/stratosmesh/stratos/mesh"
)

func TestFeeds(t *testing.T) {
	f := feeds{most: 3, mostOfKey: 2, ofKey: map[string]int{}}
	for i, c := range []struct {
		key string
		ok  bool
	}{{"a", true}, {"a", true}, {"a", false}, {"b", true}, {"c", false}} {
		if err := f.enter(c.key); (err == nil) != c.ok || err != nil && mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("%d: %v", i, err)
		}
	}
	f.leave("a")
	if err := f.enter("c"); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"a", "b", "c"} {
		f.leave(key)
	}
	if f.all != 0 || len(f.ofKey) != 0 {
		t.Errorf("%d, %v in the end", f.all, f.ofKey)
	}
}
