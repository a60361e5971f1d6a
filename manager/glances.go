package manager

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"google.golang.org/protobuf/proto"
)

// Defaults of glances.
const (
	// glanceTTL is how long what schedulers said is told again: people who look
	// at the same thing cost them one question together.
	glanceTTL = 500 * time.Millisecond
	// glanceTimeout bounds the question to all of them.
	glanceTimeout = 2 * time.Second
	maxGlances    = 256
)

// glances remembers for a moment what schedulers said.
type glances struct {
	now   func() time.Time
	group singleflight.Group

	mu   sync.Mutex
	last map[string]glance // guarded by mu
}

type glance struct {
	at  time.Time
	say proto.Message
}

func newGlances(now func() time.Time) *glances { return &glances{now: now, last: map[string]glance{}} }

// get answers what ask said of key of late, or asks. The answer is shared:
// nobody may change it. A caller may give up; the question goes on for others.
func (g *glances) get(ctx context.Context, key string, ask func(context.Context) (proto.Message, error)) (proto.Message, error) {
	if say := g.recent(key); say != nil {
		return say, nil
	}
	answer := g.group.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), glanceTimeout)
		defer cancel()
		say, err := ask(ctx)
		if err == nil {
			g.keep(key, say)
		}
		return say, err
	})
	select {
	case r := <-answer:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(proto.Message), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g *glances) recent(key string) proto.Message {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l, ok := g.last[key]; ok && g.now().Sub(l.at) < glanceTTL {
		return l.say
	}
	return nil
}

func (g *glances) keep(key string, say proto.Message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for k, l := range g.last {
		if now.Sub(l.at) >= glanceTTL {
			delete(g.last, k)
		}
	}
	if len(g.last) < maxGlances {
		g.last[key] = glance{now, say}
	}
}
