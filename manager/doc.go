// Package manager is the control plane of a cluster: it knows which schedulers
// and hosts live, says which schedulers a host belongs to, hands out each
// cluster's dynamic config, keeps the catalogue of public Tasks and their
// names, and runs jobs on hosts.
//
// All it knows lies in the database (package manager/store), so that any
// manager can take any call and killing one loses nothing. What a Server keeps
// in memory is what lets it ask and write seldom:
//
//	nodes      who keeps itself alive here; written in one batch a second,
//	           and those with news in batches of their own at once
//	directory  clusters, their scopes and configs, read every 400 ms
//	answers    what the catalogue said in the last second
//
// Make a Server with New, put its gRPC service on a server with Register, and
// keep Run running; calls are answered only while it runs.
package manager
