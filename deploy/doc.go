// Package deploy holds what puts Damselfly on a Linux host: systemd units
// (systemd/), the default configuration (etc/), and what scripts/deb makes a
// Debian package of (deb/). Its tests check the units, and install, use, remove
// and purge the package below a directory of their own.
package deploy
