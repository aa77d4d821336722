package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute/script"
	"github.com/stratosmesh/stratos/protocol/app"
	"github.com/stratosmesh/stratos/protocol/fuel"
	"github.com/stratosmesh/stratos/protocol/grant"
)

// A deployCommand is what stratos deploy was told.
type deployCommand struct {
	*env
	secrets []string
	noBuild bool
}

func newDeployCommand(e *env) *cobra.Command {
	c := &deployCommand{env: e}
	cmd := &cobra.Command{
		Use:   "deploy DIR",
		Short: "Put an application on the network: pages, functions, a database",
		Long: `Reads DIR/stratos.toml, puts what it names on the network, and prints where the application answers. Deployed again it is a new version,
which counts from one moment on; see stratos app rollback.

  name = "guestbook"              # of the application, its bucket and its host
  site = "public"                 # folder of pages; index.html and 404.html are what they are elsewhere
  budget = "20oz"                 # that requests may spend in all, by the key that is made for gateways; default: no bound
  build = ["make", "functions"]   # run in DIR before
  secrets = ["MAIL_TOKEN"]        # names; the values by --secret, once

  [database]                      # made when it is not there
  name = "guestbook"
  migrations = "migrations"       # .sql files, each run once, in the order of their names

  [[function]]
  name = "posts"
  program = "posts.js"            # a script, or a module of WASI preview 1
  routes = ["GET /api/posts", "POST /api/posts", "DELETE /api/posts/{id}"]
  level = "pair"                  # receipt, spot, pair or quorum; default spot for GET and HEAD, else pair
  memory = 64                     # MiB
  fuel = 10_000_000_000           # that a request may spend; a second of one core is about 30,000,000,000
  env = { GREETING = "hello" }

  [[schedule]]
  function = "tidy"
  every = "24h"                   # at least 10s; at multiples of it since 1970, in UTC

  [[trigger]]
  function = "thumb"
  prefix = "uploads/"             # for each object that is written there from now on

A function is a program that answers one request and ends, as CGI has it: the method, the path and all else stand in its environment (REQUEST_METHOD, PATH_INFO,
QUERY_STRING, HTTP_..., PARAM_id for {id}), the body is its standard input, and it writes header fields, an empty line and the body. What it writes
to standard error is its log. It asks by lines of JSON to the file /dev/stratos, and reads a line for each:

  {"sql": "SELECT name FROM posts WHERE id = $1", "params": [7]}     {"columns": ["name"], "rows": [["ink"]], "changed": 0}
  {"get": "uploads/a.txt"}  {"put": "uploads/a.txt", "text": "..."}  {"delete": "uploads/a.txt"}  {"list": "uploads/", "after": ""}

For a schedule or a trigger it finds EVENT=schedule or EVENT=object, EVENT_TIME or OBJECT_KEY and OBJECT_VERSION, and what it writes is dropped; it is run at most once.
A script has it easier: sql(TEXT, ...PARAMETERS) and ask(OBJECT). Objects are those of the application's bucket.

Nodes that were drawn run functions. At level spot one does, and some requests are run once more by another; at pair two run each request, see the same,
and must give the same before anything of it counts: that is so for every method but GET and HEAD, which only read. All SQL of a request is one
transaction.`,
		Example: "  stratos deploy examples/guestbook\n  stratos deploy . --secret MAIL_TOKEN=@token.txt",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringArrayVar(&c.secrets, "secret", nil, "NAME=VALUE, or NAME=@FILE; may be repeated")
	cmd.Flags().BoolVar(&c.noBuild, "no-build", false, "do not run the build command")
	return cmd
}

// A deployed is what stratos deploy prints.
type deployed struct {
	App       string   `json:"app"`
	Version   uint64   `json:"version"`
	URL       string   `json:"url"`
	Functions []string `json:"functions,omitempty"`
	Pages     int      `json:"pages"`
	Database  string   `json:"database,omitempty"`
	Migrated  []string `json:"migrated,omitempty"`
}

// A program is a function's, as it is stored.
type program struct {
	key, kind string
	content   []byte
}

func (c *deployCommand) run(ctx context.Context, dir string) error {
	if c.grant != "" {
		return mesh.WithHint(mesh.Errorf(mesh.Denied, "only the account deploys"), "leave --grant away")
	}
	d, err := readDeployment(dir)
	if err != nil {
		return err
	}
	if len(d.Build) > 0 && !c.noBuild {
		if err := c.build(ctx, d); err != nil {
			return err
		}
	}
	m, err := d.manifest()
	if err != nil {
		return err
	}
	programs, err := d.programs(m)
	if err != nil {
		return err
	}
	pages, err := d.pages()
	if err != nil {
		return err
	}
	secrets, err := c.given(d)
	if err != nil {
		return err
	}
	m.Version = 1 // so that it can be checked before anything is stored
	if err := m.Check(); err != nil {
		return err
	}
	out := &deployed{App: d.Name, Pages: len(pages)}
	err = c.withClient(ctx, func(cl *client.Client) error { return c.deploy(ctx, cl, d, m, programs, pages, secrets, out) })
	if err != nil {
		return err
	}
	return c.print(out, func(w io.Writer) {
		fmt.Fprintf(w, "version %d of %s answers at %s\n", out.Version, out.App, out.URL)
	})
}

// build runs the build command.
func (c *deployCommand) build(ctx context.Context, d *deployment) error {
	cmd := exec.CommandContext(ctx, d.Build[0], d.Build[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = d.dir, c.stderr, c.stderr
	if err := cmd.Run(); err != nil {
		return mesh.Errorf(mesh.Invalid, "building: %s: %w", strings.Join(d.Build, " "), err)
	}
	return nil
}

// programs reads the functions' programs, and names them in the manifest.
func (d *deployment) programs(m *app.Manifest) (all map[string]program, err error) {
	all = map[string]program{}
	put := func(key func(string) string, kind string, content []byte) string {
		sum := sha256.Sum256(content)
		name := hex.EncodeToString(sum[:])
		all[name] = program{key(name), kind, content}
		return name
	}
	for i, f := range d.Functions {
		path := filepath.Join(d.dir, f.Program)
		is, err := script.Is(path)
		if err != nil {
			return nil, fmt.Errorf("function %s: %w", f.Name, err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, mesh.Errorf(mesh.NotFound, "function %s: %w", f.Name, err)
		}
		to := &m.Functions[i]
		if is {
			if len(b) > app.MaxScript {
				return nil, mesh.Errorf(mesh.Exhausted, "function %s: a script of %d bytes, %d are the most", f.Name, len(b), app.MaxScript)
			}
			to.Script = put(app.ScriptKey, "text/javascript", b)
			b = []byte(script.Module())
		}
		if _, err := fuel.Meter(b, fuel.Options{MemoryPages: to.Pages}); err != nil {
			return nil, fmt.Errorf("function %s: %w", f.Name, err)
		}
		to.Module = put(app.ModuleKey, "application/wasm", b)
	}
	return all, nil
}

// pages are the files of the site, by their paths below it with slashes.
func (d *deployment) pages() (all map[string]string, err error) {
	all = map[string]string{}
	if d.Site == "" {
		return all, nil
	}
	root := filepath.Join(d.dir, d.Site)
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if !e.Type().IsRegular() {
			return fmt.Errorf("%s is no file", path)
		}
		name, err := filepath.Rel(root, path)
		if err == nil {
			all[filepath.ToSlash(name)] = path
		}
		return err
	})
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "the site: %w", err)
	}
	return all, nil
}

// given are the secrets that were given.
func (c *deployCommand) given(d *deployment) (map[string]string, error) {
	all := map[string]string{}
	for _, s := range c.secrets {
		name, value, ok := strings.Cut(s, "=")
		if !ok || !slices.Contains(d.Secrets, name) {
			return nil, &usageError{mesh.WithHint(mesh.Errorf(mesh.Invalid, "--secret %s names no secret of the application", name), "it has: %s", strings.Join(d.Secrets, ", "))}
		}
		if path, ok := strings.CutPrefix(value, "@"); ok {
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, mesh.Errorf(mesh.NotFound, "secret %s: %w", name, err)
			}
			value = strings.TrimRight(string(b), "\r\n")
		}
		all[name] = value
	}
	return all, nil
}

// deploy puts everything on the network, and at last the manifest, from which moment on it counts.
func (c *deployCommand) deploy(ctx context.Context, cl *client.Client, d *deployment, m *app.Manifest, programs map[string]program, pages, secrets map[string]string, out *deployed) error {
	if err := ownBucket(ctx, cl, d.Name); err != nil {
		return err
	}
	versions, err := appVersions(ctx, cl, d.Name)
	if err != nil {
		return err
	}
	m.Version = 1
	if n := len(versions); n > 0 {
		m.Version = versions[n-1] + 1
	}
	if err := c.keepSecrets(ctx, cl, d, secrets); err != nil {
		return err
	}
	err = each(ctx, slices.Collect(maps.Values(programs)), func(ctx context.Context, p program) error {
		_, err := cl.Stat(ctx, mesh.Path{Bucket: d.Name, Key: p.key})
		if err == nil || mesh.KindOf(err) != mesh.NotFound {
			return err // it is named by its content
		}
		return putBytes(ctx, cl, d.Name, p.key, p.kind, p.content)
	})
	if err != nil {
		return err
	}
	err = each(ctx, slices.Sorted(maps.Keys(pages)), func(ctx context.Context, name string) error {
		f, err := os.Open(pages[name])
		if err != nil {
			return mesh.Errorf(mesh.NotFound, "the site: %w", err)
		}
		_, err = cl.Put(ctx, mesh.Path{Bucket: d.Name, Key: app.SiteFolder(m.Version) + name}, f, client.PutOptions{})
		return errors.Join(err, f.Close())
	})
	if err != nil {
		return err
	}
	if d.Database != nil {
		if out.Database, out.Migrated, err = d.Database.Name, nil, c.prepareDatabase(ctx, cl, d, out); err != nil {
			return err
		}
	}
	serving, err := c.keys(ctx, cl, d, m)
	if err != nil {
		return err
	}
	if err := publishManifest(ctx, cl, d.Name, m, serving); err != nil {
		return err
	}
	if err := c.retireServing(ctx, cl, d.Name, serving); err != nil {
		return err
	}
	out.Version = m.Version
	for _, f := range m.Functions {
		out.Functions = append(out.Functions, f.Name)
	}
	if out.URL, err = c.appURL(d.Name); err != nil {
		return err
	}
	return tidyVersions(ctx, cl, d.Name, append(versions, m.Version))
}

// ownBucket sees to it that the account has the bucket of an application.
func ownBucket(ctx context.Context, cl *client.Client, name string) error {
	b, err := cl.Bucket(ctx, name)
	switch {
	case err != nil && mesh.KindOf(err) == mesh.NotFound:
		return cl.MakeBucket(ctx, name, false)
	case err != nil:
		return err
	case b.Owner != cl.Access().Account():
		return mesh.WithHint(mesh.Errorf(mesh.Conflict, "there is a bucket %q of another account", name), "give the application another name")
	case b.Public:
		return mesh.WithHint(mesh.Errorf(mesh.Conflict, "the bucket %q is public: everybody could read what the application stores", name), "give the application another name")
	}
	return nil
}

func putBytes(ctx context.Context, cl *client.Client, bucket, key, kind string, b []byte) error {
	_, err := cl.Put(ctx, mesh.Path{Bucket: bucket, Key: key}, strings.NewReader(string(b)), client.PutOptions{ContentType: kind})
	return err
}

// keepSecrets adds secrets to those that are kept, and refuses where one is missing.
func (c *deployCommand) keepSecrets(ctx context.Context, cl *client.Client, d *deployment, given map[string]string) error {
	kept := map[string]string{}
	b, err := getBytes(ctx, cl, d.Name, app.SecretsKey())
	switch {
	case err != nil && mesh.KindOf(err) != mesh.NotFound:
		return err
	case err == nil:
		if err := json.Unmarshal(b, &kept); err != nil {
			return mesh.Errorf(mesh.Corrupt, "the application's secrets: %w", err)
		}
	}
	before := maps.Clone(kept)
	maps.DeleteFunc(kept, func(name, _ string) bool { return !slices.Contains(d.Secrets, name) })
	maps.Copy(kept, given)
	for _, name := range d.Secrets {
		if _, ok := kept[name]; !ok {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the secret %s has no value", name), "give it once: --secret %s=VALUE", name)
		}
	}
	if maps.Equal(kept, before) {
		return nil
	}
	if b, err = json.Marshal(kept); err != nil {
		return mesh.Errorf(mesh.Internal, "encoding secrets: %w", err)
	}
	if len(b) > app.MaxSecrets {
		return mesh.Errorf(mesh.Exhausted, "secrets of %d bytes, %d are the most", len(b), app.MaxSecrets)
	}
	return putBytes(ctx, cl, d.Name, app.SecretsKey(), "application/json", b)
}

// getBytes reads what an application keeps.
func getBytes(ctx context.Context, cl *client.Client, bucket, key string) ([]byte, error) {
	b, _, err := cl.ReadAll(ctx, mesh.Path{Bucket: bucket, Key: key}, 0, 64<<20)
	return b, err
}

// migrationsTable keeps which migrations were run.
const migrationsTable = `CREATE TABLE IF NOT EXISTS stratos_migrations(name text PRIMARY KEY, sum text NOT NULL, at text NOT NULL)`

// prepareDatabase makes the database where it is missing, and runs the migrations that were not.
func (c *deployCommand) prepareDatabase(ctx context.Context, cl *client.Client, d *deployment, out *deployed) error {
	name := d.Database.Name
	_, err := cl.Database(ctx, name)
	if err != nil && mesh.KindOf(err) == mesh.NotFound {
		err = cl.CreateDatabase(ctx, name, client.DatabaseOptions{Dialect: d.Database.Dialect})
	}
	if err != nil {
		return err
	}
	if err := c.awaitDatabase(ctx, cl, name); err != nil || d.Database.Migrations == "" {
		return err
	}
	files, err := filepath.Glob(filepath.Join(d.dir, d.Database.Migrations, "*.sql"))
	if err != nil || len(files) == 0 {
		return mesh.WithHint(mesh.Errorf(mesh.NotFound, "there are no migrations in %s", filepath.Join(d.dir, d.Database.Migrations)), "they are files that end in .sql")
	}
	slices.Sort(files)
	db, err := cl.OpenDatabase(ctx, name, database.Options{})
	if err != nil {
		return err
	}
	o, err := db.Exec(ctx, database.Program{Statements: []database.Statement{database.SQL(migrationsTable), database.SQL("SELECT name, sum FROM stratos_migrations")}})
	if err != nil {
		return err
	}
	done := map[string]string{}
	for _, row := range o.Results[1].Rows {
		name, _ := row[0].(string)
		done[name], _ = row[1].(string)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			return mesh.Errorf(mesh.NotFound, "a migration: %w", err)
		}
		name, sum := filepath.Base(path), fmt.Sprintf("%x", sha256.Sum256(b))
		if was, ok := done[name]; ok {
			if was != sum {
				return mesh.WithHint(mesh.Errorf(mesh.Conflict, "the migration %s was run, and was another then", name), "undo the change, and put it into a new file")
			}
			continue
		}
		p := database.Program{}
		for _, s := range database.Split(db.Dialect(), string(b)) {
			p.Statements = append(p.Statements, database.SQL(s))
		}
		n := len(p.Statements)
		mark := "INSERT INTO stratos_migrations VALUES($1, $2, $3)"
		if db.Dialect() != client.Dialects()[0] {
			mark = "INSERT INTO stratos_migrations VALUES(?, ?, ?)"
		}
		p.Statements = append(p.Statements, database.SQL(mark, name, sum, time.Now().UTC().Format(time.RFC3339)))
		if _, err := db.Exec(ctx, p); err != nil {
			return fmt.Errorf("migration %s: %w", name, explained(err, n))
		}
		c.say("migration %s was run", name)
		out.Migrated = append(out.Migrated, name)
	}
	return nil
}

// keys makes the keys under which gateways serve the application and use its database, or keeps those of the version before. It gives the
// first, and notes the other in the manifest.
func (c *deployCommand) keys(ctx context.Context, cl *client.Client, d *deployment, m *app.Manifest) (serving string, err error) {
	serving, err = c.appKey(ctx, cl, "app-"+d.Name, grantTerms{prefix: d.Name + "/", budget: d.Budget, serves: d.Name}, grant.Read|grant.List|grant.Write|grant.Delete)
	if err != nil || d.Database == nil {
		return serving, err
	}
	name := d.Database.Name
	m.Database = &app.Database{Name: name}
	m.Database.AccessKey, err = c.appKey(ctx, cl, "app-"+d.Name+"-db", grantTerms{prefix: grant.Role{}.Prefix(name), budget: d.Budget}, grant.Read|grant.List|grant.Write|grant.Delete)
	return serving, err
}

// appKey gives an access key of this home with such terms: the one that there is, or a new one under the name, or one like it.
func (c *deployCommand) appKey(ctx context.Context, cl *client.Client, name string, terms grantTerms, operations grant.Operations) (string, error) {
	h, err := c.home()
	if err != nil {
		return "", err
	}
	p, err := h.Profile()
	if err != nil {
		return "", err
	}
	budget := mesh.Noz(0)
	if terms.budget != "" {
		if budget, err = parseBudget(terms.budget); err != nil {
			return "", err
		}
	}
	all, err := readGrants(h)
	if err != nil {
		return "", err
	}
	for _, r := range all {
		same := r.Account == cl.Access().Account() && r.Prefix == terms.prefix && r.Operations == operations.String() && r.Budget == budget && r.Serves == terms.serves
		if same && strings.HasPrefix(r.Name, name) && r.AccessKey != "" && !r.Revoked && time.Until(r.Expires) > servedFor/2 && len(r.SealedTo) == len(p.Gateways) {
			return r.AccessKey, nil
		}
	}
	terms.expires = servedFor
	made, err := c.newGrant(ctx, name, terms, operations)
	if err != nil && mesh.KindOf(err) == mesh.Conflict {
		made, err = c.newGrant(ctx, name+"-"+time.Now().UTC().Format("20060102-150405"), terms, operations)
	}
	if err != nil {
		return "", err
	}
	if err := made.publish(ctx, nil, nil); err != nil {
		return "", err
	}
	return made.rec.AccessKey, nil
}

// appURL is where an application answers.
func (e *env) appURL(name string) (string, error) {
	h, err := e.home()
	if err != nil {
		return "", err
	}
	p, err := h.Profile()
	if err != nil {
		return "", err
	}
	g := pagesOf(p)
	if g.HTTP == "" || g.Site(name) == "" {
		return "", mesh.WithHint(mesh.Errorf(mesh.NotFound, "the application is deployed, and the profile names no gateway that would give it a host"), "run one with a domain: stratos gateway init DIR --http HOST:PORT --domain DOMAIN")
	}
	return g.Site(name), nil
}
