package client

import (
	"context"
	"crypto/sha256"

	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// A Stretch is a run of an object's content that one node can give by itself.
type Stretch struct {
	From, To uint64      // of the content
	Node     mesh.NodeID // zero where no node does: of what is inline in the index
}

// Identity names an object's content by what is stored and by the key that opens it: whoever reads an object of the same identity reads the same bytes,
// whatever its writer says of it. Two objects of the same content have different ones.
func (c *Client) Identity(ctx context.Context, o *Object) (id [32]byte, err error) {
	h := sha256.New()
	h.Write([]byte("stratos object 1\x00"))
	add := func(p *Object) {
		key := sha256.Sum256(p.key[:]) // the digest commits to the key, which the seal of a frame does not
		h.Write(p.entry.ContentRoot)
		h.Write(key[:])
	}
	if len(o.entry.Parts) == 0 {
		add(o)
	} else {
		err = c.parts(ctx, o, 0, func(p *Object) (bool, error) { add(p); return true, nil })
	}
	h.Sum(id[:0])
	return id, err
}

// Stretches tells which node holds what of an object as it is, in order and without a gap.
func (c *Client) Stretches(ctx context.Context, o *Object) (all []Stretch, err error) {
	if len(o.entry.Parts) == 0 {
		return c.stretches(ctx, o, 0)
	}
	base := uint64(0)
	err = c.parts(ctx, o, 0, func(p *Object) (bool, error) {
		more, err := c.stretches(ctx, p, base)
		all = append(all, more...)
		base += p.Size
		return true, err
	})
	return all, err
}

// stretches does so for an object without parts that begins at base.
func (c *Client) stretches(ctx context.Context, o *Object, base uint64) (all []Stretch, err error) {
	end := base + o.Size
	if o.entry.FrameBytes == 0 {
		return []Stretch{{From: base, To: end}}, nil
	}
	frame := uint64(o.entry.FrameBytes)
	stored, at := frame+o.overhead(), uint64(0) // at counts the object's stored bytes
	begin := base
	err = c.extents(ctx, o, func(x *wirepb.Extent, _ uint32) (bool, error) {
		s := o.segments[mesh.SegmentID(x.Segment)]
		if s == nil || s.PieceBytes == 0 {
			return false, mesh.Errorf(mesh.Corrupt, "the index does not hold the segment %x of %s as its entry says", x.Segment, o.Path)
		}
		for from := x.Offset; from < x.Offset+x.Length; {
			i := from / s.PieceBytes
			to := min(x.Offset+x.Length, (i+1)*s.PieceBytes)
			if i >= uint64(len(s.Pieces)) {
				return false, mesh.Errorf(mesh.Corrupt, "the segment %x has no piece %d", x.Segment, i)
			}
			at += to - from
			h := Stretch{From: begin, To: min(end, base+(at+stored-1)/stored*frame)}
			copy(h.Node[:], s.Pieces[i].Node)
			all = append(all, h)
			from, begin = to, h.To
		}
		return true, nil
	})
	if err == nil && (len(all) == 0 || all[len(all)-1].To != end) {
		err = mesh.Errorf(mesh.Corrupt, "the index does not hold all of %s", o.Path)
	}
	return all, err
}
