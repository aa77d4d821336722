package s3

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3response"
)

// dropSecondIDs takes away the ids of a request that versitygw writes a second time, in other letters.
func dropSecondIDs(h *fasthttp.ResponseHeader) {
	h.DisableNormalizing()
	for _, name := range []string{"X-Amz-Request-Id", "X-Amz-Id-2"} {
		if len(h.Peek(strings.ToLower(name))) > 0 {
			h.Del(name)
		}
	}
	h.EnableNormalizing()
}

// respell puts right the answers that versitygw spells as the SDK's types and not as S3: how a version is locked, and an
// object's access list, in which nobody finds a grant.
func respell(c fiber.Ctx) {
	q := c.Request().URI().QueryArgs()
	if c.Method() != http.MethodGet || !q.Has("retention") && !q.Has("acl") || c.Response().IsBodyStream() {
		return
	}
	body, ok := bytes.CutPrefix(c.Response().Body(), []byte(xml.Header))
	switch {
	case ok && bytes.HasPrefix(body, []byte("<ObjectLockRetention>")):
		body = bytes.ReplaceAll(body, []byte("ObjectLockRetention>"), []byte("Retention>"))
	case ok && bytes.HasPrefix(body, []byte("<GetObjectAclOutput>")):
		var is struct{ Owner s3response.CanonicalUser }
		if xml.Unmarshal(body, &is) != nil {
			return
		}
		owner := s3response.Grantee{Xsi: "http://www.w3.org/2001/XMLSchema-instance", Type: "CanonicalUser", ID: is.Owner.ID}
		list := s3response.AccessControlList{Grant: []s3response.Grant{{Grantee: owner, Permission: "FULL_CONTROL"}}}
		b, err := xml.Marshal(s3response.AccessControlPolicy{Owner: is.Owner, AccessControlList: list})
		if err != nil {
			return
		}
		body = b
	default:
		return
	}
	c.Response().SetBody(append([]byte(xml.Header), body...))
	c.Response().Header.SetContentLength(len(c.Response().Body()))
}
