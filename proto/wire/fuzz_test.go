package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/schedulerpb"
)

// decode gives what a hostile sender can make of bytes; false if it is no
// message at all, which gRPC refuses before us.
func decode[M proto.Message](b []byte, m M) (M, bool) { return m, proto.Unmarshal(b, m) == nil }

func encode(f *testing.F, ms ...proto.Message) {
	for _, m := range ms {
		b, err := proto.Marshal(m)
		require.NoError(f, err)
		f.Add(b)
	}
}

// FuzzFrom feeds the same bytes to every From function: each either refuses
// with Invalid, or gives a value that survives another trip.
func FuzzFrom(f *testing.F) {
	encode(f, TaskTo(someTask(f)), FactsTo(someFacts), HostTo(someHost), SumRunTo(someRun), ExtentTo(someExtents[0]),
		ParentTo(pieces.Parent{Host: someHost, Complete: true}),
		&schedulerpb.Want{Extents: ExtentsTo(someExtents), FailedHosts: []string{"x"}},
		&schedulerpb.Holders{Holders: HoldersTo([]pieces.Holder{{Host: someHost, Held: someExtents}})},
		&commonpb.Error{Kind: 3, Message: "no", RetryAfterMs: 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		stable(t, b, &commonpb.Task{}, TaskFrom, TaskTo)
		stable(t, b, &commonpb.Facts{}, FactsFrom, FactsTo)
		stable(t, b, &commonpb.Host{}, HostFrom, HostTo)
		stable(t, b, &commonpb.Extent{}, ExtentFrom, ExtentTo)
		stable(t, b, &commonpb.Sums{}, SumRunFrom, SumRunTo)
		stable(t, b, &schedulerpb.Parent{}, ParentFrom, ParentTo)
		stable(t, b, &schedulerpb.Holder{}, HolderFrom, HolderTo)
		stable(t, b, &schedulerpb.Held{},
			func(m *schedulerpb.Held) ([]pieces.SumRun, error) { return SumRunsFrom(m.Sums) },
			func(rs []pieces.SumRun) *schedulerpb.Held { return &schedulerpb.Held{Sums: SumRunsTo(rs)} })
		stable(t, b, &schedulerpb.Want{},
			func(m *schedulerpb.Want) ([]pieces.Extent, error) { return ExtentsFrom(m.Extents) },
			func(es []pieces.Extent) *schedulerpb.Want { return &schedulerpb.Want{Extents: ExtentsTo(es)} })
		if m, ok := decode(b, &commonpb.Error{}); ok {
			err := ErrorFrom(m)
			require.Equal(t, pieces.KindOf(err), pieces.KindOf(ErrorFrom(ErrorTo(err))))
		}
	})
}

func stable[M proto.Message, T any](t *testing.T, b []byte, m M, from func(M) (T, error), to func(T) M) {
	m, ok := decode(b, m)
	if !ok {
		return
	}
	v, err := from(m)
	if err != nil {
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), "%v", err)
		return
	}
	again, err := from(to(v))
	require.NoError(t, err)
	require.Equal(t, v, again)
}
