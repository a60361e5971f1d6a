// Package rest serves the Admin service as a REST API under /api/v1/, as the
// annotations in admin.proto say, and its OpenAPI document at
// /api/v1/openapi.json.
//
// Bodies are JSON with the field names of the .proto file; unknown fields and
// parameters are refused. A reply with an etag has it as its ETag header, and
// an If-Match header stands for the etag of a request. Errors are
// application/problem+json (RFC 9457).
//
// Calls go to the service inside this process, through the same checks as those
// that come over gRPC.
package rest
