package control

import (
	"context"
	"os"
	"strings"
	"time"

	"damselfly/pieces"
)

// Engine is what the server steers. Package daemon implements it; all methods
// may be called concurrently and return *pieces.Error.
type Engine interface {
	// NewTask makes a Task with this host's audience secret. Nothing is
	// stored.
	NewTask(url string, o pieces.Options) (*pieces.Task, error)
	// Add puts t in the catalogue, with a name unless that is empty. Adding
	// what is there already is no error; a name that belongs to another Task
	// is Exists.
	Add(ctx context.Context, t *pieces.Task, name string, owner Owner) error
	// Resolve finds the Task of an id or a name, here or at the manager.
	Resolve(ctx context.Context, ref string) (pieces.TaskID, error)
	// Info and List tell what is known here, without network. Paths are left
	// empty.
	Info(ctx context.Context, id pieces.TaskID) (TaskInfo, error)
	List(ctx context.Context) ([]TaskInfo, error)
	// Open opens the current Version; its facts are known afterwards.
	Open(ctx context.Context, id pieces.TaskID) (Handle, error)
	// Evict drops idle cached bytes, Remove also the catalogue entry; both
	// return how many bytes that freed.
	Evict(ctx context.Context, id pieces.TaskID) (int64, error)
	Remove(ctx context.Context, id pieces.TaskID) (int64, error)
	// SetFill says when a Task that is in the catalogue is fetched whole while it
	// is read: auto, always or never; else Invalid.
	SetFill(ctx context.Context, id pieces.TaskID, fill string) error
	// Rename gives a Task of this host another name: NotFound unless from is a
	// local name, Exists if to is another Task's. elsewhere: the manager still
	// knows it by the old one too.
	Rename(ctx context.Context, from, to string) (id pieces.TaskID, elsewhere bool, err error)
	// Cached tells how many of the bytes of r are here, in whole pieces clipped to
	// r; with order, of the access order known here instead. It asks nobody;
	// known is false while the size is unknown.
	Cached(ctx context.Context, id pieces.TaskID, r Range, order bool) (done, total int64, known bool, err error)
	// RemoteNames are the manager's names, but those that mean something else
	// here.
	RemoteNames(ctx context.Context) (map[string]pieces.TaskID, error)
	Status(ctx context.Context) (Status, error)
}

// Handle is an open Version. While it is open its bytes are not evicted.
type Handle interface {
	Facts() pieces.Facts
	Key() pieces.Key
	// Fetch brings bytes [off, off+n) here with class Fill and returns when
	// they are verified; for the whole content a pinned digest has matched
	// too. progress, if not nil, is called now and then, from any goroutine,
	// and must not block.
	Fetch(ctx context.Context, off, n int64, progress func(done, total int64, tr Traffic)) error
	// FetchAll is Fetch of several ranges, the first ones first.
	FetchAll(ctx context.Context, rs []Range, progress func(done, total int64, tr Traffic)) error
	// Order returns the access order that is known, waiting until the scheduler
	// has told what it knows; empty: none is.
	Order(ctx context.Context) ([]Range, error)
	// PutOrder makes another one known, here and to the swarm, behind what is
	// known there. It returns how many ranges were kept.
	PutOrder(rs []Range) (kept int)
	// ReadAt reads verified bytes, fetching what is missing.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	// Content is a read-only descriptor of the complete content, which the
	// caller closes; false if it does not lie in one file.
	Content() (*os.File, bool)
	// Grow follows the file that Content will be while it fills.
	Grow(step int64) Growth
	Close() error
}

// Growth is a content file that fills. It is closed before its Handle.
type Growth interface {
	// More has a value when another step bytes are in the file.
	More() <-chan struct{}
	// File opens the file read-only, of which only what Written names is to be
	// read; the caller closes it. False while there is none that can be trusted.
	File() (*os.File, bool)
	// Written names verified bytes in the file that it has not named before, or
	// named before others took their place, and whether they are now all there.
	Written() (rs []Range, all bool)
	Close()
}

// Mounts are the daemon's FUSE mounts.
type Mounts interface {
	// Mount mounts on the directory path, which is absolute.
	Mount(ctx context.Context, path string, options []string) error
	// Unmount undoes Mount; lazy detaches a busy mount. stopping: the daemon
	// leaves because this was its last one.
	Unmount(ctx context.Context, path string, lazy bool) (stopping bool, err error)
	List() []MountInfo
}

// Owner is who added a Task.
type Owner struct {
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
}

// Traffic counts verified bytes by where they came from, and bytes sent.
type Traffic struct {
	Origin   int64 `json:"origin"`
	Peers    int64 `json:"peers"`
	Seeds    int64 `json:"seeds"`
	Cache    int64 `json:"cache"`
	Uploaded int64 `json:"uploaded"`
}

// State is what a Task is doing.
type State string

// The states.
const (
	StateUnknown  State = "unknown"  // no facts yet
	StateIdle     State = "idle"     // partly held, nobody fetches
	StateFetching State = "fetching" // bytes are coming
	StateComplete State = "complete" // all pieces held
	StateRemote   State = "remote"   // only the manager knows it, by its names
)

// TaskInfo is one Task as people see it. URL is without userinfo and filtered
// parameters.
type TaskInfo struct {
	ID          pieces.TaskID `json:"id"`
	URL         string        `json:"url"`
	Tag         string        `json:"tag,omitempty"`
	Application string        `json:"application,omitempty"`
	Digest      pieces.Digest `json:"digest,omitempty"`
	// Private: the Task has an audience; only Owner and root see it.
	Private bool     `json:"private"`
	Owner   Owner    `json:"-"`
	Names   []string `json:"names,omitempty"`
	// Facts and Version are of the current Version; nil and empty if unknown.
	// In JSON, Facts appear as size, validator, validator_kind, modified and ranges.
	Facts        *pieces.Facts    `json:"-"`
	Version      pieces.VersionID `json:"version,omitempty"`
	CachedBytes  int64            `json:"cached_bytes"`
	Pieces       int              `json:"pieces"`
	CachedPieces int              `json:"cached_pieces"`
	PieceSize    int64            `json:"piece_size"`
	State        State            `json:"state"`
	// Added and Accessed are zero if unknown.
	Added       time.Time `json:"added,omitzero"`
	Accessed    time.Time `json:"accessed,omitzero"`
	OpenHandles int       `json:"open_handles"`
	Traffic     Traffic   `json:"traffic"`
	// Fill says when it is fetched whole while it is read: auto, always, never.
	Fill string `json:"fill,omitempty"`
	// Paths in the mounts of this host, one per mount.
	Paths []string `json:"paths,omitempty"`
}

// Status is the daemon at a glance. The engine leaves PID, Mounts and
// FuseReads to the server.
type Status struct {
	Version string `json:"version"`
	// Host appears in JSON as an object of its own words.
	Host       pieces.Host      `json:"-"`
	PID        int              `json:"pid"`
	Started    time.Time        `json:"started"`
	DataDir    string           `json:"data_dir"`
	Mounts     []MountInfo      `json:"mounts"`
	Managers   []string         `json:"managers"`
	ManagerOK  bool             `json:"manager_ok"`
	Schedulers []SchedulerState `json:"schedulers"`
	// CacheUsed of CacheSize bytes; DiskFree is what the file system has left.
	CacheUsed int64 `json:"cache_used"`
	CacheSize int64 `json:"cache_size"`
	DiskFree  int64 `json:"disk_free"`
	// Caching is false while the disk is too full to keep anything.
	Caching bool `json:"caching"`
	// RemovedFiles were evicted but are open somewhere, and take RemovedBytes of
	// the disk until they are closed.
	RemovedFiles int     `json:"removed_files"`
	RemovedBytes int64   `json:"removed_bytes"`
	Tasks        int     `json:"tasks"`
	OpenHandles  int     `json:"open_handles"`
	Uploads      int     `json:"uploads"`
	Traffic      Traffic `json:"traffic"`
	// FuseReads counts READ requests answered; passthrough causes none.
	FuseReads int64 `json:"fuse_reads"`
	Reads     Reads `json:"reads"`
	Work      Work  `json:"work"`
	// Files are those read last, the last first, at most 32.
	Files []FileActivity `json:"files,omitempty"`
}

// SchedulerState is one scheduler as this daemon sees it.
type SchedulerState struct {
	Address   string `json:"address"`
	Connected bool   `json:"connected"`
}

// MountInfo is one mount. Reads counts the READ requests it answered.
type MountInfo struct {
	Path              string `json:"path"`
	Passthrough       bool   `json:"passthrough"`
	PassthroughReason string `json:"passthrough_reason,omitempty"`
	Reads             int64  `json:"-"`
	// Handles of files that are open now, by mode.
	OpenCached      int `json:"open_cached"`
	OpenPassthrough int `json:"open_passthrough"`
}

// Check is one finding of the doctor. Fix says what to do when not OK.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// Ping is who answers on a socket.
type Ping struct {
	Version string        `json:"version"`
	HostID  pieces.HostID `json:"host_id"`
	PID     int           `json:"pid"`
}

// Ref names a Task: a URL with its options, an id, a name, or an absolute
// path inside a mount.
type Ref struct {
	Text    string
	Options pieces.Options
}

// IsURL reports whether r names its Task by URL.
func (r Ref) IsURL() bool { return strings.Contains(r.Text, "://") }

// Progress of a fetch: Done of Total bytes are here and verified.
type Progress struct {
	Done    int64   `json:"done"`
	Total   int64   `json:"total"`
	Traffic Traffic `json:"traffic"`
}

// Cached is how much of what was asked for is here. Known is false while nobody
// knows its size.
type Cached struct {
	ID    pieces.TaskID `json:"id"`
	Known bool          `json:"known"`
	Done  int64         `json:"done"`
	Total int64         `json:"total"`
}

// Whole reports whether nothing is missing.
func (c Cached) Whole() bool { return c.Known && c.Done == c.Total }

// Order is an access order: byte ranges of a Version in the order in which they
// were first touched.
type Order struct {
	ID      pieces.TaskID    `json:"id"`
	Version pieces.VersionID `json:"version"`
	Size    int64            `json:"size"`
	Ranges  []Range          `json:"ranges"`
}

// Range is bytes [Off, Off+N) of some content. As a request, N < 0 means up
// to the end.
type Range struct {
	Off int64 `json:"offset"`
	N   int64 `json:"length"`
}

// Whole is the range of all bytes.
var Whole = Range{0, -1}

// clip resolves r against content of size bytes; a range that begins beyond
// it is Invalid.
func (r Range) clip(size int64) (Range, error) {
	if r.Off < 0 || r.Off > size || r.Off == size && size > 0 {
		return Range{}, pieces.Errorf(pieces.Invalid, "range begins at byte %d, but the content has %d bytes", r.Off, size)
	}
	if r.N < 0 || r.N > size-r.Off {
		r.N = size - r.Off
	}
	return r, nil
}
