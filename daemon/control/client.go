package control

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"

	"damselfly/pieces"
	"damselfly/proto/daemonpb"
	"damselfly/proto/rpc"
)

// callTimeout is the deadline of calls whose ctx has none: longer than the
// daemon waits for facts, so that its own error is the one that arrives.
const callTimeout = 30 * time.Second

// Client speaks with the daemon of this host. It connects at the first call;
// while no daemon serves the socket, calls fail with Unavailable.
type Client struct {
	conn   *grpc.ClientConn
	api    daemonpb.ControlClient
	socket string
}

// Dial makes a Client for the control socket at path. The caller closes it.
func Dial(path string) (*Client, error) {
	conn, err := rpc.DialUnix(path, rpc.DialOptions{CallTimeout: callTimeout})
	if err != nil {
		return nil, err
	}
	return &Client{conn: conn, api: daemonpb.NewControlClient(conn), socket: path}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Ping answers once the daemon is ready.
func (c *Client) Ping(ctx context.Context) (Ping, error) {
	m, err := c.api.Ping(ctx, &daemonpb.PingRequest{})
	return Ping{m.GetVersion(), pieces.HostID(m.GetHostId()), int(m.GetPid())}, err
}

// Add puts a URL in the catalogue and returns its id and where it is found in
// the mounts.
func (c *Client) Add(ctx context.Context, url string, o pieces.Options, name string) (pieces.TaskID, []string, error) {
	return c.AddFilled(ctx, url, o, name, "")
}

// AddFilled is Add that says when the file is fetched whole while it is read:
// auto, always or never.
func (c *Client) AddFilled(ctx context.Context, url string, o pieces.Options, name, fill string) (pieces.TaskID, []string, error) {
	m, err := c.api.Add(ctx, &daemonpb.AddRequest{Source: sourceTo(url, o), Name: name, Fill: fill})
	return pieces.TaskID(m.GetTaskId()), m.GetPaths(), err
}

// List answers the Tasks this user may see.
func (c *Client) List(ctx context.Context) ([]TaskInfo, error) {
	m, err := c.api.List(ctx, &daemonpb.ListRequest{})
	if err != nil {
		return nil, err
	}
	infos := make([]TaskInfo, 0, len(m.GetTasks()))
	for _, t := range m.GetTasks() {
		info, err := infoFrom(t)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// ListAll is List with the Tasks that only the manager knows, of which there is
// but the id and the names, in state StateRemote. missing says why they are not
// there; empty: they are.
func (c *Client) ListAll(ctx context.Context) (infos []TaskInfo, missing string, err error) {
	m, err := c.api.List(ctx, &daemonpb.ListRequest{Remote: true})
	if err != nil {
		return nil, "", err
	}
	infos = make([]TaskInfo, 0, len(m.GetTasks()))
	for _, t := range m.GetTasks() {
		info, err := infoFrom(t)
		if err != nil {
			return nil, "", err
		}
		infos = append(infos, info)
	}
	at := map[pieces.TaskID]int{}
	for _, r := range m.GetRemote() {
		id := pieces.TaskID(r.GetTaskId())
		if _, ok := at[id]; !ok {
			at[id] = len(infos)
			infos = append(infos, TaskInfo{ID: id, State: StateRemote})
		}
		infos[at[id]].Names = append(infos[at[id]].Names, r.GetName())
	}
	return infos, m.GetRemoteError(), nil
}

// Stat answers one Task with its facts.
func (c *Client) Stat(ctx context.Context, ref Ref) (TaskInfo, error) {
	m, err := c.api.Stat(ctx, &daemonpb.StatRequest{Ref: refTo(ref)})
	if err != nil {
		return TaskInfo{}, err
	}
	return infoFrom(m.GetTask())
}

// Warm fetches r into the cache; progress may be nil.
func (c *Client) Warm(ctx context.Context, ref Ref, r Range, progress func(Progress)) (Progress, error) {
	return c.WarmThe(ctx, ref, Portion{Range: r}, progress)
}

// WarmThe fetches a portion into the cache; progress may be nil.
func (c *Client) WarmThe(ctx context.Context, ref Ref, p Portion, progress func(Progress)) (Progress, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var last Progress
	stream, err := c.api.Warm(ctx, &daemonpb.WarmRequest{
		Ref: refTo(ref), Offset: p.Range.Off, Length: max(p.Range.N, 0), Order: p.Order, Background: p.Background,
	})
	if err != nil {
		return last, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return last, pieces.Errorf(pieces.Unavailable, "the daemon stopped before all was fetched")
		}
		if err != nil {
			return last, err
		}
		if last = progressFrom(m); progress != nil {
			progress(last)
		}
		if m.GetFinished() {
			return last, nil
		}
	}
}

// Evict drops cached bytes, Remove also the catalogue entry; both return how
// many bytes that freed.
func (c *Client) Evict(ctx context.Context, ref Ref) (int64, error) {
	m, err := c.api.Evict(ctx, &daemonpb.EvictRequest{Ref: refTo(ref)})
	return m.GetFreed(), err
}

// Remove is explained at Evict.
func (c *Client) Remove(ctx context.Context, ref Ref) (int64, error) {
	m, err := c.api.Remove(ctx, &daemonpb.RemoveRequest{Ref: refTo(ref)})
	return m.GetFreed(), err
}

// Status answers the daemon at a glance.
func (c *Client) Status(ctx context.Context) (Status, error) {
	m, err := c.api.Status(ctx, &daemonpb.StatusRequest{})
	if err != nil {
		return Status{}, err
	}
	return statusFrom(m)
}

// Mount has the daemon mount on the directory path, which must be absolute.
func (c *Client) Mount(ctx context.Context, path string, options []string) error {
	_, err := c.api.Mount(ctx, &daemonpb.MountRequest{Path: path, Options: options})
	return err
}

// Unmount undoes Mount; stopping: the daemon leaves now.
func (c *Client) Unmount(ctx context.Context, path string, lazy bool) (stopping bool, err error) {
	m, err := c.api.Unmount(ctx, &daemonpb.UnmountRequest{Path: path, Lazy: lazy})
	return m.GetStopping(), err
}

// Doctor answers the daemon's own checks.
func (c *Client) Doctor(ctx context.Context) ([]Check, error) {
	m, err := c.api.Doctor(ctx, &daemonpb.DoctorRequest{})
	var checks []Check
	for _, k := range m.GetChecks() {
		checks = append(checks, Check{k.GetName(), k.GetOk(), k.GetDetail(), k.GetFix()})
	}
	return checks, err
}

// ParseRef makes the Ref of what a person typed: text with "://" is a URL,
// text with a slash a path, which becomes absolute and free of symlinks in its
// directory; anything else is an id or a name.
func ParseRef(text string, o pieces.Options) (Ref, error) {
	if text == "" {
		return Ref{}, pieces.Errorf(pieces.Invalid, "empty name: want a URL, id, name or path in a mount")
	}
	ref := Ref{text, o}
	if ref.IsURL() || !strings.Contains(text, "/") {
		return ref, nil
	}
	path, err := filepath.Abs(text)
	if err != nil {
		return Ref{}, pieces.WithKind(pieces.Invalid, err, "path "+text)
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	return Ref{Text: path}, nil
}
