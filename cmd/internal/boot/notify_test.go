package boot

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

func TestNotify(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "n.sock"), fmt.Sprintf("@damselfly-test-%d", os.Getpid())} {
		lis, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		require.NoError(t, err)
		defer lis.Close()
		e := Env{Getenv: func(k string) string { return map[string]string{"NOTIFY_SOCKET": name}[k] }}
		require.NoError(t, e.Notify(StateReady))
		require.NoError(t, lis.SetReadDeadline(time.Now().Add(10*time.Second)))
		buf := make([]byte, 100)
		n, err := lis.Read(buf)
		require.NoError(t, err)
		require.Equal(t, "READY=1", string(buf[:n]))
	}
	require.NoError(t, Env{}.Notify(StateReady), "nobody to tell")
	for name, kind := range map[string]pieces.Kind{"/nonexistent/n.sock": pieces.Unavailable, "relative": pieces.Invalid} {
		err := Env{Getenv: func(string) string { return name }}.Notify(StateReady)
		require.Equal(t, kind, pieces.KindOf(err), name)
	}
}
