package app

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/app"
)

// secretsAge is for how long secrets that were read are used: a new one is known after that.
const secretsAge = 10 * time.Second

// secretsOf gives the application's secrets as NAME=value. They are an object of its bucket, which only its owner and whoever serves it can
// decrypt, and go to the nodes of a request over their connection.
func (x *App) secretsOf(ctx context.Context, c *client.Client) ([]string, error) {
	now := x.apps.opts.Now()
	x.mu.Lock()
	known, fresh := x.secrets, now.Sub(x.since) < secretsAge
	x.mu.Unlock()
	if fresh {
		return known, nil
	}
	b, err := x.read(ctx, c, app.SecretsKey(), app.MaxSecrets)
	secrets := map[string]string{}
	switch {
	case err != nil && mesh.KindOf(err) == mesh.NotFound:
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(b, &secrets); err != nil {
			return nil, mesh.Errorf(mesh.Corrupt, "the secrets of application %s: %w", x.Bucket, err)
		}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		all = append(all, name+"="+secrets[name])
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.secrets, x.since = all, now
	return all, nil
}
