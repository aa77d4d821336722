package expiry

import (
	"bytes"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/versity/versitygw/s3err"

	"github.com/stratosmesh/stratos/protocol/index"
)

// Bounds of S3's.
const (
	maxRules    = 1000
	maxID       = 255
	maxPrefix   = 1024
	maxTags     = 10
	maxTagKey   = 128 // characters
	maxTagValue = 256
	maxKept     = 100
	maxDays     = 1<<31 - 1
)

const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// An element of a document. Reading goes over elements and not into tagged structs, because what encoding/xml does not know
// or sees twice it passes over, and a condition that is passed over removes more than its owner asked for.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Children []*element `xml:",any"`
}

func malformed() error { return s3err.GetAPIError(s3err.ErrMalformedXML) }

func invalid(format string, args ...any) error { return refusal("InvalidArgument", format, args...) }

func forbidden(format string, args ...any) error { return refusal("InvalidRequest", format, args...) }

func refusal(code, format string, args ...any) error {
	return s3err.APIError{Code: code, Description: fmt.Sprintf(format, args...), HTTPStatusCode: http.StatusBadRequest}
}

// Parse reads and checks a lifecycle configuration: at most 1000 rules, as S3 documents them, but without transitions, for
// there are no storage classes. It returns the rules and the document as it is to be kept and shown: the same elements in the
// same order, with an id in each rule. Its errors are S3's.
func Parse(document []byte) (Rules, []byte, error) {
	d := xml.NewDecoder(bytes.NewReader(document))
	root := new(element)
	if err := d.Decode(root); err != nil || root.XMLName.Local != "LifecycleConfiguration" {
		return nil, nil, malformed()
	}
	for {
		t, err := d.Token()
		if err == io.EOF {
			break
		}
		if text, ok := t.(xml.CharData); err != nil || ok && len(bytes.TrimSpace(text)) > 0 {
			return nil, nil, malformed()
		}
		if _, ok := t.(xml.StartElement); ok {
			return nil, nil, malformed()
		}
	}
	_, many, err := root.parts("Rule")
	if err != nil || len(many) == 0 || len(many) > maxRules {
		return nil, nil, malformed()
	}
	rules, ids := make(Rules, 0, len(many)), map[string]bool{}
	for _, e := range many {
		r, err := parseRule(e)
		if err != nil {
			return nil, nil, err
		}
		if r.ID == "" {
			r.ID = rand.Text()
			e.Children = slices.DeleteFunc(e.Children, func(c *element) bool { return c.XMLName.Local == "ID" })
			e.Children = slices.Insert(e.Children, 0, &element{XMLName: xml.Name{Local: "ID"}, Text: r.ID})
		}
		if ids[r.ID] {
			return nil, nil, invalid("Rule ID must be unique. Found same ID for more than one rule")
		}
		ids[r.ID] = true
		rules = append(rules, r)
	}
	root.plain()
	root.Attrs = []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}
	kept, err := xml.Marshal(root)
	if err != nil {
		return nil, nil, malformed()
	}
	kept = append([]byte(xml.Header), kept...)
	if len(kept) > index.MaxSection {
		return nil, nil, forbidden("The rules are %d bytes long together, at most %d can be kept", len(kept), index.MaxSection)
	}
	return rules, kept, nil
}

// plain takes away namespaces, which encoding/xml would repeat at every element, attributes, which mean nothing here, and the
// white space between elements.
func (e *element) plain() {
	e.XMLName.Space, e.Attrs = "", nil
	if len(e.Children) > 0 {
		e.Text = ""
	}
	for _, c := range e.Children {
		c.plain()
	}
}

// parts returns the children of an element that has no text of its own: those that may come once, by name, and those of the
// name many. Any other, or one that comes twice, is malformed.
func (e *element) parts(many string, once ...string) (by map[string]*element, all []*element, err error) {
	if strings.TrimSpace(e.Text) != "" {
		return nil, nil, malformed()
	}
	by = map[string]*element{}
	for _, c := range e.Children {
		name := c.XMLName.Local
		switch {
		case many != "" && name == many:
			all = append(all, c)
		case by[name] == nil && slices.Contains(once, name):
			by[name] = c
		default:
			return nil, nil, malformed()
		}
	}
	return by, all, nil
}

// text is that of an element without children, "" when there is no such element.
func (e *element) text() (string, error) {
	if e == nil {
		return "", nil
	}
	if len(e.Children) > 0 {
		return "", malformed()
	}
	return e.Text, nil
}

// number reads a whole number that is there.
func (e *element) number() (int64, error) {
	s, err := e.text()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0, malformed()
	}
	return n, nil
}

// positive reads a number from 1 to most of an action, where it is there; 0 where not.
func (e *element) positive(action string, most int64) (int, error) {
	if e == nil {
		return 0, nil
	}
	n, err := e.number()
	if err == nil && (n < 1 || n > most) {
		err = invalid("'%s' for %s action must be a positive integer, at most %d", e.XMLName.Local, action, most)
	}
	return int(n), err
}

func parseRule(e *element) (r Rule, err error) {
	for _, c := range e.Children {
		if n := c.XMLName.Local; n == "Transition" || n == "NoncurrentVersionTransition" {
			return r, forbidden("%s is not supported: there is one storage class", n)
		}
	}
	by, _, err := e.parts("", "ID", "Status", "Filter", "Prefix", "Expiration", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
	if err != nil {
		return r, err
	}
	if r.ID, err = by["ID"].text(); err != nil {
		return r, err
	}
	if len(r.ID) > maxID {
		return r, invalid("ID length should not exceed allowed limit of %d", maxID)
	}
	status, err := by["Status"].text()
	if err != nil || status != "Enabled" && status != "Disabled" {
		return r, malformed()
	}
	r.Enabled = status == "Enabled"
	switch filter, prefix := by["Filter"], by["Prefix"]; {
	case (filter == nil) == (prefix == nil):
		return r, malformed()
	case filter != nil:
		err = r.parseFilter(filter)
	default:
		err = r.parsePrefix(prefix)
	}
	if err != nil {
		return r, err
	}
	if by["Expiration"] == nil && by["NoncurrentVersionExpiration"] == nil && by["AbortIncompleteMultipartUpload"] == nil {
		return r, forbidden("At least one action needs to be specified in a rule")
	}
	if err := r.parseExpiration(by["Expiration"]); err != nil {
		return r, err
	}
	if err := r.parseNoncurrent(by["NoncurrentVersionExpiration"]); err != nil {
		return r, err
	}
	return r, r.parseAbort(by["AbortIncompleteMultipartUpload"])
}

func (r *Rule) parsePrefix(e *element) (err error) {
	if r.Prefix, err = e.text(); err == nil && len(r.Prefix) > maxPrefix {
		err = forbidden("The maximum size of a prefix is %d.", maxPrefix)
	}
	return err
}

// parseFilter reads a filter: nothing, one condition, or several within And.
func (r *Rule) parseFilter(e *element) error {
	by, _, err := e.parts("", "Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan", "And")
	if err != nil || len(e.Children) > 1 {
		return malformed()
	}
	var tags []*element
	if and := by["And"]; and != nil {
		if by, tags, err = and.parts("Tag", "Prefix", "ObjectSizeGreaterThan", "ObjectSizeLessThan"); err != nil || len(and.Children) == 0 {
			return malformed()
		}
	} else if t := by["Tag"]; t != nil {
		tags = []*element{t}
	}
	if p := by["Prefix"]; p != nil {
		if err := r.parsePrefix(p); err != nil {
			return err
		}
	}
	for name, to := range map[string]**uint64{"ObjectSizeGreaterThan": &r.Above, "ObjectSizeLessThan": &r.Below} {
		if size := by[name]; size != nil {
			n, err := size.number()
			if err != nil {
				return err
			}
			if n < 0 {
				return forbidden("'%s' must not be negative", name)
			}
			*to = new(uint64(n))
		}
	}
	if r.Above != nil && r.Below != nil && *r.Below <= *r.Above {
		return forbidden("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.")
	}
	if len(tags) > maxTags {
		return forbidden("A filter has at most %d tags", maxTags)
	}
	for _, t := range tags {
		if err := r.parseTag(t); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rule) parseTag(e *element) error {
	by, _, err := e.parts("", "Key", "Value")
	if err != nil || by["Key"] == nil || by["Value"] == nil {
		return malformed()
	}
	name, err := by["Key"].text()
	if err != nil {
		return err
	}
	value, err := by["Value"].text()
	if err != nil {
		return err
	}
	if n := len([]rune(name)); n == 0 || n > maxTagKey {
		return s3err.GetAPIError(s3err.ErrInvalidTagKey)
	}
	if len([]rune(value)) > maxTagValue {
		return s3err.GetAPIError(s3err.ErrInvalidTagValue)
	}
	if _, ok := r.Tags[name]; ok {
		return forbidden("Duplicate Tag Keys are not allowed.")
	}
	if r.Tags == nil {
		r.Tags = map[string]string{}
	}
	r.Tags[name] = value
	return nil
}

func (r *Rule) parseExpiration(e *element) error {
	if e == nil {
		return nil
	}
	by, _, err := e.parts("", "Days", "Date", "ExpiredObjectDeleteMarker")
	if err != nil || len(by) != 1 {
		return malformed()
	}
	if r.Days, err = by["Days"].positive("Expiration", maxDays); err != nil {
		return err
	}
	if d := by["Date"]; d != nil {
		s, err := d.text()
		if err != nil {
			return err
		}
		if r.Date, err = time.Parse(time.RFC3339, strings.TrimSpace(s)); err != nil || r.Date.IsZero() {
			return malformed()
		}
		if r.Date = r.Date.UTC(); !midnight(r.Date, 0).Equal(r.Date) {
			return invalid("'Date' must be at midnight GMT")
		}
	}
	if m := by["ExpiredObjectDeleteMarker"]; m != nil {
		switch s, _ := m.text(); strings.TrimSpace(s) {
		case "true":
			r.Markers = true
		case "false":
		default:
			return malformed()
		}
		if len(r.Tags) > 0 {
			return forbidden("ExpiredObjectDeleteMarker cannot be specified with Tags.")
		}
	}
	return nil
}

func (r *Rule) parseNoncurrent(e *element) error {
	if e == nil {
		return nil
	}
	const action = "NoncurrentVersionExpiration"
	by, _, err := e.parts("", "NoncurrentDays", "NewerNoncurrentVersions")
	if err != nil || by["NoncurrentDays"] == nil {
		return malformed()
	}
	if r.NoncurrentDays, err = by["NoncurrentDays"].positive(action, maxDays); err != nil {
		return err
	}
	r.NewerKept, err = by["NewerNoncurrentVersions"].positive(action, maxKept)
	return err
}

func (r *Rule) parseAbort(e *element) error {
	if e == nil {
		return nil
	}
	const action = "AbortIncompleteMultipartUpload"
	by, _, err := e.parts("", "DaysAfterInitiation")
	switch {
	case err != nil || by["DaysAfterInitiation"] == nil:
		return malformed()
	case len(r.Tags) > 0:
		return forbidden("%s cannot be specified with Tags.", action)
	case r.Above != nil || r.Below != nil:
		return forbidden("%s cannot be specified with Object Size.", action)
	}
	r.UploadDays, err = by["DaysAfterInitiation"].positive(action, maxDays)
	return err
}
