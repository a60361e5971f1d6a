package exchange

import (
	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/daemonpb"
	"damselfly/proto/wire"
)

func helloTo(h pieces.Host, key pieces.Key) *daemonpb.SyncHello {
	return &daemonpb.SyncHello{Host: wire.HostTo(h), Task: string(key.Task), Version: string(key.Version)}
}

func helloFrom(m *daemonpb.SyncHello) (pieces.Host, pieces.Key, error) {
	if m == nil {
		return pieces.Host{}, pieces.Key{}, pieces.Errorf(pieces.Invalid, "first message of SyncPieceTasks is not a hello")
	}
	key, err := pieces.ParseKey(m.GetTask(), m.GetVersion())
	if err != nil {
		return pieces.Host{}, key, err
	}
	h, err := wire.HostFrom(m.GetHost())
	return h, key, err
}

// deltaFrom checks a message against the content's geometry.
func deltaFrom(m *daemonpb.SyncMessage, g pieces.Geometry) (d Delta, err error) {
	for _, f := range []struct {
		from []*commonpb.Extent
		to   *[]pieces.Extent
	}{
		{m.GetHeld(), &d.Held}, {m.GetLost(), &d.Lost}, {m.GetFetching(), &d.Fetching},
		{m.GetStopped(), &d.Stopped}, {m.GetWants(), &d.Wants},
	} {
		es, err := wire.ExtentsFrom(f.from)
		if err != nil {
			return d, err
		}
		for _, e := range es {
			if !g.Contains(e) {
				return d, pieces.Errorf(pieces.Invalid, "extent %v is outside the content's %d pieces", e, g.Count())
			}
		}
		*f.to = es
	}
	return d, nil
}
