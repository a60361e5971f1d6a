package client

import (
	"net/http"
	"strings"

	"github.com/spf13/pflag"

	"damselfly/daemon/control"
	"damselfly/pieces"
)

// TaskFlags are the options that together with a URL make a Task.
type TaskFlags struct {
	Digest      string
	Tag         string
	Application string
	FilterQuery []string
	Headers     []string
}

// Bind adds the flags.
func (f *TaskFlags) Bind(fs *pflag.FlagSet) {
	fs.StringVar(&f.Digest, "digest", "", "pin the whole content: sha256:HEX, sha512:HEX or blake3:HEX")
	fs.StringVar(&f.Tag, "tag", "", "tells apart tasks with the same URL")
	fs.StringVar(&f.Application, "application", "", "application the task belongs to")
	fs.StringSliceVar(&f.FilterQuery, "filter-query", nil, "query parameters that don't change the content, such as signatures, split by commas")
	fs.StringArrayVarP(&f.Headers, "header", "H", nil, "header for the origin, 'Name: value' (may be repeated); its content is shared only with who sends the same")
}

// Options checks the flags; errors are Invalid and never hold a header's
// value.
func (f *TaskFlags) Options() (pieces.Options, error) {
	digest, err := pieces.ParseDigest(f.Digest)
	if err != nil {
		return pieces.Options{}, err
	}
	o := pieces.Options{Digest: digest, Tag: f.Tag, Application: f.Application, FilterQuery: f.FilterQuery}
	for _, h := range f.Headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return o, pieces.Errorf(pieces.Invalid, "-H: want 'Name: value', with a colon")
		}
		value = strings.TrimSpace(value)
		if err := control.CheckHeader(name, value); err != nil {
			return o, err
		}
		if o.Header == nil {
			o.Header = http.Header{}
		}
		o.Header.Add(name, value)
	}
	return o, nil
}

// CheckURL returns an Invalid error unless url can be a Task's.
func CheckURL(url string, o pieces.Options) error {
	_, err := pieces.NewTask(url, o, nil)
	return err
}
