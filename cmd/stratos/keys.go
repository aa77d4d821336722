package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/database"
	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/mesh"
	wiredatabase "github.com/stratosmesh/stratos/protocol/database"
	"github.com/stratosmesh/stratos/protocol/grant"
)

// grantTerms are the flags of commands that make a grant.
type grantTerms struct {
	prefix, budget string
	readOnly       bool
	bypass         bool // governance locks
	expires        time.Duration
	format         string // grant, env, json, rclone or url
	database       string // that it is for
	role           grant.Role
	gateways       []string // names of the profile's; default all
	share          bool     // for a link
	serves         string   // the bucket that it is made to serve
}

func (g *grantTerms) flags(cmd *cobra.Command, expires time.Duration) {
	cmd.Flags().StringVar(&g.budget, "budget", "", "ozone that may be spent under it, like 5oz; default: no bound of its own")
	spanVar(cmd.Flags(), &g.expires, "expires", expires, "how long it is good for, like 72h or 5d")
}

func (g *grantTerms) roleFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&g.role.Name, "role", "", "the role in which it uses the database; default its owner")
	cmd.Flags().StringVar(&g.role.Caller, "caller", "", "for whom it is, as row policies see it: an account, or what else names your users")
}

func newKeysCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Give others, or programs, some of an account's rights", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(newKeysCreateCommand(e), newKeysListCommand(e), newKeysRevokeCommand(e))
	return cmd
}

func newKeysCreateCommand(e *env) *cobra.Command {
	var g grantTerms
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a key with some of the account's rights, and show it once",
		Long: `Makes a grant: whoever has its text may do what it allows, and the account pays. Use it with --grant. It opens the
folder that --prefix names and what lies below; nothing else. The folder ends with a slash: photos/2026/ covers photos/2026/a.jpg and
not photos/2026-private/a.jpg. It need not be there yet. With --database it is for a database instead: to run SQL in it, or, with
--read-only, to ask; as its owner, or in the --role of a database of dialect postgres that was made there with CREATE ROLE, with the
rights that GRANT and policies give to it. Row policies know for whom it is, as --caller says, by current_setting('stratos.caller').
Without both it opens everything.

With --format env, rclone or json it is an access key for S3 too, which the gateways of the profile, or those named, can use:
its secret and the grant are sealed to them. With --database it is one for clients of a database,
PostgreSQL's or libSQL's by its dialect, as a URL or in env's variables; json tells the URLs of its documents and of its changes too.`,
		Example: `  stratos keys create backup --prefix photos/2026/ --budget 10oz
  eval "$(stratos keys create s3 --format env)" && aws --endpoint-url "$AWS_ENDPOINT_URL" s3 ls
  stratos keys create viewer --prefix photos/ --read-only
  psql "$(stratos keys create app --database shop --format url)"
  stratos keys create carol --database shop --role customer --caller carol@example.org --format url`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.createKey(cmd, args[0], g)
		},
	}
	cmd.Flags().StringVar(&g.prefix, "prefix", "", "what it covers: BUCKET/ or BUCKET/FOLDER/, with the slash; default everything")
	cmd.Flags().StringVar(&g.database, "database", "", "the database that it covers")
	g.roleFlags(cmd)
	cmd.Flags().BoolVar(&g.readOnly, "read-only", false, "only reading and listing")
	cmd.Flags().BoolVar(&g.bypass, "bypass-locks", false, "weakening governance locks too")
	cmd.Flags().StringVar(&g.format, "format", "grant", "grant, or an access key as env, json, rclone, or with --database url")
	cmd.Flags().StringSliceVar(&g.gateways, "gateway", nil, "gateways of the profile that may use it; default all")
	g.flags(cmd, 30*24*time.Hour)
	return cmd
}

// createKey makes a key and shows it.
func (e *env) createKey(cmd *cobra.Command, name string, g grantTerms) error {
	// Whoever leaves the slash out means a folder, and would open what lies beside it too.
	if g.prefix = strings.TrimPrefix(g.prefix, mesh.Scheme); g.prefix != "" && !strings.HasSuffix(g.prefix, "/") {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "the prefix %q names no folder: it lacks the slash at its end", g.prefix), "write %s/ for what lies in it; one object is shared with: stratos share", g.prefix)
	}
	if g.database != "" {
		if g.prefix != "" {
			return mesh.WithHint(mesh.Errorf(mesh.Invalid, "a key for a database is none for objects"), "leave --prefix away")
		}
		if err := mesh.CheckDatabase(g.database); err != nil {
			return err
		}
		if g.role != (grant.Role{}) {
			if err := g.role.Check(); err != nil {
				return mesh.WithHint(err, "--caller says for whom a --role is")
			}
		}
		g.prefix = g.role.Prefix(g.database)
	} else if g.role != (grant.Role{}) {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "roles are of a database"), "name it with --database")
	}
	operations := grant.Read | grant.List
	if !g.readOnly {
		operations |= grant.Write | grant.Delete
	}
	if !g.readOnly && g.prefix == "" {
		operations |= grant.Buckets
	}
	if g.bypass {
		operations |= grant.Bypass
	}
	formats := []string{"grant", "env", "json", "rclone"}
	if g.database != "" {
		formats = []string{"grant", "url", "env", "json"}
	}
	if !slices.Contains(formats, g.format) {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "there is no format %q for this key: %s", g.format, strings.Join(formats, ", ")), "url is for --database, rclone for objects")
	}
	if g.database != "" {
		if err := e.checkCovered(cmd.Context(), g); err != nil {
			return err
		}
	}
	m, err := e.makeGrant(cmd, name, g, operations)
	if err != nil {
		return err
	}
	e.sayCovered(cmd.Context(), m)
	return nil
}

// checkCovered refuses a key for a role in a database that can have none, and tells when the database, or the role in it, is not there
// yet. That one cannot look is no reason not to make the key.
func (e *env) checkCovered(ctx context.Context, g grantTerms) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	refused := error(nil)
	err := e.withClient(ctx, func(c *client.Client) error {
		d, err := c.Database(ctx, g.database)
		if err != nil {
			return err
		}
		if g.role.Name == "" {
			return nil
		}
		if d.Dialect != wiredatabase.Postgres {
			refused = mesh.WithHint(mesh.Errorf(mesh.Invalid, "database %s is of dialect %s, which has no roles", g.database, d.Dialect), "leave --role away, or make a database of dialect %s", wiredatabase.Postgres)
			return nil
		}
		db, err := c.OpenDatabase(ctx, g.database, database.Options{})
		if err != nil {
			return err
		}
		o, err := db.Query(ctx, database.Default, database.SQL("SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname = "+literal(g.role.Name)))
		if err == nil && o.Results[0].Rows[0][0] == int64(0) {
			e.say("note: database %s has no role %s yet", g.database, g.role.Name)
		}
		return err
	})
	switch {
	case refused != nil:
		return refused
	case err != nil && mesh.KindOf(err) == mesh.NotFound:
		e.say("note: there is no database %s yet", g.database)
	case err != nil && mesh.KindOf(err) != mesh.Denied:
		e.say("note: nobody could tell whether database %s is there: %v", g.database, err)
	}
	return nil
}

func newShareCommand(e *env) *cobra.Command {
	var g grantTerms
	var web, protect bool
	cmd := &cobra.Command{
		Use:   "share stratos://BUCKET[/PREFIX]",
		Short: "Make a grant, or a link, with which another person reads what begins so",
		Long: `Prints a text that another person gives to --grant to read what begins with the path, on the account's ozone; beside it, on standard
error, the name under which it is revoked and when it ends. It carries the key of the folder in which the path lies: objects beside it
in that folder stay refused by the network, but are not encrypted against its holder. A path that ends with a slash is a folder;
one without is an object, or all whose names begin so.

With --web it prints a link for browsers, to pages that the gateways of the profile serve: they can read what it shares. With
--protect they can once somebody typed the password.`,
		Example: `  stratos share stratos://films/2026/ --budget 20oz
  stratos cp --grant TEXT stratos://films/2026/film.mp4 .
  stratos share stratos://films/2026/ --web --protect --expires 72h`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := mesh.ParsePath(args[0])
			if err != nil {
				return err
			}
			g.prefix = p.Bucket + "/" + p.Key
			name := "share-" + time.Now().UTC().Format("20060102-150405.000")
			switch {
			case protect && !web:
				return mesh.WithHint(mesh.Errorf(mesh.Invalid, "--protect is for links"), "add --web")
			case web:
				return e.makeLink(cmd.Context(), name, g, protect)
			}
			m, err := e.makeGrant(cmd, name, g, grant.Read|grant.List)
			if err != nil {
				return err
			}
			e.sayShared(m)
			e.sayCovered(cmd.Context(), m)
			return nil
		},
	}
	cmd.Flags().BoolVar(&web, "web", false, "print a link for browsers")
	cmd.Flags().BoolVar(&protect, "protect", false, "ask for a password that the link asks for, or read it from standard input")
	g.flags(cmd, 24*time.Hour)
	return cmd
}

// sayShared tells under which name a share is revoked, and when it ends by itself: its text or link says neither.
func (e *env) sayShared(m *madeGrant) {
	e.say("%s: good until %s; end it sooner with: stratos keys revoke %s", m.rec.Name, m.rec.Expires.Format(time.RFC3339), m.rec.Name)
}

// lookTime bounds how long somebody who made a grant waits to hear whether it covers anything.
const lookTime = 5 * time.Second

// sayCovered tells when a grant covers nothing yet, or more than its path says. It was made in any case: one may grant before one
// writes.
func (e *env) sayCovered(ctx context.Context, m *madeGrant) {
	bucket, key, ok := strings.Cut(m.rec.Prefix, "/")
	if !ok || e.json || strings.HasPrefix(bucket, grant.Database("")) { // it covers everything, nobody reads what is said, or no bucket is meant
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	names, err := m.names(ctx, client.ListQuery{Bucket: bucket, Prefix: key, Limit: 2})
	p := mesh.Path{Bucket: bucket, Key: key}
	beside := slices.IndexFunc(names, func(l client.Listed) bool { return l.Key != key })
	switch kind := mesh.KindOf(err); {
	case err != nil && kind == mesh.NotFound:
		e.say("note: there is no bucket %s yet", mesh.Path{Bucket: bucket})
	case err != nil && kind == mesh.Denied: // who may not list may still give what it has
	case err != nil:
		e.say("note: nobody could tell whether anything begins with %s: %v", p, err)
	case len(names) == 0 && key != "":
		e.say("note: nothing begins with %s yet", p)
	case beside >= 0 && key != "" && !strings.HasSuffix(key, "/"):
		e.say("note: it opens everything that begins with %s, like %s; for that folder alone write %s/", p, mesh.Path{Bucket: bucket, Key: names[beside].Key}, p)
	}
}

func (m *madeGrant) names(ctx context.Context, q client.ListQuery) (names []client.Listed, err error) {
	members, err := membersOf(m.profile)
	if err != nil {
		return nil, err
	}
	c, err := client.New(m.root, members, client.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	page, err := c.ListPage(ctx, q)
	if err != nil {
		return nil, err
	}
	return page.Names, nil
}

// makeLink makes a grant to read, and a link with it to the pages of the first gateway that has some.
func (e *env) makeLink(ctx context.Context, name string, g grantTerms, protect bool) error {
	password := ""
	if protect {
		var err error
		if password, err = e.secretLine(ctx, "Password for the link"); err != nil {
			return err
		}
		if password == "" {
			return mesh.Errorf(mesh.Invalid, "an empty password protects nothing")
		}
	}
	g.share = true
	m, err := e.newGrant(ctx, name, g, grant.Read|grant.List)
	if err != nil {
		return err
	}
	err = m.publish(ctx, nil, func(c *client.Client, to []mesh.PublicKey) (*client.AccessKey, error) {
		return c.PublishShare(ctx, m.shared, password, to)
	})
	if err != nil {
		return err
	}
	pages := pagesOf(m.profile).HTTP
	if pages == "" {
		return mesh.WithHint(mesh.Errorf(mesh.NotFound, "no gateway of the profile serves pages"), "run one with: stratos gateway init DIR --http HOST:PORT")
	}
	m.rec.URL, m.rec.Endpoint = pages+"/s/"+m.rec.AccessKey+"-"+m.rec.Secret+"/", ""
	m.rec.Secret = ""
	if err := e.print(m.rec, func(w io.Writer) { fmt.Fprintln(w, m.rec.URL) }); err != nil {
		return err
	}
	e.sayShared(m)
	e.sayCovered(ctx, m)
	return nil
}

// pagesOf is the first gateway of a profile that serves pages; one of nothing if none does.
func pagesOf(p *home.Profile) home.Gateway {
	for _, g := range p.Gateways {
		if g.HTTP != "" {
			return g
		}
	}
	return home.Gateway{}
}

var grantName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,79}$`)

// makeGrant makes a grant and prints it, as an access key where the terms say so.
func (e *env) makeGrant(cmd *cobra.Command, name string, g grantTerms, operations grant.Operations) (*madeGrant, error) {
	m, err := e.newGrant(cmd.Context(), name, g, operations)
	if err != nil {
		return nil, err
	}
	if g.format == "" || g.format == "grant" {
		m.rec.Grant = m.shared.String()
		return m, e.print(m.rec, func(w io.Writer) { fmt.Fprintln(w, m.rec.Grant) })
	}
	if err := m.publish(cmd.Context(), g.gateways, nil); err != nil {
		return nil, err
	}
	e.json = e.json || g.format == "json"
	rec := m.rec
	if g.database != "" {
		dialect, err := m.dialect(cmd.Context(), g.database)
		if err != nil {
			return nil, err
		}
		if dialect == wiredatabase.SQLite {
			return m, e.printLibSQL(m, g)
		}
		at, err := m.postgres(g.gateways)
		if err != nil {
			return nil, err
		}
		u := url.URL{Scheme: "postgres", User: url.UserPassword(rec.AccessKey, rec.Secret), Host: at, Path: g.database}
		rec.Endpoint, rec.URL = "postgres://"+at, u.String()
		if over := m.overHTTP(g); over != "" {
			rec.Documents, rec.Changes = over+"documents/", over+"changes"
		}
		return m, e.print(rec, func(w io.Writer) {
			if g.format == "url" {
				fmt.Fprintln(w, rec.URL)
				return
			}
			host, port, _ := net.SplitHostPort(at)
			fmt.Fprintf(w, "export DATABASE_URL=%s\nexport PGHOST=%s\nexport PGPORT=%s\nexport PGUSER=%s\nexport PGPASSWORD=%s\nexport PGDATABASE=%s\n", rec.URL, host, port, rec.AccessKey, rec.Secret, g.database)
		})
	}
	return m, e.print(rec, func(w io.Writer) {
		if g.format == "rclone" {
			fmt.Fprintf(w, "[%s]\ntype = s3\nprovider = Other\naccess_key_id = %s\nsecret_access_key = %s\nendpoint = %s\nregion = us-east-1\nforce_path_style = true\n", rec.Name, rec.AccessKey, rec.Secret, rec.Endpoint)
			return
		}
		fmt.Fprintf(w, "export AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s\nexport AWS_ENDPOINT_URL=%s\nexport AWS_DEFAULT_REGION=us-east-1\n", rec.AccessKey, rec.Secret, rec.Endpoint)
	})
}

// dialect is that of a database, and the usual one if there is none yet.
func (m *madeGrant) dialect(ctx context.Context, name string) (dialect string, err error) {
	members, err := membersOf(m.profile)
	if err != nil {
		return "", err
	}
	c, err := client.New(m.root, members, client.Options{})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	d, err := c.Database(ctx, name)
	if err != nil && mesh.KindOf(err) == mesh.NotFound {
		return client.Dialects()[0], nil
	}
	return d.Dialect, err
}

// overHTTP is the URL of a database at the first of the named gateways, or of all, that serves them over HTTP; "" if none does.
func (m *madeGrant) overHTTP(g grantTerms) string {
	for _, w := range m.profile.Gateways {
		if w.Databases != "" && (len(g.gateways) == 0 || slices.Contains(g.gateways, w.Name)) {
			return w.Databases + "/" + g.database + "/"
		}
	}
	return ""
}

// printLibSQL prints an access key as libSQL's clients have it.
func (e *env) printLibSQL(m *madeGrant, g grantTerms) error {
	at := m.overHTTP(g)
	if at == "" {
		return mesh.WithHint(mesh.Errorf(mesh.NotFound, "none of these gateways serves databases over HTTP; the key %s was made all the same", m.rec.Name), "run one with: stratos gateway init DIR --databases HOST:PORT")
	}
	token := m.rec.AccessKey + "." + m.rec.Secret
	m.rec.Endpoint, m.rec.URL = at, at+"?authToken="+token
	return e.print(m.rec, func(w io.Writer) {
		if g.format == "url" {
			fmt.Fprintln(w, m.rec.URL)
			return
		}
		fmt.Fprintf(w, "export LIBSQL_URL=%s\nexport LIBSQL_AUTH_TOKEN=%s\n", m.rec.Endpoint, token)
	})
}

// postgres is HOST:PORT of the first of the named gateways, or of all, that serves databases.
func (m *madeGrant) postgres(names []string) (string, error) {
	for _, g := range m.profile.Gateways {
		if at, ok := strings.CutPrefix(g.Postgres, "postgres://"); ok && (len(names) == 0 || slices.Contains(names, g.Name)) {
			return at, nil
		}
	}
	return "", mesh.WithHint(mesh.Errorf(mesh.NotFound, "none of these gateways serves databases; the key %s was made all the same", m.rec.Name), "run one with: stratos gateway init DIR --postgres HOST:PORT")
}

// A madeGrant is a grant that was just made.
type madeGrant struct {
	home         home.Home
	profile      *home.Profile
	root, shared *client.Access
	rec          *grantRecord
}

// newGrant makes a grant and keeps its record.
func (e *env) newGrant(ctx context.Context, name string, g grantTerms, operations grant.Operations) (*madeGrant, error) {
	if !grantName.MatchString(name) {
		return nil, mesh.Errorf(mesh.Invalid, "%q is no name for a key: letters, digits, dots and hyphens, at most 80", name)
	}
	if g.expires <= 0 {
		return nil, mesh.Errorf(mesh.Invalid, "a key that has expired is of no use")
	}
	var budget mesh.Noz
	if g.budget != "" {
		var err error
		if budget, err = parseBudget(g.budget); err != nil {
			return nil, err
		}
	}
	h, err := e.home()
	if err != nil {
		return nil, err
	}
	p, err := h.Profile()
	if err != nil {
		return nil, err
	}
	var a *client.Access
	if e.grant != "" {
		if a, err = readGrant(e.grant, p); err == nil && g.prefix == "" {
			g.prefix = a.Rights().Prefix
		}
	} else {
		// Not the session in the home: it ends sooner than a key may be wanted, and revoking it would revoke the key.
		a, err = e.rootAccess(ctx, p, g.expires+time.Hour)
	}
	if err != nil {
		return nil, err
	}
	shared, id, err := a.Share(client.Terms{Prefix: g.prefix, Operations: operations, Expires: time.Now().Add(g.expires), Budget: budget, Label: name})
	if err != nil {
		return nil, err
	}
	r := shared.Rights()
	rec := &grantRecord{Name: name, ID: hex.EncodeToString(id[:]), Account: r.Account, Prefix: r.Prefix, Operations: r.Operations.String(), Budget: budget, Share: g.share, Serves: g.serves,
		Created: time.Now().UTC().Truncate(time.Second), Expires: time.UnixMilli(r.ExpiresMs).UTC()}
	return &madeGrant{h, p, a, shared, rec}, saveGrant(h, rec, true)
}

// parseBudget reads a budget. One of nothing would be none at all, which means that there is no bound.
func parseBudget(s string) (mesh.Noz, error) {
	n, err := mesh.ParseNoz(s)
	if err == nil && n == 0 {
		err = mesh.WithHint(mesh.Errorf(mesh.Invalid, "nothing can be done with a budget of %s", s), "leave --budget away if there shall be no bound")
	}
	return n, err
}

// publish makes an access key of the grant for the gateways that are named, all of the profile's if none is, and then calls with,
// unless that is nil, with a client that has all rights. When that cannot have made a key, the grant's record goes, and its name is
// free.
func (m *madeGrant) publish(ctx context.Context, gateways []string, with func(c *client.Client, to []mesh.PublicKey) (*client.AccessKey, error)) (err error) {
	defer func() {
		if k := mesh.KindOf(err); err != nil && m.rec.AccessKey == "" && k != mesh.Unavailable && k != mesh.Internal {
			err = errors.Join(err, os.Remove(grantPath(m.home, m.rec.Name)))
		}
	}()
	var to []mesh.PublicKey
	for _, x := range m.profile.Gateways {
		if len(gateways) > 0 && !slices.Contains(gateways, x.Name) {
			continue
		}
		to = append(to, x.Key)
		if m.rec.Endpoint == "" {
			m.rec.Endpoint = x.S3
		}
	}
	if len(to) == 0 || len(gateways) > len(to) {
		return mesh.WithHint(mesh.Errorf(mesh.NotFound, "the profile does not name these gateways"), "see: stratos gateway list; make one with: stratos gateway init DIR")
	}
	members, err := membersOf(m.profile)
	if err != nil {
		return err
	}
	c, err := client.New(m.root, members, client.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if with == nil {
		with = func(c *client.Client, to []mesh.PublicKey) (*client.AccessKey, error) {
			return c.PublishKey(ctx, m.shared, to)
		}
	}
	k, err := with(c, to)
	if err != nil {
		return err
	}
	m.rec.AccessKey, m.rec.SealedTo = k.Name, to
	if err := saveGrant(m.home, m.rec, false); err != nil {
		return err
	}
	m.rec.Secret = k.Secret
	return nil
}
