package swarm

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// stuckTask is a Task whose origin rests for ever and of whose n pieces every
// wanter blocks all the holders.
type stuckTask struct {
	*Task
	view             View
	holders, wanters []pieces.HostID
}

func newStuckTask(t *testing.T, n, holders, wanters int) *stuckTask {
	opts := Defaults()
	hosts := benchHosts(holders + wanters)
	s := &stuckTask{
		Task: New(Identity{ID: "t", Public: true, SeedsCanFetch: true}, 1, 1),
		view: View{Now: dayOne, Hosts: hosts, Options: &opts, Origin: OriginRest{
			Err: pieces.Errorf(pieces.Throttled, "503"), Until: dayOne.Add(time.Hour)}},
	}
	facts := pieces.Facts{Size: int64(n) * pieces.MinPieceSize, Ranges: true,
		Validator: pieces.Validator{Kind: pieces.StrongETag, Value: "1"}}
	all := []pieces.Extent{{End: n}}
	sums := make([]pieces.Sum, n)
	for i := range sums {
		binary.BigEndian.PutUint32(sums[i][:], uint32(i))
	}
	from := func(id pieces.HostID) From { return From{Host: id, Session: 1, Version: facts.VersionID()} }
	for i := range holders + wanters {
		id := pieces.NewHostID([16]byte{byte(i), byte(i >> 8), byte(i >> 16), 1})
		r := Register{Host: id, Session: 1, Facts: &facts, CanFetch: true}
		if i < holders {
			r.Held = all
			s.holders = append(s.holders, id)
		} else {
			s.wanters = append(s.wanters, id)
		}
		s.Step(s.view, r)
		if i == 0 {
			s.Step(s.view, Held{From: from(id), Sums: []pieces.SumRun{{Sums: sums, Setter: id}}})
		}
	}
	for _, id := range s.wanters {
		s.Step(s.view, Want{From: from(id), Extents: all, Class: pieces.Fill})
		for _, h := range s.holders {
			s.Step(s.view, Failed{From: from(id), Parent: h, Extents: all, Reason: pieces.FailTimeout})
		}
	}
	require.Equal(t, wanters, s.versions[0].stuck.len())
	return s
}

// What a Tick does is bounded however much is stuck, and everybody has a turn.
func TestATickLooksAtSomeOfWhatIsStuck(t *testing.T) {
	const perTick, ticks = maxLooks / 1024, 3
	s := newStuckTask(t, 1024, 1, ticks*perTick)
	s.view.Now = s.view.Now.Add(s.view.Options.BlockMin)
	told := map[pieces.HostID]bool{}
	for tick := 1; tick <= ticks; tick++ {
		for _, a := range s.Step(s.view, Tick{}) {
			if m, ok := a.(Send); ok {
				if _, ok := m.Msg.(Holders); ok {
					told[m.Host] = true
				}
			}
		}
		require.Len(t, told, tick*perTick)
		s.view.Now = s.view.Now.Add(wantPace)
	}
	require.Zero(t, s.versions[0].stuck.len())
}

// To find that a peer blocks each of many holders takes no walk over all peers.
func TestHoldersAllBlocked(t *testing.T) {
	s := newStuckTask(t, 4, 2*knownHolders, 1)
	s.view.Now = s.view.Now.Add(time.Second)
	s.Step(s.view, Tick{})
	v := s.versions[0]
	p := v.peers[s.wanters[0]]
	require.Zero(t, testing.AllocsPerRun(10, func() {
		require.Nil(t, v.holderFor(p, 0))
	}))
	delete(p.blocked, s.holders[knownHolders])
	for i := range 4 {
		require.Equal(t, s.holders[knownHolders], v.holderFor(p, i).id)
	}
}
