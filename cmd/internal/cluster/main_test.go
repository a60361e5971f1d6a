package cluster

import (
	"io"
	stdlog "log"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	// net/http prints what bad hosts send behind an answer.
	stdlog.SetOutput(io.Discard)
	os.Exit(m.Run())
}
