package boot

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"damselfly/pieces"
)

// docsWord is the first argument of a program that only prints a document
// about itself, for a package: its manual page, or what completes it in a
// shell. It is for builders, so it is no sub-command that people are told of.
const docsWord = "print-docs"

// printDocs is the whole life of a process called with docsWord; ok is false
// for any other.
func printDocs(cmd *cobra.Command, args []string, w io.Writer) (ok bool, err error) {
	if len(args) != 2 || args[0] != docsWord {
		return false, nil
	}
	switch args[1] {
	case "man":
		return true, manual(cmd, w)
	case "bash":
		return true, cmd.GenBashCompletionV2(w, true)
	case "zsh":
		return true, cmd.GenZshCompletion(w)
	case "fish":
		return true, cmd.GenFishCompletion(w, true)
	}
	return true, pieces.Errorf(pieces.Invalid, "%s: want man, bash, zsh or fish", docsWord)
}

// manual writes a page of section 8 in the macros of man(7), from what --help
// says of the command and of those below it.
func manual(cmd *cobra.Command, w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 8 \"\" \"%s\" \"Damselfly\"\n", strings.ToUpper(cmd.Name()), roff(cmd.Version))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(cmd.Name()), roff(cmd.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(cmd.UseLine()))
	verbatim(&b, ".SH DESCRIPTION", cmp.Or(cmd.Long, cmd.Short))
	flags(&b, ".SH OPTIONS", cmd.Flags(), cmd.PersistentFlags())
	first := true
	for _, sub := range cmd.Commands() {
		if !sub.IsAvailableCommand() {
			continue
		}
		if first {
			b.WriteString(".SH COMMANDS\n")
			first = false
		}
		fmt.Fprintf(&b, ".SS %s\n%s.\n", roff(sub.UseLine()), roff(sub.Short))
		if sub.Long != "" {
			verbatim(&b, "", sub.Long)
		}
		flags(&b, "", sub.LocalNonPersistentFlags())
		verbatim(&b, "", sub.Example)
	}
	verbatim(&b, ".SH EXAMPLES", cmd.Example)
	_, err := io.WriteString(w, b.String())
	return pieces.WithKind(pieces.Internal, err, "printing the manual")
}

// verbatim keeps the lines of text as they are; it writes nothing for none.
func verbatim(b *strings.Builder, heading, text string) {
	if text == "" {
		return
	}
	if heading == "" {
		heading = ".PP"
	}
	fmt.Fprintf(b, "%s\n.nf\n%s\n.fi\n", heading, roff(text))
}

func flags(b *strings.Builder, heading string, sets ...*pflag.FlagSet) {
	seen := map[string]bool{}
	for _, fs := range sets {
		fs.VisitAll(func(f *pflag.Flag) {
			if f.Hidden || seen[f.Name] {
				return
			}
			if len(seen) == 0 && heading != "" {
				fmt.Fprintln(b, heading)
			}
			seen[f.Name] = true
			fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(flagWords(f)), roff(f.Usage+defaultWords(f)))
		})
	}
}

func flagWords(f *pflag.Flag) string {
	words := "--" + f.Name
	if f.Shorthand != "" {
		words = "-" + f.Shorthand + ", " + words
	}
	if kind, _ := pflag.UnquoteUsage(f); kind != "" {
		words += " " + kind
	}
	return words
}

func defaultWords(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "[]", "false", "0", "0s":
		return ""
	}
	return " (default " + f.DefValue + ")"
}

// roff escapes what roff would read as its own: backslashes, hyphens that are
// meant, and dots and quotes that begin a line.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, `-`, `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
