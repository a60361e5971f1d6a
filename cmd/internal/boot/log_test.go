package boot

import (
	"bytes"
	stdlog "log"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What libraries print is the log's, cut short, and only if asked for.
func TestLibrariesDoNotFloodTheLog(t *testing.T) {
	for level, some := range map[string]bool{"info": false, "debug": true} {
		var out bytes.Buffer
		_, err := LogOptions{Level: level}.Logger(&out, "test")
		require.NoError(t, err)
		stdlog.Printf("Unsolicited response starting with %q", strings.Repeat("x", 100<<10))
		require.Equal(t, some, strings.Contains(out.String(), "Unsolicited"))
		require.Less(t, out.Len(), 1000)
	}
}
