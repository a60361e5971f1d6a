package boot

import (
	"bytes"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

func documented() *cobra.Command {
	run := func(*cobra.Command, []string) error { return nil }
	cmd := &cobra.Command{Use: "dfthing FILE", Short: "Do a thing", Long: "Dfthing does\n.a thing with \\ in it.", Example: "  dfthing x", RunE: run, Version: "1-2"}
	cmd.Flags().StringP("size", "s", "5MiB", "how much")
	cmd.Flags().Bool("force", false, "do it")
	sub := &cobra.Command{Use: "again", Short: "Do it again", RunE: run}
	sub.Flags().Int("times", 0, "how often")
	cmd.AddCommand(sub, &cobra.Command{Use: "inner", Hidden: true, RunE: run})
	return cmd
}

func TestManual(t *testing.T) {
	var out bytes.Buffer
	ok, err := printDocs(documented(), []string{docsWord, "man"}, &out)
	require.True(t, ok)
	require.NoError(t, err)
	for _, want := range []string{
		".TH DFTHING 8 \"\" \"1\\-2\" \"Damselfly\"\n.SH NAME\ndfthing \\- Do a thing\n",
		".SH DESCRIPTION\n.nf\nDfthing does\n\\&.a thing with \\e in it.\n.fi\n",
		".TP\n.B \\-s, \\-\\-size string\nhow much (default 5MiB)\n",
		".TP\n.B \\-\\-force\ndo it\n",
		".SH COMMANDS\n.SS dfthing again",
		".TP\n.B \\-\\-times int\nhow often\n",
		".SH EXAMPLES\n.nf\n  dfthing x\n.fi\n",
	} {
		require.Contains(t, out.String(), want)
	}
	require.NotContains(t, out.String(), "inner")
}

func TestCompletions(t *testing.T) {
	for shell, want := range map[string]string{"bash": "complete -o default -F __start_dfthing dfthing", "zsh": "#compdef dfthing", "fish": "complete -c dfthing"} {
		var out bytes.Buffer
		ok, err := printDocs(documented(), []string{docsWord, shell}, &out)
		require.True(t, ok)
		require.NoError(t, err)
		require.Contains(t, out.String(), want)
	}
	ok, err := printDocs(documented(), []string{docsWord, "csh"}, nil)
	require.True(t, ok)
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
	ok, err = printDocs(documented(), []string{"file"}, nil)
	require.False(t, ok)
	require.NoError(t, err)
}
