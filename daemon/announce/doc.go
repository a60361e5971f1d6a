// Package announce is a host's side of its manager and schedulers. Messages of
// the wire stop here; the engine sees calls and typed events.
//
// # Schedulers
//
// Every scheduler of the list (static, or from the manager, or from the state
// file of an earlier run) has a link: one connection over which the host
// announces itself now and then, and finds out whether somebody is there. A
// Task belongs to the first scheduler on the ring of its id; links that are
// down, or not trusted again yet (health.go), are skipped, and the one asked
// instead is told so (owner_tried). Moved is followed among known schedulers;
// if the one named can't be reached, whoever named it is asked again and told
// to answer itself (stay).
//
// # Inventories
//
// A link tells its scheduler what this host holds of the Tasks that are asked
// for there, in pages, when any scheduler goes or comes and now and then, if
// that has changed since (inventory.go). While there is any, the session stays
// open, so that the scheduler can ask this host to take part (Resume,
// recall.go). Asked by a scheduler that is nearer to the Task's owner than its
// own, a Peer moves there and leaves the other one, saying so.
//
// Unary calls take AttemptTimeout at one scheduler and CallTimeout in all, so
// that nobody waits long where nobody answers: the error is then Unavailable.
//
// # Sessions
//
// A link has at most one session: the ReportPieceResult stream that carries all
// Peers of this host there. It is opened when the first Peer needs it, and
// closed after it had none for a while. Reports never block: they go into the
// session's queue, which merges them and lets them wait BatchDelay or until
// BatchPieces are together, except those that somebody waits for. A full queue
// ends the session.
//
// When a session ends (stream lost, heartbeats missed, queue full), each of its
// Peers gets SessionDown and registers again, with the next scheduler if need
// be, naming what it holds and which leases it runs; SessionUp tells that this
// succeeded, and digests of what is held follow as an inventory. Reports made
// in between are dropped, since the inventory says the same; wants are not part
// of it and have to be stated again. Where no scheduler can be reached at all,
// SessionDown comes again and says since when nobody has heard the Peer.
//
// # Guard
//
// Tasks with an audience never leave the host: every call that names one is
// refused with Denied.
package announce
