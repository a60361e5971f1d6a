// Package client is what dfmount and dfget share: the flags that describe a
// URL and choose a daemon, and finding that daemon or starting it.
//
// A daemon is started with the socket, --config and what -o says, in a session
// of its own, its log in the data dir. Of several programs that find no daemon
// at the same moment one starts it, the others wait for its socket.
package client
