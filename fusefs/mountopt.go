package fusefs

import (
	"math"
	"strconv"
	"strings"

	"damselfly/pieces"
)

// Set applies one option of mount(8): source=LABEL, allow_other, private,
// uid=N, gid=N or umask=OCTAL. Any other, and a value that can't be, is Invalid.
func (o *Options) Set(option string) error {
	key, value, _ := strings.Cut(option, "=")
	switch {
	case option == "allow_other":
		o.AllowOther, o.Private = true, false
		return nil
	case option == "private":
		o.AllowOther, o.Private = false, true
		return nil
	case key == "source" && value != "":
		o.Source = value
		return nil
	case key == "uid":
		return setID(&o.UID, option, value)
	case key == "gid":
		return setID(&o.GID, option, value)
	case key == "umask":
		mask, err := strconv.ParseUint(value, 8, 32)
		if err != nil || mask > 0o777 {
			return pieces.Errorf(pieces.Invalid, "mount option %.60q: want an octal mask of at most 777", option)
		}
		o.Umask = uint32(mask)
		return nil
	}
	return pieces.Errorf(pieces.Invalid, "mount option %.60q is unknown; known are source=LABEL, allow_other, private, uid=N, gid=N, umask=OCTAL", option)
}

// setID reads a user's or group's number. The largest one means "nobody" to the
// kernel's calls, so it can't own a file.
func setID(to **uint32, option, value string) error {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || n == math.MaxUint32 {
		return pieces.Errorf(pieces.Invalid, "mount option %.60q: want a number of a user or group", option)
	}
	id := uint32(n)
	*to = &id
	return nil
}
