package control

import (
	"context"
	"errors"
	"io"
	"math"
	"os"

	"damselfly/pieces"
	"damselfly/proto/daemonpb"
)

// Sink takes the bytes of a download: one CopyFile, or Writes in order, or what
// its Parts take.
type Sink interface {
	io.Writer
	// CopyFile copies n bytes of f from off on. f is not to be changed.
	CopyFile(ctx context.Context, f *os.File, off, n int64) error
	// Parts is nil if the sink takes its bytes in order only.
	Parts() Parts
}

// Parts takes a whole content in any order, while the rest is still fetched.
type Parts interface {
	// CopyPart copies bytes [off, off+n) of f to the same place of the sink, over
	// what was copied there before.
	CopyPart(ctx context.Context, f *os.File, off, n int64) error
	// Copied says that all size bytes were.
	Copied(size int64)
	// Restart drops what was copied: all comes by Write instead.
	Restart() error
}

// Download fetches r of a URL's content and puts it in sink. A pinned digest
// was verified by the daemon if the sink got a file, and not otherwise.
func (c *Client) Download(ctx context.Context, url string, o pieces.Options, r Range, progress func(Progress), sink Sink) error {
	// Hanging up ends the daemon's hold on the bytes.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := receiver{client: c, progress: progress, sink: sink, parts: sink.Parts()}
	defer in.close()
	req := &daemonpb.DownloadRequest{Source: sourceTo(url, o), WantDescriptor: true, WantReady: in.parts != nil}
	if r != Whole {
		req.HasRange, req.First, req.Last = true, r.Off, math.MaxInt64
		if r.N >= 0 {
			req.Last = r.Off + r.N - 1
		}
	}
	stream, err := c.api.Download(ctx, req)
	if err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return in.ended()
		}
		if err != nil {
			return err
		}
		if done, err := in.take(ctx, m); done || err != nil {
			return err
		}
	}
}

// receiver is the client's end of one download.
type receiver struct {
	client   *Client
	progress func(Progress)
	sink     Sink
	parts    Parts

	// file is the growing content file, of size bytes; nil while there is none.
	// copied is what the parts have of it.
	file   *os.File
	size   int64
	copied spans
}

func (in *receiver) close() {
	if in.file != nil {
		in.file.Close()
		in.file = nil
	}
}

// take handles a message; done: the sink has all.
func (in *receiver) take(ctx context.Context, m *daemonpb.DownloadReply) (done bool, err error) {
	switch b := m.GetBody().(type) {
	case *daemonpb.DownloadReply_Progress:
		if in.progress != nil {
			in.progress(progressFrom(b.Progress))
		}
	case *daemonpb.DownloadReply_Data:
		if in.file != nil {
			in.close()
			if err := in.parts.Restart(); err != nil {
				return false, err
			}
		}
		_, err = in.sink.Write(b.Data)
	case *daemonpb.DownloadReply_Descriptor_:
		return in.takeFile(ctx, b.Descriptor_)
	case *daemonpb.DownloadReply_Ready:
		return in.ready(ctx, b.Ready)
	}
	return false, err
}

// takeFile copies a complete file, and keeps one that grows.
func (in *receiver) takeFile(ctx context.Context, d *daemonpb.Descriptor) (done bool, err error) {
	f, err := fetchFile(ctx, DescriptorPath(in.client.socket), d.GetTicket())
	if err != nil {
		return false, err
	}
	if d.GetGrowing() && in.parts != nil && in.file == nil {
		in.file, in.size = f, d.GetLength()
		return false, nil
	}
	defer f.Close()
	return true, in.sink.CopyFile(ctx, f, d.GetOffset(), d.GetLength())
}

// ready copies what the daemon has named.
func (in *receiver) ready(ctx context.Context, m *daemonpb.Ready) (done bool, err error) {
	if in.file == nil {
		return false, pieces.Errorf(pieces.Internal, "the daemon names bytes of a file that it has not given")
	}
	for _, r := range rangesFrom(m.GetRanges()) {
		if r.Off < 0 || r.N <= 0 || r.N > in.size-r.Off {
			return false, pieces.Errorf(pieces.Internal, "the daemon names %d bytes at %d of a file of %d", r.N, r.Off, in.size)
		}
		if err := in.parts.CopyPart(ctx, in.file, r.Off, r.N); err != nil {
			return false, err
		}
		in.copied.add(r)
	}
	if !m.GetLast() {
		return false, nil
	}
	if !in.copied.cover(in.size) {
		return false, pieces.Errorf(pieces.Internal, "the daemon named too little: %v of %d bytes", in.copied, in.size)
	}
	in.parts.Copied(in.size)
	return true, nil
}

// ended: the daemon has sent all bytes as messages.
func (in *receiver) ended() error {
	if in.file != nil {
		return pieces.Errorf(pieces.Unavailable, "the daemon stopped before all was copied")
	}
	return nil
}
