package s3

import (
	"encoding/xml"
	"strconv"
	"testing"
)

// Answers are S3's, by name: a client may insist.
func TestAnswersAreSpelled(t *testing.T) {
	w := newWorld(t, Options{})
	w.be.objects["photos/k"] = []byte("<GetObjectAclOutput>")
	owner := w.alice.Account().String()

	a := w.do(request{path: "/photos/k", query: "retention", key: "ALICE"})
	w.expect("retention", a, 200, "")
	var lock struct {
		XMLName         xml.Name `xml:"Retention"`
		Mode            string
		RetainUntilDate string
	}
	if err := xml.Unmarshal([]byte(a.body), &lock); err != nil || lock.Mode != "GOVERNANCE" || lock.RetainUntilDate != "2033-05-18T03:33:20Z" {
		t.Errorf("%+v, %v of %s", lock, err, a.body)
	}
	if n := a.header.Get("Content-Length"); n != strconv.Itoa(len(a.body)) {
		t.Errorf("%s bytes of %d", n, len(a.body))
	}

	a = w.do(request{path: "/photos/k", query: "acl", key: "ALICE"})
	w.expect("acl", a, 200, "")
	var acl struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ AccessControlPolicy"`
		Owner   struct{ ID string }
		Grants  []struct {
			Grantee struct {
				Type string `xml:"http://www.w3.org/2001/XMLSchema-instance type,attr"`
				ID   string
			}
			Permission string
		} `xml:"AccessControlList>Grant"`
	}
	if err := xml.Unmarshal([]byte(a.body), &acl); err != nil || acl.Owner.ID != owner || len(acl.Grants) != 1 || acl.Grants[0].Grantee.ID != owner ||
		acl.Grants[0].Grantee.Type != "CanonicalUser" || acl.Grants[0].Permission != "FULL_CONTROL" {
		t.Errorf("%+v, %v of %s", acl, err, a.body)
	}
	for _, path := range []string{"/photos", "/photos/k", "/photos/none"} {
		if a := w.do(request{path: path, key: "ALICE"}); len(a.header.Values("X-Amz-Request-Id")) != 1 || len(a.header.Values("X-Amz-Id-2")) != 1 {
			t.Errorf("%s: the ids %q", path, a.header.Values("X-Amz-Request-Id"))
		}
	}
	if a := w.do(request{path: "/photos/k", key: "ALICE"}); a.body != "<GetObjectAclOutput>" {
		t.Errorf("the object is %q", a.body)
	}
}
