// Package trace carries a trace through the system: from a read of the mount,
// over whatever is done for it on this host, to schedulers, other hosts and the
// origin's reader.
//
// A *Tracer makes the spans of one program; nil is tracing that is off, and then
// nothing here allocates or looks at a clock. Work that is done for one caller
// carries its span in the context:
//
//	ctx, span := tracer.Root(ctx, "mount.read")   // one of many begins a trace
//	defer func() { span.End(err) }()
//
// Deeper code needs no Tracer: Child(ctx, …) is a span below the context's, if
// there is one. Where work is shared and hangs on nobody's context (the fetch of
// a piece, a lease), a Parent goes along with what asks for it, and
// Tracer.Under begins the span there. Between hosts a Parent is text, the
// traceparent of W3C Trace Context, version 00
// (https://www.w3.org/TR/trace-context/): a header of piece requests, metadata
// of gRPC calls, a field of messages. Only sampled traces travel; what can't be
// read, or is not sampled, is as good as none. Nothing is ever sent to an
// origin.
package trace
