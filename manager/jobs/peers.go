package jobs

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/daemonpb"
	"damselfly/proto/rpc"
	"damselfly/proto/wire"
)

// Defaults of Peers.
const (
	defaultSilence = 10 * time.Second
	defaultCall    = 30 * time.Second
)

// Peers reaches hosts over their Peer service, on a connection per item.
type Peers struct {
	Dial rpc.DialOptions
	// Silence ends a preheat that tells nothing for so long (10 s); hosts tell
	// their progress twice a second. Call bounds the other calls (30 s).
	Silence, Call time.Duration
}

// errSilent is the error of a host that stopped answering.
var errSilent = pieces.Errorf(pieces.Unavailable, "the host is silent")

// Preheat has the host fetch all of t.
func (p Peers) Preheat(ctx context.Context, h pieces.Host, t *pieces.Task, progress func(done, total int64)) (out Outcome, err error) {
	err = p.with(h, func(c daemonpb.PeerClient) error {
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		or(&p.Silence, defaultSilence)
		silence := time.AfterFunc(p.Silence, func() { stop(errSilent) })
		defer silence.Stop()
		stream, err := c.Preheat(ctx, &daemonpb.PreheatRequest{Task: wire.TaskTo(t)})
		if err != nil {
			return err
		}
		for {
			m, err := stream.Recv()
			switch {
			case errors.Is(context.Cause(ctx), errSilent):
				return errSilent
			case errors.Is(err, io.EOF):
				return pieces.Errorf(pieces.Unavailable, "the host ended the preheat without saying that it finished")
			case err != nil:
				return err
			}
			silence.Reset(p.Silence)
			progress(m.Done, m.Total)
			if m.Finished {
				out, err = preheated(m)
				return err
			}
		}
	})
	return out, err
}

func preheated(m *daemonpb.PreheatProgress) (Outcome, error) {
	f, err := wire.FactsFrom(m.Facts)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Facts: &f, Done: m.Done, Total: m.Total, Result: map[string]any{
		"version": f.VersionID(), "origin": m.Origin, "peers": m.Peers, "seeds": m.Seeds,
	}}, nil
}

// Delete frees what the host holds of t and forgets its entry.
func (p Peers) Delete(ctx context.Context, h pieces.Host, t pieces.TaskID) (Outcome, error) {
	return p.drop(ctx, h, &daemonpb.DropRequest{Task: string(t), Forget: true})
}

// Collect frees whatever the host does not use.
func (p Peers) Collect(ctx context.Context, h pieces.Host) (Outcome, error) {
	return p.drop(ctx, h, &daemonpb.DropRequest{Everything: true})
}

func (p Peers) drop(ctx context.Context, h pieces.Host, m *daemonpb.DropRequest) (out Outcome, err error) {
	err = p.with(h, func(c daemonpb.PeerClient) error {
		ctx, cancel := p.bounded(ctx)
		defer cancel()
		r, err := c.Drop(ctx, m)
		out = Outcome{Done: r.GetFreed(), Total: r.GetFreed(), Result: map[string]any{"freed": r.GetFreed(), "busy": r.GetBusy()}}
		return err
	})
	return out, err
}

// held is one Version in the result of a job of kind holders.
type held struct {
	Version string `json:"version"`
	Size    int64  `json:"size"`
	Bytes   int64  `json:"bytes"`
	Pieces  uint32 `json:"pieces"`
	Count   uint32 `json:"count"`
	Open    uint32 `json:"open"`
	// Extents are [first, end) pairs.
	Extents [][2]uint32 `json:"extents"`
}

// Holding asks what the host holds of t.
func (p Peers) Holding(ctx context.Context, h pieces.Host, t pieces.TaskID) (out Outcome, err error) {
	err = p.with(h, func(c daemonpb.PeerClient) error {
		ctx, cancel := p.bounded(ctx)
		defer cancel()
		r, err := c.Holding(ctx, &daemonpb.HoldingRequest{Task: string(t)})
		versions := []held{}
		for _, v := range r.GetVersions() {
			versions = append(versions, held{v.Version, v.Size, v.Bytes, v.Pieces, v.Count, v.Open, pairs(v.Extents)})
			out.Done += v.Bytes
			out.Total += v.Size
		}
		out.Result = map[string]any{"versions": versions}
		return err
	})
	return out, err
}

func pairs(es []*commonpb.Extent) [][2]uint32 {
	out := make([][2]uint32, len(es))
	for i, e := range es {
		out[i] = [2]uint32{e.GetFirst(), e.GetEnd()}
	}
	return out
}

func (p Peers) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	or(&p.Call, defaultCall)
	return context.WithTimeout(ctx, p.Call)
}

// with makes calls on a connection to the host.
func (p Peers) with(h pieces.Host, f func(daemonpb.PeerClient) error) error {
	conn, err := rpc.Dial(address(h), p.Dial)
	if err != nil {
		return err
	}
	defer func(c *grpc.ClientConn) { _ = c.Close() }(conn)
	return f(daemonpb.NewPeerClient(conn))
}
