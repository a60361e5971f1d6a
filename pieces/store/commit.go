package store

import (
	"context"
	"sync"

	"damselfly/pieces"

	"github.com/dgraph-io/badger/v4"
)

const (
	// maxQueued bounds the operations that wait for the committer; the bytes
	// of their pieces belong to the callers, who wait too.
	maxQueued = 256
	// groupBytes and groupOps end a group; with one more operation of the
	// largest size it still fits a Badger transaction (15 % of a memtable).
	groupBytes = 128 << 10
	groupOps   = 256
	// maxKeys bounds the keys of one operation.
	maxKeys = 512
	// keyBytes is what a key counts for in op.size: a transaction's keys are
	// bounded as well as its bytes.
	keyBytes = 128
)

// op is one change of the database.
type op struct {
	// size is about how many bytes apply adds, at least keyBytes for each key.
	size int
	// removal: the change makes room, so it may go below dbFloor.
	removal bool
	// apply runs in the committer. It must return its error before it changes
	// tx, and change at most maxKeys keys.
	apply func(tx *badger.Txn) error
	// done runs in the committer with the result, before the waiter is woken;
	// may be nil.
	done func(err error)
	// result has room for one.
	result chan error
}

// committer owns all writing to the database: operations that arrive while a
// group is being committed make up the next group.
type committer struct {
	db *badger.DB
	// allowed returns a Full error if the database must not be written now.
	allowed func(removal bool) error
	queue   chan *op
	stop    chan struct{} // closed: take no more
	turns   chan func()   // see exclusively
	dead    chan struct{} // closed: what is queued was answered
}

func newCommitter(db *badger.DB, allowed func(removal bool) error) *committer {
	c := &committer{db: db, allowed: allowed, queue: make(chan *op, maxQueued), turns: make(chan func()), stop: make(chan struct{}), dead: make(chan struct{})}
	go c.run()
	return c
}

// close commits what is queued and waits for it. Call it once.
func (c *committer) close() {
	close(c.stop)
	<-c.dead
}

var errClosed = pieces.Errorf(pieces.Unavailable, "the store is closed")

// do commits o and waits. If ctx ends first, o may still be committed.
func (c *committer) do(ctx context.Context, o *op) error {
	o.result = make(chan error, 1)
	select {
	case <-c.stop:
		return o.refuse(errClosed)
	default:
	}
	select {
	case c.queue <- o:
	case <-c.stop:
		return o.refuse(errClosed)
	case <-ctx.Done():
		return o.refuse(ctx.Err())
	}
	select {
	case err := <-o.result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-c.dead:
		select {
		case err := <-o.result:
			return err
		default:
			return o.refuse(errClosed)
		}
	}
}

// exclusively runs fn while nothing is being committed, and waits for it. fn may
// change db and allowed. Not to be called together with close.
func (c *committer) exclusively(fn func()) {
	done := make(chan struct{})
	c.turns <- func() { defer close(done); fn() }
	<-done
}

func (o *op) refuse(err error) error {
	if o.done != nil {
		o.done(err)
	}
	return err
}

func (c *committer) run() {
	defer close(c.dead)
	for {
		select {
		case o := <-c.queue:
			c.commit(c.group(o))
		case fn := <-c.turns:
			fn()
		case <-c.stop:
			select {
			case o := <-c.queue:
				c.commit(c.group(o))
				continue
			default:
			}
			return
		}
	}
}

// group takes what else is queued, up to the bounds.
func (c *committer) group(first *op) []*op {
	ops, size := []*op{first}, first.size
	for size < groupBytes && len(ops) < groupOps {
		select {
		case o := <-c.queue:
			ops, size = append(ops, o), size+o.size
		default:
			return ops
		}
	}
	return ops
}

func (c *committer) commit(ops []*op) {
	may := remember(c.allowed)
	tx := c.db.NewTransaction(true)
	defer tx.Discard()
	errs := make([]error, len(ops))
	for i, o := range ops {
		if errs[i] = may(o.removal); errs[i] == nil {
			errs[i] = guarded(func() error { return o.apply(tx) })
		}
	}
	cerr := tx.Commit()
	if isNoSpace(cerr) {
		cerr = pieces.WithKind(pieces.Full, cerr, "record")
	}
	for i, o := range ops {
		if errs[i] == nil {
			errs[i] = cerr
		}
		if o.done != nil {
			o.done(errs[i])
		}
		o.result <- errs[i]
	}
}

// remember asks f once for each of its arguments.
func remember(f func(removal bool) error) func(removal bool) error {
	write, remove := sync.OnceValue(func() error { return f(false) }), sync.OnceValue(func() error { return f(true) })
	return func(removal bool) error {
		if removal {
			return remove()
		}
		return write()
	}
}
