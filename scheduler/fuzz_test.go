package scheduler

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/schedulerpb"
	"damselfly/scheduler/swarm"
)

// FuzzHear: whatever a host sends on its stream, the scheduler takes it or calls
// it Invalid, and its machines stay whole.
func FuzzHear(f *testing.F) {
	task, err := pieces.NewTask("http://example.com/f", pieces.Options{}, nil)
	if err != nil {
		f.Fatal(err)
	}
	facts := pieces.Facts{Size: 8 * pieces.MinPieceSize, Ranges: true}
	version := string(facts.VersionID())
	es := []*commonpb.Extent{{First: 1, End: 6}}
	for _, m := range []*schedulerpb.PeerMessage{
		{Body: &schedulerpb.PeerMessage_Held{Held: &schedulerpb.Held{Extents: es, Sums: []*commonpb.Sums{{First: 1, Sums: make([]byte, 64)}}}}},
		{Body: &schedulerpb.PeerMessage_Lost{Lost: &schedulerpb.Lost{Extents: es}}},
		{Body: &schedulerpb.PeerMessage_Want{Want: &schedulerpb.Want{Extents: es, Class: schedulerpb.Class_DEMAND}}},
		{Body: &schedulerpb.PeerMessage_Cancel{Cancel: &schedulerpb.Cancel{Extents: es}}},
		{Body: &schedulerpb.PeerMessage_Failed{Failed: &schedulerpb.Failed{Extents: es}}},
		{Body: &schedulerpb.PeerMessage_LeaseProgress{LeaseProgress: &schedulerpb.LeaseProgress{LeaseId: 1}}},
		{Body: &schedulerpb.PeerMessage_OriginError{OriginError: &schedulerpb.OriginError{LeaseId: 1}}},
		{Body: &schedulerpb.PeerMessage_Touched{Touched: &schedulerpb.Touched{Extents: es}}},
		{Body: &schedulerpb.PeerMessage_Hello{Hello: &schedulerpb.Hello{}}},
	} {
		m.Task, m.Version = string(task.ID), version
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &schedulerpb.PeerMessage{}
		if proto.Unmarshal(b, m) != nil {
			return
		}
		s, err := New(Options{Advertise: "127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		id := pieces.NewHostID([16]byte{1})
		ses := &session{host: id, out: make(chan *schedulerpb.SchedulerMessage, 64), cut: func(error) {}}
		if err := s.hosts.announce(pieces.Host{ID: id, UploadSlots: 1}, time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.hosts.open(ses, time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
		e, err := s.tasks.findOrAdd(task)
		if err != nil {
			t.Fatal(err)
		}
		s.stepEntry(e, swarm.Register{Host: id, Session: ses.number, Facts: &facts, CanFetch: true}, nil)
		if err := s.hear(ses, m); err != nil && pieces.KindOf(err) != pieces.Invalid {
			t.Fatalf("%v: %v", pieces.KindOf(err), err)
		}
		s.stepEntry(e, swarm.Tick{}, nil)
	})
}
