package store

import (
	"bytes"
	"testing"
	"time"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
)

var sampleFacts = pieces.Facts{
	Size: 1 << 33, Validator: pieces.Validator{Kind: pieces.WeakETag, Value: `W/"abc"`},
	Modified: time.Unix(1_500_000_000, 0).UTC(), Ranges: true,
}

func TestHeldRecordIsCompact(t *testing.T) {
	b := appendHeld(nil, heldRecord{sum: pieces.SumOf([]byte("x")), setter: 3, length: pieces.MinPieceSize})
	require.LessOrEqual(t, len(b)+len(pieceKey(1, 1)), 50)
}

func TestPieceKeysSortByPiece(t *testing.T) {
	require.Negative(t, bytes.Compare(pieceKey(1, 255), pieceKey(1, 256)))
	require.Negative(t, bytes.Compare(pieceKey(1, 1<<22), pieceKey(2, 0)))
	ord, i, ok := parsePieceKey(pieceKey(1<<40, 12345))
	require.True(t, ok)
	require.EqualValues(t, 1<<40, ord)
	require.Equal(t, 12345, i)
}

// Whatever is parsed must mean the same when it is written and parsed again,
// and no prefix of it may pass for a record.
func FuzzHeldRecord(f *testing.F) {
	f.Add(appendHeld(nil, heldRecord{sum: pieces.SumOf(nil), setter: 300, length: 5}), false)
	f.Add(appendHeld(nil, heldRecord{sum: pieces.SumOf(nil), length: 3, data: []byte("abc")}), true)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, b []byte, inline bool) {
		r, err := parseHeld(b, inline)
		if err != nil {
			require.Equal(t, pieces.Integrity, pieces.KindOf(err))
			return
		}
		require.Positive(t, r.length)
		if inline {
			require.Len(t, r.data, int(r.length))
		} else {
			require.Empty(t, r.data)
		}
		again, err := parseHeld(appendHeld(nil, r), inline)
		require.NoError(t, err)
		require.Equal(t, r, again)
		_, err = parseHeld(b[:len(b)-1], inline)
		require.Error(t, err)
	})
}

func FuzzVersionRecord(f *testing.F) {
	key := pieces.Key{Task: taskOf(make([]byte, 32)), Version: sampleFacts.VersionID()}
	f.Add(appendVersion(nil, versionRecord{key: key, facts: sampleFacts, accessed: time.Unix(1_700_000_000, 0), flags: flagWhole}))
	f.Add(appendVersion(nil, versionRecord{key: key, accessed: time.Unix(0, 0)}))
	f.Add([]byte{recordFormat})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseVersion(b)
		if err != nil {
			require.Equal(t, pieces.Integrity, pieces.KindOf(err))
			return
		}
		_, err = pieces.ParseKey(string(r.key.Task), string(r.key.Version))
		require.NoError(t, err)
		_, err = r.facts.Geometry()
		require.NoError(t, err)
		again, err := parseVersion(appendVersion(nil, r))
		require.NoError(t, err)
		require.Equal(t, r, again)
		_, err = parseVersion(b[:len(b)-1])
		require.Error(t, err)
	})
}

func FuzzFactsRecord(f *testing.F) {
	f.Add(appendFactsRecord(nil, factsRecord{sampleFacts, time.UnixMilli(1_700_000_000_123)}))
	f.Add(appendFactsRecord(nil, factsRecord{pieces.Facts{}, time.UnixMilli(0)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseFactsRecord(b)
		if err != nil {
			return
		}
		again, err := parseFactsRecord(appendFactsRecord(nil, r))
		require.NoError(t, err)
		require.Equal(t, r, again)
		_, err = parseFactsRecord(b[:len(b)-1])
		require.Error(t, err)
	})
}

func FuzzEntry(f *testing.F) {
	task, err := pieces.NewTask("http://h/a?b=c", pieces.Options{Tag: "x"}, nil)
	require.NoError(f, err)
	b, err := encodeEntry(Entry{Task: *task, Names: []string{"n"}})
	require.NoError(f, err)
	f.Add(b, string(task.ID))
	f.Add([]byte("{}"), "x")
	f.Fuzz(func(t *testing.T, b []byte, id string) {
		e, err := parseEntry(pieces.TaskID(id), b)
		if err == nil {
			require.NoError(t, e.Task.CheckID())
		}
	})
}
