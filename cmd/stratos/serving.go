package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
)

func newServeCommand(e *env) *cobra.Command {
	var name, budget string
	cmd := &cobra.Command{
		Use:   "serve stratos://BUCKET",
		Short: "Say under which key gateways serve a bucket to those who have none",
		Long: `Gateways show a public bucket, and what a bucket's policy or access list gives to others, under a key of the owner's, who pays.
This names the key: another access key of this home, or without --key a new one that only reads and lists this bucket, with the
budget given. The key that stratos made for this before is revoked. Lifecycle rules, and policies that let others write, need a
key that may do so.`,
		Example: "  stratos serve stratos://site --budget 100oz\n  stratos serve stratos://site --key NAME",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := bucketPath(args[0])
			if err != nil {
				return err
			}
			if name != "" && budget != "" {
				return mesh.WithHint(mesh.Errorf(mesh.Invalid, "--budget is for a new key, and %q has its own", name), "leave one of --key and --budget away")
			}
			if e.grant != "" {
				return mesh.WithHint(mesh.Errorf(mesh.Denied, "only the account says who serves its buckets"), "leave --grant away")
			}
			served := servedBucket{Bucket: p.Bucket}
			err = e.withClient(cmd.Context(), func(c *client.Client) error {
				b, err := c.Bucket(cmd.Context(), p.Bucket)
				switch {
				case err != nil:
				case b.Owner != c.Access().Account():
					err = mesh.Errorf(mesh.Denied, "bucket %q belongs to another account", p.Bucket)
				case name != "":
					served.AccessKey, err = e.serveUnder(cmd.Context(), c, p.Bucket, name)
				default:
					served, err = e.serveBucket(cmd.Context(), p.Bucket, budget)
				}
				if err == nil && served.AccessKey == "" {
					err = mesh.WithHint(mesh.Errorf(mesh.NotFound, "the profile names no gateway that could serve it"), "make one with: stratos gateway init DIR")
				}
				if err != nil {
					return err
				}
				return e.retireServing(cmd.Context(), c, p.Bucket, served.AccessKey)
			})
			if err != nil {
				return err
			}
			return e.print(served, func(w io.Writer) {
				fmt.Fprintf(w, "%s is served under %s\n", p, served.AccessKey)
				sayWhere(w, served.URL, served.Site)
			})
		},
	}
	cmd.Flags().StringVar(&name, "key", "", "access key of this home, by its name or id; default: a new one")
	cmd.Flags().StringVar(&budget, "budget", "", "of the new key: ozone that readers without an account may spend, like 5oz; default: no bound of its own")
	return cmd
}

type servedBucket struct {
	Bucket    string `json:"bucket"`
	AccessKey string `json:"access_key_id"`
	URL       string `json:"url,omitempty"`  // where browsers see it
	Site      string `json:"site,omitempty"` // and where it has a host for itself
}

// sayWhere tells where browsers see a bucket, where that is known.
func sayWhere(w io.Writer, url, site string) {
	if url != "" {
		fmt.Fprintf(w, "everybody sees it at %s\n", url)
	}
	if site != "" {
		fmt.Fprintf(w, "as a site, whose scripts run, at %s\n", site)
	}
}

// servedFor is how long a key lasts under which a public bucket is served: until somebody revokes it.
const servedFor = 10 * 365 * 24 * time.Hour

// serveBucket makes the key under which gateways serve a public bucket to those who have none, and returns it, and where
// browsers see the bucket; neither when the profile knows no gateway.
func (e *env) serveBucket(ctx context.Context, bucket, budget string) (served servedBucket, err error) {
	served.Bucket = bucket
	h, err := e.home()
	if err != nil {
		return served, err
	}
	p, err := h.Profile()
	if err != nil || len(p.Gateways) == 0 {
		return served, err
	}
	terms := grantTerms{prefix: bucket + "/", budget: budget, expires: servedFor, serves: bucket}
	m, err := e.newGrant(ctx, "public-"+bucket, terms, grant.Read|grant.List)
	if mesh.KindOf(err) == mesh.Conflict && err != nil { // there was such a bucket before
		m, err = e.newGrant(ctx, "public-"+bucket+"-"+strconv.FormatInt(time.Now().Unix(), 36), terms, grant.Read|grant.List)
	}
	if err != nil {
		return served, err
	}
	err = m.publish(ctx, nil, func(c *client.Client, to []mesh.PublicKey) (*client.AccessKey, error) {
		k, err := c.PublishKey(ctx, m.shared, to)
		if err != nil {
			return nil, err
		}
		return k, c.ChangeBucket(ctx, bucket, client.BucketChange{Serving: k.Name})
	})
	served.AccessKey = m.rec.AccessKey
	if g := pagesOf(p); err == nil && g.HTTP != "" {
		served.URL, served.Site = g.HTTP+"/"+bucket+"/", g.Site(bucket)
	}
	return served, err
}

// serveUnder has a bucket served under an access key of this home, and returns its id.
func (e *env) serveUnder(ctx context.Context, c *client.Client, bucket, name string) (string, error) {
	h, err := e.home()
	if err != nil {
		return "", err
	}
	r, err := findGrant(h, name)
	switch {
	case err != nil:
		return "", err
	case r.AccessKey == "":
		return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "%q is no access key: no gateway has it", r.Name), "make one with: stratos keys create NAME --format env")
	case r.Share:
		return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "%q is for a link: gateways serve no bucket under it", r.Name), "make another with: stratos keys create NAME --format env")
	case r.Revoked || r.Expires.Before(time.Now()):
		return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "the key %q is good no more", r.Name), "see: stratos keys list")
	case r.Prefix != "" && r.Prefix != bucket+"/":
		return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "the key %q covers %s, not the whole bucket", r.Name, mesh.Scheme+r.Prefix), "choose another, or leave --key away")
	}
	return r.AccessKey, c.ChangeBucket(ctx, bucket, client.BucketChange{Serving: r.AccessKey})
}

// retireServing revokes the keys that were made to serve a bucket, but the one that does now.
func (e *env) retireServing(ctx context.Context, c *client.Client, bucket, now string) error {
	h, err := e.home()
	if err != nil || e.grant != "" { // the keys are the account's
		return err
	}
	all, err := readGrants(h)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range all {
		if r.Serves == bucket && r.Account == c.Access().Account() && r.AccessKey != now && !r.Revoked && r.Expires.After(time.Now()) {
			errs = append(errs, revokeGrant(ctx, c, h, r))
		}
	}
	return errors.Join(errs...)
}
