package wire

import (
	"encoding/base64"
	"maps"
	"net/netip"

	"google.golang.org/protobuf/proto"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/schedulerpb"
)

// HostTo gives h as others may see it.
func HostTo(h pieces.Host) *commonpb.Host {
	return &commonpb.Host{
		Id:          string(h.ID),
		Hostname:    h.Hostname,
		Ip:          h.IP,
		PeerPort:    uint32(h.PeerPort),
		UploadPort:  uint32(h.UploadPort),
		Type:        commonpb.Host_Type(h.Type),
		Idc:         h.IDC,
		Location:    h.Location,
		Labels:      maps.Clone(h.Labels),
		UploadSlots: uint32(h.UploadSlots),
		Uploads:     uint32(h.Uploads),
		Version:     h.SoftwareVersion,
	}
}

// HostToHeader gives h for the header of an HTTP answer: base64 of its message,
// without labels: nobody dials by them.
func HostToHeader(h pieces.Host) (string, error) {
	h.Labels = nil
	b, err := proto.Marshal(HostTo(h))
	return base64.RawURLEncoding.EncodeToString(b), err
}

// HostFromHeader accepts what HostToHeader gives.
func HostFromHeader(s string) (pieces.Host, error) {
	var m commonpb.Host
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = proto.Unmarshal(b, &m)
	}
	if err != nil {
		return pieces.Host{}, pieces.Errorf(pieces.Invalid, "host %.40q: %w", s, err)
	}
	return HostFrom(&m)
}

// maxSlots bounds what a host may claim, so that sums of slots stay small.
const maxSlots = 1 << 16

// HostFrom accepts a Host that can be dialled: an id, an IP address (unicast,
// in canonical form after this) and two ports.
func HostFrom(m *commonpb.Host) (pieces.Host, error) {
	if m == nil {
		return pieces.Host{}, missing("host")
	}
	id, err := pieces.ParseHostID(m.Id)
	if err != nil {
		return pieces.Host{}, err
	}
	if err := checkHostFields(m); err != nil {
		return pieces.Host{}, pieces.Errorf(pieces.Invalid, "host %s: %w", id.Short(), err)
	}
	ip, err := hostIP(m.Ip)
	if err != nil {
		return pieces.Host{}, pieces.Errorf(pieces.Invalid, "host %s: %w", id.Short(), err)
	}
	return pieces.Host{
		ID:              id,
		Hostname:        m.Hostname,
		IP:              ip,
		PeerPort:        int(m.PeerPort),
		UploadPort:      int(m.UploadPort),
		Type:            pieces.HostType(m.Type),
		IDC:             m.Idc,
		Location:        m.Location,
		Labels:          m.Labels,
		UploadSlots:     int(m.UploadSlots),
		Uploads:         int(m.Uploads),
		SoftwareVersion: m.Version,
	}, nil
}

func hostIP(s string) (string, error) {
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.IsUnspecified() || ip.IsMulticast() {
		return "", pieces.Errorf(pieces.Invalid, "IP %.60q can't be dialled; want one unicast address", s)
	}
	return ip.Unmap().String(), nil
}

func checkHostFields(m *commonpb.Host) error {
	for _, port := range []uint32{m.PeerPort, m.UploadPort} {
		if port == 0 || port > 65535 {
			return pieces.Errorf(pieces.Invalid, "port %d is outside 1 … 65535", port)
		}
	}
	if m.Type < commonpb.Host_NORMAL || m.Type > commonpb.Host_SEED {
		return pieces.Errorf(pieces.Invalid, "unknown type %d", m.Type)
	}
	if m.UploadSlots > maxSlots || m.Uploads > maxSlots {
		return pieces.Errorf(pieces.Invalid, "%d upload slots, %d in use; at most %d are allowed", m.UploadSlots, m.Uploads, maxSlots)
	}
	for what, s := range map[string]string{"hostname": m.Hostname, "idc": m.Idc, "location": m.Location, "version": m.Version} {
		if err := checkText(what, s); err != nil {
			return err
		}
	}
	if len(m.Labels) > MaxLabels {
		return pieces.Errorf(pieces.Invalid, "%d labels, at most %d are allowed", len(m.Labels), MaxLabels)
	}
	for k, v := range m.Labels {
		if err := checkText("label", k+v); err != nil {
			return err
		}
	}
	return nil
}

// ParentTo gives one parent.
func ParentTo(p pieces.Parent) *schedulerpb.Parent {
	return &schedulerpb.Parent{Host: HostTo(p.Host), Complete: p.Complete, BackToSource: p.BackToSource}
}

// ParentFrom accepts a parent whose Host HostFrom accepts.
func ParentFrom(m *schedulerpb.Parent) (pieces.Parent, error) {
	h, err := HostFrom(m.GetHost())
	if err != nil {
		return pieces.Parent{}, err
	}
	return pieces.Parent{Host: h, Complete: m.Complete, BackToSource: m.BackToSource}, nil
}

// ParentsTo keeps the order, best first.
func ParentsTo(ps []pieces.Parent) []*schedulerpb.Parent { return toList(ps, ParentTo) }

// ParentsFrom keeps the order.
func ParentsFrom(ms []*schedulerpb.Parent) ([]pieces.Parent, error) {
	return hostList("parents", ms, ParentFrom)
}

// HolderTo gives one holder.
func HolderTo(h pieces.Holder) *schedulerpb.Holder {
	return &schedulerpb.Holder{Host: HostTo(h.Host), Held: ExtentsTo(h.Held), Fetching: ExtentsTo(h.Fetching)}
}

// HolderFrom accepts a holder whose Host and extents are accepted.
func HolderFrom(m *schedulerpb.Holder) (pieces.Holder, error) {
	h, err := HostFrom(m.GetHost())
	if err != nil {
		return pieces.Holder{}, err
	}
	held, err := ExtentsFrom(m.Held)
	if err != nil {
		return pieces.Holder{}, err
	}
	fetching, err := ExtentsFrom(m.Fetching)
	if err != nil {
		return pieces.Holder{}, err
	}
	return pieces.Holder{Host: h, Held: held, Fetching: fetching}, nil
}

// HoldersTo keeps the order.
func HoldersTo(hs []pieces.Holder) []*schedulerpb.Holder { return toList(hs, HolderTo) }

// HoldersFrom keeps the order.
func HoldersFrom(ms []*schedulerpb.Holder) ([]pieces.Holder, error) {
	return hostList("holders", ms, HolderFrom)
}

func toList[T, M any](vs []T, to func(T) *M) []*M {
	if len(vs) == 0 {
		return nil
	}
	ms := make([]*M, len(vs))
	for i, v := range vs {
		ms[i] = to(v)
	}
	return ms
}

func hostList[T, M any](what string, ms []*M, from func(*M) (T, error)) ([]T, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	if len(ms) > MaxHosts {
		return nil, pieces.Errorf(pieces.Invalid, "%d %s in one list, at most %d are allowed", len(ms), what, MaxHosts)
	}
	vs := make([]T, len(ms))
	for i, m := range ms {
		var err error
		if vs[i], err = from(m); err != nil {
			return nil, err
		}
	}
	return vs, nil
}
