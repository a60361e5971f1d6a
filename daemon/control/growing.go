package control

import (
	"context"
	"os"

	"damselfly/proto/daemonpb"
)

// growthStep is how many bytes are written before the client is told to copy
// them: what is left to copy at the end is less, but for what is still behind
// in memory.
const growthStep = 8 << 20

// byDescriptor fetches everything and hands out the content file: if growing,
// as soon as there is one, naming what of it is ready. Content that lies in no
// file in the end is sent.
func (d *download) byDescriptor(ctx context.Context, r Range, growing bool) error {
	offer := offer{download: d, r: r}
	defer offer.close()
	var more <-chan struct{}
	if growing {
		offer.growth = d.handle.Grow(growthStep)
		more = offer.growth.More()
	}
	last, err := d.server.watch(ctx, r.N, func(ctx context.Context, progress progressFunc) error {
		return d.handle.Fetch(ctx, r.Off, r.N, progress)
	}, more, func(p Progress) error {
		if err := d.tell(p, false); err != nil {
			return err
		}
		return offer.grown()
	})
	if err != nil {
		return err
	}
	if err := d.tell(last, true); err != nil {
		return err
	}
	f, ok := d.handle.Content()
	if !ok {
		return d.send(ctx, r)
	}
	if ok, err := offer.whole(f); !ok || err != nil {
		if err == nil {
			err = d.send(ctx, r)
		}
		return err
	}
	// The handle keeps the bytes in place while the client copies them; it
	// hangs up when it has.
	<-ctx.Done()
	return ctx.Err()
}

// offer is the descriptor that a download hands out.
type offer struct {
	*download
	r Range
	// growth is nil if the client takes complete files only.
	growth Growth
	made   bool
	id     ticket
}

// close ends what was offered.
func (o *offer) close() {
	if o.made {
		o.server.tickets.revoke(o.id)
	}
	if o.growth != nil {
		o.growth.Close()
	}
}

// grown hands the file out, if there is one and it was not yet, and names what
// is ready.
func (o *offer) grown() error {
	if o.growth == nil {
		return nil
	}
	if !o.made {
		f, ok := o.growth.File()
		if !ok {
			return nil
		}
		if err := o.make(f, true); err != nil {
			return err
		}
	}
	rs, _ := o.growth.Written()
	if len(rs) == 0 {
		return nil
	}
	return o.ready(rs, false)
}

// whole hands out f, which is complete; or, if that was done, names the rest.
// False: pieces were lost again.
func (o *offer) whole(f *os.File) (bool, error) {
	if !o.made {
		return true, o.make(f, false)
	}
	f.Close()
	rs, all := o.growth.Written()
	if !all {
		return false, nil
	}
	return true, o.ready(rs, true)
}

// make takes f over.
func (o *offer) make(f *os.File, growing bool) error {
	id, err := o.server.tickets.issue(f, o.owner.UID)
	if err != nil {
		return err
	}
	o.made, o.id = true, id
	return o.stream.Send(&daemonpb.DownloadReply{Body: &daemonpb.DownloadReply_Descriptor_{
		Descriptor_: &daemonpb.Descriptor{Ticket: id[:], Offset: o.r.Off, Length: o.r.N, Growing: growing},
	}})
}

func (o *offer) ready(rs []Range, last bool) error {
	return o.stream.Send(&daemonpb.DownloadReply{Body: &daemonpb.DownloadReply_Ready{
		Ready: &daemonpb.Ready{Ranges: rangesTo(rs), Last: last},
	}})
}
