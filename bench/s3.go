package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/grant"
)

const s3Bucket = "bench-s3"

// throughS3 measures the same as the client's figures through the gateway, with presigned addresses: the least that a program
// can do, so that the figures are the gateway's.
func throughS3(n *network, p *home.Profile, c *client.Client, f *Figures, size int64, count, each, keys int) error {
	ctx := context.Background()
	shared, _, err := c.Access().Share(client.Terms{Operations: grant.All &^ grant.Delegate})
	if err != nil {
		return err
	}
	k, err := c.PublishKey(ctx, shared, []mesh.PublicKey{p.Gateways[0].Key})
	if err != nil {
		return err
	}
	if err := c.MakeBucket(ctx, s3Bucket, false); err != nil {
		return err
	}
	api := s3.New(s3.Options{BaseEndpoint: &p.Gateways[0].S3, Region: "us-east-1", UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider(k.Name, k.Secret, "")})
	b := &presigned{s3.NewPresignClient(api), &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, WriteBufferSize: 256 << 10, ReadBufferSize: 256 << 10}}}
	defer b.http.CloseIdleConnections()

	if err := timed(n, f.S3, "put", size, func() error { return b.put(ctx, "large", io.LimitReader(&repeated{b: random(8 << 20)}, size), size) }); err != nil {
		return err
	}
	if err := timed(n, f.S3, "get", size, func() error { return b.get(ctx, "large", io.Discard) }); err != nil {
		return err
	}
	body := random(each)
	for _, workers := range []int{8, 32} {
		key := func(i int) string { return fmt.Sprintf("small-%d/%d", workers, i) }
		if f.S3[fmt.Sprintf("put_per_s_%d", workers)], err = parallel(workers, count, func(i int) error { return b.put(ctx, key(i), bytes.NewReader(body), int64(each)) }); err != nil {
			return err
		}
		if f.S3[fmt.Sprintf("get_per_s_%d", workers)], err = parallel(workers, count, func(i int) error {
			var got bytes.Buffer
			err := b.get(ctx, key(i), &got)
			if err == nil && !bytes.Equal(got.Bytes(), body) {
				err = errors.New("another object came back")
			}
			return err
		}); err != nil {
			return err
		}
	}
	if err := b.put(ctx, "byte", strings.NewReader("x"), 1); err != nil {
		return err
	}
	var first []time.Duration
	for range 200 {
		began := time.Now()
		if err := b.get(ctx, "byte", io.Discard); err != nil {
			return err
		}
		first = append(first, time.Since(began))
	}
	slices.Sort(first)
	f.S3["first_byte_ms_p50"], f.S3["first_byte_ms_p99"] = first[len(first)/2].Seconds()*1000, first[len(first)*99/100].Seconds()*1000
	f.S3["gateway_mib_highest"] = n.highest(devnet.RoleGateway)

	if f.S3["inline_put_per_s_64"], err = parallel(64, keys, func(i int) error {
		_, err := c.Put(ctx, mesh.Path{Bucket: s3Bucket, Key: fmt.Sprintf("many/%06d", i)}, strings.NewReader("x"), client.PutOptions{})
		return err
	}); err != nil {
		return err
	}
	prefix, bucket, listed, began := "many/", s3Bucket, 0, time.Now()
	for pages := s3.NewListObjectsV2Paginator(api, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		listed += len(page.Contents)
	}
	if listed != keys {
		return fmt.Errorf("%d of %d keys are listed", listed, keys)
	}
	f.S3["listed_keys"], f.S3["listing_seconds"] = float64(listed), time.Since(began).Seconds()
	return nil
}

// presigned moves objects by addresses that carry their signature.
type presigned struct {
	sign *s3.PresignClient
	http *http.Client
}

func (b *presigned) put(ctx context.Context, key string, body io.Reader, size int64) error {
	bucket := s3Bucket
	at, err := b.sign.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, at.URL, body)
	if err != nil {
		return err
	}
	r.ContentLength = size
	return b.do(r, io.Discard)
}

func (b *presigned) get(ctx context.Context, key string, into io.Writer) error {
	bucket := s3Bucket
	at, err := b.sign.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.URL, nil)
	if err != nil {
		return err
	}
	return b.do(r, into)
}

func (b *presigned) do(r *http.Request, into io.Writer) error {
	res, err := b.http.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 500))
		return fmt.Errorf("%s %s: %s: %s", r.Method, r.URL.Path, res.Status, text)
	}
	_, err = io.Copy(into, res.Body)
	return err
}

// highest is the most memory, in MiB, that a process of a role has held.
func (n *network) highest(role string) float64 {
	st, err := n.Status(context.Background())
	if err != nil {
		return 0
	}
	most := 0
	for _, p := range st.Processes {
		if strings.HasPrefix(p.Name, role) {
			most = max(most, status(p.PID, "VmHWM"))
		}
	}
	return float64(most) / 1024
}
