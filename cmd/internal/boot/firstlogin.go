package boot

import (
	"context"
	"fmt"
	"io"

	"damselfly/manager/people"
	"damselfly/pieces"
)

// FirstLogin makes the first administrator if a manager has no user yet, and
// shows its password, this once, on out, which is not the log.
func FirstLogin(ctx context.Context, p *people.People, out io.Writer) error {
	password, err := p.Bootstrap(ctx)
	if err != nil || password == "" {
		return err
	}
	_, err = fmt.Fprintf(out, "\nThe manager has an administrator now. This is shown once:\n\n    user      %s\n    password  %s\n\n", people.FirstUser, password)
	return pieces.WithKind(pieces.Internal, err, "showing the first password")
}
