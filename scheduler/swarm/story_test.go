package swarm

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the stories' expected output anew")

// TestStories plays the scripts in testdata. A script is commands ("> …"),
// each followed by the actions it must bring about; '#' starts a comment.
// `go test ./scheduler/swarm -update` writes the actions anew.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := play(string(want))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			diff(t, string(want), got)
		})
	}
}

// play runs a script and returns it with the actions that came about.
func play(script string) (string, error) {
	w := newWorld()
	var out strings.Builder
	for n, line := range strings.Split(strings.TrimRight(script, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "> "):
			fmt.Fprintln(&out, line)
			said, err := w.command(strings.Fields(line[2:]))
			if err != nil {
				return "", fmt.Errorf("line %d: %q: %w", n+1, line, err)
			}
			for _, s := range said {
				fmt.Fprintln(&out, s)
			}
		case line == "" || strings.HasPrefix(line, "#"):
			fmt.Fprintln(&out, line)
		}
	}
	return out.String(), nil
}

func diff(t *testing.T, want, got string) {
	t.Helper()
	ws, gs := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := 0; i < max(len(ws), len(gs)); i++ {
		w, g := "", ""
		if i < len(ws) {
			w = ws[i]
		}
		if i < len(gs) {
			g = gs[i]
		}
		if w != g {
			t.Fatalf("line %d:\n want %s\n  got %s\nwhole output:\n%s", i+1, w, g, got)
		}
	}
}
