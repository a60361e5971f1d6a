package rpc

import (
	"context"
	"net"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"damselfly/pieces"
)

// Defaults of both ends.
const (
	// DefaultMaxMessage is the longest message, in bytes.
	DefaultMaxMessage = 8 << 20
	// DefaultCallTimeout is the deadline of a unary call whose ctx has none.
	DefaultCallTimeout = 5 * time.Second
	// DefaultConnectTimeout is how long one attempt to connect may take.
	DefaultConnectTimeout = 3 * time.Second
	// DefaultMaxBackoff is the longest pause between attempts to connect.
	DefaultMaxBackoff = 3 * time.Second
)

// DialOptions say how to dial; the zero value is right for most.
type DialOptions struct {
	// Log gets warnings; nil discards them.
	Log *logrus.Entry
	// CallTimeout is the deadline of unary calls whose ctx has none; 0 is
	// DefaultCallTimeout, negative is none.
	CallTimeout time.Duration
	// ConnectTimeout and MaxBackoff: 0 are the defaults.
	ConnectTimeout time.Duration
	MaxBackoff     time.Duration
	// MaxMessage in bytes, both ways; 0 is DefaultMaxMessage.
	MaxMessage int
	// Dialer makes connections in the place of a net.Dialer; tests cut links
	// with it. It gets the address as it was given to Dial.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
}

// Dial returns a connection to addr ("HOST:PORT") that connects at the first
// call and again whenever it is lost. While nobody answers there, calls fail
// at once. It never goes through a proxy. The caller closes it.
func Dial(addr string, o DialOptions) (*grpc.ClientConn, error) {
	if err := CheckAddress(addr); err != nil {
		return nil, err
	}
	plaintext.check(orDiscard(o.Log), addr)
	return dial("tcp", addr, addr, o)
}

// DialUnix is Dial for the unix socket at path.
func DialUnix(path string, o DialOptions) (*grpc.ClientConn, error) {
	if path == "" {
		return nil, pieces.Errorf(pieces.Invalid, "the path of the unix socket is empty")
	}
	return dial("unix", path, "localhost", o)
}

func dial(network, addr, authority string, o DialOptions) (*grpc.ClientConn, error) {
	o = o.withDefaults()
	connect := o.Dialer
	if connect == nil {
		connect = func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{Timeout: o.ConnectTimeout}).DialContext(ctx, network, addr)
		}
	}
	retry := backoff.DefaultConfig
	retry.BaseDelay = min(100*time.Millisecond, o.MaxBackoff)
	retry.MaxDelay = o.MaxBackoff
	calls := clientCalls{addr: addr, timeout: o.CallTimeout}
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority(authority),
		grpc.WithContextDialer(connect),
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: o.ConnectTimeout}),
		// Also bounds how long sent bytes may stay unacknowledged, so that a
		// connection whose other end vanished does not linger for minutes.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(o.MaxMessage), grpc.MaxCallSendMsgSize(o.MaxMessage)),
		grpc.WithStaticStreamWindowSize(window),
		grpc.WithStaticConnWindowSize(window),
		grpc.WithUnaryInterceptor(calls.unary),
		grpc.WithStreamInterceptor(calls.stream),
	)
	if err != nil {
		return nil, pieces.Errorf(pieces.Invalid, "address %.200q can't be dialled: %w", addr, err)
	}
	return conn, nil
}

func (o DialOptions) withDefaults() DialOptions {
	if o.CallTimeout == 0 {
		o.CallTimeout = DefaultCallTimeout
	}
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = DefaultMaxBackoff
	}
	if o.MaxMessage <= 0 {
		o.MaxMessage = DefaultMaxMessage
	}
	return o
}

// CheckAddress returns an Invalid error unless addr is HOST:PORT with a host
// and a port from 1 to 65535.
func CheckAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return pieces.Errorf(pieces.Invalid, "address %.200q: want HOST:PORT", addr)
	}
	if !validPort(port) {
		return pieces.Errorf(pieces.Invalid, "address %.200q: port must be 1 … 65535", addr)
	}
	return nil
}

func validPort(s string) bool {
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > 65535 {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n >= 1 && n <= 65535
}
