// Package load puts a scheduler under the load of thousands of hosts and
// measures what a registration costs it.
//
// A Fleet is so many simulated hosts over real gRPC connections: each announces
// itself, keeps its ReportPieceResult stream with a heartbeat a second, asks
// for facts, registers, reports what it holds and wants, and leaves. No byte of
// content moves: hosts that hold pieces only say so.
//
// Load is open: calls begin at times drawn beforehand, whether or not earlier
// ones were answered, and a call's latency counts from the time at which it was
// meant to begin. So neither a slow scheduler nor a slow generator hides its
// delays (no coordinated omission); how late calls really began is shown
// beside.
//
// What the scheduler spent is read from its own /metrics, which take processor
// seconds from /proc/PID/stat and the resident set from /proc/PID/status; so it
// works for a Process that this package started, and for one elsewhere.
//
// A Bench runs the scenarios: Rate, Memory, Tasks, Hot, Traffic. Each returns
// Rows.
package load
