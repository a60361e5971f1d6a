package boot

import (
	"io"
	stdlog "log"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"damselfly/pieces"
)

// LogOptions say what is logged and how. The zero value logs from info up, as
// text.
type LogOptions struct {
	// Level: error, warn, info (default), debug, trace.
	Level string `yaml:"level"`
	// Format: text (default) or json.
	Format string `yaml:"format"`
}

// Flags binds --log-level and --log-format.
func (o *LogOptions) Flags(fs *pflag.FlagSet) {
	if o.Level == "" {
		o.Level = "info"
	}
	if o.Format == "" {
		o.Format = "text"
	}
	fs.StringVar(&o.Level, "log-level", o.Level, "log from this level up: error, warn, info, debug, trace")
	fs.StringVar(&o.Format, "log-format", o.Format, "log as text or json")
}

// Logger makes the process's log, written to w, with the binary's name as
// field "app".
func (o LogOptions) Logger(w io.Writer, app string) (*logrus.Entry, error) {
	l := logrus.New()
	l.SetOutput(w)
	if o.Level != "" {
		level, err := logrus.ParseLevel(o.Level)
		if err != nil {
			return nil, pieces.Errorf(pieces.Invalid, "log level %.40q: want error, warn, info, debug or trace", o.Level)
		}
		l.SetLevel(level)
	}
	switch o.Format {
	case "", "text":
		l.SetFormatter(&logrus.TextFormatter{FullTimestamp: true})
	case "json":
		l.SetFormatter(&logrus.JSONFormatter{})
	default:
		return nil, pieces.Errorf(pieces.Invalid, "log format %.40q: want text or json", o.Format)
	}
	l.SetFormatter(newLimited(l.Formatter))
	e := l.WithField("app", app)
	stdlog.SetFlags(0)
	stdlog.SetOutput(library{e})
	return e, nil
}

// library takes what libraries print to the standard logger: net/http prints
// what a server sends behind an answer, 64 KiB of whatever it likes.
type library struct{ log *logrus.Entry }

const maxLibraryLine = 200

func (l library) Write(p []byte) (int, error) {
	s := strings.TrimSpace(string(p[:min(len(p), maxLibraryLine)]))
	l.log.WithField("part", "library").Debug(s)
	return len(p), nil
}

// Discard returns a log that goes nowhere.
func Discard() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}
