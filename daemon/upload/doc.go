// Package upload is the piece server of a host: it hands verified bytes to
// other daemons over HTTP/1.1.
//
//	GET /v1/tasks/{task}/{version}
//	Range: bytes=a-b              exactly one, both ends given
//	X-Df-Host: {host id}          who asks
//	X-Df-Wait: {milliseconds}     how long the asker may wait for bytes that are
//	                              being fetched; 0 or absent: 404 at once
//	X-Df-Urgent: 1                a reader waits for them
//	X-Df-Insist: 1                the holder named by a 409 did not give them
//
// The answer is 206 with exactly the bytes asked for, or one of
//
//	400  malformed request                 403  refused
//	404  not held here                     410  this Version was replaced
//	416  range outside the content         503  no slot free, or stopping
//	409  another host was given these bytes first: X-Df-Holder names it,
//	     X-Df-Holder-Host says how to reach it
//	504  waited in vain                    500  anything else
//
// Errors carry X-Df-Error with the kind's name and a line of text; 503 and 409
// carry Retry-After-Ms. Once a 206 has begun, a failure can only close the
// connection: the asker sees a short body and takes it from elsewhere.
//
// Bytes of files go from the page cache to the socket by sendfile(2) at an
// explicit offset, so that any number of requests share one descriptor.
//
// A request takes a slot only when its first bytes are ready, so those who wait
// for pieces in flight don't keep others from being served.
package upload
