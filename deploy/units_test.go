package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/pieces/missing"
)

// settings returns the assignments of a unit's [Service].
func settings(t *testing.T, unit string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("systemd", unit))
	require.NoError(t, err)
	_, service, ok := strings.Cut(string(data), "[Service]\n")
	require.True(t, ok)
	service, _, _ = strings.Cut(service, "\n[")
	set := map[string]string{}
	for line := range strings.Lines(service) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			set[key] += value
		}
	}
	return set
}

// ownMountNamespace matches the settings with which systemd.exec(5) gives a
// service a mount namespace; what is mounted there nobody else sees.
var ownMountNamespace = regexp.MustCompile(`^(Protect(System|Home|KernelTunables|KernelModules|KernelLogs|ControlGroups|Proc)|ProcSubset|` +
	`Private(Tmp|Devices|Mounts|Users|IPC)|(Bind|ReadOnly|ReadWrite|Inaccessible|Exec|NoExec|BindReadOnly)Paths|` +
	`TemporaryFileSystem|RootDirectory|RootImage|MountImages|ExtensionImages|ExtensionDirectories|MountFlags|DynamicUser|LoadCredential|SetCredential|LogNamespace)$`)

func TestTheDaemonMountsForEverybody(t *testing.T) {
	daemon := settings(t, "dfdaemon.service")
	for key := range daemon {
		require.NotRegexp(t, ownMountNamespace, key)
	}
	require.Contains(t, daemon["CapabilityBoundingSet"], "CAP_SYS_ADMIN")
	require.Contains(t, daemon["SystemCallFilter"], "@mount")
	require.Equal(t, "/dev/fuse rw", daemon["DeviceAllow"])
	require.Regexp(t, ownMountNamespace, "ProtectSystem", "the pattern finds something")
}

func TestUnitsAreHardenedAndSayWhenReady(t *testing.T) {
	for _, unit := range []string{"dfdaemon.service", "dfmanager.service", "dfscheduler.service"} {
		set := settings(t, unit)
		require.Equal(t, "notify", set["Type"], unit)
		for _, key := range []string{"NoNewPrivileges", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality", "MemoryDenyWriteExecute"} {
			require.Equal(t, "yes", set[key], "%s %s", unit, key)
		}
		if unit == "dfdaemon.service" {
			continue
		}
		require.Equal(t, "yes", set["DynamicUser"], unit)
		require.Empty(t, set["CapabilityBoundingSet"], unit)
		require.Equal(t, "strict", set["ProtectSystem"], unit)
	}
}

// systemd itself understands every line.
func TestUnitsAreUnderstood(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		missing.Skip(t, "no systemd-analyze here")
	}
	units, err := filepath.Glob("systemd/*.service")
	require.NoError(t, err)
	require.Len(t, units, 3)
	out, _ := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		require.Contains(t, line, "is not executable: No such file or directory", "a complaint of another kind")
	}
}
