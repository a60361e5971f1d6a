package client

import (
	"net"
	"slices"
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

// mountKeys are the options of the mount itself, which the daemon knows (see
// fusefs.Options.Set and host.Mounts); true for those with a value.
var mountKeys = map[string]bool{"allow_other": false, "private": false, "uid": true, "gid": true, "umask": true, "source": true, "fill": true}

// ignored are options that mount(8), fstab(5), and other FUSE file systems'
// users pass along: they are for others, or true of every mount of ours.
var ignored = words(`
	rw ro defaults auto noauto nofail _netdev _rnetdev
	user nouser users owner group
	suid nosuid dev nodev exec noexec symfollow nosymfollow
	async sync dirsync silent loud mand nomand iversion noiversion
	atime noatime relatime norelatime strictatime nostrictatime diratime nodiratime lazytime nolazytime
	default_permissions nonempty auto_unmount kernel_cache auto_cache big_writes`)

// ignoredPrefixes are of options that carry a value, or are other programs'.
var ignoredPrefixes = []string{"x-", "X-", "comment=", "helper=", "uhelper=", "subtype=", "max_read=", "blksize=",
	"context=", "fscontext=", "defcontext=", "rootcontext="}

func words(s string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		set[w] = true
	}
	return set
}

func isIgnored(word string) bool {
	return ignored[word] || slices.ContainsFunc(ignoredPrefixes, func(p string) bool { return strings.HasPrefix(word, p) })
}

// forMount reports whether word is an option of the mount itself.
func forMount(key, value string) bool {
	wantsValue, ok := mountKeys[key]
	return ok && wantsValue == (value != "")
}

// MountOptions is the meaning of -o.
type MountOptions struct {
	// Daemon are arguments for the dfdaemon that is started.
	Daemon []string
	// Mount is what the daemon is told of this mount.
	Mount []string
	// Config and Socket choose the daemon, like --config and --socket.
	Config, Socket string
	// DataDir is the daemon's, if given.
	DataDir string
}

// ParseMountOptions reads the values of all -o, each a list split by commas.
// Several managers or schedulers are written manager=a:1,b:2 or with the key
// repeated. An unknown option is Invalid, or left out if one of them is
// "sloppy", as mount -s asks for.
func ParseMountOptions(values []string) (MountOptions, error) {
	var m MountOptions
	sloppy := slices.Contains(strings.Split(strings.Join(values, ","), ","), "sloppy")
	last := "" // the key that a bare HOST:PORT belongs to
	for word := range strings.SplitSeq(strings.Join(values, ","), ",") {
		word = strings.TrimSpace(word)
		key, value, hasValue := strings.Cut(word, "=")
		goesOn, forDaemon := daemonKeys[key]
		switch {
		case word == "":
		case !hasValue && last != "" && isAddr(word):
			m.Daemon = append(m.Daemon, "--"+last+"="+word)
		case isIgnored(word):
		case forMount(key, value):
			m.Mount = append(m.Mount, word)
		case key == "fsname" && value != "":
			m.Mount = append(m.Mount, "source="+value)
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
		case sloppy:
		default:
			return m, pieces.Errorf(pieces.Invalid, "-o %.60s: no such option; known are manager=HOST:PORT, scheduler=HOST:PORT, config=FILE, socket=PATH, data-dir=DIR, cache-size=SIZE, allow_other, private, uid=N, gid=N, umask=OCTAL, fill=auto|always|never and those of mount(8)", word)
		}
	}
	return m, nil
}

func isAddr(s string) bool {
	_, _, err := net.SplitHostPort(s)
	return err == nil
}
