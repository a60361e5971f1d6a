package client

import (
	"net"
	"strings"

	"damselfly/pieces"
)

// daemonKeys are the keys of -o that are flags of dfdaemon; true for those
// whose value may go on after a comma.
var daemonKeys = map[string]bool{
	"manager": true, "scheduler": true,
	"data-dir": false, "cache-size": false, "advertise-ip": false, "peer-port": false, "upload-port": false,
	"idc": false, "location": false, "label": false, "upload-rate": false, "download-rate": false, "origin-rate": false,
	"metrics": false, "log-level": false,
}

// ignored are options that mount(8) and fstab(5) pass along, or that are true
// of every mount of ours.
var ignored = map[string]bool{
	"rw": true, "ro": true, "defaults": true, "auto": true, "noauto": true, "nofail": true, "_netdev": true,
	"user": true, "nouser": true, "users": true, "owner": true, "group": true,
	"suid": true, "nosuid": true, "dev": true, "nodev": true, "exec": true, "noexec": true,
	"async": true, "sync": true, "atime": true, "noatime": true, "relatime": true, "diratime": true, "nodiratime": true,
	"allow_other": true, "default_permissions": true,
}

// MountOptions is the meaning of -o.
type MountOptions struct {
	// Daemon are arguments for the dfdaemon that is started.
	Daemon []string
	// Config and Socket choose the daemon, like --config and --socket.
	Config, Socket string
	// DataDir is the daemon's, if given.
	DataDir string
}

// ParseMountOptions reads the values of all -o, each a list split by commas.
// Several managers or schedulers are written manager=a:1,b:2 or with the key
// repeated. An unknown option is Invalid.
func ParseMountOptions(values []string) (MountOptions, error) {
	var m MountOptions
	last := "" // the key that a bare HOST:PORT belongs to
	for word := range strings.SplitSeq(strings.Join(values, ","), ",") {
		word = strings.TrimSpace(word)
		key, value, hasValue := strings.Cut(word, "=")
		goesOn, forDaemon := daemonKeys[key]
		switch {
		case word == "":
		case !hasValue && last != "" && isAddr(word):
			m.Daemon = append(m.Daemon, "--"+last+"="+word)
		case ignored[word] || strings.HasPrefix(word, "x-") || strings.HasPrefix(word, "comment="):
		case key == "config" && value != "":
			m.Config = value
		case key == "socket" && value != "":
			m.Socket = value
		case word == "seed-peer":
			m.Daemon = append(m.Daemon, "--seed-peer")
		case forDaemon && value != "":
			m.Daemon = append(m.Daemon, "--"+word)
			if key == "data-dir" {
				m.DataDir = value
			}
			if last = ""; goesOn {
				last = key
			}
		default:
			return m, pieces.Errorf(pieces.Invalid, "-o %.60s: no such option; known are manager=HOST:PORT, scheduler=HOST:PORT, config=FILE, socket=PATH, data-dir=DIR, cache-size=SIZE and those of mount(8)", word)
		}
	}
	return m, nil
}

func isAddr(s string) bool {
	_, _, err := net.SplitHostPort(s)
	return err == nil
}
