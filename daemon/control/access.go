package control

import (
	"context"
	"path/filepath"
	"strings"

	"damselfly/pieces"
	"damselfly/proto/daemonpb"
	"damselfly/proto/rpc"
)

// byName is the directory of names in every mount.
const byName = "by-name"

// caller is who is at the other end of the socket.
type caller struct {
	Owner
	pid int32
}

func callerOf(ctx context.Context) (caller, error) {
	uid, gid, pid, ok := rpc.PeerCred(ctx)
	if !ok {
		return caller{}, pieces.Errorf(pieces.Denied, "the caller's user is unknown; connect to the unix socket")
	}
	return caller{Owner{UID: uid, GID: gid}, pid}, nil
}

// powerful reports whether the caller is root or the daemon's own user.
func (s *Server) powerful(who caller) bool { return who.UID == 0 || who.UID == s.self }

// mayUse: public Tasks are everybody's, others belong to who added them.
func (s *Server) mayUse(who caller, info TaskInfo) bool {
	return !info.Private || info.Owner.UID == who.UID || s.powerful(who)
}

func (s *Server) mayChange(who caller, info TaskInfo) bool {
	return info.Owner.UID == who.UID || s.powerful(who)
}

// access is what a call does with the Task it names.
type access int

const (
	use    access = iota // see and read
	fetch                // the same; a URL that is not in the catalogue is added
	change               // evict, remove
)

// find resolves a reference and checks that the caller may do what it asks.
func (s *Server) find(ctx context.Context, ref *daemonpb.Ref, a access) (pieces.TaskID, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return "", err
	}
	text := ref.GetRef()
	if strings.Contains(text, "://") || ref.GetSource().GetUrl() != "" {
		return s.findURL(ctx, who, ref, a)
	}
	if strings.Contains(text, "/") {
		if text, err = s.insideMount(text); err != nil {
			return "", err
		}
	}
	id, err := s.engine.Resolve(ctx, text)
	if err != nil {
		return "", err
	}
	return id, s.check(ctx, who, id, a)
}

// findURL identifies a Task by URL and options. Who names the credential of a
// private Task may use it, whoever added it.
func (s *Server) findURL(ctx context.Context, who caller, ref *daemonpb.Ref, a access) (pieces.TaskID, error) {
	src := ref.GetSource()
	if src.GetUrl() == "" {
		src = &daemonpb.Source{Url: ref.GetRef()}
	}
	t, err := s.task(src)
	if err != nil {
		return "", err
	}
	info, err := s.engine.Info(ctx, t.ID)
	switch {
	case pieces.KindOf(err) == pieces.NotFound && a == fetch:
	case pieces.KindOf(err) == pieces.NotFound:
		return "", pieces.Errorf(pieces.NotFound, "%s is not in the catalogue of this host; add it with 'dfmount add'", t.PublicURL)
	case err != nil:
		return "", err
	case a == change && !s.mayChange(who, info):
		return "", denied(t.ID)
	case a == change:
		return t.ID, nil
	}
	// Also brings the credential, which is not kept on disk.
	return t.ID, s.engine.Add(ctx, t, "", who.Owner)
}

func (s *Server) check(ctx context.Context, who caller, id pieces.TaskID, a access) error {
	info, err := s.engine.Info(ctx, id)
	if pieces.KindOf(err) == pieces.NotFound && a != change {
		return nil // only the manager knows it: so it is public
	}
	if err != nil {
		return err
	}
	if !s.mayUse(who, info) || a == change && !s.mayChange(who, info) {
		return denied(id)
	}
	return nil
}

func denied(id pieces.TaskID) error {
	return pieces.Errorf(pieces.Denied, "task %s was added by another user; ask them, or root", id.Short())
}

// insideMount returns the id or name that an absolute path inside one of the
// mounts stands for. It looks at text only: the daemon never touches its own
// mount.
func (s *Server) insideMount(path string) (string, error) {
	path = filepath.Clean(path)
	for _, m := range s.mounts.List() {
		rel, ok := strings.CutPrefix(path, m.Path+"/")
		if !ok {
			continue
		}
		rel = strings.TrimPrefix(rel, byName+"/")
		if !strings.Contains(rel, "/") {
			return rel, nil
		}
	}
	return "", pieces.Errorf(pieces.Invalid, "%s is not a file in a mount of this daemon; 'dfmount status' lists the mounts", path)
}

// task makes the Task that a client's source describes.
func (s *Server) task(src *daemonpb.Source) (*pieces.Task, error) {
	o, err := optionsFrom(src)
	if err != nil {
		return nil, err
	}
	return s.engine.NewTask(src.GetUrl(), o)
}

// paths is where an entry of the mounts is found, one path per mount.
func (s *Server) paths(entry string) []string {
	var ps []string
	for _, m := range s.mounts.List() {
		ps = append(ps, filepath.Join(m.Path, entry))
	}
	return ps
}

// mountPath checks a path to mount or unmount and the caller's right to do so.
func (s *Server) mountPath(ctx context.Context, path string) (string, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return "", err
	}
	if !s.powerful(who) {
		return "", pieces.Errorf(pieces.Denied, "only root and the daemon's own user (uid %d) may mount and unmount; start a daemon of your own with another --socket", s.self)
	}
	if !filepath.IsAbs(path) {
		return "", pieces.Errorf(pieces.Invalid, "mount point %q is not an absolute path", path)
	}
	return filepath.Clean(path), nil
}
