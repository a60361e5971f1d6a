package boot

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// ConfigFlag adds --config with the binary's default file.
func ConfigFlag(fs *pflag.FlagSet, binary string) {
	fs.String("config", ProcessEnv().ConfigFile(binary), "YAML file with the same options; flags win over it")
}

// LoadConfig fills o, a pointer to a struct whose fields cmd's flags are bound
// to, from the file of --config, and then sets the flags given on the command
// line again, so that they win. A missing file is an error only if --config
// was given. Errors are Invalid and name file, line and key.
func LoadConfig(cmd *cobra.Command, o any) error {
	flag := cmd.Flag("config")
	again := givenFlags(cmd.Flags())
	if err := ReadConfig(flag.Value.String(), flag.Changed, o); err != nil {
		return err
	}
	return again()
}

// givenFlags remembers the flags set so far and returns a function that sets
// them once more.
func givenFlags(fs *pflag.FlagSet) func() error {
	var again []func() error
	fs.Visit(func(f *pflag.Flag) {
		switch v := f.Value.(type) {
		case pflag.SliceValue:
			given := v.GetSlice()
			again = append(again, func() error { return v.Replace(given) })
		case *Labels:
			given := v.clone()
			again = append(again, func() error { *v = given; return nil })
		default:
			given := f.Value.String()
			again = append(again, func() error { return v.Set(given) })
		}
	})
	return func() error {
		for _, set := range again {
			if err := set(); err != nil {
				return err
			}
		}
		return nil
	}
}
