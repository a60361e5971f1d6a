// Package rpc dials and serves: the one place that knows transports and
// credentials. Every gRPC connection of the system is made here, so all have
// the same message limit, deadlines, error kinds, recovery of panics and
// health service, and encryption will come to all of them at once.
//
// Errors are *pieces.Error on both ends: handlers return them, and clients get
// them back with their kind. A client sees an error of the transport itself
// (nobody there, connection lost) as Unavailable, naming the address.
//
// A unary call without a deadline gets one, on both ends. Streams have none:
// their life is watched by a Heartbeat, usually inside Pump.
//
// Until the transport is encrypted, the first dialled or served address that
// is not loopback or a unix socket is warned of in the log.
package rpc
