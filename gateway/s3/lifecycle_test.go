package s3

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/protocol/grant"
)

const someRules = `<LifecycleConfiguration><Rule><ID>a</ID><Filter/><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>`

func contentMD5(body string) string {
	s := md5.Sum([]byte(body))
	return "content-md5: " + base64.StdEncoding.EncodeToString(s[:])
}

// show is a value for a comparison, pointers followed.
func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Each of the three requests by each who may not make it, and by those who may. What is refused does not reach the backend.
func TestLifecycleRights(t *testing.T) {
	w := newWorld(t, Options{})
	w.keys.add("READS", share(t, w.alice, client.Terms{Operations: grant.Read | grant.List}))
	w.keys.add("WRITES", share(t, w.alice, client.Terms{Operations: grant.Read | grant.List | grant.Write | grant.Delete}))
	w.keys.add("CONFIGURES", share(t, w.alice, client.Terms{Operations: grant.Read | grant.List | grant.Write | grant.Buckets}))
	w.keys.add("FOLDER", share(t, w.alice, client.Terms{Prefix: "photos/a/", Operations: grant.All &^ grant.Delegate}))
	w.keys.add("OTHER", share(t, w.alice, client.Terms{Prefix: "photos2/", Operations: grant.All &^ grant.Delegate}))
	bob, alice := w.bob.Account().String(), w.alice.Account().String()
	allow := func(who, what string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + who + `,"Action":` + what + `,"Resource":"arn:aws:s3:::photos"}]}`
	}
	const all = `["s3:PutLifecycleConfiguration","s3:GetLifecycleConfiguration"]`
	tamper := func(r *request) {
		r.tamper = func(s string) string { return strings.Replace(s, "Signature=", "Signature=0", 1) }
	}
	for _, c := range []struct {
		name, key, policy string
		acl               []auth.Grantee
		change            func(*request)
		write, read       string // codes of refusals; "": allowed
	}{
		{name: "the owner", key: "ALICE"},
		{name: "the owner, whom a policy does not name", key: "ALICE", policy: allow(`{"AWS":"`+bob+`"}`, all)},
		{name: "the owner, whom a policy denies", key: "ALICE", policy: strings.Replace(allow(`{"AWS":"`+alice+`"}`, `"s3:PutLifecycleConfiguration"`), "Allow", "Deny", 1), write: "AccessDenied"},
		{name: "a key that reads", key: "READS", write: "AccessDenied"},
		{name: "a key that writes objects", key: "WRITES", write: "AccessDenied"},
		{name: "a key that configures and may not delete", key: "CONFIGURES", write: "AccessDenied"},
		{name: "a key for a folder", key: "FOLDER", write: "AccessDenied", read: "AccessDenied"},
		{name: "a key for another bucket", key: "OTHER", write: "AccessDenied", read: "AccessDenied"},
		{name: "another account", key: "BOB", write: "AccessDenied", read: "AccessDenied"},
		{name: "another account, by access list", key: "BOB", acl: []auth.Grantee{{Permission: auth.PermissionFullControl, Access: bob, Type: types.TypeCanonicalUser}}, write: "AccessDenied", read: "AccessDenied"},
		{name: "another account, that a policy lets read", key: "BOB", policy: allow(`{"AWS":"`+bob+`"}`, `"s3:GetLifecycleConfiguration"`), write: "AccessDenied"},
		{name: "another account, that a policy lets do both", key: "BOB", policy: allow(`{"AWS":"`+bob+`"}`, all)},
		{name: "another account, that a policy lets do something else", key: "BOB", policy: allow(`{"AWS":"`+bob+`"}`, `"s3:PutBucketCORS"`), write: "AccessDenied", read: "AccessDenied"},
		{name: "nobody", write: "AccessDenied", read: "AccessDenied"},
		{name: "nobody, in a bucket that all may do everything with", acl: []auth.Grantee{{Permission: auth.PermissionFullControl, Access: "all-users", Type: types.TypeGroup},
			{Permission: auth.PermissionWrite, Access: "all-users", Type: types.TypeGroup}}, write: "AccessDenied", read: "AccessDenied"},
		{name: "nobody, by policy", policy: allow(`"*"`, all), write: "AccessDenied", read: "AccessDenied"},
		{name: "an unknown key", key: "MALLORY", write: "InvalidAccessKeyId", read: "InvalidAccessKeyId"},
		{name: "a wrong secret", key: "ALICE", change: func(r *request) { r.secret = "guess" }, write: "SignatureDoesNotMatch", read: "SignatureDoesNotMatch"},
		{name: "a wrong signature", key: "ALICE", change: tamper, write: "SignatureDoesNotMatch", read: "SignatureDoesNotMatch"},
		{name: "an old request", key: "ALICE", change: func(r *request) { r.at = time.Now().Add(-16 * time.Minute) }, write: "RequestTimeTooSkewed", read: "RequestTimeTooSkewed"},
		{name: "another owner is expected", key: "ALICE", change: func(r *request) { r.header = append(r.header, "x-amz-expected-bucket-owner: "+bob) }, write: "AccessDenied", read: "AccessDenied"},
	} {
		var reached []string
		w.be.set(func() {
			w.be.policies, w.be.grantees, w.be.rules = map[string]string{}, c.acl, map[string][]byte{"photos": []byte("<Kept/>")}
			if c.policy != "" {
				w.be.policies["photos"] = c.policy
			}
			w.be.before = func(op, _ string) { reached = append(reached, op) }
		})
		for _, x := range []struct{ method, body, code, op string }{
			{"GET", "", c.read, "GetBucketLifecycle"}, {"PUT", someRules, c.write, "PutBucketLifecycle"}, {"DELETE", "", c.write, "DeleteBucketLifecycle"},
		} {
			r := request{method: x.method, path: "/photos", query: "lifecycle", key: c.key, body: x.body}
			if x.body != "" {
				r.header = append(r.header, contentMD5(x.body))
			}
			if c.change != nil {
				c.change(&r)
			}
			reached = nil
			a := w.do(r)
			switch want := map[string]int{"GET": 200, "PUT": 200, "DELETE": 204}[x.method]; {
			case x.code != "":
				w.expect(c.name+", "+x.method, a, 403, x.code)
				if len(reached) > 0 {
					t.Errorf("%s, %s: the backend was asked to %v", c.name, x.method, reached)
				}
			case a.status != want || len(reached) != 1 || reached[0] != x.op:
				t.Errorf("%s, %s: %v, and the backend was asked to %v\n%s", c.name, x.method, a, reached, a.body)
			}
		}
	}
}

// A body that is not what was signed or summed is not kept, nor one that is no configuration.
func TestLifecycleBodies(t *testing.T) {
	w := newWorld(t, Options{ConfigBytes: 10_000})
	sum := sha256.Sum256([]byte(someRules))
	put := func(f func(*request)) answered {
		r := request{method: "PUT", path: "/photos", query: "lifecycle", key: "ALICE", body: someRules, header: []string{contentMD5(someRules)}}
		f(&r)
		return w.do(r)
	}
	pad := func(n int) string { return someRules + strings.Repeat(" ", n-len(someRules)) }
	for _, c := range []struct {
		name   string
		status int
		code   string
		change func(*request)
	}{
		{"no checksum", 400, "InvalidRequest", func(r *request) { r.header = nil }},
		{"the MD5 of something else", 400, "BadDigest", func(r *request) { r.header = []string{contentMD5("x")} }},
		{"the CRC32 of something else", 400, "BadDigest", func(r *request) { r.header = []string{"x-amz-checksum-crc32: AAAAAA=="} }},
		{"another hash than signed", 400, "XAmzContentSHA256Mismatch", func(r *request) { r.payload = strings.Repeat("0", 64) }},
		{"nothing", 400, "MissingRequestBodyError", func(r *request) { r.body, r.header = "", []string{contentMD5("")} }},
		{"half a document", 400, "MalformedXML", func(r *request) { r.body = someRules[:50]; r.header = []string{contentMD5(r.body)} }},
		{"days that cannot be", 400, "InvalidArgument", func(r *request) {
			r.body = strings.Replace(someRules, ">1<", ">0<", 1)
			r.header = []string{contentMD5(r.body)}
		}},
		{"too long", 400, "MaxMessageLengthExceeded", func(r *request) { r.body = pad(10_001); r.header = []string{contentMD5(r.body)} }},
		{"a bucket that is not there", 404, "NoSuchBucket", func(r *request) { r.path = "/nowhere" }},
		{"an object", 404, "", func(r *request) { r.path = "/photos/k"; r.method = "GET" }},
	} {
		a := put(c.change)
		if c.code == "" {
			c.code = a.code // whatever an object says
		}
		w.expect(c.name, a, c.status, c.code)
		if len(w.be.rules) > 0 {
			t.Fatalf("%s: rules are kept", c.name)
		}
	}
	for name, change := range map[string]func(*request){
		"signed": func(r *request) { r.payload = hex.EncodeToString(sum[:]) }, "as long as it may be": func(r *request) { r.body = pad(10_000); r.header = []string{contentMD5(r.body)} },
		"with a slash": func(r *request) { r.path = "/photos/" },
	} {
		a := put(change)
		w.expect(name, a, 200, "")
		if len(w.be.rules) != 1 || a.body != "" {
			t.Errorf("%s: %q is kept, answered %q", name, w.be.rules, a.body)
		}
		w.be.set(func() { clear(w.be.rules) })
	}
}

// What a program of Amazon's own puts it gets back, by path, by host, and presigned; other requests that versitygw does not
// implement stay so.
func TestLifecycleRoundTrip(t *testing.T) {
	w := newWorld(t, Options{Domain: "s3.test"})
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	api := s3.New(s3.Options{BaseEndpoint: aws.String("http://" + w.addr), Region: "us-east-1", UsePathStyle: true, HTTPClient: &http.Client{Transport: tr},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "ALICE", SecretAccessKey: secretOf("ALICE")}, nil
		})})
	ctx, bucket := t.Context(), aws.String("photos")
	get := func() []types.LifecycleRule {
		t.Helper()
		out, err := api.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket})
		if err != nil {
			t.Fatal(err)
		}
		return out.Rules
	}
	w.expect("before", w.do(request{path: "/photos", query: "lifecycle", key: "ALICE"}), 404, "NoSuchLifecycleConfiguration")
	date := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	rules := []types.LifecycleRule{
		{ID: aws.String("z"), Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: aws.String("")}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(3)}},
		{Status: types.ExpirationStatusDisabled, Filter: &types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{Prefix: aws.String("a <&> ü"),
			Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}, {Key: aws.String("a"), Value: aws.String("")}}, ObjectSizeGreaterThan: aws.Int64(5)}}, Expiration: &types.LifecycleExpiration{Date: &date}},
		{ID: aws.String("b"), Status: types.ExpirationStatusEnabled, Prefix: aws.String("old/"), AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(7)},
			NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(30), NewerNoncurrentVersions: aws.Int32(2)}},
	}
	if _, err := api.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{Bucket: bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: rules}}); err != nil {
		t.Fatal(err)
	}
	got := get()
	if len(got) != 3 || aws.ToString(got[1].ID) == "" {
		t.Fatalf("got %d rules", len(got))
	}
	rules[1].ID = got[1].ID
	if a, b := show(rules), show(got); a != b {
		t.Errorf("got %s\nput %s", b, a)
	}
	byHost := w.do(request{path: "/", query: "lifecycle", key: "ALICE", host: "photos.s3.test"})
	w.expect("by host", byHost, 200, "")
	if !strings.Contains(byHost.header.Get("Content-Type"), "xml") || !strings.Contains(byHost.body, "<ID>z</ID>") {
		t.Errorf("by host: %v %s", byHost.header, byHost.body)
	}
	for key, want := range map[string]int{"ALICE": 200, "BOB": 403} {
		r := request{path: "/photos", query: "lifecycle=", key: key}
		a := w.raw("GET "+r.presigned(time.Minute)+" HTTP/1.1\r\nHost: h\r\n\r\n", false)
		w.expect("presigned by "+key, a, want, map[int]string{403: "AccessDenied"}[want])
	}
	w.be.set(func() {
		w.be.cors = []byte(`<CORSConfiguration><CORSRule><AllowedOrigin>https://pages.test</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>`)
	})
	page := w.do(request{path: "/photos", query: "lifecycle", key: "ALICE", header: []string{"Origin: https://pages.test"}})
	if page.status != 200 || page.header.Get("Access-Control-Allow-Origin") != "https://pages.test" {
		t.Errorf("a page of the bucket's: %v, %v", page, page.header)
	}
	w.be.set(func() { w.be.cors = nil })
	if _, err := api.DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	w.expect("afterwards", w.do(request{path: "/photos", query: "lifecycle", key: "ALICE"}), 404, "NoSuchLifecycleConfiguration")
	w.expect("something else", w.do(request{path: "/photos", query: "replication", key: "ALICE"}), 501, "NotImplemented")
}
