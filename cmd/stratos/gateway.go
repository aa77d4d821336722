package main

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client/home"
	"github.com/stratosmesh/stratos/cmd/stratos/internal/config"
	"github.com/stratosmesh/stratos/gateway"
	"github.com/stratosmesh/stratos/mesh"
)

func newGatewayCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "gateway", Short: "Run a gateway: S3 for tools that people have, HTTP for browsers", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(newGatewayInitCommand(e), &cobra.Command{
		Use:   "run",
		Short: "Run the gateway whose folder --home names, until interrupted",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := gateway.New(e.cfg.Get(config.Home), e.logger())
			if err != nil {
				return err
			}
			return serve(cmd.Context(), g)
		},
	})
	return cmd
}

func newGatewayInitCommand(e *env) *cobra.Command {
	var c gateway.Config
	var acme gateway.ACME
	var byACME bool
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make a gateway's folder with a key of its own, for the network of the home's profile",
		Long: `Makes the folder and adds the gateway to the home's profile, so that access keys that are made from then on are sealed to
it too: stratos keys create NAME --format env.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			h, err := e.home()
			if err != nil {
				return err
			}
			p, err := h.Profile()
			if err != nil {
				return err
			}
			if _, err := gateway.ReadConfig(args[0]); mesh.KindOf(err) != mesh.NotFound {
				return mesh.WithHint(mesh.Errorf(mesh.Conflict, "there is a gateway in %s already", args[0]), "choose another folder")
			}
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
			if byACME {
				c.ACME = &acme
			}
			if err := c.Check(); err != nil {
				return err
			}
			key, err := gateway.Init(args[0])
			if err != nil {
				return err
			}
			if err := gateway.WriteConfig(args[0], c); err != nil {
				return err
			}
			scheme := "http://"
			if c.Cert != "" || c.ACME != nil {
				scheme = "https://"
			}
			g := home.Gateway{Name: c.Name, Key: key, S3: scheme + c.S3}
			if c.HTTP != "" {
				g.HTTP = scheme + c.HTTP
			}
			p.Gateways = append(p.Gateways, g)
			if err := h.SetProfile(p); err != nil {
				return err
			}
			return e.print(g, func(w io.Writer) {
				fmt.Fprintf(w, "%s in %s\nnext: stratos gateway run --home %s\n", key, args[0], args[0])
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Name, "name", "gateway", "what its logs and the profile call it")
	f.StringVar(&c.S3, "s3", "127.0.0.1:26290", "HOST:PORT for S3")
	f.StringVar(&c.HTTP, "http", "127.0.0.1:26291", "HOST:PORT for browsers: public buckets, sites and shares; empty for none")
	f.StringVar(&c.Cert, "cert", "", "PEM file of a certificate chain, so that both speak TLS; it is read again when it changes")
	f.StringVar(&c.CertKey, "cert-key", "", "PEM file of the certificate's key; default the same file")
	f.BoolVar(&byACME, "acme", false, "get certificates by ACME, whose authority's terms this accepts, for the domain and hosts of buckets; port 443 must lead here")
	f.StringVar(&acme.Email, "acme-email", "", "with --acme: address that the authority writes to")
	f.StringVar(&acme.Directory, "acme-directory", gateway.LetsEncrypt, "with --acme: URL of the authority's directory")
	f.StringVar(&c.Status, "status", "127.0.0.1:26292", "HOST:PORT of its status page, for you")
	f.StringVar(&c.Domain, "domain", "", "domain whose sub-domains name buckets; other hosts are buckets of that name, for browsers")
	f.DurationVar((*time.Duration)(&c.LifecycleEvery), "lifecycle-every", 0, "how often buckets' lifecycle rules are carried out (default 1h)")
	f.StringVar(&c.AccessLog, "access-log", "", "file for a line a request, in Combined Log Format")
	return cmd
}
