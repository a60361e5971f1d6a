package fusefs

import (
	"context"
	"os"
	"time"

	"damselfly/pieces"
)

// Backend is what a mount shows. Its methods are called from many goroutines.
// Those with a context must return soon (100 ms) after it ends; a process may
// be waiting to die. Errors are told apart by pieces.KindOf (see errno.go).
type Backend interface {
	// Lookup answers stat(2): the Task's current Version. Facts that aren't
	// known yet are fetched.
	Lookup(ctx context.Context, id pieces.TaskID) (Entry, error)
	// Name resolves a name of by-name/.
	Name(ctx context.Context, name string) (pieces.TaskID, error)
	// Names lists by-name/.
	Names(ctx context.Context) ([]string, error)
	// Here returns a Task added or held here, without network; a NotFound error
	// for others.
	Here(ctx context.Context, id pieces.TaskID) (Entry, error)
	// List returns the Tasks added or held here, without network; only Key and
	// Known need be set.
	List(ctx context.Context) ([]Entry, error)
	// Open makes a Version readable. One that was replaced is a Changed error
	// unless it can still be read; the kernel then looks the name up again.
	Open(ctx context.Context, key pieces.Key) (File, error)
	// Status is the text of .df/status. It must not block.
	Status() []byte
	// TaskJSON is the content of .df/tasks/<id>.json. It must not block.
	TaskJSON(id pieces.TaskID) ([]byte, error)
}

// Entry is a Task as a directory entry.
type Entry struct {
	Key  pieces.Key
	Size int64
	// Modified may be zero: shown as 1970.
	Modified time.Time
	// Private files are readable by their owner alone.
	Private  bool
	UID, GID uint32
	// Known is false for a Task whose facts nobody fetched yet, in what Here and
	// List return; only Key.Task, Private, UID and GID are then set.
	Known bool
}

// File is one open handle of a Version. Its methods are called from many
// goroutines at once, Close once after all others have returned.
type File interface {
	// ReadAt fills p with verified bytes, blocking until they are here, ctx
	// ends, or it is clear that they won't come. The kernel never asks for
	// bytes beyond the size. p must not be touched after ReadAt returned.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	// Passthrough returns a descriptor of the content file if the Version is
	// complete and verified, having made sure that this file will never be
	// changed again. The caller closes it.
	Passthrough() (*os.File, bool)
	// Attr is the value of xattr user.df.<name>, for names url, version,
	// size, cached, state, sources and reads.
	Attr(name string) (string, bool)
	Close() error
}

// Sourced is a File that knows where the bytes of a read came from. Reads of
// others count as pieces.HitNone.
type Sourced interface {
	// ReadFrom is ReadAt that tells so of each byte.
	ReadFrom(ctx context.Context, p []byte, off int64) (n int, from pieces.HitBytes, err error)
}

// Progresser is a File that knows when bytes last came. With it a READ times
// out once ReadDeadline has passed without progress; without it, once
// ReadDeadline has passed.
type Progresser interface {
	// Progress returns when the last verified byte of the Task arrived, or
	// when this host's own traffic last kept its requests waiting. Zero:
	// never.
	Progress() time.Time
}
