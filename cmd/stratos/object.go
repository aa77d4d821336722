package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
)

func newMakeBucketCommand(e *env) *cobra.Command {
	var public bool
	var budget string
	cmd := &cobra.Command{
		Use:     "mb stratos://BUCKET",
		Short:   "Create a bucket",
		Example: "  stratos mb stratos://photos\n  stratos mb stratos://site --public --budget 100oz",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := bucketPath(args[0])
			if err != nil {
				return err
			}
			if budget != "" && !public {
				return mesh.Errorf(mesh.Invalid, "--budget is for public buckets")
			}
			if budget != "" {
				if _, err := parseBudget(budget); err != nil {
					return err // before there is a bucket
				}
			}
			made := madeBucket{Bucket: p.Bucket, Public: public}
			err = e.withClient(cmd.Context(), func(c *client.Client) error { return c.MakeBucket(cmd.Context(), p.Bucket, public) })
			if err == nil && public && e.grant == "" {
				var served servedBucket
				served, err = e.serveBucket(cmd.Context(), p.Bucket, budget)
				made.URL, made.Site = served.URL, served.Site
			}
			if err != nil {
				return err
			}
			return e.print(made, func(w io.Writer) {
				fmt.Fprintf(w, "created %s\n", p)
				sayWhere(w, made.URL, made.Site)
			})
		},
	}
	cmd.Flags().BoolVar(&public, "public", false, "do not encrypt; anybody may read, in a browser too, on the account's ozone")
	cmd.Flags().StringVar(&budget, "budget", "", "of a public one: ozone that readers without an account may spend, like 5oz; default: no bound of its own")
	return cmd
}

type madeBucket struct {
	Bucket string `json:"bucket"`
	Public bool   `json:"public"`
	URL    string `json:"url,omitempty"`  // where browsers see it
	Site   string `json:"site,omitempty"` // and where it has a host for itself
}

func newRemoveBucketCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "rb stratos://BUCKET",
		Short: "Delete an empty bucket",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := bucketPath(args[0])
			if err != nil {
				return err
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				if err := c.RemoveBucket(cmd.Context(), p.Bucket); err != nil {
					return err
				}
				if err := e.retireServing(cmd.Context(), c, p.Bucket, ""); err != nil {
					return err
				}
				return e.print(map[string]any{"bucket": p.Bucket}, func(w io.Writer) { fmt.Fprintf(w, "deleted %s\n", p) })
			})
		},
	}
}

func bucketPath(s string) (mesh.Path, error) {
	if !mesh.IsPath(s) {
		s = mesh.Scheme + s
	}
	p, err := mesh.ParsePath(s)
	if err == nil && p.Key != "" {
		err = mesh.Errorf(mesh.Invalid, "%q names an object, not a bucket", s)
	}
	return p, err
}

// An objectView is an object, folder or bucket as commands show it.
type objectView struct {
	Path     string `json:"path"`
	Size     uint64 `json:"size"`
	Modified string `json:"modified,omitempty"`
	Folder   bool   `json:"folder,omitempty"`
}

func newListCommand(e *env) *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "ls [stratos://BUCKET[/PREFIX]]",
		Short: "List buckets, or objects",
		Long:  `Without a path it lists the account's buckets; under a grant for one of them, or a folder, what that opens.`,
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				opens := c.Access().Rights().Prefix
				if len(args) == 0 && opens == "" {
					return e.listBuckets(cmd.Context(), c)
				}
				if len(args) == 0 {
					r := c.Access().Rights()
					e.say("The grant opens %s%s (%s) until %s.", mesh.Scheme, opens, r.Operations, time.UnixMilli(r.ExpiresMs).UTC().Format(time.RFC3339))
					args = []string{mesh.Scheme + opens}
				}
				p, err := mesh.ParsePath(args[0])
				if err != nil {
					return err
				}
				delimiter := "/"
				if recursive {
					delimiter = ""
				}
				return e.list(cmd.Context(), c, p, delimiter)
			})
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "list what lies in folders too")
	return cmd
}

func (e *env) listBuckets(ctx context.Context, c *client.Client) error {
	buckets, err := c.Buckets(ctx)
	if err != nil {
		return err
	}
	type view struct {
		Name    string `json:"name"`
		Public  bool   `json:"public"`
		Created string `json:"created"`
		Objects uint64 `json:"objects"`
		Bytes   uint64 `json:"bytes"`
	}
	views := []view{}
	for _, b := range buckets {
		views = append(views, view{b.Name, b.Public, b.Created.UTC().Format(time.RFC3339), b.Objects, b.Bytes})
	}
	return e.print(map[string]any{"buckets": views}, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, b := range buckets {
			kind := ""
			if b.Public {
				kind = "public"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", mesh.Path{Bucket: b.Name}, count(b.Objects, "object"), bytesText(b.Bytes), kind)
		}
		t.Flush() // into memory
	})
}

// list prints names as they come: one line each, of JSON with --json.
func (e *env) list(ctx context.Context, c *client.Client, p mesh.Path, delimiter string) error {
	return c.List(ctx, p, delimiter, func(l client.Listed) error {
		v := objectView{Path: mesh.Path{Bucket: p.Bucket, Key: l.Key}.String(), Size: l.Size, Folder: l.Folder}
		if !l.Folder {
			v.Modified = l.Modified.UTC().Format(time.RFC3339)
		}
		if e.json {
			return e.printLine(v)
		}
		size, when := bytesText(v.Size), v.Modified
		if l.Folder {
			size, when = "-", "-"
		}
		_, err := fmt.Fprintf(e.stdout, "%20s  %10s  %s\n", when, size, visible(v.Path))
		return err
	})
}

func newUsageCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "du stratos://BUCKET[/PREFIX]",
		Short: "Add up the sizes of objects",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := mesh.ParsePath(args[0])
			if err != nil {
				return err
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				var v struct {
					Path    string `json:"path"`
					Objects int    `json:"objects"`
					Bytes   uint64 `json:"bytes"`
				}
				v.Path = p.String()
				err := c.List(cmd.Context(), p, "", func(l client.Listed) error { v.Objects++; v.Bytes += l.Size; return nil })
				if err != nil {
					return err
				}
				return e.print(v, func(w io.Writer) {
					fmt.Fprintf(w, "%s in %s  %s\n", bytesText(v.Bytes), count(v.Objects, "object"), v.Path)
				})
			})
		},
	}
}

func newStatCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "stat stratos://BUCKET/KEY",
		Short: "Show an object: size, pieces, holders, health",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := objectPath(args[0])
			if err != nil {
				return err
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				o, err := c.Stat(cmd.Context(), p)
				if err != nil {
					return err
				}
				v, err := statOf(cmd.Context(), c, o)
				if err != nil {
					return err
				}
				return e.print(v, v.write)
			})
		},
	}
}

// A statView is everything that `stat` tells of an object.
type statView struct {
	objectView
	Version     mesh.VersionID `json:"version"`
	ContentType string         `json:"content_type,omitempty"`
	BLAKE3      string         `json:"blake3,omitempty"` // nobody knows it of objects that were written in parts
	Inline      bool           `json:"inline"`
	Segments    int            `json:"segments"`
	DataPieces  int            `json:"data_pieces,omitempty"`
	Pieces      int            `json:"pieces,omitempty"`
	Missing     int            `json:"missing"` // pieces that repair has yet to bring
	Health      string         `json:"health"`  // full or reduced
	Holders     map[string]int `json:"holders,omitempty"`
}

func statOf(ctx context.Context, c *client.Client, o *client.Object) (*statView, error) {
	pl, err := c.Placement(ctx, o)
	if err != nil {
		return nil, err
	}
	v := &statView{objectView: objectView{Path: o.Path.String(), Size: o.Size, Modified: o.Modified.UTC().Format(time.RFC3339)}, Version: o.Version,
		ContentType: o.ContentType, Inline: pl.Segments == 0, Segments: pl.Segments, DataPieces: pl.DataPieces,
		Pieces: len(pl.Pieces), Health: "full", Holders: map[string]int{}}
	if o.PlainHash != [32]byte{} {
		v.BLAKE3 = hex.EncodeToString(o.PlainHash[:])
	}
	for _, p := range pl.Pieces {
		if !p.Stored {
			v.Missing++
			v.Health = "reduced"
			continue
		}
		v.Holders[p.Node.String()]++
	}
	return v, nil
}

func (v *statView) write(w io.Writer) {
	fmt.Fprintf(w, "%s\n  %s, written %s, version %s\n", v.Path, count(v.Size, "byte"), v.Modified, v.Version)
	if v.BLAKE3 != "" {
		fmt.Fprintf(w, "  BLAKE3 %s\n", v.BLAKE3)
	}
	if v.ContentType != "" {
		fmt.Fprintf(w, "  %s\n", v.ContentType)
	}
	if v.Inline {
		fmt.Fprintf(w, "  kept in the index\n")
		return
	}
	fmt.Fprintf(w, "  %s, %s of which %d of each segment's %d suffice, %d missing: %s\n", count(v.Segments, "segment"), count(v.Pieces, "piece"), v.DataPieces, v.Pieces/v.Segments, v.Missing, v.Health)
	for _, h := range sortedKeys(v.Holders) {
		fmt.Fprintf(w, "  %s  %s\n", h, count(v.Holders[h], "piece"))
	}
}

func objectPath(s string) (mesh.Path, error) {
	p, err := mesh.ParsePath(s)
	if err == nil && p.Key == "" {
		err = mesh.WithHint(mesh.Errorf(mesh.Invalid, "%q names a bucket, not an object", s), "give a key after the bucket")
	}
	return p, err
}

func newRemoveCommand(e *env) *cobra.Command {
	var recursive, versions bool
	cmd := &cobra.Command{
		Use:   "rm stratos://BUCKET/KEY",
		Short: "Delete an object, or with --recursive all whose keys begin so",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := mesh.ParsePath(args[0])
			if err != nil {
				return err
			}
			if p.Key == "" && !recursive {
				return mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s is a bucket", p), "remove its objects with --recursive, then the bucket with: stratos rb %s", p)
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error { return e.remove(cmd.Context(), c, p, recursive, versions) })
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "delete every object whose key begins so")
	cmd.Flags().BoolVar(&versions, "versions", false, "delete for good: every version, and every mark that an object was deleted")
	return cmd
}

func (e *env) remove(ctx context.Context, c *client.Client, p mesh.Path, recursive, versions bool) error {
	all := []client.Listed{{Key: p.Key}}
	if recursive || versions {
		all = nil
		for q := (&client.ListQuery{Bucket: p.Bucket, Prefix: p.Key, Versions: versions, Limit: 1000}); q != nil; {
			page, err := c.ListPage(ctx, *q)
			if err != nil {
				return err
			}
			for _, l := range page.Names {
				if recursive || l.Key == p.Key {
					all = append(all, l)
				}
			}
			q = page.Next
		}
	}
	if len(all) == 0 && !recursive {
		return mesh.Errorf(mesh.NotFound, "there is no version of %s", p)
	}
	err := each(ctx, all, func(ctx context.Context, l client.Listed) error {
		o := client.DeleteOptions{}
		if versions {
			o.Purge = &l.Version
			if l.Null {
				o.Purge = &client.NullVersion
			}
		}
		_, err := c.DeleteWith(ctx, mesh.Path{Bucket: p.Bucket, Key: l.Key}, o)
		if recursive && mesh.KindOf(err) == mesh.NotFound { // somebody else was faster
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return e.print(map[string]any{"deleted": len(all)}, func(w io.Writer) {
		switch {
		case versions:
			fmt.Fprintf(w, "deleted %s for good\n", count(len(all), "version"))
		case recursive:
			fmt.Fprintf(w, "deleted %s\n", count(len(all), "object"))
		default:
			fmt.Fprintf(w, "deleted %s\n", p)
		}
	})
}

func newMoveCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "mv stratos://BUCKET/KEY stratos://BUCKET/KEY",
		Short: "Give an object another name",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := objectPath(args[0])
			if err != nil {
				return err
			}
			to, err := mesh.ParsePath(args[1])
			if err != nil {
				return err
			}
			if to.Key == "" || strings.HasSuffix(to.Key, "/") {
				to.Key += path.Base(from.Key)
			}
			if from == to {
				return mesh.Errorf(mesh.Invalid, "%s already has that name", from)
			}
			return e.withClient(cmd.Context(), func(c *client.Client) error {
				if _, err := c.Copy(cmd.Context(), from, to); err != nil {
					return err
				}
				if err := c.Delete(cmd.Context(), from); err != nil {
					return err
				}
				return e.print(map[string]any{"from": from.String(), "to": to.String()}, func(w io.Writer) { fmt.Fprintf(w, "%s is now %s\n", from, to) })
			})
		},
	}
}

// A transferFile is one file to move between the disk and the network.
type transferFile struct {
	local string // "-" for a stream
	path  mesh.Path
	size  int64
	out   bool // of the network
	left  bool // it was not copied, and the rest goes on
}

// source is what people call it.
func (f *transferFile) source() string {
	if f.out {
		return f.path.String()
	}
	return f.local
}

// alone tells whether an error is about this file and says nothing of others.
func (f *transferFile) alone(err error) bool {
	switch mesh.KindOf(err) {
	case mesh.Invalid, mesh.Corrupt:
		return true
	case mesh.NotFound:
		return f.out || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) // else it is the bucket
	}
	return false
}

// localFiles lists what a local argument names: a file, or with recursive a tree in which links are not followed, and what of it
// cannot be read.
func localFiles(local string, to mesh.Path, recursive bool) (files []transferFile, left []leftOut, err error) {
	info, err := os.Stat(local)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, mesh.WithHint(mesh.Errorf(mesh.NotFound, "no file %s", local), "look at the name; - reads standard input")
	case err != nil:
		return nil, nil, mesh.Errorf(mesh.Invalid, "%s: %w", local, err)
	case !info.IsDir():
		if !info.Mode().IsRegular() {
			return nil, nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s is no regular file", local), "pipe it in: stratos cp - %s", to)
		}
		if to.Key == "" || strings.HasSuffix(to.Key, "/") {
			to.Key += filepath.Base(local)
		}
		return []transferFile{{local: local, path: to, size: info.Size()}}, nil, nil
	case !recursive:
		return nil, nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s is a folder", local), "copy it with --recursive")
	}
	prefix := to.Key
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	err = filepath.WalkDir(local, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.Type().IsRegular() {
			return nil
		}
		var info fs.FileInfo
		if err == nil {
			info, err = d.Info()
		}
		if err != nil {
			if name == local {
				return err
			}
			err = mesh.WithHint(mesh.Errorf(mesh.Invalid, "it cannot be read: %w", err), "look at its owner and its mode")
			left = append(left, leftOut{name, err.Error(), err})
			return nil
		}
		rel, err := filepath.Rel(local, name)
		if err != nil {
			return err
		}
		p := mesh.Path{Bucket: to.Bucket, Key: prefix + filepath.ToSlash(rel)}
		if err := mesh.CheckKey(p.Key); err != nil {
			err = mesh.WithHint(err, "copy it by itself, under a name of yours")
			left = append(left, leftOut{name, err.Error(), err})
			return nil
		}
		files = append(files, transferFile{local: name, path: p, size: info.Size()})
		return nil
	})
	if err != nil {
		return nil, nil, mesh.Errorf(mesh.Invalid, "reading %s: %w", local, err)
	}
	return files, left, nil
}

// remoteFiles lists what a network argument names and where it goes on the disk: objects, folders that stand for themselves, and
// what fits into no folder. A key was chosen by somebody else: it never leads out of the folder.
func remoteFiles(ctx context.Context, c *client.Client, from mesh.Path, local string, recursive bool) (files []transferFile, folders []string, left []leftOut, err error) {
	info, err := os.Stat(local)
	isDir := err == nil && info.IsDir() || strings.HasSuffix(local, string(filepath.Separator))
	if !recursive {
		if local != "-" && isDir {
			local = filepath.Join(local, path.Base(from.Key))
		}
		return []transferFile{{local: local, path: from, out: true}}, nil, nil, nil
	}
	cut := from.Key[:strings.LastIndexByte(from.Key, '/')+1]
	var all []client.Listed
	if err := c.List(ctx, from, "", func(l client.Listed) error { all = append(all, l); return nil }); err != nil {
		return nil, nil, nil, err
	}
	taken := map[string]bool{} // as folders
	for _, l := range all {
		if rel, err := relativeKey(l, cut); err == nil {
			for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
				taken[dir] = true
			}
		}
	}
	for _, l := range all {
		p := mesh.Path{Bucket: from.Bucket, Key: l.Key}
		rel, err := relativeKey(l, cut)
		if err == nil && taken[rel] {
			err = mesh.Errorf(mesh.Invalid, "other keys go on after it with a slash, so that it is their folder")
		}
		switch at := filepath.Join(local, filepath.FromSlash(rel)); {
		case err != nil:
			err = mesh.WithHint(err, "copy it by itself, under a name of yours: stratos cp %s NAME", p)
			left = append(left, leftOut{p.String(), err.Error(), err})
		case strings.HasSuffix(rel, "/") || rel == "":
			folders = append(folders, at)
		default:
			files = append(files, transferFile{local: at, path: p, size: int64(l.Size), out: true})
		}
	}
	return files, folders, left, nil
}

// relativeKey cuts the beginning off a key and returns what is left of it as a path below a folder. Tools make empty objects
// whose keys end with a slash, or are the beginning itself: those are folders.
func relativeKey(l client.Listed, cut string) (string, error) {
	rel := strings.TrimPrefix(l.Key, cut)
	name := rel
	if l.Size == 0 {
		if name = strings.TrimSuffix(rel, "/"); name == "" {
			return "", nil
		}
	}
	if !filepath.IsLocal(filepath.FromSlash(name)) || path.Clean(name) != name || strings.HasSuffix(name, "/") {
		return "", mesh.Errorf(mesh.Invalid, "the key does not fit into a folder")
	}
	return rel, nil
}
