// Package lab builds a small data centre on one Linux machine: hosts in network
// namespaces of their own on a switch, links shaped both ways, a real nginx as
// origin, and the real Damselfly binaries on the hosts. End-to-end tests,
// benchmarks and a person at a shell (scripts/lab) use the same lab.
//
//	l, err := lab.New(ctx, lab.Options{Bin: "bin"})
//	defer l.Close()
//	o, err := l.StartOrigin(ctx)                    // nginx on a host of its own
//	url, err := o.Add(content.New(1, "f", 1<<28))   // http://10.77.0.2/files/f
//	h, err := l.AddHost(ctx, "h1")
//	err = h.Shape(ctx, 100*lab.Mbit, 100*lab.Mbit)
//	d, err := h.StartDaemon(ctx, lab.DaemonOptions{Mount: true})
//
// It needs root, iproute2, util-linux and, for the origin, nginx; see
// scripts/deps.sh.
//
// # Network
//
// The switch is a bridge in a namespace of its own, so nothing of a lab is
// visible in the machine's own network, two labs can't disturb each other, and
// all labs use the same addresses (10.77.0.0/24). A host's eth0 is one end of a
// veth pair; the other end is a port of the switch. Egress of eth0 is the
// host's upload, egress of the port its download. Namespaces are entered with
// nsenter --net, which leaves the mount namespace alone: FUSE mounts of the
// hosts are visible to whoever runs the lab.
//
// # Ending
//
// Everything a lab makes carries its id: one directory, namespaces
// "df<id>-<host>", and processes inside those namespaces. Close ends the
// processes by their ids, unmounts what is mounted below the directory, and
// deletes namespaces and directory. Should the process running a lab die, its
// direct children die with it, and the next New cleans what is left: a lab is
// dead when nobody holds the lock on its lock file.
//
// The types are safe for concurrent use unless a method says otherwise.
package lab
