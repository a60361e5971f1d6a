package source

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// HTTPOptions says how origins are spoken to. The zero value is good.
type HTTPOptions struct {
	UserAgent string // default "damselfly"

	DialTimeout   time.Duration // to a connection; default 10 s
	TLSTimeout    time.Duration // to the end of the handshake; default 10 s
	HeaderTimeout time.Duration // from the request to the answer's header; default 20 s
	// IdleTimeout is how long a body being read may give no byte; time in which
	// nobody reads it does not count. Default 10 s: readers wait for 30, so that
	// a connection that fell silent can be replaced for them.
	IdleTimeout time.Duration
	// A body that gave fewer than SlowBytes in SlowTime of reading counts as
	// silent too. Default 4 KiB in 15 s.
	SlowTime  time.Duration
	SlowBytes int64
	// PrefixTime is how long Stat waits for the first bytes of the content once
	// their header is there; what has come by then will do. Default 2 s.
	PrefixTime time.Duration

	MaxRedirects int // default 10; negative means none
	// IdleConns are kept open per host and reused, for IdleConnTime.
	IdleConns    int           // default 64
	IdleConnTime time.Duration // default 90 s

	// TLS holds extra roots or client certificates; nil means the system's.
	TLS *tls.Config
	// Proxy chooses a proxy for a request; default the one named in the
	// environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY).
	Proxy func(*http.Request) (*url.URL, error)
	// Deny says which addresses are never connected to; default DenyMetadata.
	Deny func(netip.Addr) bool

	// Now reads dates in Retry-After; default time.Now.
	Now func() time.Time
}

// maxHeader is the longest header of an answer that is read.
const maxHeader = 256 << 10

func (o *HTTPOptions) setDefaults() {
	set(&o.UserAgent, "damselfly")
	set(&o.DialTimeout, 10*time.Second)
	set(&o.TLSTimeout, 10*time.Second)
	set(&o.HeaderTimeout, 20*time.Second)
	set(&o.IdleTimeout, 10*time.Second)
	set(&o.SlowTime, 15*time.Second)
	set(&o.SlowBytes, 4<<10)
	set(&o.PrefixTime, 2*time.Second)
	set(&o.MaxRedirects, 10)
	set(&o.IdleConns, 64)
	set(&o.IdleConnTime, 90*time.Second)
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.Deny == nil {
		o.Deny = DenyMetadata
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// HTTP is the Origin of http and https URLs.
type HTTP struct {
	o         HTTPOptions
	transport *http.Transport
}

// NewHTTP returns an HTTP origin. Close it when it is no longer used.
func NewHTTP(o HTTPOptions) *HTTP {
	o.setDefaults()
	// HTTP/1.1 only: one connection per request lets a reader that yields stop
	// reading without holding up the others, and closing one really ends it.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &HTTP{o: o, transport: &http.Transport{
		Proxy:                 o.Proxy,
		DialContext:           dialer(o.DialTimeout, o.Deny).DialContext,
		TLSClientConfig:       o.TLS.Clone(),
		TLSHandshakeTimeout:   o.TLSTimeout,
		ResponseHeaderTimeout: o.HeaderTimeout,
		DisableCompression:    true,
		MaxIdleConns:          0,
		MaxIdleConnsPerHost:   o.IdleConns,
		IdleConnTimeout:       o.IdleConnTime,
		ReadBufferSize:        16 << 10,

		MaxResponseHeaderBytes: maxHeader,
		Protocols:              protocols,
	}}
}

// Close closes idle connections. Bodies still open go on.
func (h *HTTP) Close() error {
	h.transport.CloseIdleConnections()
	return nil
}
