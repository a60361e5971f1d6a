package wire

import (
	"damselfly/pieces"
	"damselfly/proto/commonpb"
)

// ExtentTo gives one extent; e must lie within 0 … MaxPieces.
func ExtentTo(e pieces.Extent) *commonpb.Extent {
	return &commonpb.Extent{First: uint32(e.First), End: uint32(e.End)}
}

// ExtentFrom accepts an extent that is not empty and ends within MaxPieces.
func ExtentFrom(m *commonpb.Extent) (pieces.Extent, error) {
	if m == nil {
		return pieces.Extent{}, missing("extent")
	}
	if m.First >= m.End || m.End > MaxPieces {
		return pieces.Extent{}, pieces.Errorf(pieces.Invalid, "extent [%d,%d) is empty or ends after piece %d", m.First, m.End, MaxPieces)
	}
	return pieces.Extent{First: int(m.First), End: int(m.End)}, nil
}

// ExtentsTo keeps the order and leaves out empty extents.
func ExtentsTo(es []pieces.Extent) []*commonpb.Extent {
	if len(es) == 0 {
		return nil
	}
	ms, all := make([]*commonpb.Extent, 0, len(es)), make([]commonpb.Extent, len(es))
	for i, e := range es {
		if !e.Empty() {
			all[i].First, all[i].End = uint32(e.First), uint32(e.End)
			ms = append(ms, &all[i])
		}
	}
	return ms
}

// ExtentsFrom keeps the order; extents may touch or overlap, but all together
// name at most MaxPieces, so that no list costs more than one whole content.
func ExtentsFrom(ms []*commonpb.Extent) ([]pieces.Extent, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	if len(ms) > MaxExtents {
		return nil, pieces.Errorf(pieces.Invalid, "%d extents in one list, at most %d are allowed", len(ms), MaxExtents)
	}
	es, total := make([]pieces.Extent, 0, len(ms)), 0
	for _, m := range ms {
		e, err := ExtentFrom(m)
		if err != nil {
			return nil, err
		}
		if total += e.Len(); total > MaxPieces {
			return nil, pieces.Errorf(pieces.Invalid, "the extents of one list name more than %d pieces", MaxPieces)
		}
		es = append(es, e)
	}
	return es, nil
}

const sumLen = len(pieces.Sum{})

// SumRunTo gives one run of digests.
func SumRunTo(r pieces.SumRun) *commonpb.Sums {
	m := &commonpb.Sums{First: uint32(r.First), Setter: string(r.Setter), Sums: make([]byte, 0, len(r.Sums)*sumLen)}
	for _, s := range r.Sums {
		m.Sums = append(m.Sums, s[:]...)
	}
	return m
}

// SumRunFrom accepts a run of one or more digests, none of them zero, with a
// setter.
func SumRunFrom(m *commonpb.Sums) (pieces.SumRun, error) {
	if m == nil {
		return pieces.SumRun{}, missing("digests")
	}
	setter, err := pieces.ParseHostID(m.Setter)
	if err != nil {
		return pieces.SumRun{}, err
	}
	n := len(m.Sums) / sumLen
	if n == 0 || len(m.Sums)%sumLen != 0 {
		return pieces.SumRun{}, pieces.Errorf(pieces.Invalid, "digests take %d bytes, want a multiple of %d", len(m.Sums), sumLen)
	}
	if uint64(m.First)+uint64(n) > MaxPieces {
		return pieces.SumRun{}, pieces.Errorf(pieces.Invalid, "digests of %d pieces from %d end after piece %d", n, m.First, MaxPieces)
	}
	r := pieces.SumRun{First: int(m.First), Sums: make([]pieces.Sum, n), Setter: setter}
	for i := range r.Sums {
		copy(r.Sums[i][:], m.Sums[i*sumLen:])
		if r.Sums[i].IsZero() {
			return pieces.SumRun{}, pieces.Errorf(pieces.Invalid, "digest of piece %d is zero", r.First+i)
		}
	}
	return r, nil
}

// SumRunsTo leaves out empty runs.
func SumRunsTo(rs []pieces.SumRun) []*commonpb.Sums {
	var ms []*commonpb.Sums
	for _, r := range rs {
		if len(r.Sums) > 0 {
			ms = append(ms, SumRunTo(r))
		}
	}
	return ms
}

// SumRunsFrom keeps the order.
func SumRunsFrom(ms []*commonpb.Sums) ([]pieces.SumRun, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	if len(ms) > MaxExtents {
		return nil, pieces.Errorf(pieces.Invalid, "%d runs of digests in one list, at most %d are allowed", len(ms), MaxExtents)
	}
	rs := make([]pieces.SumRun, 0, len(ms))
	for _, m := range ms {
		r, err := SumRunFrom(m)
		if err != nil {
			return nil, err
		}
		rs = append(rs, r)
	}
	return rs, nil
}
