package job

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/stratosmesh/stratos/client"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/compute"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// kept is what tasks read: how they name it, and where it lies. It does not change.
type kept struct {
	root      compute.Digest
	size      uint64
	object    *wirepb.StoredObject
	prefix    string // bucket and key, for a grant; "": it lies in the job's folder
	stretches []client.Stretch
}

// A program of a job as its workers find it.
type program struct {
	name   string // of its stage
	module *wirepb.StoredObject
	files  []*kept
}

// program stores what workers need of a program, and gives its stage as tasks have it.
func (r *run) program(ctx context.Context, into *program, p Program, files []*wirepb.ComputeFile) (*wirepb.Stage, error) {
	var err error
	if into.module, err = r.module(ctx, into.name, p.Module); err != nil {
		return nil, err
	}
	into.files = r.shared
	s := proto.CloneOf(p.Stage)
	s.Files = append(s.Files, files...)
	for _, f := range p.Files {
		k, err := r.keep(ctx, f.Input)
		if err != nil {
			return nil, err
		}
		into.files = append(into.files[:len(into.files):len(into.files)], k)
		s.Files = append(s.Files, fileOf(f.Name, k))
	}
	if err := compute.CheckStage(s); err != nil {
		return nil, err
	}
	if n := len(r.prefixes(into, "")); n >= compute.MaxAccesses {
		return nil, mesh.WithHint(mesh.Errorf(mesh.Invalid, "the files of a job lie in %d places, %d are the most", n-1, compute.MaxAccesses-2), "name some of them by files on this machine, or make one of them")
	}
	return s, nil
}

// module stores a module.
func (r *run) module(ctx context.Context, name string, b []byte) (*wirepb.StoredObject, error) {
	o, err := r.client.Put(ctx, r.object(name+".wasm"), bytes.NewReader(b), client.PutOptions{})
	if err != nil {
		return nil, fmt.Errorf("storing the module: %w", err)
	}
	return storedOf(o), nil
}

// files are those that the tasks of both stages can read.
func (r *run) files(ctx context.Context, files []File) (all []*wirepb.ComputeFile, err error) {
	for _, f := range files {
		k, err := r.keep(ctx, f.Input)
		if err != nil {
			return nil, err
		}
		r.shared = append(r.shared, k)
		all = append(all, fileOf(f.Name, k))
	}
	return all, nil
}

func fileOf(name string, k *kept) *wirepb.ComputeFile {
	return &wirepb.ComputeFile{Name: name, Size: k.size, Root: k.root[:]}
}

// keep has an input where workers find it: an object is named by its identity, a content is stored with its tree and named by its BLAKE3.
func (r *run) keep(ctx context.Context, in Input) (*kept, error) {
	if in.Object != nil {
		id, err := r.client.Identity(ctx, in.Object)
		if err != nil {
			return nil, err
		}
		p := in.Object.Path
		return &kept{root: id, size: in.Object.Size, object: storedOf(in.Object), prefix: p.Bucket + "/" + p.Key}, nil
	}
	size := in.Content.Size()
	treed, root, err := compute.WithTree(io.NewSectionReader(compute.ReaderAt{Source: in.Content}, 0, int64(size)), size)
	if err != nil {
		return nil, err
	}
	if k := r.stored[root]; k != nil {
		return k, nil
	}
	o, err := r.client.Put(ctx, r.object(fmt.Sprintf("content-%05d", len(r.stored))), treed, client.PutOptions{})
	if err != nil {
		return nil, fmt.Errorf("storing what tasks read: %w", err)
	}
	k := &kept{root: root, size: size, object: storedOf(o)}
	k.object.Tree = true
	if k.stretches, err = r.client.Stretches(ctx, o); err != nil {
		return nil, err
	}
	r.stored[root] = k
	return k, nil
}

// cut cuts the inputs where the nodes change that hold them.
func (r *run) cut(ctx context.Context) ([]compute.Input, error) {
	inputs := make([]compute.Input, len(r.Inputs))
	for i, in := range r.Inputs {
		k, err := r.keep(ctx, in)
		if err != nil {
			return nil, err
		}
		if in.Object != nil {
			if k.stretches, err = r.client.Stretches(ctx, in.Object); err != nil {
				return nil, err
			}
		}
		inputs[i] = compute.Input{Root: k.root, Size: k.size, Whole: r.Whole, Folder: k.prefix[:strings.LastIndexByte(k.prefix, '/')+1]}
		for n, x := range k.stretches {
			if n > 0 && !r.Whole && k.size > compute.Small && x.From < k.size {
				inputs[i].Cuts = append(inputs[i].Cuts, x.From)
			}
		}
		for range len(inputs[i].Cuts) + 1 {
			r.parts = append(r.parts, k)
		}
	}
	return inputs, nil
}

// prefixes are those of the grants for a task of a program: of the job's folder first, then of its inputs, if they lie elsewhere, and of its files.
func (r *run) prefixes(p *program, inputs string) []string {
	all := []string{r.folder()}
	add := func(prefix string) {
		if prefix != "" && accessOf(all, prefix) == 0 {
			all = append(all, prefix)
		}
	}
	add(inputs)
	for _, f := range p.files {
		add(f.prefix)
	}
	return all
}

// accessOf is which of the prefixes is that one; else 0, the job's folder.
func accessOf(prefixes []string, prefix string) uint32 {
	return uint32(max(0, slices.Index(prefixes, prefix)))
}

func storedOf(o *client.Object) *wirepb.StoredObject {
	return &wirepb.StoredObject{Bucket: o.Path.Bucket, Key: o.Path.Key, Version: o.Version[:]}
}

// Source is an object as what tasks read, as long as ctx lasts.
func Source(ctx context.Context, c Opener, o *client.Object) compute.Source {
	return &objectSource{ctx, c, o}
}

// An Opener reads objects; client.Client is one.
type Opener interface {
	Open(ctx context.Context, o *client.Object, offset, length uint64) (io.ReadCloser, error)
}

type objectSource struct {
	ctx    context.Context
	client Opener
	object *client.Object
}

func (s *objectSource) Size() uint64 { return s.object.Size }

func (s *objectSource) Open(offset, length uint64) (io.ReadCloser, error) {
	return s.client.Open(s.ctx, s.object, offset, length)
}

// readAll reads a source to its end, for its check.
func readAll(s compute.Source, w io.Writer) error {
	if s.Size() == 0 {
		return nil
	}
	r, err := s.Open(0, s.Size())
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, r.Close())
}
