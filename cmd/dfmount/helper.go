package main

import (
	"path/filepath"
	"strings"
)

// arguments are the process's without its name. Under the name of a mount
// helper (mount.fuse.dfmount, as mount(8) calls it for fstab), they are turned
// into those of 'dfmount mount': SOURCE DIR [-sfnv] [-N NS] [-o OPTIONS]
// [-t TYPE].
func arguments(argv []string) []string {
	if len(argv) == 0 {
		return nil
	}
	if !strings.HasPrefix(filepath.Base(argv[0]), "mount.") {
		return argv[1:]
	}
	return helperArguments(argv[1:])
}

// helperArguments leaves out what mount(8) adds and what means nothing here: s
// (sloppy: unknown options are no error; -o is told of it), n (no mtab), v, the
// type. f (fake) asks to do all but mounting, so nothing is left but help.
func helperArguments(args []string) []string {
	out := []string{"mount"}
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "-o" && i+1 < len(args):
			i++
			out = append(out, "-o", args[i])
		case (arg == "-t" || arg == "-N") && i+1 < len(args):
			i++
		case len(arg) > 1 && strings.Trim(arg[1:], "sfnv") == "" && arg[0] == '-':
			if strings.ContainsRune(arg, 's') {
				out = append(out, "-o", "sloppy")
			}
			if strings.ContainsRune(arg, 'f') {
				return []string{"--version"}
			}
		default:
			out = append(out, arg)
		}
	}
	return out
}
