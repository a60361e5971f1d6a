// Package fusefs shows Tasks as files:
//
//	/<task-id>                the content; 64 lower-case hex digits
//	/by-name/<name>           symlink to ../<task-id>
//	/.df/status               this host at a glance
//	/.df/accesslog            a line for each request, while somebody reads it
//	/.df/tasks/<task-id>.json one Task
//
// It knows the kernel's side of a read and nothing of swarms: what the files
// are and where bytes come from is a Backend's business.
//
// # How an inode is opened
//
// An inode is one (Task, Version) and never changes, so the kernel may keep its
// pages (FOPEN_KEEP_CACHE) and nothing is ever invalidated: no store or
// invalidate notice is sent, since against a read in flight one blocks beyond
// the reach of kill -9. A complete file is opened in passthrough: the kernel
// reads the content file itself and we see no READ at all. The kernel refuses
// to mix the two on one inode, hence type modes.
//
// # Never a hang
//
// Every request that can wait runs in an op: a context that ends when the
// deadline passes, when the mount stops, or a second after the kernel passed a
// signal on. A signal younger than that does not reach the program as EINTR,
// because programs that meet EINTR from a disk file tend to fail; a killed
// reader is still gone within two seconds. Buffered reads are issued by the
// kernel's readahead, which no signal interrupts; a reader waiting for such a
// page can be killed at once. (Parallel direct I/O, CAP_ASYNC_DIO, stays off:
// its waiters can't be killed.) A failed READ is remembered for a second, as
// the kernel asks a second time for the page the program wants.
//
// # Errors
//
// errno.go is the one table from pieces.Kind to errno. A handler that panics
// answers EIO and is logged with its stack.
package fusefs
