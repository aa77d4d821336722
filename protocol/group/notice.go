package group

import (
	"context"
	"sync"

	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// AskNotices asks every member for its signature of a database's newest notice, and returns what came within the time of ctx. Nothing
// of it is checked: whether enough have signed the same is for whoever knows the authorities of the database's cell.
func (g *Group) AskNotices(ctx context.Context, database []byte) (all []*wirepb.Signed, err error) {
	answers, errs := make([]wirepb.Signed, len(g.members)), make([]error, len(g.members))
	var wg sync.WaitGroup
	for i, m := range g.members {
		wg.Go(func() {
			errs[i] = g.call(ctx, m, wirepb.NoticePath, maxNotice, &wirepb.NoticeRequest{Database: database}, &answers[i])
		})
	}
	wg.Wait()
	for i := range answers {
		if errs[i] == nil {
			all = append(all, &answers[i])
		}
	}
	if len(all) == 0 {
		return nil, silent("no authority signed the notice", errs)
	}
	return all, nil
}

// maxNotice bounds a signed notice.
const maxNotice = 4 << 10
