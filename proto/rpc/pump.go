package rpc

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// Stream is what both ends of a two-way gRPC stream offer.
type Stream[Out, In any] interface {
	Send(Out) error
	Recv() (In, error)
}

// Pump moves the messages of one two-way stream and watches its heartbeat.
type Pump[Out, In any] struct {
	Stream Stream[Out, In]
	// Out is the bounded queue of what to send; its owner fills it and never
	// blocks on it. Closing it ends the stream in good order after the rest
	// was sent: on the client's end Run goes on until the server answers that.
	Out <-chan Out
	// Handle gets each message in order, beats included, on one goroutine. It
	// must not block. An error ends Run with it.
	Handle func(In) error
	// Beat makes a heartbeat message.
	Beat func() Out
	// Interval and Misses as in Heartbeat; 0 are the defaults.
	Interval time.Duration
	Misses   int
	// Cancel ends the stream's context, on the client's end: Run calls it and
	// waits for its goroutines before it returns. Nil on the server's end,
	// where they end as soon as the handler returns, and so it must, at once.
	Cancel context.CancelFunc
}

// Run returns when ctx ends, the other side closes the stream in good order or
// Out is drained (all nil), or with the first error: of the stream, of Handle,
// or Unavailable after too long a silence. Handle is not called after it.
func (p *Pump[Out, In]) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	heart := &Heartbeat{Interval: p.Interval, Misses: p.Misses}
	received, beats := make(chan In), make(chan struct{}, 1)
	var running sync.WaitGroup
	// Each goroutine ends once; only the first end counts.
	ended := make(chan error, 3)
	running.Go(func() { ended <- p.receive(ctx, received) })
	running.Go(func() {
		if err := p.send(ctx, beats); !errors.Is(err, io.EOF) {
			ended <- err
		}
		// io.EOF says that the stream is over for senders: Recv tells why.
	})
	running.Go(func() {
		ended <- heart.Run(ctx, func() error {
			select {
			case beats <- struct{}{}:
			default:
			}
			return nil
		})
	})
	err := p.loop(ctx, heart, received, ended)
	stop()
	if p.Cancel != nil {
		p.Cancel()
		running.Wait()
	}
	return err
}

func (p *Pump[Out, In]) loop(ctx context.Context, heart *Heartbeat, received <-chan In, ended <-chan error) error {
	for {
		select {
		case m := <-received:
			heart.Seen()
			if err := p.Handle(m); err != nil {
				return err
			}
		case err := <-ended:
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil
			}
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *Pump[Out, In]) receive(ctx context.Context, received chan<- In) error {
	for {
		m, err := p.Stream.Recv()
		if err != nil {
			return err
		}
		select {
		case received <- m:
		case <-ctx.Done():
			return nil
		}
	}
}

// send returns nil when Out is drained, or io.EOF where the other side still
// has to answer.
func (p *Pump[Out, In]) send(ctx context.Context, beats <-chan struct{}) error {
	for {
		var m Out
		select {
		case <-ctx.Done():
			return nil
		case next, ok := <-p.Out:
			if !ok {
				return p.closeSend()
			}
			m = next
		case <-beats:
			m = p.Beat()
		}
		if err := p.Stream.Send(m); err != nil {
			return err
		}
	}
}

func (p *Pump[Out, In]) closeSend() error {
	client, ok := p.Stream.(interface{ CloseSend() error })
	if !ok {
		return nil
	}
	if err := client.CloseSend(); err != nil {
		return err
	}
	return io.EOF
}
