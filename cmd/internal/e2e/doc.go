// Package e2e holds the end-to-end tests: real programs, real mounts, a real
// nginx, on hosts of package lab. Each test names the promise it is about and
// fails too when the path or fault it is about did not happen.
//
//	sudo make e2e
//	sudo DAMSELFLY_E2E=1 go test ./cmd/internal/e2e/ -run Crowd -v
//
// Without DAMSELFLY_E2E they are skipped. Variables:
//
//	DAMSELFLY_BIN   directory of the programs; without it they are built first
//	DAMSELFLY_RACE  not empty: build them with the race detector
//	DAMSELFLY_SOAK  not empty: sizes of the promises, 512 MiB over 8 hosts, where tests are smaller
//	DAMSELFLY_KEEP  not empty: leave each lab's directory, with all logs
package e2e
