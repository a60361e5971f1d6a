package boot

import "damselfly/pieces"

// The exit codes of every binary.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitDenied      = 3
	ExitOrigin      = 4
	ExitIntegrity   = 5
	ExitTimeout     = 6
	ExitInterrupted = 130
)

// exitCodes is the one table from kinds to exit codes. What is not in it is
// ExitFailed.
var exitCodes = map[pieces.Kind]int{
	pieces.Invalid:         ExitUsage,
	pieces.Denied:          ExitDenied,
	pieces.Unauthenticated: ExitDenied,
	pieces.Origin:          ExitOrigin,
	pieces.NotFound:        ExitOrigin,
	pieces.Changed:         ExitOrigin,
	pieces.Throttled:       ExitOrigin,
	pieces.Integrity:       ExitIntegrity,
	pieces.Timeout:         ExitTimeout,
	pieces.Canceled:        ExitInterrupted,
}

// ExitCode returns the process's exit code for err; 0 for nil.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if code, ok := exitCodes[pieces.KindOf(err)]; ok {
		return code
	}
	return ExitFailed
}
