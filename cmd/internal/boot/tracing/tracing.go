// Package tracing sends a program's traces to an OpenTelemetry collector, by
// OTLP over gRPC. Without an endpoint there is no tracing, and no cost.
//
// Nothing waits for the collector: ended spans go into a bounded queue, which
// one goroutine empties; what does not fit, or can't be delivered in time, is
// counted and forgotten (damselfly_trace_spans_total).
package tracing

import (
	"context"
	"net"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"

	"damselfly/pieces"
	"damselfly/proto/rpc"
	"damselfly/proto/trace"
)

// DefaultSample is the share of reads that are traced where an endpoint is given
// and nothing is said of it.
const DefaultSample = 0.01

// Options say where traces go. The zero value is off; the yaml tags are keys
// below trace.
type Options struct {
	// Endpoint is HOST:PORT of an OTLP collector that speaks gRPC in the clear,
	// or https://HOST:PORT of one with a certificate that this machine trusts.
	Endpoint string `yaml:"endpoint"`
	// Sample is the share in [0,1] of what could begin a trace here that does.
	Sample float64 `yaml:"sample"`
	// Times: zero values are the defaults of their comments.
	Times Times `yaml:"times"`
}

// Times of the sending.
type Times struct {
	// Every is how long a span waits for others to be sent with (default 1 s),
	// Send how long one attempt may take (default 5 s), Flush how long the end
	// of the program waits for what is left (default 2 s).
	Every time.Duration `yaml:"every"`
	Send  time.Duration `yaml:"send"`
	Flush time.Duration `yaml:"flush"`
}

// Defaults returns the options of a program about which nothing was said.
func Defaults() Options { return Options{Sample: DefaultSample} }

// Flags binds --trace-endpoint and --trace-sample.
func (o *Options) Flags(fs *pflag.FlagSet) {
	o.EndpointFlag(fs)
	fs.Float64Var(&o.Sample, "trace-sample", o.Sample, "share of reads that are traced, 0 … 1")
}

// EndpointFlag binds --trace-endpoint alone, for programs that begin no trace.
func (o *Options) EndpointFlag(fs *pflag.FlagSet) {
	fs.StringVar(&o.Endpoint, "trace-endpoint", o.Endpoint, "send traces to this OpenTelemetry collector: HOST:PORT (OTLP over gRPC), or https://HOST:PORT (default: no traces)")
}

// Check returns an Invalid error that names what can't be.
func (o Options) Check() error {
	if !(o.Sample >= 0 && o.Sample <= 1) {
		return pieces.Errorf(pieces.Invalid, "--trace-sample %v: want a share from 0 to 1", o.Sample)
	}
	if min(o.Times.Every, o.Times.Send, o.Times.Flush) < 0 {
		return pieces.Errorf(pieces.Invalid, "trace.times: want 0 (the default) or more")
	}
	if o.Endpoint == "" {
		return nil
	}
	if err := rpc.CheckAddress(strings.TrimPrefix(o.Endpoint, tlsScheme)); err != nil {
		return pieces.WithKind(pieces.Invalid, err, "--trace-endpoint")
	}
	return nil
}

const tlsScheme = "https://"

func (t Times) withDefaults() Times {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&t.Every, time.Second)
	def(&t.Send, 5*time.Second)
	def(&t.Flush, 2*time.Second)
	return t
}

// Exporter sends the spans of all parts of one process. Nil sends none.
type Exporter struct {
	o       Options
	version string
	queue   *queue
}

// Start returns an Exporter of a program of that version, nil if o has no
// endpoint; Close it. No collector need be there: nothing is dialled before
// there are spans. reg may be nil.
func Start(o Options, version string, reg prometheus.Registerer, log *logrus.Entry) (*Exporter, error) {
	if err := o.Check(); err != nil || o.Endpoint == "" {
		return nil, err
	}
	o.Times = o.Times.withDefaults()
	log = log.WithField("part", "tracing")
	client := []otlptracegrpc.Option{
		otlptracegrpc.WithTimeout(o.Times.Send),
		otlptracegrpc.WithDialOption(grpc.WithNoProxy()),
		// What fails is tried again for as long as one attempt may take; longer
		// would only fill the queue.
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
			Enabled: true, InitialInterval: 200 * time.Millisecond, MaxInterval: time.Second, MaxElapsedTime: o.Times.Send,
		}),
	}
	if addr, tls := strings.CutPrefix(o.Endpoint, tlsScheme); tls {
		client = append(client, otlptracegrpc.WithEndpointURL(tlsScheme+addr))
	} else {
		client = append(client, otlptracegrpc.WithEndpoint(addr), otlptracegrpc.WithInsecure())
		if !loopback(addr) {
			log.Warnf("traces go to %s in the clear", addr)
		}
	}
	e, err := otlptracegrpc.New(context.Background(), client...)
	if err != nil {
		return nil, pieces.WithKind(pieces.Invalid, err, "--trace-endpoint")
	}
	return &Exporter{o, version, newQueue(e, o.Times, reg, log)}, nil
}

func loopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// Tracer returns the tracer of one part of the process, such as "dfdaemon", on
// the host with that id; nil for a nil Exporter.
func (e *Exporter) Tracer(service, hostID string) *trace.Tracer {
	if e == nil {
		return nil
	}
	name, _ := os.Hostname()
	attrs := []attribute.KeyValue{
		attribute.String("service.name", service),
		attribute.String("service.version", e.version),
		attribute.String("host.name", name),
	}
	if hostID != "" {
		attrs = append(attrs, attribute.String("host.id", hostID))
	}
	return trace.New(sdk.NewTracerProvider(
		sdk.WithSampler(sdk.AlwaysSample()),
		sdk.WithSpanProcessor(e.queue),
		sdk.WithResource(resource.NewSchemaless(attrs...)),
	), e.o.Sample)
}

// Close sends what is left, for Times.Flush at most, and stops. Spans that end
// later are forgotten.
func (e *Exporter) Close() {
	if e != nil {
		e.queue.close()
	}
}
