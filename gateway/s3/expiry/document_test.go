package expiry

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/versity/versitygw/s3err"
)

// doc is a configuration of rules' insides.
func doc(rules ...string) string {
	all := ""
	for _, r := range rules {
		all += "<Rule>" + r + "</Rule>"
	}
	return `<LifecycleConfiguration xmlns="` + namespace + `">` + all + "</LifecycleConfiguration>"
}

const on = "<ID>a</ID><Status>Enabled</Status>"

func TestParse(t *testing.T) {
	size := func(n uint64) *uint64 { return &n }
	for _, c := range []struct {
		rule string
		want Rule
	}{
		{on + `<Filter/><Expiration><Days>7</Days></Expiration>`, Rule{Days: 7}},
		{on + `<Filter> </Filter><Expiration><Days> 7 </Days></Expiration>`, Rule{Days: 7}},
		{on + `<Prefix>logs/</Prefix><Expiration><Date>2026-02-01T00:00:00.000Z</Date></Expiration>`, Rule{Prefix: "logs/", Date: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)}},
		{on + `<Filter><Prefix> a&amp;b</Prefix></Filter><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>`, Rule{Prefix: " a&b", Markers: true}},
		{on + `<Filter><Tag><Key>k</Key><Value></Value></Tag></Filter><Expiration><Days>1</Days></Expiration>`, Rule{Tags: map[string]string{"k": ""}, Days: 1}},
		{on + `<Filter><ObjectSizeGreaterThan>0</ObjectSizeGreaterThan></Filter><Expiration><Days>1</Days></Expiration>`, Rule{Above: size(0), Days: 1}},
		{on + `<Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key><Value>w</Value></Tag><ObjectSizeGreaterThan>1</ObjectSizeGreaterThan><ObjectSizeLessThan>3</ObjectSizeLessThan></And></Filter><NoncurrentVersionExpiration><NoncurrentDays>2</NoncurrentDays><NewerNoncurrentVersions>3</NewerNoncurrentVersions></NoncurrentVersionExpiration>`,
			Rule{Prefix: "p", Tags: map[string]string{"k": "v", "l": "w"}, Above: size(1), Below: size(3), NoncurrentDays: 2, NewerKept: 3}},
		{on + `<Filter/><AbortIncompleteMultipartUpload><DaysAfterInitiation>5</DaysAfterInitiation></AbortIncompleteMultipartUpload><Expiration><ExpiredObjectDeleteMarker>false</ExpiredObjectDeleteMarker></Expiration>`, Rule{UploadDays: 5}},
	} {
		c.want.ID, c.want.Enabled = "a", true
		rules, kept, err := Parse([]byte(doc(c.rule)))
		if err != nil || len(rules) != 1 || !reflect.DeepEqual(rules[0], c.want) {
			t.Errorf("%s:\n%+v, %v, want\n%+v", c.rule, rules, err, c.want)
			continue
		}
		again, same, err := Parse(kept)
		if err != nil || !reflect.DeepEqual(again, rules) || string(same) != string(kept) {
			t.Errorf("%s: what is kept, %s, reads as %+v, %v", c.rule, kept, again, err)
		}
	}
}

// The document comes back as it was but for what it lacked and what says nothing: order, and how a filter was written.
func TestParseKeeps(t *testing.T) {
	rules := []string{
		`<ID>z</ID><Filter></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration>`,
		`<ID>a</ID><Filter><Prefix></Prefix></Filter><Status>Disabled</Status><Expiration><Days>1</Days></Expiration>`,
		`<ID>m</ID><Prefix> x</Prefix><Status>Enabled</Status><Expiration><Days>1</Days></Expiration>`,
	}
	spaced := "<?xml version=\"1.0\"?>\n<!-- rules -->" + strings.ReplaceAll(doc(rules...), "<Rule>", "\n\t<Rule>\n") + "\n"
	_, kept, err := Parse([]byte(spaced))
	if want := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + doc(rules...); err != nil || string(kept) != want {
		t.Errorf("%v\n%s, want\n%s", err, kept, want)
	}
	unnamed, kept, err := Parse([]byte(doc(rules[0], strings.TrimPrefix(rules[1], "<ID>a</ID>"), strings.Replace(rules[2], "<ID>m</ID>", "<ID/>", 1))))
	if err != nil || unnamed[1].ID == "" || unnamed[2].ID == "" || unnamed[1].ID == unnamed[2].ID {
		t.Fatalf("%+v, %v", unnamed, err)
	}
	rules[1], rules[2] = strings.Replace(rules[1], ">a<", ">"+unnamed[1].ID+"<", 1), strings.Replace(rules[2], ">m<", ">"+unnamed[2].ID+"<", 1)
	if !strings.HasSuffix(string(kept), doc(rules...)) {
		t.Errorf("%s, want\n%s", kept, doc(rules...))
	}
}

func TestParseRefuses(t *testing.T) {
	const days = "<Expiration><Days>1</Days></Expiration>"
	many := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("<ID>%d</ID><Status>Enabled</Status><Filter/>%s", i, days)
		}
		return doc(all...)
	}
	if _, _, err := Parse([]byte(many(maxRules))); err != nil {
		t.Errorf("%d rules: %v", maxRules, err)
	}
	tags := ""
	for i := range maxTags + 1 {
		tags += fmt.Sprintf("<Tag><Key>%d</Key><Value/></Tag>", i)
	}
	rule := func(s string) string { return doc(on + s) }
	for _, c := range []struct{ name, doc, code string }{
		{"nothing", "", "MalformedXML"},
		{"no rule", doc(), "MalformedXML"},
		{"too many rules", many(maxRules + 1), "MalformedXML"},
		{"another document", "<CORSConfiguration/>", "MalformedXML"},
		{"half a document", doc(on + days)[:40], "MalformedXML"},
		{"two documents", rule("<Filter/>"+days) + doc(), "MalformedXML"},
		{"text behind it", rule("<Filter/>"+days) + "x", "MalformedXML"},
		{"text within", rule("x<Filter/>" + days), "MalformedXML"},
		{"no filter", rule(days), "MalformedXML"},
		{"filter and prefix", rule("<Filter/><Prefix/>" + days), "MalformedXML"},
		{"two filters", rule("<Filter/><Filter/>" + days), "MalformedXML"},
		{"an unknown condition", rule("<Filter><Suffix>x</Suffix></Filter>" + days), "MalformedXML"},
		{"an unknown element", rule("<Filter/><Suffix>x</Suffix>" + days), "MalformedXML"},
		{"two conditions without And", rule("<Filter><Prefix>a</Prefix><ObjectSizeLessThan>1</ObjectSizeLessThan></Filter>" + days), "MalformedXML"},
		{"two tags without And", rule("<Filter><Tag><Key>a</Key><Value/></Tag><Tag><Key>b</Key><Value/></Tag></Filter>" + days), "MalformedXML"},
		{"an empty And", rule("<Filter><And/></Filter>" + days), "MalformedXML"},
		{"And within And", rule("<Filter><And><And/></And></Filter>" + days), "MalformedXML"},
		{"two prefixes", rule("<Filter><And><Prefix>a</Prefix><Prefix>b</Prefix></And></Filter>" + days), "MalformedXML"},
		{"an element within a prefix", rule("<Filter><Prefix><a/></Prefix></Filter>" + days), "MalformedXML"},
		{"a long prefix", rule("<Filter><Prefix>" + strings.Repeat("a", 1025) + "</Prefix></Filter>" + days), "InvalidRequest"},
		{"more than can be kept", doc(slices.Collect(func(yield func(string) bool) {
			for i := range 200 {
				yield(fmt.Sprintf("<ID>%d</ID><Status>Enabled</Status><Prefix>%s</Prefix>%s", i, strings.Repeat("a", 1000), days))
			}
		})...), "InvalidRequest"},
		{"a tag without a value", rule("<Filter><Tag><Key>a</Key></Tag></Filter>" + days), "MalformedXML"},
		{"a tag without a name", rule("<Filter><Tag><Key/><Value/></Tag></Filter>" + days), "InvalidTag"},
		{"a long tag", rule("<Filter><Tag><Key>" + strings.Repeat("ü", 129) + "</Key><Value/></Tag></Filter>" + days), "InvalidTag"},
		{"a long value", rule("<Filter><Tag><Key>a</Key><Value>" + strings.Repeat("ü", 257) + "</Value></Tag></Filter>" + days), "InvalidTag"},
		{"a tag twice", rule("<Filter><And><Tag><Key>a</Key><Value/></Tag><Tag><Key>a</Key><Value>1</Value></Tag></And></Filter>" + days), "InvalidRequest"},
		{"too many tags", rule("<Filter><And>" + tags + "</And></Filter>" + days), "InvalidRequest"},
		{"a negative size", rule("<Filter><ObjectSizeLessThan>-1</ObjectSizeLessThan></Filter>" + days), "InvalidRequest"},
		{"a size of words", rule("<Filter><ObjectSizeLessThan>one</ObjectSizeLessThan></Filter>" + days), "MalformedXML"},
		{"sizes without one between", rule("<Filter><And><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><ObjectSizeLessThan>5</ObjectSizeLessThan></And></Filter>" + days), "InvalidRequest"},
		{"no status", doc("<ID>a</ID><Filter/>" + days), "MalformedXML"},
		{"another status", doc("<ID>a</ID><Status>On</Status><Filter/>" + days), "MalformedXML"},
		{"a long id", doc("<ID>" + strings.Repeat("a", 256) + "</ID><Status>Enabled</Status><Filter/>" + days), "InvalidArgument"},
		{"an id twice", doc(on+"<Filter/>"+days, on+"<Filter/>"+days), "InvalidArgument"},
		{"no action", rule("<Filter/>"), "InvalidRequest"},
		{"an empty expiration", rule("<Filter/><Expiration/>"), "MalformedXML"},
		{"days and date", rule("<Filter/><Expiration><Days>1</Days><Date>2026-02-01T00:00:00Z</Date></Expiration>"), "MalformedXML"},
		{"days and markers", rule("<Filter/><Expiration><Days>1</Days><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"), "MalformedXML"},
		{"no days", rule("<Filter/><Expiration><Days>0</Days></Expiration>"), "InvalidArgument"},
		{"days before", rule("<Filter/><Expiration><Days>-1</Days></Expiration>"), "InvalidArgument"},
		{"more days than count", rule("<Filter/><Expiration><Days>2147483648</Days></Expiration>"), "InvalidArgument"},
		{"half a day", rule("<Filter/><Expiration><Days>0.5</Days></Expiration>"), "MalformedXML"},
		{"noon", rule("<Filter/><Expiration><Date>2026-02-01T12:00:00Z</Date></Expiration>"), "InvalidArgument"},
		{"midnight elsewhere", rule("<Filter/><Expiration><Date>2026-02-01T00:00:00+02:00</Date></Expiration>"), "InvalidArgument"},
		{"no date", rule("<Filter/><Expiration><Date>soon</Date></Expiration>"), "MalformedXML"},
		{"the first date of all", rule("<Filter/><Expiration><Date>0001-01-01T00:00:00Z</Date></Expiration>"), "MalformedXML"},
		{"markers perhaps", rule("<Filter/><Expiration><ExpiredObjectDeleteMarker>1</ExpiredObjectDeleteMarker></Expiration>"), "MalformedXML"},
		{"markers by tag", rule("<Filter><Tag><Key>a</Key><Value/></Tag></Filter><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"), "InvalidRequest"},
		{"older versions without days", rule("<Filter/><NoncurrentVersionExpiration><NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration>"), "MalformedXML"},
		{"too many kept", rule("<Filter/><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>101</NewerNoncurrentVersions></NoncurrentVersionExpiration>"), "InvalidArgument"},
		{"uploads without days", rule("<Filter/><AbortIncompleteMultipartUpload/>"), "MalformedXML"},
		{"uploads by tag", rule("<Filter><Tag><Key>a</Key><Value/></Tag></Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>"), "InvalidRequest"},
		{"uploads by size", rule("<Filter><ObjectSizeLessThan>9</ObjectSizeLessThan></Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>"), "InvalidRequest"},
		{"a transition", rule("<Filter/><Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>"), "InvalidRequest"},
		{"a transition of older versions", rule("<Filter/>" + days + "<NoncurrentVersionTransition/>"), "InvalidRequest"},
	} {
		rules, _, err := Parse([]byte(c.doc))
		var e s3err.S3Error
		if err == nil {
			t.Errorf("%s: taken, as %+v", c.name, rules)
		} else if !errors.As(err, &e) || !strings.Contains(string(e.XMLBody("", "")), "<Code>"+c.code+"</Code>") || e.StatusCode() != 400 {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
	}
}

// Nothing makes Parse panic, and what it takes it takes again.
func FuzzParse(f *testing.F) {
	f.Add(doc(on + "<Filter><And><Prefix>a</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter><Expiration><Days>1</Days></Expiration>"))
	f.Add(doc("<Status>Disabled</Status><Prefix/><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>"))
	f.Fuzz(func(t *testing.T, s string) {
		rules, kept, err := Parse([]byte(s))
		if err != nil {
			return
		}
		again, same, err := Parse(kept)
		if err != nil || string(same) != string(kept) || !reflect.DeepEqual(again, rules) {
			t.Errorf("%q is kept as %q, which reads as %+v, not %+v: %v", s, kept, again, rules, err)
		}
	})
}
