package sim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// Documents over HTTP: what filters find, what changes do, indexes, and changes at once.
func TestDocuments(t *testing.T) {
	t.Parallel() // see TestS3Garbage
	const name = "sim-docs"
	mustCLI(t, "db", "create", name)
	var key struct{ AccessKey, Secret, Documents string }
	out := mustCLI(t, "keys", "create", "docs-app", "--database", name, "--format", "json")
	var rec map[string]any
	if err := json.Unmarshal([]byte(out), &rec); err != nil {
		t.Fatal(err)
	}
	key.AccessKey, _ = rec["access_key_id"].(string)
	key.Secret, _ = rec["secret_access_key"].(string)
	key.Documents, _ = rec["documents"].(string)
	if _, err := url.Parse(key.Documents); err != nil || key.Documents == "" {
		t.Fatalf("no URL for documents: %s", out)
	}
	post := func(t *testing.T, what, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, key.Documents+what, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key.AccessKey+"."+key.Secret)
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		b, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return a.StatusCode, string(b)
	}
	must := func(what, body, want string) {
		t.Helper()
		status, got := post(t, what, body)
		var x, y any
		if json.Unmarshal([]byte(got), &x) != nil || json.Unmarshal([]byte(want), &y) != nil || status != 200 || !reflect.DeepEqual(x, y) {
			t.Errorf("%s %s: %d %s, want %s", what, body, status, got, want)
		}
	}
	refused := func(what, body string, status int, want string) {
		t.Helper()
		if got, text := post(t, what, body); got != status || !strings.Contains(text, want) {
			t.Errorf("%s %s: %d %s, want %d with %q", what, body, got, text, status, want)
		}
	}
	must("people/find", `{}`, `{"documents":[]}`)
	must("people/update", `{"change":{"$set":{"a":1}}}`, `{"matched":0}`)
	must("people/index", `{"path":"age"}`, `{}`)
	must("people/index", `{"path":"address.city"}`, `{}`)
	must("people/index", `{"path":"mail","unique":true}`, `{}`)
	must("people/index", `{"path":"mail","unique":true}`, `{}`)
	must("people/insert", `{"documents":[{"_id":"ada","age":36,"address":{"city":"London"},"tags":["math","code"],"mail":"a@x"},
		{"_id":"bob","age":7.50,"address":{"city":"Bern"},"tags":[],"mail":null},{"_id":"cyd","age":"old","address":"none","a.b":1},{"_id":"dan","x":{"y":{"z":[{"w":1}]}},"it's":"a \"quote\""}]}`,
		`{"ids":["ada","bob","cyd","dan"]}`)
	find := func(filter, want string) {
		t.Helper()
		status, got := post(t, "people/find", `{"filter":`+filter+`,"fields":["none"]}`)
		var all struct {
			Documents []struct {
				ID string `json:"_id"`
			} `json:"documents"`
		}
		if err := json.Unmarshal([]byte(got), &all); err != nil || status != 200 {
			t.Errorf("%s: %d %s", filter, status, got)
			return
		}
		ids := ""
		for _, d := range all.Documents {
			ids += d.ID[:1]
		}
		if ids != want {
			t.Errorf("%s finds %q, want %q", filter, ids, want)
		}
	}
	for filter, want := range map[string]string{
		`{}`: "abcd", `{"_id":"bob"}`: "b", `{"_id":{"$in":["ada","dan","eve"]}}`: "ad", `{"age":36}`: "a", `{"age":36.0}`: "a", `{"age":7.5}`: "b", `{"age":null}`: "d", `{"age":{"$ne":36}}`: "bcd",
		`{"age":{"$gt":7}}`: "ab", `{"age":{"$gte":7.5,"$lt":36}}`: "b", `{"age":{"$gt":"a"}}`: "c", `{"age":{"$in":[36,"old",null]}}`: "acd", `{"age":{"$nin":[36,null]}}`: "bc", `{"age":{"$in":[]}}`: "",
		`{"age":{"$exists":false}}`: "d", `{"mail":null}`: "bcd", `{"mail":{"$exists":true,"$eq":null}}`: "b", `{"age":{"$type":"string"}}`: "c", `{"address.city":"Bern"}`: "b", `{"address":{"city":"Bern"}}`: "b",
		`{"tags":{"$contains":"code"}}`: "a", `{"tags":{"$size":0}}`: "b", `{"tags.0":"math"}`: "a", `{"x.y.z.0.w":1}`: "d", `{"mail":{"$like":"%@x"}}`: "a", `{"a\\.b":1}`: "c", `{"it's":"a \"quote\""}`: "d",
		`{"$or":[{"age":36},{"_id":"cyd"}]}`: "ac", `{"$nor":[{"age":36},{"_id":"cyd"}]}`: "bd", `{"$and":[{"age":{"$exists":true}},{"age":{"$not":{"$type":"number"}}}]}`: "c", `{"age":{"$not":{"$gt":7}}}`: "cd",
	} {
		find(filter, want)
	}
	must("people/find", `{"filter":{"_id":{"$ne":"dan"}},"sort":[{"path":"age","descending":true}],"fields":["age"],"limit":2}`, `{"documents":[{"_id":"ada","age":36},{"_id":"bob","age":7.5}]}`)
	must("people/find", `{"sort":[{"path":"age"}],"fields":["x"],"skip":3}`, `{"documents":[{"_id":"ada"}]}`)
	must("people/count", `{"filter":{"age":{"$gt":0}}}`, `{"count":2}`)

	update := func(change, want string) {
		t.Helper()
		must("people/update", `{"filter":{"_id":"bob"},"change":`+change+`}`, `{"matched":1}`)
		must("people/find", `{"filter":{"_id":"bob"}}`, `{"documents":[`+want+`]}`)
	}
	update(`{"_id":"bob","n":1,"l":[1,2,1]}`, `{"_id":"bob","n":1,"l":[1,2,1]}`)
	update(`{"$inc":{"n":1.5,"m":2},"$set":{"a.b.c":[]},"$push":{"l":{"x":1}},"$mul":{"n":2}}`, `{"_id":"bob","n":5,"m":2,"a":{"b":{"c":[]}},"l":[1,2,1,{"x":1}]}`)
	update(`{"$pull":{"l":1,"nothing":1},"$addToSet":{"a.b.c":"x"},"$min":{"n":3,"low":1},"$max":{"m":1},"$rename":{"a":"z"},"$setOnInsert":{"no":1}}`, `{"_id":"bob","n":3,"m":2,"low":1,"z":{"b":{"c":["x"]}},"l":[2,{"x":1}]}`)
	update(`{"$addToSet":{"z.b.c":"x","s":1},"$unset":{"l":"","low":"","n":""}}`, `{"_id":"bob","m":2,"z":{"b":{"c":["x"]}},"s":[1]}`)
	refused("people/update", `{"filter":{"_id":"cyd"},"change":{"$inc":{"age":1}}}`, 400, "string at age is no number")
	refused("people/update", `{"filter":{"_id":"cyd"},"change":{"$push":{"age":1}}}`, 400, "string at age is no list")
	must("people/update", `{"filter":{"age":{"$exists":true}},"change":{"$set":{"seen":true}},"many":true}`, `{"matched":2}`)
	must("people/update", `{"filter":{"seen":true},"change":{"$set":{"first":true}}}`, `{"matched":1}`)
	find(`{"first":true}`, "a")

	must("people/update", `{"filter":{"_id":"eve","address.city":"Rome"},"change":{"$inc":{"visits":1},"$setOnInsert":{"made":1}},"upsert":true}`, `{"matched":0,"inserted":"eve"}`)
	must("people/update", `{"filter":{"_id":"eve","address.city":"Rome"},"change":{"$inc":{"visits":1},"$setOnInsert":{"made":2}},"upsert":true}`, `{"matched":1}`)
	must("people/find", `{"filter":{"_id":"eve"}}`, `{"documents":[{"_id":"eve","address":{"city":"Rome"},"visits":2,"made":1}]}`)
	refused("people/update", `{"filter":{"_id":"eve","address.city":"Oslo"},"change":{"$set":{"a":1}},"upsert":true}`, 409, "duplicate key")
	must("people/delete", `{"filter":{"age":{"$exists":true}}}`, `{"deleted":1}`)
	must("people/delete", `{"filter":{"age":{"$exists":true}},"many":true}`, `{"deleted":1}`)

	refused("people/insert", `{"documents":[{"_id":"new"},{"_id":"eve"}]}`, 409, "duplicate key")
	refused("people/insert", `{"documents":[{"mail":"b@x"},{"mail":"b@x"}]}`, 409, "duplicate key")
	find(`{"_id":"new"}`, "")
	for what, want := range map[string]string{
		`{"documents":[]}`: "0 documents", `{"documents":[1]}`: "no JSON object", `{"documents":[{"_id":1}]}`: "a text of 1 to 255", `{"docs":[]}`: "unknown field", `{`: "the request",
	} {
		refused("people/insert", what, 400, want)
	}
	for filter, want := range map[string]string{
		`[]`: "no JSON object", `{"$where":1}`: "not known", `{"a":{"$near":1}}`: "no operator", `{"a..b":1}`: "no path", `{"$or":[]}`: "a list of filters", `{"a":{"$in":1}}`: "a list of values",
	} {
		refused("people/find", `{"filter":`+filter+`}`, 400, want)
	}
	refused("people/update", `{"change":{"$set":{"_id":"x"}}}`, 400, "never changes")
	refused("people/update", `{"change":{"$set":{"a":1},"b":1}}`, 400, "or no operator at all")
	refused("people/dance", `{}`, 404, "dance")
	refused("no-table/find", `{}`, 400, "collection's name")

	must("notes/index", `{"path":"text","text":"english"}`, `{}`)
	must("notes/insert", `{"documents":[{"_id":"a","text":"The quick brown foxes jumped"},{"_id":"b","text":{"title":"Foxes","body":["quick, quick: a fox"]}},{"_id":"c","text":"lazy dogs"},{"_id":"d","n":1}]}`, `{"ids":["a","b","c","d"]}`)
	must("notes/find", `{"filter":{"text":{"$text":"quick fox"}},"sort":[{"path":"text","rank":"quick fox"}],"fields":["n"]}`, `{"documents":[{"_id":"b"},{"_id":"a"}]}`)
	must("notes/find", `{"filter":{"text":{"$text":"\"quick brown\" or dog"}},"fields":["n"]}`, `{"documents":[{"_id":"a"},{"_id":"c"}]}`)
	must("notes/count", `{"filter":{"text":{"$not":{"$text":{"search":"foxes","language":"simple"}}}}}`, `{"count":2}`)
	must("notes/update", `{"filter":{"text":{"$text":"lazy"}},"change":{"$set":{"text":"awake"}}}`, `{"matched":1}`)
	must("notes/count", `{"filter":{"text":{"$text":"dog"}}}`, `{"count":0}`)
	must("notes/unindex", `{"path":"text","text":"english"}`, `{}`)
	refused("notes/index", `{"path":"text","text":"klingon"}`, 400, "no language")

	var wg sync.WaitGroup // a counter that many raise, and that one of them makes
	for range 8 {
		wg.Go(func() {
			if status, text := post(t, "counters/update", `{"filter":{"name":"hits"},"change":{"$inc":{"n":1}},"upsert":true}`); status != 200 {
				t.Errorf("%d %s", status, text)
			}
		})
	}
	wg.Wait()
	must("counters/find", `{"fields":["n"],"filter":{"name":{"$exists":false}}}`, `{"documents":[]}`)
	must("counters/count", `{"filter":{"name":"hits","n":8}}`, `{"count":1}`)
	must("people/unindex", `{"path":"age"}`, `{}`)
	refused("people/unindex", `{"path":"age"}`, 404, "no such index")
	must("people/drop", `{}`, `{}`)
	must("people/find", `{}`, `{"documents":[]}`)
	page, err := os.ReadFile("../docs/documents.md")
	examples := regexp.MustCompile("(?m)^```\n(people/\\w+)\n(.*)\n(.*)\n```$").FindAllStringSubmatch(string(page), -1)
	if err != nil || len(examples) < 8 {
		t.Fatalf("%d examples in docs/documents.md, %v", len(examples), err)
	}
	for _, e := range examples {
		must(e[1], e[2], e[3])
	}
	var many []string
	for i := range 2000 {
		many = append(many, fmt.Sprintf(`{"n":%d}`, i))
	}
	if status, text := post(t, "many/insert", `{"documents":[`+strings.Join(many, ",")+`]}`); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	gas := func() (n float64) { // of what {"n":1000} asks
		var o struct {
			Usage struct{ Gas float64 }
		}
		if err := json.Unmarshal([]byte(mustCLI(t, "db", "sql", name, `SELECT doc FROM many WHERE (doc #> '{"n"}') = $1::jsonb`, "--param", "'1000'", "--level", "ordered", "--json")), &o); err != nil || o.Usage.Gas == 0 {
			t.Fatalf("%v", err)
		}
		return o.Usage.Gas
	}
	without := gas()
	must("many/index", `{"path":"n"}`, `{}`)
	if with := gas(); with*10 > without {
		t.Errorf("a search takes %v gas with an index, %v without", with, without)
	}
	if out := mustCLI(t, "db", "sql", name, "SELECT doc ->> 'n' AS n FROM counters"); !strings.Contains(out, "8") {
		t.Errorf("SQL sees %s", out)
	}
	mustCLI(t, "db", "drop", name, "--yes")
}
