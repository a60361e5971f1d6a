package announce

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

var (
	t0   = time.Unix(1000, 0)
	keyA = pieces.Key{Task: "a", Version: "1"}
	keyB = pieces.Key{Task: "b", Version: "1"}
)

func newBatch() *batch { return &batch{delay: 50 * time.Millisecond, enough: 64, limit: 1000} }

func held(first, end int) *heldReport { return &heldReport{HeldReport{Extents: span(first, end)}} }

func due(t *testing.T, b *batch) time.Duration {
	t.Helper()
	at, ok := b.due()
	require.True(t, ok)
	return at.Sub(t0)
}

func TestReportsWaitForCompanyFromTheFirstOn(t *testing.T) {
	b := newBatch()
	_, ok := b.due()
	require.False(t, ok)
	b.add(t0, keyA, held(0, 1))
	b.add(t0.Add(30*time.Millisecond), keyB, held(0, 1))
	require.Equal(t, 50*time.Millisecond, due(t, b))
	require.Len(t, b.take(), 2)
	_, ok = b.due()
	require.False(t, ok)
}

func TestEnoughPiecesGoAtOnce(t *testing.T) {
	b := newBatch()
	b.add(t0, keyA, held(0, 40))
	b.add(t0, keyB, held(0, 23))
	require.Equal(t, 50*time.Millisecond, due(t, b))
	b.add(t0, keyA, held(40, 41))
	require.Zero(t, due(t, b))
}

func TestWhatSomebodyWaitsForGoesAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		r      report
		urgent bool
	}{
		"held":              {held(0, 1), false},
		"held, urgent":      {&heldReport{HeldReport{Extents: span(0, 1), Urgent: true}}, true},
		"held with digests": {&heldReport{HeldReport{Extents: span(0, 1), Lease: 3, Sums: []pieces.SumRun{sumRun(0, 1, self)}}}, true},
		"want":              {&wantReport{extents: span(0, 1), class: pieces.Fill}, true},
		"failed":            {&failedReport{extents: span(0, 1)}, true},
		"origin error":      {&originErrorReport{lease: 1}, true},
		"lost":              {&lostReport{span(0, 1)}, true},
		"cancel":            {&cancelReport{span(0, 1)}, false},
		"touched":           {&touchedReport{span(0, 1)}, false},
		"progress":          {&progressReport{lease: 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBatch()
			b.add(t0, keyB, held(7, 8)) // what waits goes along
			b.add(t0.Add(time.Millisecond), keyA, c.r)
			if c.urgent {
				require.Zero(t, due(t, b))
			} else {
				require.Equal(t, 50*time.Millisecond, due(t, b))
			}
			require.Len(t, b.take(), 2)
		})
	}
}

func TestReportsMergeAndKeepTheirOrder(t *testing.T) {
	b := newBatch()
	b.add(t0, keyA, held(0, 1))
	b.add(t0, keyB, held(5, 6))
	b.add(t0, keyA, held(1, 2))
	b.add(t0, keyA, &lostReport{span(0, 1)})
	b.add(t0, keyA, held(0, 1)) // held again: must come after the loss
	b.add(t0, keyA, &heldReport{HeldReport{Extents: span(3, 4), Lease: 9}})
	b.add(t0, keyA, &progressReport{lease: 9, bytes: 10})
	b.add(t0, keyA, &progressReport{lease: 9, bytes: 30})
	b.add(t0, keyA, &progressReport{lease: 8, bytes: 1})
	var got []any
	for _, e := range b.take() {
		if e.key == keyA {
			got = append(got, e.report)
		}
	}
	require.Equal(t, []any{
		held(0, 2), &lostReport{span(0, 1)}, held(0, 1),
		&heldReport{HeldReport{Extents: span(3, 4), Lease: 9}},
		&progressReport{lease: 9, bytes: 30}, &progressReport{lease: 8, bytes: 1},
	}, got)
}

func TestBatchIsBounded(t *testing.T) {
	b := newBatch()
	for b.add(t0, keyA, &wantReport{extents: span(0, 1)}) {
		require.LessOrEqual(t, len(b.entries), 500)
	}
	require.Len(t, b.entries, 500, "each weighs two of a thousand")
	require.False(t, b.add(t0, keyB, held(0, 1)))
	b.take()
	require.True(t, b.add(t0, keyB, held(0, 1)))
}

func TestMessagesStaySmall(t *testing.T) {
	b := &batch{delay: 1, enough: 1, limit: 1 << 20}
	for i := range 5 {
		b.add(t0, keyA, &heldReport{HeldReport{Sums: []pieces.SumRun{sumRun(4000*i, 4000, self)}}})
	}
	es := b.take()
	require.Len(t, es, 3)
	for _, e := range es {
		require.LessOrEqual(t, e.weight(), mergeLimit)
	}
}

func TestForgottenPeerIsNotHeard(t *testing.T) {
	b := newBatch()
	b.add(t0, keyA, held(0, 1))
	b.add(t0, keyB, held(0, 1))
	b.forget(keyA)
	b.add(t0, keyA, held(3, 4)) // a new Peer of the same Key
	es := b.take()
	require.Len(t, es, 2)
	require.Equal(t, keyB, es[0].key)
	require.Equal(t, held(3, 4), es[1].report)
}

func TestMergingLeavesTheCallersSlicesAlone(t *testing.T) {
	mine := make([]pieces.Extent, 1, 4)
	mine[0] = pieces.Extent{First: 0, End: 1}
	b := newBatch()
	q := &queue{wake: make(chan struct{}, 1), batch: *b, room: make(chan struct{})}
	p := &Peer{state: peerUp, session: &session{queue: q}}
	p.Held(HeldReport{Extents: mine})
	p.Held(HeldReport{Extents: span(1, 2)})
	require.Equal(t, span(0, 1), mine)
}
