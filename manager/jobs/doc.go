// Package jobs does things on hosts: it brings Tasks to them (preheat), deletes
// Tasks everywhere, finds out who holds one, and frees what nobody uses.
//
// A job is a row that one manager claims with a lease and renews while it works
// on it. A manager that dies lets the lease end, and another goes on where it
// stopped: what is done is in the database, and to do an item twice harms
// nobody. Each claim has a number, and who lost its claim writes nothing more.
//
// A job is cut into items, one Task (or none) on one host each. Items run side
// by side, are tried again when a failure may pass, and each knows how far it
// is. Engine runs jobs; Peers is how it reaches hosts.
package jobs
