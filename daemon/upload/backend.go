package upload

import (
	"context"
	"os"
	"time"

	"damselfly/pieces"
)

// Request is one well-formed request for bytes [Off, Off+N), N ≥ 1.
type Request struct {
	Key    pieces.Key
	Off, N int64
	Asker  pieces.HostID
	// Wait is how long the asker waits for bytes that are being fetched;
	// 0 means that only what is held now is of use.
	Wait time.Duration
	// Urgent: a reader waits for the bytes.
	Urgent bool
	// Insists: it was answered Elsewhere before, and did not get them there.
	Insists bool
}

// Elsewhere refuses bytes that another host was given first: the asker finds
// them there, or asks again after a while. Its kind is Exists.
type Elsewhere struct {
	// Host is known by its ID at least.
	Host  pieces.Host
	After time.Duration
}

func (e *Elsewhere) Error() string {
	return "host " + e.Host.ID.Short() + " was given these pieces first"
}

func (e *Elsewhere) Unwrap() error {
	return &pieces.Error{Kind: pieces.Exists, RetryAfter: e.After, Msg: "given to another host first"}
}

// class is how urgent the request is where a limit makes it wait.
func (r Request) class() pieces.Class {
	if r.Urgent {
		return pieces.Demand
	}
	return pieces.Fill
}

// Backend finds content. It is called concurrently.
type Backend interface {
	// Open answers the content of a request, or an error whose kind becomes
	// the status: NotFound for what is not held (or did not come in time),
	// Exists for what another host was given first and probably has sooner,
	// Invalid for a range outside the content, Throttled to be asked again
	// later. It may block for about r.Wait, and not after ctx ended.
	Open(ctx context.Context, r Request) (Content, error)
}

// Content is the answer to one request, used by one goroutine.
type Content interface {
	// Size is that of the whole content.
	Size() int64
	// Next returns the bytes asked for, in order and together exactly
	// Request.N of them, then io.EOF. A chunk is valid until the following
	// call. The first call may block as Open does.
	Next(ctx context.Context) (Chunk, error)
	Close() error
}

// Refusable content is told, before Close, that an answer without its bytes was
// given: no slot was free, or its first bytes did not come.
type Refusable interface{ Refused() }

// Chunk is Data, or Len bytes of File from Off. The file's own position is
// neither used nor moved.
type Chunk struct {
	Data     []byte
	File     *os.File
	Off, Len int64
}

// Size returns the number of bytes in the chunk.
func (c Chunk) Size() int64 {
	if c.File != nil {
		return c.Len
	}
	return int64(len(c.Data))
}

// Limiter slows uploads down: WaitN returns when n bytes may go.
type Limiter interface {
	WaitN(ctx context.Context, n int) error
}
