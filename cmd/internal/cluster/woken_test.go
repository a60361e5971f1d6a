package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/pieces"
)

// A seed comes to the scheduler that woke it, for the facts and for the bytes,
// whoever it takes for the owner: there wait those who want them.
func TestSeedComesToWhoeverWokeIt(t *testing.T) {
	c := New(t, 2)
	c.Seed()
	// It knows one scheduler, which stands in where the other is the owner.
	reader := c.Host(func(o *daemon.Options) { o.Schedulers = o.Schedulers[:1] })
	for i := range 8 {
		const size = 3 << 20
		o := newOrigin(t, size)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_, err := reader.Fetch(ctx, fmt.Sprintf("%s/%d", o.URL, i), pieces.Options{})
		require.NoError(t, err)
		require.EqualValues(t, size, o.bytes.Load(), "origin bytes of file %d", i)
	}
	require.Zero(t, reader.Traffic().Origin)
}
