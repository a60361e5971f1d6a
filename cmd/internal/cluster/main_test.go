package cluster

import (
	"flag"
	"io"
	stdlog "log"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	// net/http prints what bad hosts send behind an answer.
	stdlog.SetOutput(io.Discard)
	// Tests here wait more than they work.
	flag.Parse()
	_ = flag.Set("test.parallel", "6")
	os.Exit(m.Run())
}
