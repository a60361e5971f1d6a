#!/usr/bin/env bash
# Writes the Go code of the .proto files beside them, and the OpenAPI document
# of the REST API into manager/rest, with the tools pinned in
# scripts/tools/go.mod. Run it after a change of a .proto file.
#
# It also writes down, in proto/generated.sum, what it read and what it wrote,
# so that `make verify` notices a forgotten run without building buf.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
for t in google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc github.com/bufbuild/buf/cmd/buf \
  github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-{grpc-gateway,openapiv2}; do
  go build -modfile=scripts/tools/go.mod -o "$tools/" "$t"
done
find proto \( -name '*.pb.go' -o -name '*.pb.gw.go' \) -delete
mkdir -p manager/rest
PATH="$tools:$PATH" buf generate --exclude-path proto/googleapis/google --template '{"version":"v2","plugins":[
  {"local":"protoc-gen-go","out":".","opt":["module=damselfly"]},
  {"local":"protoc-gen-go-grpc","out":".","opt":["module=damselfly"]},
  {"local":"protoc-gen-grpc-gateway","out":".","opt":["module=damselfly"]},
  {"local":"protoc-gen-openapiv2","out":"manager/rest","strategy":"all","opt":["allow_merge=true","merge_file_name=openapi",
    "json_names_for_fields=false","disable_default_errors=true","disable_service_tags=true","openapi_naming_strategy=simple"]}]}'
mv manager/rest/openapi.swagger.json manager/rest/openapi.json
scripts/generated >proto/generated.sum
