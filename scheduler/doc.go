// Package scheduler serves the swarm of every Task that hashes to it: the gRPC
// service of daemons around the pure machines of scheduler/swarm.
//
// # How it is put together
//
// Every Task has one machine behind one lock (tasks.go). A call or a message of
// a stream becomes an event; the actions that come back are carried out under
// the same lock, so that a peer hears them in order: replies, messages put in
// the bounded queue of a host's session, seeds to wake. A timer ticks the
// machines that asked for it (timer.go).
//
// A host has at most one session, the ReportPieceResult stream (session.go).
// Sessions are numbered; a new one ends the older, and what the older still
// says is dropped. A full queue ends the session: its peers register again.
//
// The table of hosts (hosts.go) gives machines an immutable snapshot. The
// scheduler connects to nobody but managers, other schedulers and the Peer
// service of seeds, as named by its options, the manager, or a host that
// announced itself as a seed (seeds.go, manager.go, fellows.go).
//
// What is learnt of one Task and holds for others stands beside the machines: an
// origin that asks to be left alone (origins.go).
//
// # Several schedulers
//
// Where a Task is served is decided in moving.go: by its owner on the ring, or
// where its swarm lives. A scheduler that is young (age.go) asks the others
// (fellows.go). Hosts say what they hold (inventory.go) and are asked to take
// part when somebody asks for it (recall.go).
package scheduler
