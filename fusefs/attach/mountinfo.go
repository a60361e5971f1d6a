package attach

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
)

// mountinfo lists every mount of this mount namespace.
const mountinfo = "/proc/self/mountinfo"

// Mount is one line of mountinfo.
type Mount struct {
	// Dev is "major:minor", the name of the connection in /sys.
	Dev    string
	Dir    string
	FSType string
	Source string
}

// Mounts returns the mounts of this namespace, oldest first.
func Mounts() ([]Mount, error) {
	f, err := os.Open(mountinfo)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseMounts(f)
}

// Top returns the mount that is seen at dir, an absolute path without
// symlinks; ok is false if dir is no mount point.
func Top(dir string) (m Mount, ok bool, err error) {
	ms, err := Mounts()
	for _, c := range ms {
		if c.Dir == dir {
			m, ok = c, true
		}
	}
	return m, ok, err
}

// parseMounts reads lines of the form
//
//	ID PARENT MAJ:MIN ROOT DIR OPTIONS [TAG…] - TYPE SOURCE SUPEROPTIONS
//
// and skips what does not look like one.
func parseMounts(r io.Reader) ([]Mount, error) {
	var ms []Mount
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		head, tail, ok := strings.Cut(sc.Text(), " - ")
		h, t := strings.Fields(head), strings.Fields(tail)
		if !ok || len(h) < 6 || len(t) < 2 {
			continue
		}
		ms = append(ms, Mount{Dev: h[2], Dir: unescape(h[4]), FSType: t[0], Source: unescape(t[1])})
	}
	return ms, sc.Err()
}

// unescape turns the kernel's \ooo into the byte it stands for.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
