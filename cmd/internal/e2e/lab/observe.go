package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"damselfly/daemon/control"
	"damselfly/pieces"
	"damselfly/proto/daemonpb"
	"damselfly/proto/rpc"
	"damselfly/proto/wire"
)

// Task returns what the daemon's mount says of a Task in .df/tasks, given the
// file's path in any mount: cheaper than Stat, which starts a program.
func (d *Daemon) Task(path string) (control.TaskInfo, error) {
	var info control.TaskInfo
	b, err := os.ReadFile(filepath.Join(d.Mount, ".df", "tasks", filepath.Base(path)+".json"))
	if err != nil {
		return info, err
	}
	return info, json.Unmarshal(b, &info)
}

// Held asks the daemon, as a neighbour that looks in for a moment, which pieces
// of a Version it holds. from is the host that looks; it wants nothing, holds
// nothing and is no Peer.
func (d *Daemon) Held(ctx context.Context, from *Host, key pieces.Key) (*pieces.Set, error) {
	addr := net.JoinHostPort(d.Host.IP, strconv.Itoa(peerPort))
	conn, err := rpc.Dial(addr, rpc.DialOptions{Dialer: from.dialTCP})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	stream, err := daemonpb.NewPeerClient(conn).SyncPieceTasks(ctx)
	if err != nil {
		return nil, err
	}
	onlooker := pieces.Host{ID: pieces.NewHostID([16]byte{1}), IP: from.IP, PeerPort: 1, UploadPort: 1}
	if err := stream.Send(&daemonpb.SyncMessage{Hello: &daemonpb.SyncHello{
		Host: wire.HostTo(onlooker), Task: string(key.Task), Version: string(key.Version)}}); err != nil {
		return nil, err
	}
	held := &pieces.Set{}
	for held.Count() == 0 {
		m, err := stream.Recv()
		if err != nil {
			return nil, fmt.Errorf("what %s holds: %w", d.Host.Name, err)
		}
		es, err := wire.ExtentsFrom(m.GetHeld())
		if err != nil {
			return nil, err
		}
		for _, e := range es {
			held.AddExtent(e)
		}
	}
	return held, nil
}

func (h *Host) dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	return h.Dial(ctx, "tcp", addr)
}
