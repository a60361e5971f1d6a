// Package control is how programs of the same host steer the daemon: the gRPC
// service daemonpb.Control on a unix socket, and beside it a descriptor socket
// (the same path with ".fd") that hands out open files.
//
// The server knows each caller by the credentials the kernel reports for its
// connection. Root and the user the daemon runs as may do everything; others
// may not mount or unmount, see or use only public Tasks and those they added
// or hold the credential of, and evict or remove only what they added.
//
// A download's bytes come in one of two ways. If the client can take a
// descriptor and content lies in a file, a reply names a ticket: the client
// connects to the descriptor socket as the same user, sends the ticket and
// gets that file, read-only, by SCM_RIGHTS. A ticket works once and for a
// short time. In all other cases the bytes come as messages. The daemon opens
// no path that a client names.
//
// A client whose output takes bytes in any order gets the file as soon as
// there is one, and is told of each 8 MiB that are verified and in it (Ready):
// it copies while the rest is fetched, so that little is left at the end.
// Pieces that were lost and came again are named again. Only when the daemon
// has said that all is there, a pinned digest included, does what was copied
// count; where it can't say that, it sends all bytes as messages instead. The
// bytes stay in place until the client ends the call, so it copies first and
// hangs up then.
//
// Client is the other end, for dfmount, dfget and tests.
package control
