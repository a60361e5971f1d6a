// Package sim lets one file reach many hosts in virtual time. What decides is
// real: scheduler/swarm step by step, and for each host daemon/picker with its
// hedging and distinct seeding. What they are wrapped in is a model:
//
//   - the network (fluid.go): max-min fair rates on each host's way up and down,
//     the origin's, and each data centre's way out; a fixed one-way latency. TCP's
//     slow start, loss and queueing are left out.
//   - the scheduler's wrapper (scheduler.go): messages take a latency each way,
//     reports wait for company as in daemon/announce.
//   - the daemon around its picker (host.go, request.go, serve.go, links.go,
//     origin.go): the rules of daemon/engine, exchange, upload and fetch, with
//     their default numbers. Every host fetches the whole content at class fill,
//     as dfget does. Disks, memory budgets and CPU cost nothing, bytes are never
//     wrong, facts are known.
//
// A run is one goroutine, and pure: the same Scenario gives the same Result to the
// last byte. 10,000 hosts and 256 pieces take minutes.
package sim
