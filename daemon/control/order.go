package control

import (
	"context"

	"damselfly/pieces"
	"damselfly/proto/daemonpb"
)

// maxOrderRanges bounds the ranges that PutOrder takes.
const maxOrderRanges = 1 << 16

// GetOrder answers the access order of the current Version.
func (s *Server) GetOrder(ctx context.Context, req *daemonpb.GetOrderRequest) (*daemonpb.GetOrderReply, error) {
	id, h, err := s.openRef(ctx, req.GetRef())
	if err != nil {
		return nil, err
	}
	defer h.Close()
	rs, err := h.Order(ctx)
	if err != nil {
		return nil, err
	}
	return &daemonpb.GetOrderReply{
		TaskId: string(id), Version: string(h.Key().Version), Size: h.Facts().Size, Ranges: rangesTo(rs),
	}, nil
}

// PutOrder makes an access order known.
func (s *Server) PutOrder(ctx context.Context, req *daemonpb.PutOrderRequest) (*daemonpb.PutOrderReply, error) {
	if n := len(req.GetRanges()); n > maxOrderRanges {
		return nil, pieces.Errorf(pieces.Invalid, "an access order of %d ranges: at most %d are allowed", n, maxOrderRanges)
	}
	_, h, err := s.openRef(ctx, req.GetRef())
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if v := req.GetVersion(); v != "" && v != string(h.Key().Version) {
		return nil, pieces.Errorf(pieces.Changed, "this access order is of version %.60s, but the origin has %s now; leave its version line out to use it all the same", v, h.Key().Version)
	}
	rs := rangesFrom(req.GetRanges())
	for i, r := range rs {
		if r.Off < 0 || r.N <= 0 || r.Off >= h.Facts().Size {
			return nil, pieces.Errorf(pieces.Invalid, "range %d of the access order, %d bytes at %d, is not in the content of %d bytes", i+1, r.N, r.Off, h.Facts().Size)
		}
	}
	return &daemonpb.PutOrderReply{Kept: uint32(h.PutOrder(rs))}, nil
}

// Rename gives a file another name, for who added it.
func (s *Server) Rename(ctx context.Context, req *daemonpb.RenameRequest) (*daemonpb.RenameReply, error) {
	if _, err := s.find(ctx, &daemonpb.Ref{Ref: req.GetFrom()}, change); err != nil {
		return nil, err
	}
	_, elsewhere, err := s.engine.Rename(ctx, req.GetFrom(), req.GetTo())
	return &daemonpb.RenameReply{Paths: s.paths(byName + "/" + req.GetTo()), Elsewhere: elsewhere}, err
}

// Rename asks for another name. It returns where the file is now, and whether
// the manager still knows it by the old name too.
func (c *Client) Rename(ctx context.Context, from, to string) (paths []string, elsewhere bool, err error) {
	m, err := c.api.Rename(ctx, &daemonpb.RenameRequest{From: from, To: to})
	return m.GetPaths(), m.GetElsewhere(), err
}

// openRef opens the Task that a reference names, which the caller may read.
func (s *Server) openRef(ctx context.Context, ref *daemonpb.Ref) (pieces.TaskID, Handle, error) {
	id, err := s.find(ctx, ref, fetch)
	if err != nil {
		return "", nil, err
	}
	h, err := s.engine.Open(ctx, id)
	return id, h, err
}

// Order asks for the access order of a Task.
func (c *Client) Order(ctx context.Context, ref Ref) (Order, error) {
	m, err := c.api.GetOrder(ctx, &daemonpb.GetOrderRequest{Ref: refTo(ref)})
	if err != nil {
		return Order{}, err
	}
	return Order{pieces.TaskID(m.GetTaskId()), pieces.VersionID(m.GetVersion()), m.GetSize(), rangesFrom(m.GetRanges())}, nil
}

// PutOrder makes an access order known, if its Version is the current one, or
// empty. It returns how many ranges were kept.
func (c *Client) PutOrder(ctx context.Context, ref Ref, version pieces.VersionID, rs []Range) (kept int, err error) {
	m, err := c.api.PutOrder(ctx, &daemonpb.PutOrderRequest{Ref: refTo(ref), Version: string(version), Ranges: rangesTo(rs)})
	return int(m.GetKept()), err
}

func rangesTo(rs []Range) (ms []*daemonpb.ByteRange) {
	for _, r := range rs {
		ms = append(ms, &daemonpb.ByteRange{Offset: r.Off, Length: r.N})
	}
	return ms
}

func rangesFrom(ms []*daemonpb.ByteRange) (rs []Range) {
	for _, m := range ms {
		rs = append(rs, Range{m.GetOffset(), m.GetLength()})
	}
	return rs
}
