package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/client/job"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/app"
)

func newAppCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "app", Short: "Look at applications, roll them back, take them off", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(newAppListCommand(e), newAppShowCommand(e), newAppLogsCommand(e), newAppRollbackCommand(e), newAppRemoveCommand(e))
	return cmd
}

// keptVersions is how many versions of an application can be rolled back to.
const keptVersions = 10

// appVersions are the versions of an application that are kept, in order.
func appVersions(ctx context.Context, cl *client.Client, name string) (all []uint64, err error) {
	q := &client.ListQuery{Bucket: name, Prefix: app.Folder + "versions/", Limit: 1000}
	for q != nil {
		page, err := cl.ListPage(ctx, *q)
		if err != nil {
			return nil, err
		}
		for _, n := range page.Names {
			text := strings.TrimSuffix(strings.TrimPrefix(n.Key, app.Folder+"versions/"), ".json")
			if v, err := strconv.ParseUint(text, 10, 64); err == nil {
				all = append(all, v)
			}
		}
		q = page.Next
	}
	slices.Sort(all)
	return all, nil
}

// currentApp is the version of an application that counts; NotFound when none does.
func currentApp(ctx context.Context, cl *client.Client, name string) (*app.Manifest, error) {
	b, err := cl.Section(ctx, name, app.Section)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no application %q", name), "see: stratos app list")
	}
	return app.Parse(b)
}

// publishManifest keeps a version's manifest, and has it count from now on; serving is the key under which gateways serve it, "" as before.
func publishManifest(ctx context.Context, cl *client.Client, name string, m *app.Manifest, serving string) error {
	if err := m.Check(); err != nil {
		return err
	}
	b, err := json.Marshal(m)
	if err != nil {
		return mesh.Errorf(mesh.Internal, "encoding a manifest: %w", err)
	}
	if err := putBytes(ctx, cl, name, app.ManifestKey(m.Version), "application/json", b); err != nil {
		return err
	}
	return cl.ChangeBucket(ctx, name, client.BucketChange{Sections: map[uint32][]byte{app.Section: b}, Serving: serving})
}

// tidyVersions removes the pages of versions that nobody can roll back to any more.
func tidyVersions(ctx context.Context, cl *client.Client, name string, versions []uint64) error {
	for _, v := range versions[:max(0, len(versions)-keptVersions)] {
		for q := (&client.ListQuery{Bucket: name, Prefix: app.SiteFolder(v), Limit: 1000}); q != nil; {
			page, err := cl.ListPage(ctx, *q)
			if err != nil {
				return err
			}
			err = each(ctx, page.Names, func(ctx context.Context, n client.Listed) error {
				return cl.Delete(ctx, mesh.Path{Bucket: name, Key: n.Key})
			})
			if err != nil {
				return err
			}
			q = page.Next
		}
		if err := cl.Delete(ctx, mesh.Path{Bucket: name, Key: app.ManifestKey(v)}); err != nil {
			return err
		}
	}
	return nil
}

type appView struct {
	App      string    `json:"app"`
	Version  uint64    `json:"version"`
	Deployed time.Time `json:"deployed"`
	URL      string    `json:"url,omitempty"`
}

func newAppListCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the account's applications",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all := []appView{}
			err := e.withClient(cmd.Context(), func(cl *client.Client) error {
				buckets, err := cl.Buckets(cmd.Context())
				if err != nil {
					return err
				}
				for _, b := range buckets {
					if _, ok := b.Sections[app.Section]; !ok {
						continue
					}
					m, err := currentApp(cmd.Context(), cl, b.Name)
					if err != nil {
						return err
					}
					url, _ := e.appURL(b.Name) // none where no gateway is known
					all = append(all, appView{b.Name, m.Version, m.Deployed, url})
				}
				return nil
			})
			if err != nil {
				return err
			}
			return e.print(all, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "APP\tVERSION\tDEPLOYED\tURL")
				for _, a := range all {
					fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", a.App, a.Version, a.Deployed.Local().Format(time.DateTime), a.URL)
				}
				t.Flush()
			})
		},
	}
}

type appDetails struct {
	appView
	Versions []uint64     `json:"versions"` // that can be rolled back to
	Manifest app.Manifest `json:"manifest"`
}

func newAppShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "show APP",
		Short: "Show what an application is made of, and its versions",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var d appDetails
			err := e.withClient(cmd.Context(), func(cl *client.Client) error {
				m, err := currentApp(cmd.Context(), cl, args[0])
				if err != nil {
					return err
				}
				d.appView, d.Manifest = appView{App: args[0], Version: m.Version, Deployed: m.Deployed}, *m
				d.URL, _ = e.appURL(args[0]) // none where no gateway is known
				d.Versions, err = appVersions(cmd.Context(), cl, args[0])
				return err
			})
			if err != nil {
				return err
			}
			return e.print(d, func(w io.Writer) {
				fmt.Fprintf(w, "%s, version %d of %s, at %s\n", d.App, d.Version, d.Deployed.Local().Format(time.DateTime), cmp.Or(d.URL, "no gateway that the profile names"))
				fmt.Fprintf(w, "versions: %s\n", strings.Trim(fmt.Sprint(d.Versions), "[]"))
				if d.Manifest.Database != nil {
					fmt.Fprintf(w, "database: %s\n", d.Manifest.Database.Name)
				}
				for _, r := range d.Manifest.Routes {
					fmt.Fprintf(w, "%-32s %s, %s\n", r.Pattern, d.Manifest.Functions[r.Function].Name, job.Level(r.Level))
				}
			})
		},
	}
}

func newAppRollbackCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "rollback APP [VERSION]",
		Short: "Have an earlier version of an application answer; default the one before",
		Long: `Has an earlier version answer, or a later one again. It counts at once: what is asked after this command has ended is not answered by
the version that was. The database stays as it is, and so do secrets.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, name := cmd.Context(), args[0]
			var to, from uint64
			err := e.withClient(ctx, func(cl *client.Client) error {
				now, err := currentApp(ctx, cl, name)
				if err != nil {
					return err
				}
				versions, err := appVersions(ctx, cl, name)
				if err != nil {
					return err
				}
				from = now.Version
				if len(args) > 1 {
					if to, err = strconv.ParseUint(args[1], 10, 64); err != nil {
						return &usageError{mesh.Errorf(mesh.Invalid, "%q is no version", args[1])}
					}
				} else if i := slices.Index(versions, from); i > 0 {
					to = versions[i-1]
				}
				if !slices.Contains(versions, to) {
					return mesh.WithHint(mesh.Errorf(mesh.NotFound, "there is no such version to go back to from %d", from), "there is: %s", strings.Trim(fmt.Sprint(versions), "[]"))
				}
				b, err := getBytes(ctx, cl, name, app.ManifestKey(to))
				if err != nil {
					return err
				}
				m, err := app.Parse(b)
				if err != nil {
					return err
				}
				if m.Database != nil && now.Database != nil && m.Database.Name == now.Database.Name {
					m.Database.AccessKey = now.Database.AccessKey // which may be newer
				}
				return publishManifest(ctx, cl, name, m, "")
			})
			if err != nil {
				return err
			}
			return e.print(map[string]any{"app": name, "version": to, "was": from}, func(w io.Writer) {
				fmt.Fprintf(w, "version %d of %s answers, instead of %d\n", to, name, from)
			})
		},
	}
}

func newAppRemoveCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "remove APP",
		Short: "Take an application off; what it stored stays",
		Long:  "Takes an application off, and revokes the keys that were made for it. Its bucket and its database stay as they are: see stratos rm, rb and db drop.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, name := cmd.Context(), args[0]
			err := e.withClient(ctx, func(cl *client.Client) error {
				m, err := currentApp(ctx, cl, name)
				if err != nil {
					return err
				}
				if err := cl.ChangeBucket(ctx, name, client.BucketChange{Sections: map[uint32][]byte{app.Section: nil}}); err != nil {
					return err
				}
				h, err := e.home()
				if err != nil {
					return err
				}
				all, err := readGrants(h)
				if err != nil {
					return err
				}
				for _, r := range all {
					if m.Database != nil && r.AccessKey == m.Database.AccessKey && !r.Revoked {
						if err := revokeGrant(ctx, cl, h, r); err != nil {
							return err
						}
					}
				}
				return e.retireServing(ctx, cl, name, "")
			})
			if err != nil {
				return err
			}
			return e.print(map[string]any{"app": name, "removed": true}, func(w io.Writer) { fmt.Fprintf(w, "%s answers no more\n", name) })
		},
	}
}

func newAppLogsCommand(e *env) *cobra.Command {
	var follow bool
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "logs APP",
		Short: "Show what requests an application's functions answered, and what these wrote to standard error",
		Long: `Shows a line for each request that a function answered: when, how, what it cost, and what it wrote to its standard error. Gateways write them
every few seconds, as lines of JSON below .app/logs/ of the application's bucket, and keep them for a week. --json shows them as they are.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(cl *client.Client) error { return e.appLogs(cmd.Context(), cl, args[0], since, follow) })
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	spanVar(cmd.Flags(), &since, "since", time.Hour, "how far back to begin, like 10m or 2d")
	return cmd
}

// An appLogLine is a line of an application's log, as gateways write it.
type appLogLine struct {
	Time         time.Time `json:"time"`
	Version      uint64    `json:"version"`
	Method       string    `json:"method"`
	Path         string    `json:"path"`
	Function     string    `json:"function"`
	Status       int       `json:"status"`
	Milliseconds int64     `json:"ms"`
	Fuel         uint64    `json:"fuel"`
	Noz          uint64    `json:"noz"`
	Error        string    `json:"error"`
	Log          string    `json:"log"`
}

// appLogs prints what was logged since, and with follow what comes.
func (e *env) appLogs(ctx context.Context, cl *client.Client, name string, since time.Duration, follow bool) error {
	if _, err := currentApp(ctx, cl, name); err != nil {
		return err
	}
	after := app.LogFolder() + time.Now().Add(-since).UTC().Format("2006-01-02T15-04-05")
	for {
		page, err := cl.ListPage(ctx, client.ListQuery{Bucket: name, Prefix: app.LogFolder(), After: after, Limit: 1000})
		if err != nil {
			return err
		}
		for _, n := range page.Names {
			after = n.Key
			b, err := getBytes(ctx, cl, name, n.Key)
			if mesh.KindOf(err) == mesh.NotFound && err != nil { // it was a week old
				continue
			}
			if err != nil {
				return err
			}
			if err := e.printLog(b); err != nil {
				return err
			}
		}
		if page.Next != nil {
			continue
		}
		if !follow {
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// printLog prints lines of a log.
func (e *env) printLog(b []byte) error {
	if e.json {
		_, err := e.stdout.Write(b)
		return err
	}
	in := bufio.NewReader(bytes.NewReader(b))
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		var l appLogLine
		if err := json.Unmarshal(line, &l); err != nil {
			return mesh.Errorf(mesh.Corrupt, "a line of the log: %w", err)
		}
		text := fmt.Sprintf("%s %d %s %s  %s v%d  %d ms  %d fuel  %s", l.Time.Local().Format("15:04:05.000"), l.Status, l.Method, l.Path, l.Function, l.Version, l.Milliseconds, l.Fuel, mesh.Noz(l.Noz))
		if l.Error != "" {
			text += "\n    " + http.StatusText(l.Status) + ": " + l.Error
		}
		for part := range strings.Lines(l.Log) {
			text += "\n    " + strings.TrimRight(part, "\n")
		}
		if _, err := io.WriteString(e.stdout, visible(text, '\n')+"\n"); err != nil {
			return err
		}
	}
}
