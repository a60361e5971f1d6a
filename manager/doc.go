// Package manager is the control plane of a cluster: it knows which schedulers
// and seed peers live, hands out each cluster's dynamic config, and keeps the
// catalogue of public Tasks and their names.
//
// All it knows lies in the database (package manager/store), so that any
// manager can take any call and killing one loses nothing. What a Server keeps
// in memory is only what lets it write seldom: a node that says nothing new is
// written, together with all others, in one batch a second.
//
// Make a Server with New, put its gRPC service on a server with Register, and
// keep Run running; calls are answered only while it runs.
package manager
