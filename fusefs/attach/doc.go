// Package attach puts a FUSE connection on a directory and takes it off again.
//
// It opens /dev/fuse itself, close-on-exec, so that no child of the daemon
// ever inherits the connection: a child that holds it keeps readers hanging
// after the daemon was killed. As root it calls mount(2); otherwise the setuid
// helper fusermount3 mounts and passes the descriptor back over a socket.
//
// Nothing here looks into the mounted tree. What must be known of a mount
// comes from /proc/self/mountinfo, so that a daemon can't wait for itself.
package attach
