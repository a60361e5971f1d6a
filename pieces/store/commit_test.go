package store

import (
	"context"
	"sync"
	"testing"

	"damselfly/pieces"

	"github.com/dgraph-io/badger/v4"
	"github.com/stretchr/testify/require"
)

// Many of the largest values at once must not outgrow a transaction.
func TestGroupsOfInlinePiecesFitATransaction(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			c := makeContent(t, i, uint64(i), pieces.MinPieceSize)
			v, err := s.OpenVersion(c.key, c.facts)
			require.NoError(t, err)
			defer v.Close()
			c.put(t, v, 0)
			c.requirePieces(t, v, 0)
		})
	}
	wg.Wait()
	require.Len(t, s.Versions(), 64)
}

func TestLargeVersionIsRemovedInParts(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir})
	const n = 5 * maxKeys
	v := putRecords(t, s, n)
	require.Equal(t, n, v.Held().Count())
	key := v.Key()
	require.NoError(t, v.Drop(pieces.Extent{First: 0, End: n / 2}))
	require.NoError(t, v.Close())
	freed, err := s.Evict(key.Task)
	require.NoError(t, err)
	require.EqualValues(t, n/2*pieces.MinPieceSize, freed)
	require.Zero(t, s.Usage().Used)
	require.NoError(t, s.view(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte{prefixPiece}})
		defer it.Close()
		it.Rewind()
		require.False(t, it.Valid())
		return nil
	}))
}

// putRecords makes a Version of n pieces with records but without bytes.
func putRecords(t testing.TB, s *Store, n int) *Version {
	t.Helper()
	facts := pieces.Facts{Size: int64(n) * pieces.MinPieceSize, Validator: pieces.Validator{Value: "x"}}
	v, err := s.OpenVersion(pieces.Key{Task: taskOf([]byte{byte(s.nextOrd.Load()), 31: 0}), Version: facts.VersionID()}, facts)
	require.NoError(t, err)
	_, err = v.v.makeFile()
	require.NoError(t, err)
	var last *op
	for i := range n {
		s.retain(v.v)
		s.used.Add(pieces.MinPieceSize)
		last = v.v.putOp(i, nil, pieces.Sum{1}, host1)
		last.result = make(chan error, 1)
		s.commits.queue <- last
	}
	require.NoError(t, <-last.result)
	return v
}

func TestRefusedChangeLeavesTheGroupAlone(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	refuse := &op{apply: func(*badger.Txn) error { return pieces.Errorf(pieces.Exists, "taken") }}
	write := &op{apply: func(tx *badger.Txn) error { return tx.Set([]byte("x"), []byte("y")) }}
	refuse.result, write.result = make(chan error, 1), make(chan error, 1)
	s.commits.commit([]*op{refuse, write})
	require.Equal(t, pieces.Exists, pieces.KindOf(<-refuse.result))
	require.NoError(t, <-write.result)
	require.NoError(t, s.view(func(tx *badger.Txn) error {
		_, err := tx.Get([]byte("x"))
		return err
	}))
}

func TestCommitterAnswersEverybodyWhenItCloses(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for {
				err := s.commits.do(context.Background(), &op{apply: func(tx *badger.Txn) error { return tx.Set([]byte("x"), nil) }})
				if err != nil {
					require.ErrorIs(t, err, errClosed)
					return
				}
			}
		})
	}
	require.NoError(t, s.Close())
	wg.Wait()
}
