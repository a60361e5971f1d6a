package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestArgumentsOfAMountHelper(t *testing.T) {
	for in, want := range map[string]string{
		"dfmount status --json": "status --json",
		"/usr/sbin/mount.fuse.dfmount damselfly /mnt/df -o rw,_netdev":         "mount damselfly /mnt/df -o rw,_netdev",
		"mount.fuse.dfmount damselfly /mnt/df -sn -v -o ro -t fuse.dfmount":    "mount damselfly /mnt/df -o sloppy -o ro",
		"mount.fuse.dfmount damselfly /mnt/df -f -o ro":                        "--version",
		"mount.fuse.dfmount damselfly /mnt/df -N 4 --options rw":               "mount damselfly /mnt/df --options rw",
		"mount.fuse.dfmount damselfly /mnt/df -o manager=a:1,b:2 -o uid=1,ro ": "mount damselfly /mnt/df -o manager=a:1,b:2 -o uid=1,ro",
	} {
		require.Equal(t, want, strings.Join(arguments(strings.Fields(in)), " "), in)
	}
	require.Empty(t, arguments(nil))
}
