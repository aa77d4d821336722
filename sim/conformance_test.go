package sim_test

import (
	"bufio"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/versity/versitygw/tests/integration"
)

var updateConformance = flag.Bool("update-conformance", false, "write testdata/conformance.txt anew")

// notOurs are the parts of versitygw's suite that are about versitygw: its own user administration, other backends and its own
// website server.
var notOurs = regexp.MustCompile(`IAM|iam|Azure|^WORM|Website|website|data_integrity|^PutUserPolicy|^(Create|Put|Get|List|Delete|Update|Attach|Detach|Add|Remove|Tag|Untag)(User|Role|Group|AccessKey|Policy|Policies|LoginProfile)`)

const conformanceFile = "testdata/conformance.txt"

// readConformance reads which tests of the suite do not pass, and why: name, space, reason.
func readConformance(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open(conformanceFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	known := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if line := lines.Text(); line != "" && !strings.HasPrefix(line, "#") {
			name, reason, _ := strings.Cut(line, " ")
			if reason == "" {
				t.Errorf("%s: %s has no reason", conformanceFile, name)
			}
			known[name] = reason
		}
	}
	return known
}

// The suite inside versitygw's own module: what testdata/conformance.txt does not name passes, and what it names does not.
// Run by `make test-tools`.
func TestConformance(t *testing.T) {
	known := readConformance(t)
	if os.Getenv("STRATOS_TOOLS") == "" {
		t.Skip("run by make test-tools")
	}
	k := newAccessKey(t, "--bypass-locks")
	conf := integration.NewS3Conf(integration.WithAccess(k.ID), integration.WithSecret(k.Secret), integration.WithRegion("us-east-1"), integration.WithEndpoint(k.Endpoint), integration.WithVersioningEnabled())
	tests := integration.GetIntTests()
	t.Setenv("AWS_CA_BUNDLE", "") // for the SDK, which the suite configures from the environment
	quiet(t)                      // it prints every step
	var names []string
	for name := range tests {
		if !notOurs.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	failed := map[string]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 6)
	for _, name := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			err := func() (err error) {
				defer func() {
					if r := recover(); r != nil {
						err = fmt.Errorf("panic: %v", r)
					}
				}()
				return tests[name](conf)
			}()
			if err != nil {
				mu.Lock()
				failed[name] = err.Error()
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d of %d pass", len(names)-len(failed), len(names))
	if *updateConformance {
		writeConformance(t, known, failed)
		return
	}
	for _, name := range names {
		why, is := failed[name]
		switch reason, named := known[name]; {
		case is && !named:
			t.Errorf("%s: %s", name, why)
		case !is && named && !strings.HasPrefix(reason, "sometimes"):
			t.Errorf("%s passes; it is named with: %s", name, reason)
		}
	}
	for name := range known {
		if _, ok := tests[name]; !ok {
			t.Errorf("%s names %s, which the suite does not have", conformanceFile, name)
		}
	}
}

// quiet sends what is printed to nowhere until the test ends.
func quiet(t *testing.T) {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	was := os.Stdout
	os.Stdout = null
	t.Cleanup(func() { os.Stdout = was; null.Close() })
}

// reasonFor guesses why a test of the suite does not pass; what it does not know is open.
func reasonFor(name, why string) string {
	switch {
	case strings.Contains(why, "./versitygw"):
		return "needs versitygw's own tool to make users"
	case strings.Contains(name, "expected_bucket_owner"), strings.Contains(why, "bucket owner to be"):
		return "takes the access key for the account; ours are st1..."
	case strings.Contains(why, "ExistingObjectIsDirectory"), strings.Contains(why, "ObjectParentIsFile"), strings.Contains(why, "DirectoryObjectContainsData"), strings.Contains(why, "x-directory"),
		strings.Contains(name, "with_slashes"):
		return "is about folders of a file system; our keys are kept byte for byte"
	case strings.Contains(name, "name_too_long"):
		return "is about names of a file system; S3 allows 1024 bytes, and so do we"
	}
	return "open: " + strings.Join(strings.Fields(regexp.MustCompile(`, (RequestID|HostID): \S+|0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}`).ReplaceAllString(why, "")), " ")
}

func writeConformance(t *testing.T, known, failed map[string]string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("# Tests of versitygw's suite that do not pass, each with its reason. What begins with \"open\" has not been looked at.\n")
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		reason := known[name]
		if reason == "" || strings.HasPrefix(reason, "open") {
			reason = reasonFor(name, failed[name])
		}
		if len(reason) > 200 {
			reason = reason[:200]
		}
		fmt.Fprintf(&b, "%s %s\n", name, strings.ToValidUTF8(reason, "?"))
	}
	if err := os.WriteFile(filepath.FromSlash(conformanceFile), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
