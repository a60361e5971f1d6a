package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

func TestOriginReadsTakeTurns(t *testing.T) {
	geo, err := pieces.GeometryOf(1000 * pieces.MinPieceSize)
	require.NoError(t, err)
	c := &Content{geo: geo, origins: map[*originRead]struct{}{}, turnEnded: make(chan struct{})}
	add := func(at int, class pieces.Class) *originRead {
		o := &originRead{at: at, class: class}
		c.origins[o] = struct{}{}
		return o
	}
	far, near, fill := add(100, pieces.Window), add(10, pieces.Window), add(0, pieces.Fill)
	require.NoError(t, c.awaitTurn(t.Context(), far))
	far.until = 132
	require.False(t, c.hasTurn(near), "one request at a time")
	far.since = time.Now().Add(-time.Second)
	far.at, far.read = 116, 16*pieces.MinPieceSize
	require.False(t, c.hasTurn(near), "half of it took a second")
	far.at, far.read = 130, 30*pieces.MinPieceSize
	require.True(t, c.hasTurn(near), "it is nearly over")
	require.True(t, c.hasTurn(add(200, pieces.Demand)), "but demand waits for nobody")
	require.True(t, c.hasTurn(add(300, pieces.Order)), "nor what is small")
	far.turn.waits, near.turn.waits, fill.turn.waits = true, true, true
	c.endTurn(far)
	far.turn.waits = true
	require.True(t, c.hasTurn(near))
	require.False(t, c.hasTurn(far), "the lower goes first")
	require.False(t, c.hasTurn(fill), "and the more urgent")
	c.originRate = 2.5 * turnRate
	require.True(t, c.hasTurn(far), "three at once where requests are short")
	require.True(t, c.hasTurn(fill))
	c.originRate = 0

	near.turn = turn{asked: time.Now().Add(-slowTurn)}
	require.True(t, c.hasTurn(far), "a slow one stands in nobody's way")
}

func TestATurnIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Content{origins: map[*originRead]struct{}{}, turnEnded: make(chan struct{})}
		a, b := &originRead{class: pieces.Fill}, &originRead{class: pieces.Fill, at: 5}
		c.origins[a], c.origins[b] = struct{}{}, struct{}{}
		require.NoError(t, c.awaitTurn(t.Context(), a))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.awaitTurn(ctx, b) }()
		synctest.Wait()
		require.True(t, b.turn.waits)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)

		began := time.Now()
		go func() { ended <- c.awaitTurn(t.Context(), b) }()
		synctest.Wait()
		c.endTurn(a)
		require.NoError(t, <-ended)
		require.Zero(t, time.Since(began))
		c.endTurn(b)

		require.NoError(t, c.awaitTurn(t.Context(), a))
		require.NoError(t, c.awaitTurn(t.Context(), b), "nobody says that a has become slow")
		require.Equal(t, slowTurn, time.Since(began))
	})
}
