// Package supervisor keeps a mount from outliving the daemon that serves it. A
// FUSE mount whose daemon is dead, stopped or stuck makes its readers wait, some
// of them beyond the reach of kill -9; so a daemon with mounts starts a small
// child of its own binary that looks after them.
//
//	g := supervisor.New(supervisor.Options{Log: log})   // in the daemon
//	remove := g.Add(dir, dev)                           // a mount came
//	cut := remove(true)                                 // it is gone; by the supervisor?
//	g.Close()                                           // clean stop
//
//	supervisor.Run(supervisor.RunOptions{…})            // in the child
//
// # What it does
//
// Both ends of a socket pair are all that daemon and child share, besides
// stderr. The daemon beats once per Beat and tells of its mounts.
//
//   - The daemon is gone (the socket ended without a good-bye): the connections
//     are aborted, so that whoever still reads gets an error, and the mounts
//     taken off lazily. Then the child leaves, or, asked to restart, becomes a
//     new daemon with the same arguments, at most once per RestartEvery.
//   - The daemon is mute (no beat for Mute): unless it is stopped, SIGQUIT makes
//     the Go runtime write all stacks and end it. Then as above. A daemon that is
//     stopped (SIGSTOP, a debugger) is left to whoever stopped it; continued, it
//     learns from remove that its mount was cut off, and makes it again.
//   - The daemon beats, but a mount does not answer for Mute: the daemon is told
//     to write its stacks, and this one mount is cut off, to be made again.
//
// Silence is measured in time that the listener itself was running (type
// silence): a machine, a container or a process group that is paused as a whole
// wakes up to no alarm.
//
// # What it is not
//
// It is in a session of its own, ignores the signals that end a daemon, keeps
// no descriptor but the socket and stderr, and none of the connection: readers
// of a killed daemon get their error from the kernel, whatever the child does.
// Killed itself it does no harm, and the daemon starts another. Stopped, it is
// replaced once the daemon can't get rid of its beats, which takes minutes:
// until then a second fault is not covered.
//
// As an ordinary user the kernel's switch for aborting is a file in
// /sys/fs/fuse/connections; where that is not mounted, a mute daemon is killed
// instead, stopped or not.
package supervisor
