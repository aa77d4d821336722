package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/internal/atomicfile"
	"github.com/stratosmesh/stratos/mesh"
)

// parallel is how many small objects a command moves at once.
const parallel = 16

// largeFile is from where on a file is moved by itself, with all the memory that a client may take.
const largeFile = 8 << 20

type copyCommand struct {
	*env
	recursive bool
	byteRange string
	left      []leftOut
}

// A leftOut is one of many that was not copied, and why.
type leftOut struct {
	Name string `json:"name"`
	Why  string `json:"why"`
	err  error
}

func newCopyCommand(e *env) *cobra.Command {
	c := &copyCommand{env: e}
	cmd := &cobra.Command{
		Use:   "cp SOURCE DESTINATION",
		Short: "Copy files into the network, out of it, or within it",
		Long: `Copies between the disk and the network, in either direction, or from one object to another. "-" is standard
input or output. A large upload or download that was interrupted goes on where it stopped when the same command is given
again and the source has not changed.

With --recursive, what cannot be copied by itself is left out and told, and the command fails when the rest is done: a key that fits
into no folder, like a/../b, or that is both an object and the folder of others; a file that may not be read.`,
		Example: `  stratos cp film.mp4 stratos://films/
  stratos cp stratos://films/film.mp4 -
  stratos cp --recursive photos stratos://photos/2026
  stratos cp --range 0-1023 stratos://films/film.mp4 head.bin`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd.Context(), args[0], args[1])
		},
	}
	cmd.Flags().BoolVarP(&c.recursive, "recursive", "r", false, "copy a folder and all that lies in it")
	cmd.Flags().StringVar(&c.byteRange, "range", "", "copy only the bytes FIRST-LAST of an object, both counted from 0; either may be missing")
	return cmd
}

func (c *copyCommand) run(ctx context.Context, from, to string) error {
	if c.byteRange != "" && (!mesh.IsPath(from) || mesh.IsPath(to) || c.recursive) {
		return mesh.Errorf(mesh.Invalid, "--range goes with one object that is copied out of the network")
	}
	if from != "-" && to != "-" {
		c.interrupted = "the same command goes on where this one stopped"
	}
	switch {
	case mesh.IsPath(from) && mesh.IsPath(to):
		return c.within(ctx, from, to)
	case mesh.IsPath(to):
		return c.in(ctx, from, to)
	case mesh.IsPath(from):
		return c.out(ctx, from, to)
	}
	return mesh.WithHint(mesh.Errorf(mesh.Invalid, "neither %q nor %q is in the network", from, to), "a path of the network looks like %sbucket/key", mesh.Scheme)
}

func (c *copyCommand) within(ctx context.Context, from, to string) error {
	a, err := objectPath(from)
	if err != nil {
		return err
	}
	b, err := mesh.ParsePath(to)
	if err != nil {
		return err
	}
	if b.Key == "" || strings.HasSuffix(b.Key, "/") {
		b.Key += a.Key[strings.LastIndexByte(a.Key, '/')+1:]
	}
	return c.withClient(ctx, func(cl *client.Client) error {
		o, err := cl.Copy(ctx, a, b)
		if err != nil {
			return err
		}
		return c.report([]transferFile{{path: b, size: int64(o.Size)}}, time.Now())
	})
}

// in copies from the disk.
func (c *copyCommand) in(ctx context.Context, from, to string) error {
	p, err := mesh.ParsePath(to)
	if err != nil {
		return err
	}
	files := []transferFile{{local: "-", path: p}}
	if from != "-" {
		if files, c.left, err = localFiles(from, p, c.recursive); err != nil {
			return err
		}
	} else if p.Key == "" || strings.HasSuffix(p.Key, "/") {
		return mesh.Errorf(mesh.Invalid, "a stream needs a whole key, not %s", p)
	}
	return c.withClient(ctx, func(cl *client.Client) error {
		return c.move(ctx, files, func(ctx context.Context, f *transferFile, progress func(int)) error {
			return c.upload(ctx, cl, f, progress)
		})
	})
}

// out copies to the disk.
func (c *copyCommand) out(ctx context.Context, from, to string) error {
	p, err := mesh.ParsePath(from)
	if err != nil {
		return err
	}
	if p.Key == "" && !c.recursive {
		return mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s is a bucket", p), "copy all of it with --recursive")
	}
	if to == "-" && c.recursive {
		return mesh.Errorf(mesh.Invalid, "only one object goes to standard output")
	}
	return c.withClient(ctx, func(cl *client.Client) error {
		files, folders, left, err := remoteFiles(ctx, cl, p, to, c.recursive)
		if err != nil {
			return err
		}
		if c.recursive && len(files)+len(folders)+len(left) == 0 {
			return mesh.Errorf(mesh.NotFound, "nothing begins with %s", p)
		}
		for _, dir := range folders {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return mesh.Errorf(mesh.Invalid, "making the folder %s: %w", dir, err)
			}
		}
		c.left = left
		return c.move(ctx, files, func(ctx context.Context, f *transferFile, progress func(int)) error {
			return c.download(ctx, cl, f, progress)
		})
	})
}

// move copies files: large ones one after the other, small ones side by side. With --recursive, what fails by itself is left out; the
// rest goes on.
func (c *copyCommand) move(ctx context.Context, files []transferFile, one func(context.Context, *transferFile, func(int)) error) error {
	began := time.Now()
	p := newTransferProgress(c.env, files)
	defer p.close()
	var small, large []*transferFile
	for i := range files {
		if files[i].size >= largeFile {
			large = append(large, &files[i])
		} else {
			small = append(small, &files[i])
		}
	}
	var mu sync.Mutex
	try := func(ctx context.Context, f *transferFile) error {
		err := one(ctx, f, p.add)
		if err == nil || !c.recursive || !f.alone(err) {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		f.left = true
		c.left = append(c.left, leftOut{f.source(), err.Error(), err})
		return nil
	}
	err := each(ctx, small, try)
	for _, f := range large {
		if err != nil {
			break
		}
		err = try(ctx, f)
	}
	p.close()
	slices.SortFunc(c.left, func(a, b leftOut) int { return strings.Compare(a.Name, b.Name) })
	for _, l := range c.left {
		c.say("left out %s: %s", l.Name, l.Why)
	}
	if err != nil {
		return err
	}
	if err := c.report(slices.DeleteFunc(files, func(f transferFile) bool { return f.left }), began); err != nil || len(c.left) == 0 {
		return err
	}
	err = mesh.Errorf(mesh.KindOf(c.left[0].err), "%s not copied, the rest was", plural(len(c.left), "thing was", "things were"))
	if hint := mesh.HintOf(c.left[0].err); hint != "" {
		err = mesh.WithHint(err, "%s", hint)
	}
	return err
}

// each calls f with every item, a bounded number at a time, and stops at the first error.
func each[T any](ctx context.Context, items []T, f func(context.Context, T) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, item := range items {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return f(ctx, item) })
	}
	return g.Wait()
}

func (c *copyCommand) report(files []transferFile, began time.Time) error {
	var total int64
	for _, f := range files {
		total += f.size
	}
	took := time.Since(began)
	v := map[string]any{"objects": len(files), "bytes": total, "took_ms": took.Milliseconds()}
	if len(files) == 1 {
		v["path"] = files[0].path.String()
	}
	if len(c.left) > 0 {
		v["left_out"] = c.left
	}
	if slices.ContainsFunc(files, func(f transferFile) bool { return f.local == "-" }) && !c.json {
		return nil // standard output may be the object itself
	}
	return c.print(v, func(w io.Writer) {
		what := count(len(files), "object")
		if len(files) == 1 {
			what = files[0].path.String()
		}
		fmt.Fprintf(w, "copied %s, %s in %s (%s/s)\n", what, bytesText(uint64(total)), took.Round(10*time.Millisecond), bytesText(uint64(float64(total)/max(took.Seconds(), 0.001))))
	})
}

func (c *copyCommand) upload(ctx context.Context, cl *client.Client, f *transferFile, progress func(int)) error {
	o := client.PutOptions{Progress: func(n int) { progress(n) }}
	in := c.stdin
	if f.local != "-" {
		file, err := os.Open(f.local)
		if err != nil {
			return mesh.WithHint(mesh.Errorf(mesh.NotFound, "opening %s: %w", f.local, err), "look at the file, its owner and its mode")
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return mesh.Errorf(mesh.Invalid, "reading %s: %w", f.local, err)
		}
		in, o.Mode = file, uint32(info.Mode().Perm())
		if info.Size() >= largeFile {
			if o.Journal, o.Source, err = c.journalOf(f, info); err != nil {
				return err
			}
		}
	}
	object, err := cl.Put(ctx, f.path, in, o)
	if err != nil {
		return err
	}
	f.size = int64(object.Size)
	return nil
}

// journalOf names the file in which an upload notes how far it came, and the source as it is now: any change of the file
// changes its change time.
func (c *copyCommand) journalOf(f *transferFile, info fs.FileInfo) (journal, source string, err error) {
	h, err := c.home()
	if err != nil {
		return "", "", err
	}
	abs, err := filepath.Abs(f.local)
	if err != nil {
		return "", "", mesh.Errorf(mesh.Invalid, "%s: %w", f.local, err)
	}
	source = fmt.Sprintf("%s size %d modified %d", abs, info.Size(), info.ModTime().UnixNano())
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		source += fmt.Sprintf(" changed %d.%09d inode %d.%d", st.Ctim.Sec, st.Ctim.Nsec, st.Dev, st.Ino)
	}
	if err := os.MkdirAll(h.Path("uploads"), 0o700); err != nil {
		return "", "", mesh.Errorf(mesh.Internal, "keeping the upload's journal: %w", err)
	}
	sum := sha256.Sum256([]byte(abs + "\x00" + f.path.String()))
	return h.Path("uploads", hex.EncodeToString(sum[:16])), source, nil
}

func (c *copyCommand) download(ctx context.Context, cl *client.Client, f *transferFile, progress func(int)) error {
	o, err := cl.Stat(ctx, f.path)
	if err != nil {
		return err
	}
	offset, length, err := parseRange(c.byteRange, o.Size)
	if err != nil {
		return err
	}
	f.size = int64(length)
	if f.local == "-" {
		return copyOut(ctx, cl, o, c.stdout, offset, length, progress)
	}
	if err := os.MkdirAll(filepath.Dir(f.local), 0o777); err != nil {
		return mesh.Errorf(mesh.Invalid, "making the folder of %s: %w", f.local, err)
	}
	return c.downloadFile(ctx, cl, o, f.local, offset, length, progress)
}

// downloadFile writes beside the file and renames at the end, so that a file of that name is always a whole one. What an
// interrupted download of the same version left is kept and continued. What is no file is written to as it is.
func (c *copyCommand) downloadFile(ctx context.Context, cl *client.Client, o *client.Object, name string, offset, length uint64, progress func(int)) (err error) {
	file, err := atomicfile.Resolve(name)
	if err != nil {
		return writing(name, err)
	}
	if to, err := file.Open(); to != nil || err != nil {
		if err == nil {
			err = errors.Join(copyOut(ctx, cl, o, to, offset, length, progress), to.Close())
		}
		return writing(name, err)
	}
	name = file.Path()
	part := fmt.Sprintf("%s.%s-%d-%d.part", name, o.Version.String()[:16], offset, length)
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "writing %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, closeOnce(out)) }()
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return mesh.Errorf(mesh.Invalid, "writing %s: %w", name, err)
	}
	// The last bytes may not have reached the disk when a machine died; a whole segment is read again.
	have = max(0, min(have, int64(length))-mesh.SegmentBytes)
	if err := out.Truncate(have); err != nil {
		return mesh.Errorf(mesh.Invalid, "writing %s: %w", name, err)
	}
	if _, err := out.Seek(have, io.SeekStart); err != nil {
		return mesh.Errorf(mesh.Invalid, "writing %s: %w", name, err)
	}
	progress(int(have))
	if err := copyOut(ctx, cl, o, out, offset+uint64(have), length-uint64(have), progress); err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			return mesh.WithHint(mesh.Errorf(mesh.Exhausted, "the disk of %s is full", name), "make room and give the command again: it goes on where it stopped")
		}
		return err
	}
	if _, there := file.Mode(); o.Mode != 0 && !there {
		if err := out.Chmod(fs.FileMode(o.Mode) & fs.ModePerm); err != nil {
			return mesh.Errorf(mesh.Invalid, "writing %s: %w", name, err)
		}
	}
	return writing(name, errors.Join(closeOnce(out), file.Take(part)))
}

func closeOnce(f *os.File) error {
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

func copyOut(ctx context.Context, cl *client.Client, o *client.Object, w io.Writer, offset, length uint64, progress func(int)) error {
	r, err := cl.Open(ctx, o, offset, length)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, counted{r, progress})
	return errors.Join(err, r.Close())
}

type counted struct {
	io.Reader
	count func(int)
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.count(n)
	return n, err
}

// parseRange reads FIRST-LAST, FIRST- or -COUNT (the last COUNT bytes), as HTTP has it.
func parseRange(s string, size uint64) (offset, length uint64, err error) {
	if s == "" {
		return 0, size, nil
	}
	bad := mesh.WithHint(mesh.Errorf(mesh.Invalid, "the range %q is none of an object of %s", s, count(size, "byte")), "write FIRST-LAST, FIRST- or -COUNT")
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		return 0, 0, bad
	}
	a, errA := strconv.ParseUint(first, 10, 63)
	b, errB := strconv.ParseUint(last, 10, 63)
	switch {
	case first == "" && errB == nil:
		n := min(b, size)
		return size - n, n, nil
	case last == "" && errA == nil && a <= size:
		return a, size - a, nil
	case errA != nil || errB != nil || a > b || a >= size:
		return 0, 0, bad
	}
	return a, min(b, size-1) - a + 1, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// bytesText writes a number of bytes for people: 12.3 MB.
func bytesText(n uint64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1000, 0
	for v >= 999.95 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	return fmt.Sprintf("%.1f %cB", v, units[i])
}
