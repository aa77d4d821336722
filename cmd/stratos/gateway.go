package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/cmd/stratos/internal/config"
	"github.com/stratosmesh/stratos/devnet"
	"github.com/stratosmesh/stratos/gateway"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/node/compute"
)

func newGatewayCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "gateway", Short: "Run a gateway: S3, Postgres and Hrana for tools that people have, HTTP for browsers", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(newGatewayInitCommand(e), newGatewayRunCommand(e), newGatewayListCommand(e), newGatewayRemoveCommand(e))
	return cmd
}

func newGatewayRunCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the gateway whose folder --home names, until interrupted",
		Long: `Runs the gateway whose folder --home names, until interrupted, and prints where it listens once it can serve. With an access
log, a hangup (SIGHUP) makes it open the log again under its name: move the file away, send the signal, and compress it.`,
		Example: "  stratos gateway run --home /srv/gateway",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := gateway.New(e.cfg.Get(config.Home), gateway.Options{Rules: compute.Rules()}, e.logger())
			if err != nil {
				return err
			}
			return errors.Join(e.runGateway(cmd.Context(), g), g.Close())
		},
	}
}

func (e *env) runGateway(ctx context.Context, g *gateway.Gateway) error {
	ctx, stop := context.WithCancel(ctx)
	hangups := make(chan os.Signal, 1)
	if g.Config().AccessLog != "" {
		signal.Ignore(syscall.SIGHUP) // it ends other commands
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for ready := g.Ready(); ; {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				g.ReopenLog()
			case <-ready:
				ready = nil
				if err := e.showListening(g.Config()); err != nil {
					e.logger().Warn("where the gateway listens could not be printed", "err", err)
				}
			}
		}
	})
	err := g.Run(ctx)
	stop()
	wg.Wait()
	return err
}

func (e *env) showListening(c gateway.Config) error {
	v := struct {
		Name   string `json:"name"`
		S3     string `json:"s3"`
		HTTP   string `json:"http,omitempty"`
		SQL    string `json:"postgres,omitempty"`
		Rows   string `json:"databases,omitempty"`
		Status string `json:"status"`
	}{c.Name, scheme(c) + c.S3, "", "", "", "http://" + c.Status}
	if c.Postgres != "" {
		v.SQL = "postgres://" + c.Postgres
	}
	if c.Databases != "" {
		v.Rows = scheme(c) + c.Databases
	}
	if c.HTTP != "" {
		v.HTTP = scheme(c) + c.HTTP
	}
	return e.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s is ready\n", v.Name)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(t, "S3\t%s\n", v.S3)
		if v.HTTP != "" {
			fmt.Fprintf(t, "HTTP\t%s\n", v.HTTP)
		}
		if v.SQL != "" {
			fmt.Fprintf(t, "Postgres\t%s\n", v.SQL)
		}
		if v.Rows != "" {
			fmt.Fprintf(t, "Databases\t%s\n", v.Rows)
		}
		fmt.Fprintf(t, "Status\t%s\n", v.Status)
		t.Flush() // into memory
	})
}

func scheme(c gateway.Config) string {
	if c.Cert != "" || c.ACME != nil {
		return "https://"
	}
	return "http://"
}

// A newGateway is one that is being made.
type newGateway struct {
	gateway.Config
	acme      gateway.ACME
	byACME    bool
	s3, http  string // URLs to publish; "" as they come from the settings
	databases string // so
	postgres  string // HOST:PORT to publish
	dir       string
	acmeFlags bool // such were given
}

func newGatewayInitCommand(e *env) *cobra.Command {
	var n newGateway
	c := &n.Config
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make a gateway's folder with a key of its own, for the network of the home's profile",
		Long: `Makes the folder and adds the gateway to the home's profile, so that access keys that are made from then on are sealed to
it too: stratos keys create NAME --format env.

--s3, --http and --status are where it listens; 0.0.0.0 stands for every address of the machine. The profile tells clients how they
reach it: under the --domain if there is one, else where it listens, unless --public-s3 and --public-http say otherwise, as they
must behind a proxy that speaks TLS.`,
		Example: `  stratos gateway init /srv/gateway
  stratos gateway init /srv/gateway --s3 0.0.0.0:26290 --http 0.0.0.0:443 --domain gw.example.org --acme
  stratos gateway init /srv/gateway --public-s3 https://s3.example.org --public-http https://www.example.org`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n.dir = args[0]
			n.acmeFlags = cmd.Flags().Changed("acme-email") || cmd.Flags().Changed("acme-directory")
			return e.initGateway(n)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Name, "name", "gateway", "what its logs and the profile call it")
	f.StringVar(&c.S3, "s3", "127.0.0.1:26290", "HOST:PORT for S3")
	f.StringVar(&c.HTTP, "http", "127.0.0.1:26291", "HOST:PORT for browsers: public buckets, sites and shares; empty for none")
	f.StringVar(&c.Postgres, "postgres", "127.0.0.1:26293", "HOST:PORT for PostgreSQL's clients; empty for none")
	f.StringVar(&n.postgres, "public-postgres", "", "HOST:PORT at which PostgreSQL's clients reach it")
	f.StringVar(&c.Databases, "databases", "127.0.0.1:26294", "HOST:PORT for databases over HTTP: libSQL's clients; empty for none")
	f.StringVar(&n.databases, "public-databases", "", "URL at which they reach it")
	f.StringVar(&n.s3, "public-s3", "", "URL at which clients reach it for S3")
	f.StringVar(&n.http, "public-http", "", "URL at which browsers reach it")
	f.StringVar(&c.Cert, "cert", "", "PEM file of a certificate chain, so that both speak TLS; it is read again when it changes")
	f.StringVar(&c.CertKey, "cert-key", "", "PEM file of the certificate's key; default the same file")
	f.BoolVar(&n.byACME, "acme", false, "get certificates by ACME, whose authority's terms this accepts, for the domain and hosts of buckets; port 443 must lead here")
	f.StringVar(&n.acme.Email, "acme-email", "", "with --acme: address that the authority writes to")
	f.StringVar(&n.acme.Directory, "acme-directory", gateway.LetsEncrypt, "with --acme: URL of the authority's directory")
	f.StringVar(&c.Status, "status", "127.0.0.1:26292", "HOST:PORT of its status page, for you")
	f.StringVar(&c.Domain, "domain", "", "domain whose sub-domains name buckets; other hosts are buckets of that name, for browsers")
	spanVar(f, (*time.Duration)(&c.LifecycleEvery), "lifecycle-every", 0, "how often buckets' lifecycle rules are carried out (default 1h)")
	f.StringVar(&c.AccessLog, "access-log", "", "file for a line a request, in Combined Log Format; DIR is where a relative one begins")
	return cmd
}

func (e *env) initGateway(n newGateway) error {
	h, err := e.home()
	if err != nil {
		return err
	}
	p, err := h.Profile()
	if err != nil {
		return err
	}
	c := n.Config
	c.Network = p.Network
	if c.Authorities, err = membersOf(p); err != nil {
		return err
	}
	for _, path := range []*string{&c.Cert, &c.CertKey} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return mesh.Errorf(mesh.Invalid, "the certificate: %w", err)
		}
	}
	switch {
	case n.byACME:
		c.ACME = &n.acme
	case n.acmeFlags:
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "--acme-email and --acme-directory are for certificates by ACME"), "add --acme")
	}
	if err := c.Check(); err != nil {
		return err
	}
	g, err := n.published(c)
	if err != nil {
		return err
	}
	// A folder whose settings were lost keeps its key, and its place in the profile.
	if k, err := gateway.ReadKey(n.dir); err == nil {
		key := mesh.PublicKeyOf(k)
		p.Gateways = slices.DeleteFunc(p.Gateways, func(old home.Gateway) bool { return old.Key == key })
	}
	if slices.ContainsFunc(p.Gateways, func(old home.Gateway) bool { return old.Name == c.Name }) {
		return mesh.WithHint(mesh.Errorf(mesh.Conflict, "the profile has a gateway %q already", c.Name), "give this one another --name, or take that one out with: stratos gateway remove %s", c.Name)
	}
	key, undo, err := gateway.Create(n.dir, c)
	if err != nil {
		return err
	}
	g.Key = key
	p.Gateways = append(p.Gateways, g)
	if err := h.SetProfile(p); err != nil {
		return errors.Join(err, undo())
	}
	return e.print(g, func(w io.Writer) {
		fmt.Fprintf(w, "%s in %s\n", key, n.dir)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(t, "S3\t%s\n", g.S3)
		if g.HTTP != "" {
			fmt.Fprintf(t, "HTTP\t%s\n", g.HTTP)
		}
		if g.Postgres != "" {
			fmt.Fprintf(t, "Postgres\t%s\n", g.Postgres)
		}
		if g.Databases != "" {
			fmt.Fprintf(t, "Databases\t%s\n", g.Databases)
		}
		if site := g.Site("BUCKET"); site != "" {
			fmt.Fprintf(t, "Sites\t%s\n", site)
		}
		t.Flush() // into memory
		fmt.Fprintf(w, "next: stratos gateway run --home %s\n", n.dir)
	})
}

// published is what the profile says of a gateway, without its key.
func (n newGateway) published(c gateway.Config) (g home.Gateway, err error) {
	g = home.Gateway{Name: c.Name, Domain: c.Domain}
	if g.S3, err = publish("--public-s3", n.s3, c.S3, c); err != nil {
		return g, err
	}
	switch {
	case c.HTTP != "":
		g.HTTP, err = publish("--public-http", n.http, c.HTTP, c)
	case n.http != "":
		err = mesh.WithHint(mesh.Errorf(mesh.Invalid, "--public-http is for a gateway that serves browsers"), "add --http HOST:PORT")
	}
	if err == nil && c.Databases != "" {
		g.Databases, err = publish("--public-databases", n.databases, c.Databases, c)
	}
	if err != nil || c.Postgres == "" {
		return g, err
	}
	at := n.postgres
	if at == "" {
		u, err := publish("--public-postgres", "", c.Postgres, c)
		if err != nil {
			return g, err
		}
		_, at, _ = strings.Cut(u, "://")
	}
	if host, port, err := net.SplitHostPort(at); err != nil || host == "" || port == "" {
		return g, mesh.WithHint(mesh.Errorf(mesh.Invalid, "--public-postgres %q is no HOST:PORT", at), "write it as db.example.org:5432")
	}
	g.Postgres = "postgres://" + at
	return g, nil
}

// publish returns the URL at which clients reach what listens at an address.
func publish(flag, given, listens string, c gateway.Config) (string, error) {
	if given != "" {
		u, err := url.Parse(given)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s %q is no URL of a host", flag, given), "write it as https://s3.example.org or http://203.0.113.7:26290")
		}
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && a.IsUnspecified() {
			return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s %q: nobody reaches the gateway at %s", flag, given, a), "name a host, or an address of this machine")
		}
		return u.Scheme + "://" + u.Host, nil
	}
	host, port, err := net.SplitHostPort(listens)
	if err != nil {
		return "", mesh.Errorf(mesh.Invalid, "the address %q: %w", listens, err)
	}
	if a, err := netip.ParseAddr(host); c.Domain != "" {
		host = c.Domain
	} else if err == nil && a.IsUnspecified() {
		return "", mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s stands for every address of this machine: that tells clients nothing", listens), "say how they reach it with %s %sHOST:%s, or with --domain", flag, scheme(c), port)
	}
	if scheme(c) == "http://" && port == "80" || scheme(c) == "https://" && port == "443" {
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return scheme(c) + host, nil
	}
	return scheme(c) + net.JoinHostPort(host, port), nil
}

func newGatewayListCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the gateways of the profile, to which access keys are sealed",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			h, err := e.home()
			if err != nil {
				return err
			}
			p, err := h.Profile()
			if err != nil {
				return err
			}
			all := append([]home.Gateway{}, p.Gateways...)
			return e.print(map[string][]home.Gateway{"gateways": all}, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				for _, g := range all {
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", g.Name, g.S3, g.HTTP, g.Key)
				}
				t.Flush() // into memory
			})
		},
	}
}

func newGatewayRemoveCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a gateway out of the home's profile",
		Long: `Takes the gateway of that name, or key, out of the home's profile: access keys that are made from then on are not sealed to it,
and links do not name it. Its folder stays, and so do the access keys that were sealed to it: it can use them until they end or are
revoked.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return e.removeGateway(args[0]) },
	}
}

func (e *env) removeGateway(name string) error {
	h, err := e.home()
	if err != nil {
		return err
	}
	p, err := h.Profile()
	if err != nil {
		return err
	}
	var found []home.Gateway
	var names []string
	for _, g := range p.Gateways {
		names = append(names, g.Name)
		if g.Name == name || g.Key.String() == name {
			found = append(found, g)
		}
	}
	switch {
	case len(found) == 0 && len(names) == 0:
		return mesh.WithHint(mesh.Errorf(mesh.NotFound, "the profile names no gateway"), "make one with: stratos gateway init DIR")
	case len(found) == 0:
		return mesh.WithHint(mesh.Errorf(mesh.NotFound, "the profile has no gateway %q", name), "there are: %s", strings.Join(names, ", "))
	case len(found) > 1:
		return mesh.WithHint(mesh.Errorf(mesh.Conflict, "%d gateways of the profile are called %q", len(found), name), "name the key instead; see: stratos gateway list")
	}
	g := found[0]
	owned, err := ofNetwork(h, g.Key)
	if err != nil {
		return err
	}
	if owned {
		return mesh.WithHint(mesh.Errorf(mesh.Conflict, "%s belongs to the network that 'stratos up' runs here", g.Name), "only stop it: stratos stop %s", g.Name)
	}
	p.Gateways = slices.DeleteFunc(p.Gateways, func(x home.Gateway) bool { return x.Key == g.Key })
	if p.Endpoints.S3 == g.S3 {
		p.Endpoints.S3, p.Endpoints.HTTP, p.Endpoints.Postgres, p.Endpoints.Databases = "", "", "", ""
	}
	all, err := readGrants(h)
	if err != nil {
		return err
	}
	left := []string{}
	for _, r := range all {
		if r.AccessKey != "" && !r.Revoked && r.Expires.After(time.Now()) && (len(r.SealedTo) == 0 || slices.Contains(r.SealedTo, g.Key)) {
			left = append(left, r.Name)
		}
	}
	if err := h.SetProfile(p); err != nil {
		return err
	}
	return e.print(map[string]any{"removed": g, "keys": left}, func(w io.Writer) {
		fmt.Fprintf(w, "%s is out of the profile. Its folder stays where it is; stop it there, if it runs.\n", g.Name)
		if len(left) > 0 {
			fmt.Fprintf(w, "It can still use what was sealed to it: %s\nnext: stratos keys revoke NAME, and make anew what other gateways need\n", strings.Join(left, ", "))
		}
	})
}

// ofNetwork tells whether a gateway is one that the home's development network consists of.
func ofNetwork(h home.Home, key mesh.PublicKey) (bool, error) {
	rec, err := devnet.ReadRecord(h)
	if mesh.KindOf(err) == mesh.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for i := range rec.Network.Gateways {
		k, err := gateway.ReadKey(h.Process(devnet.RoleGateway, i))
		if err == nil && mesh.PublicKeyOf(k) == key { // one whose key is gone is like any other
			return true, nil
		}
	}
	return false, nil
}
