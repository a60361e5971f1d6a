// Package boot is what every Damselfly binary does before and after its own
// work: options from flags and a YAML file, log, listeners, signals, the
// metrics server, one error line and an exit code.
//
// A binary is a cobra command whose options are one struct with yaml tags:
//
//	func main() { boot.Main(newCommand()) }
//
//	func newCommand() *cobra.Command {
//		o := defaultOptions()
//		cmd := &cobra.Command{Use: "dfthing", Short: "…", Args: cobra.NoArgs}
//		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
//			if err := boot.LoadConfig(cmd, &o); err != nil {
//				return err
//			}
//			return run(cmd.Context(), o)
//		}
//		boot.ConfigFlag(cmd.Flags(), "dfthing")
//		o.Log.Flags(cmd.Flags())
//		cmd.Flags().StringVar(&o.Listen, "listen", o.Listen, "…")
//		return cmd
//	}
//
// Flags win over the file, the file wins over the defaults already in o. The
// context that the command gets ends at the first SIGINT or SIGTERM; a second
// signal ends the process at once.
package boot
