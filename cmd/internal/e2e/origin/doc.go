// Package origin is an HTTP origin that misbehaves on purpose. Its content is a
// function of (seed, file, version, offset), so every byte that anybody made of
// its answers can be checked; every request is counted, with what was asked,
// answered and sent.
//
// Without a script a File answers as a good server does: ranges, If-Match,
// If-Unmodified-Since, 206, 304-free. File.Misbehave adds a Fault for the
// requests that a When picks; Rule.Fired says how often it happened, so that a
// test can fail when its fault did not. File.Heal ends all faults; connections
// that a fault stalled stay stalled, as they would in the world.
//
// It speaks HTTP/1.1 over its own sockets: what a fault sends is what goes out.
package origin
