package sim_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// fetch asks for an address as a browser would. Headers come as "Name: value".
func fetch(ctx context.Context, c *http.Client, address string, headers ...string) (int, string, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", nil, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if r.Header.Add(name, value); name == "Host" {
			r.Host = value
		}
	}
	res, err := c.Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), res.Header, err
}

func expectPage(t *testing.T, address string, status int, contains string, headers ...string) {
	t.Helper()
	got, body, _, err := fetch(t.Context(), http.DefaultClient, address, headers...)
	if err != nil || got != status || !strings.Contains(body, contains) {
		t.Errorf("%s: %d %.200q, %v; want %d with %q", address, got, body, err, status, contains)
	}
}

// expectSoon is expectPage for what becomes true within an epoch.
func expectSoon(t *testing.T, address string, status int) {
	t.Helper()
	until(t, fmt.Sprint(address, " is answered with ", status), func() (bool, error) {
		got, body, _, err := fetch(t.Context(), http.DefaultClient, address)
		return got == status, errors.Join(err, fmt.Errorf("%d %.100q", got, body))
	})
}

// A public bucket is a site as soon as it is filled: by path and on a host of its own, with ranges; its owner can take that back.
func TestPublicBucket(t *testing.T) {
	r, dir := random(t), t.TempDir()
	film := content(r, 5<<20+1)
	write(t, filepath.Join(dir, "index.html"), []byte("<h1>welcome</h1>"))
	write(t, filepath.Join(dir, "films", "ü 1.bin"), film)
	var made struct{ URL, Site string }
	if err := json.Unmarshal([]byte(mustCLI(t, "mb", "stratos://http-site", "--public", "--budget", "100oz", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	mustCLI(t, "cp", "--recursive", dir+"/", "stratos://http-site/")
	expectPage(t, made.URL, 200, "welcome")
	expectPage(t, made.URL+"films/", 200, "%C3%BC%201.bin")
	expectPage(t, made.URL+"nothing", 404, "")
	u, err := url.Parse(made.URL)
	if err != nil {
		t.Fatal(err)
	}
	expectPage(t, "http://"+u.Host+"/", 200, "welcome", "Host: http-site.localhost:"+u.Port())
	if made.Site != "http://http-site.localhost:"+u.Port()+"/" {
		t.Errorf("its own host is told as %q", made.Site)
	}
	status, body, h, err := fetch(t.Context(), http.DefaultClient, made.URL+"films/%C3%BC%201.bin")
	if err != nil || status != 200 || body != string(film) {
		t.Fatalf("%d, %d bytes, %v", status, len(body), err)
	}
	if status, body, _, err = fetch(t.Context(), http.DefaultClient, made.URL+"films/%C3%BC%201.bin", "Range: bytes=4194300-4194309"); err != nil || status != 206 || body != string(film[4194300:4194310]) {
		t.Errorf("a range: %d, %d bytes, %v", status, len(body), err)
	}
	if status, _, _, err = fetch(t.Context(), http.DefaultClient, made.URL+"films/%C3%BC%201.bin", "If-None-Match: "+h.Get("ETag")); err != nil || status != 304 {
		t.Errorf("it is sent again: %d, %v", status, err)
	}

	// Over S3 too, without a key.
	k := newAccessKey(t)
	anon := s3.New(s3.Options{BaseEndpoint: &k.Endpoint, Region: "us-east-1", UsePathStyle: true, Credentials: aws.AnonymousCredentials{}})
	if got, _, err := s3Get(t.Context(), anon, "http-site", "films/ü 1.bin"); err != nil || !bytes.Equal(got, film) {
		t.Errorf("S3 without a key: %d bytes, %v", len(got), err)
	}
	if _, err := s3Put(t.Context(), anon, "http-site", "x", nil); s3Code(err) != "AccessDenied" {
		t.Errorf("somebody writes: %v", err)
	}
	if page, err := anon.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("http-site")}); err != nil || len(page.Contents) != 2 {
		t.Errorf("listing without a key: %v", err)
	}

	// Whoever configures it over S3 does not come to serve it, and its own key carries out no rules.
	c, bucket := k.client(k.Endpoint), aws.String("http-site")
	if _, err := c.PutBucketTagging(t.Context(), &s3.PutBucketTaggingInput{Bucket: bucket, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}}); err != nil {
		t.Fatal(err)
	}
	rules := &s3.PutBucketLifecycleConfigurationInput{Bucket: bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{
		{ID: aws.String("all"), Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: aws.String("none/")}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)}}}}}
	if _, err := c.PutBucketLifecycleConfiguration(t.Context(), rules); s3Code(err) != "AccessDenied" || !strings.Contains(err.Error(), "stratos serve") {
		t.Errorf("rules that nobody carries out: %v", err)
	}
	mustCLI(t, "keys", "revoke", k.ID)
	expectPage(t, made.URL, 200, "welcome")

	mustCLI(t, "keys", "revoke", "public-http-site")
	expectSoon(t, made.URL, 404)
	full := newAccessKey(t)
	var link struct{ Name string }
	if err := json.Unmarshal([]byte(mustCLI(t, "share", "stratos://http-site/", "--web", "--json")), &link); err != nil {
		t.Fatal(err)
	}
	if _, errOut, code := runCLI(t, "serve", "stratos://http-site", "--key", link.Name); code == 0 || !strings.Contains(errOut, "is for a link") {
		t.Errorf("a bucket is served under a link: %d, %s", code, errOut)
	}
	mustCLI(t, "keys", "revoke", link.Name)
	mustCLI(t, "serve", "stratos://http-site", "--key", full.ID)
	expectSoon(t, made.URL, 200)
	if _, err := full.client(k.Endpoint).PutBucketLifecycleConfiguration(t.Context(), rules); err != nil {
		t.Errorf("rules: %v", err)
	}
	var served struct {
		ID string `json:"access_key_id"`
	}
	if err := json.Unmarshal([]byte(mustCLI(t, "serve", "stratos://http-site", "--budget", "1oz", "--json")), &served); err != nil {
		t.Fatal(err)
	}
	mustCLI(t, "keys", "revoke", full.ID)
	expectSoon(t, made.URL, 200)
	if got := mustCLI(t, "cp", "stratos://http-site/index.html", "-"); got != "<h1>welcome</h1>" {
		t.Errorf("its owner reads %q", got)
	}
	mustCLI(t, "rm", "--recursive", "stratos://http-site/")
	mustCLI(t, "rb", "stratos://http-site")
	var all struct {
		Keys []struct {
			ID      string `json:"access_key_id"`
			Prefix  string
			Revoked bool
		}
	}
	if err := json.Unmarshal([]byte(mustCLI(t, "keys", "list", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, k := range all.Keys {
		if k.Prefix == "http-site/" && !k.Revoked {
			t.Errorf("the key %s is left of a bucket that is gone", k.ID)
		}
	}
}

// Who comes when a public bucket's budget is used up is told so, by a status.
func TestSpentBudget(t *testing.T) {
	file := filepath.Join(t.TempDir(), "film")
	write(t, file, content(random(t), 2<<20))
	var made struct{ URL, Site string }
	if err := json.Unmarshal([]byte(mustCLI(t, "mb", "stratos://http-poor", "--public", "--budget", "0.005oz", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	mustCLI(t, "cp", file, "stratos://http-poor/film")
	read := 0
	until(t, "the budget is used up", func() (bool, error) {
		status, body, _, err := fetch(t.Context(), http.DefaultClient, made.URL+"film")
		if err == nil && status == 200 && len(body) == 2<<20 {
			read++
		}
		return status == http.StatusPaymentRequired, nil
	})
	if read == 0 {
		t.Error("nobody could read before")
	}
	var all struct {
		Keys []struct {
			Name   string
			Budget uint64  `json:"budget_noz"`
			Spent  *uint64 `json:"spent_noz"`
		}
	}
	if err := json.Unmarshal([]byte(mustCLI(t, "keys", "list", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	spent := 0
	for _, k := range all.Keys {
		if k.Name == "public-http-poor" && k.Spent != nil && *k.Spent > 0 && *k.Spent <= k.Budget {
			spent++
		}
	}
	if spent != 1 {
		t.Errorf("what was spent of the budget is not shown: %+v", all.Keys)
	}
	k := newAccessKey(t)
	anon := s3.New(s3.Options{BaseEndpoint: &k.Endpoint, Region: "us-east-1", UsePathStyle: true, Credentials: aws.AnonymousCredentials{}})
	if _, _, err := s3Get(t.Context(), anon, "http-poor", "film"); s3Code(err) != "QuotaExceeded" {
		t.Errorf("over S3: %v", err)
	}
}

// What a policy gives to everybody, or to another account, both gateways serve, and nothing else; it ends with the key that gave it.
func TestPolicyForOthers(t *testing.T) {
	ctx, k := t.Context(), newAccessKey(t)
	var both accessKey
	second := secondGateway(t, &both)
	// Another account, with ozone of its own. Not bob, whose accounts TestSettlement counts.
	mustCLI(t, "wallet", "new", "dora", "--light", "--password-file", os.DevNull)
	mustCLI(t, "prepay", "--for", "dora", "1stos", "--account", "alice")
	dora := accountOf(t, "dora")
	var other accessKey
	until(t, "the meta layer has learnt of the ozone", func() (bool, error) {
		out, errOut, code := runCLI(t, "keys", "create", fmt.Sprint("dora", time.Now().UnixNano()), "--format", "json", "--account", "dora", "--password-file", os.DevNull)
		return code == 0, errors.Join(errors.New(errOut), json.Unmarshal([]byte(out), &other))
	})
	anonymous := accessKey{}
	c := both.client(k.Endpoint)
	const bucket = "policy-bucket"
	s3Bucket(t, c, bucket)
	for _, key := range []string{"open/a", "dora/a", "closed/a"} {
		if _, err := s3Put(ctx, c, bucket, key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	as := func(who accessKey, endpoint string) *s3.Client {
		if who.ID == "" {
			return s3.New(s3.Options{BaseEndpoint: &endpoint, Region: "us-east-1", UsePathStyle: true, Credentials: aws.AnonymousCredentials{}})
		}
		return who.client(endpoint)
	}
	expect := func(who accessKey, name, key, want string) {
		t.Helper()
		for _, endpoint := range []string{k.Endpoint, second} {
			got, _, err := s3Get(ctx, as(who, endpoint), bucket, key)
			if err == nil && string(got) != key || err != nil && s3Code(err) != want || err == nil && want != "" {
				t.Errorf("%s reads %s: %q, %v; want %q", name, key, got, err, want)
			}
		}
	}
	for name, who := range map[string]accessKey{"dora": other, "nobody": anonymous} {
		expect(who, name, "open/a", "AccessDenied")
	}
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::%[1]s/open/*"},
		{"Effect":"Allow","Principal":{"AWS":["%[2]s"]},"Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::%[1]s/dora/*"}]}`, bucket, dora)
	if _, err := c.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String(bucket), Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	expect(anonymous, "nobody", "open/a", "")
	expect(anonymous, "nobody", "dora/a", "AccessDenied")
	expect(anonymous, "nobody", "closed/a", "AccessDenied")
	expect(other, "dora", "open/a", "")
	expect(other, "dora", "dora/a", "")
	expect(other, "dora", "closed/a", "AccessDenied")
	for key, want := range map[string]string{"dora/new": "", "open/new": "AccessDenied", "closed/a": "AccessDenied"} {
		if _, err := s3Put(ctx, other.client(second), bucket, key, []byte(key)); err != nil && s3Code(err) != want || err == nil && want != "" {
			t.Errorf("dora writes %s: %v", key, err)
		}
		if _, err := s3Put(ctx, as(anonymous, second), bucket, key, []byte("x")); s3Code(err) != "AccessDenied" {
			t.Errorf("nobody writes %s: %v", key, err)
		}
	}
	others := other.client(second)
	if _, err := others.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("dora/a")}); s3Code(err) != "AccessDenied" {
		t.Errorf("dora deletes: %v", err)
	}
	if _, err := others.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: aws.String(bucket), ACL: types.BucketCannedACLPublicRead}); err == nil {
		t.Error("dora opens the bucket to everybody")
	}
	if _, err := others.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: aws.String(bucket)}); s3Code(err) != "AccessDenied" {
		t.Errorf("dora removes the policy: %v", err)
	}
	s3Bucket(t, others, "policy-others")
	if _, err := others.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("policy-others"), Key: aws.String("copy"), CopySource: aws.String(bucket + "/open/a")}); err != nil {
		t.Errorf("dora copies what he may read: %v", err)
	}
	if _, err := others.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("policy-others"), Key: aws.String("copy"), CopySource: aws.String(bucket + "/closed/a")}); s3Code(err) != "AccessDenied" {
		t.Errorf("dora copies what he may not read: %v", err)
	}
	if got, _, err := s3Get(ctx, others, "policy-others", "copy"); string(got) != "open/a" {
		t.Errorf("dora's copy is %q, %v", got, err)
	}

	for _, name := range keysOf(t, both.ID) {
		mustCLI(t, "keys", "revoke", name)
	}
	until(t, "what the key gave ends with it", func() (bool, error) {
		_, _, err := s3Get(ctx, as(anonymous, second), bucket, "open/a")
		return s3Code(err) == "AccessDenied", err
	})
}

// accountOf is the account that the home knows by a name.
func accountOf(t *testing.T, name string) string {
	t.Helper()
	for _, line := range strings.Split(mustCLI(t, "wallet", "list"), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			return f[1]
		}
	}
	t.Fatalf("the home knows no account %s", name)
	return ""
}

// keysOf are the names under which the home knows an access key.
func keysOf(t *testing.T, id string) (names []string) {
	t.Helper()
	var all struct {
		Keys []struct {
			Name string
			ID   string `json:"access_key_id"`
		}
	}
	if err := json.Unmarshal([]byte(mustCLI(t, "keys", "list", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, k := range all.Keys {
		if k.ID == id {
			names = append(names, k.Name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("the home knows no key %s", id)
	}
	return names
}

// A link opens what it shares, once its password was typed, and nothing beside it; revoking it closes it.
func TestShareLink(t *testing.T) {
	dir := t.TempDir()
	mustCLI(t, "mb", "stratos://link")
	for _, name := range []string{"in/a.txt", "in/deep/b.txt", "beside.txt"} {
		write(t, filepath.Join(dir, name), []byte("this is "+name))
	}
	mustCLI(t, "cp", "--recursive", dir+"/", "stratos://link/")
	share := stratos(t.Context(), "share", "stratos://link/in/", "--web", "--protect", "--json")
	share.Stdin = strings.NewReader("open sesame\n")
	share.Stderr = os.Stderr
	out, err := share.Output()
	if err != nil {
		t.Fatal(err)
	}
	var link struct{ Name, URL string }
	if err := json.Unmarshal(out, &link); err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	if status, body, _, err := fetch(t.Context(), browser, link.URL+"a.txt?raw"); status != 401 || strings.Contains(body, "this is") {
		t.Fatalf("without the password: %d %q, %v", status, body, err)
	}
	for _, c := range []struct {
		password string
		want     int
	}{{"open", 401}, {"open sesame", 200}, {"open", 401}, {"open sesame", 200}} { // once more, as in another tab
		res, err := browser.PostForm(link.URL, url.Values{"password": {c.password}})
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("%q: %d", c.password, res.StatusCode)
		}
	}
	for path, want := range map[string]string{"": "a.txt", "a.txt": "this is in/a.txt", "a.txt?raw": "this is in/a.txt", "deep/": "b.txt", "deep/b.txt?download": "this is in/deep/b.txt"} {
		if status, body, _, err := fetch(t.Context(), browser, link.URL+path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%q: %d %.200q, %v", path, status, body, err)
		}
	}
	for _, path := range []string{"../beside.txt?raw", "..%2fbeside.txt?raw", "beside.txt?raw"} {
		if status, body, _, err := fetch(t.Context(), browser, link.URL+path); status < 400 || strings.Contains(body, "this is beside") {
			t.Errorf("%q: %d %.200q, %v", path, status, body, err)
		}
	}
	mustCLI(t, "keys", "revoke", link.Name)
	until(t, "the link is closed", func() (bool, error) {
		status, _, _, err := fetch(t.Context(), browser, link.URL+"a.txt?raw")
		return status == 404, err
	})
}

// With a certificate, both endpoints speak TLS and nothing else.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	roots := selfSigned(t, filepath.Join(dir, "cert.pem"))
	home, at := filepath.Join(dir, "gateway"), free(t, 4)
	if _, errOut, code := runCLI(t, "gateway", "init", home, "--cert", filepath.Join(dir, "nothing.pem")); code == 0 || !strings.Contains(errOut, "--cert") {
		t.Errorf("a certificate that is not there: exit %d, %s", code, errOut)
	}
	mustCLI(t, "gateway", "init", home, "--name", t.Name(), "--s3", at[0], "--status", at[1], "--http", at[2], "--postgres", at[3], "--databases", "", "--cert", filepath.Join(dir, "cert.pem"))
	mustCLI(t, "mb", "stratos://tls-site", "--public")
	k := newAccessKey(t)
	log := runOutside(t, "gateway", "run", "--home", home)
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer trusting.CloseIdleConnections()
	endpoint := "https://" + at[0]
	c := s3.New(s3.Options{BaseEndpoint: &endpoint, Region: "us-east-1", UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider(k.ID, k.Secret, ""), HTTPClient: trusting})
	b := content(random(t), 3<<20)
	until(t, "the gateway", func() (bool, error) {
		_, err := s3Put(t.Context(), c, "tls-site", "film", b)
		return err == nil, err
	})
	until(t, "where it listens is told", func() (bool, error) {
		said, err := os.ReadFile(log)
		told := regexp.MustCompile(`(?m)^TestTLS is ready\nS3 +https://` + at[0] + `\nHTTP +https://` + at[2] + `\nPostgres +postgres://` + at[3] + `\nStatus +http://` + at[1] + `$`)
		return told.Match(said), err
	})
	if got, _, err := s3Get(t.Context(), c, "tls-site", "film"); err != nil || !bytes.Equal(got, b) {
		t.Errorf("S3: %d bytes, %v", len(got), err)
	}
	if status, body, _, err := fetch(t.Context(), trusting, "https://"+at[2]+"/tls-site/film"); status != 200 || body != string(b) {
		t.Errorf("HTTP: %d, %d bytes, %v", status, len(body), err)
	}
	for _, addr := range []string{at[0], at[2]} {
		if status, _, _, err := fetch(t.Context(), http.DefaultClient, "http://"+addr+"/tls-site/film"); err == nil {
			t.Errorf("without TLS: %d", status)
		}
		if _, _, _, err := fetch(t.Context(), http.DefaultClient, "https://"+addr+"/tls-site/film"); err == nil {
			t.Error("a certificate that nobody signed is believed")
		}
	}
	// It is taken out of the profile, with what it still opens; one of the network itself is not.
	if out := mustCLI(t, "gateway", "remove", t.Name()); !regexp.MustCompile(`sealed to it: .*\bk\d{10}`).MatchString(out) {
		t.Errorf("the key that it still opens is not named:\n%s", out)
	}
	if out := mustCLI(t, "gateway", "list"); strings.Contains(out, t.Name()) {
		t.Errorf("it is listed still:\n%s", out)
	}
	if _, errOut, code := runCLI(t, "gateway", "remove", "gateway-0"); code != 6 || !strings.Contains(errOut, "next: only stop it: stratos stop gateway-0") {
		t.Errorf("the network's own: exit %d\n%s", code, errOut)
	}
}

// selfSigned writes a certificate for this machine with its key to a file, and returns who believes it.
func selfSigned(t *testing.T, path string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(crand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return roots
}
