// Package swarm is the heart of the scheduler: the swarm of one Task as a pure
// machine. It holds no goroutine, clock, socket, lock or log. Whoever wraps it
// calls
//
//	actions := task.Step(view, event)
//
// under a lock of its own and carries the actions out in order. The same events
// at the same times with the same seed give the same actions.
//
// # What a Task knows
//
// Of the Task: its current facts, the lease to read them, what the origin said
// last, the access order. Of each Version: its peers with what each holds, the
// piece digests with their setters, the DAG of who follows whom, the wants, and
// the leases to read extents from the origin.
//
// # Rules, and where they live
//
//	facts and their lease, shared errors, revalidation      facts.go, origin.go
//	registration and size scopes                            register.go
//	sessions: up, down, silence, leaving, TTLs              lifecycle.go
//	the DAG, who may be a parent                            dag.go
//	filter, sample, score, replace the worst parent         parents.go, score.go, cost.go
//	data centres                                            idc.go
//	who holds what                                          holdings.go
//	digests, their setters, pages                           sums.go
//	conflicts about digests: dispute, reread, quarantine    dispute.go, reread.go, quarantine.go
//	wrong bytes: accusations, who is put out for them       accuse.go
//	wants, standing interest, holders                       wants.go, answer.go, notify.go
//	leases: unit, executor, heartbeat, end, move            lease.go, grant.go, executor.go
//	what is held and read again all the same                repeat.go, allowance.go
//	access order                                            order.go
//	policy classic                                          classic.go
//	numbers, limits                                         options.go
//
// docs/scheduling.md names the story in testdata that tells each rule.
//
// # Words
//
// A piece is recorded when its digest is known, held when a live peer has it,
// and available when it is both: only then can anybody be sent to fetch it. An
// executor is the peer that reads a lease from the origin. A peer is fed when
// bytes can reach it: it is complete, a seed, runs a lease or has a parent.
package swarm
