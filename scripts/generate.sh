#!/usr/bin/env bash
# Writes the Go code of the .proto files beside them, with the tools pinned in
# scripts/tools/go.mod. Run it after a change of a .proto file.
#
# It also writes down, in proto/generated.sum, what it read and what it wrote,
# so that `make verify` notices a forgotten run without building buf.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
for t in google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc github.com/bufbuild/buf/cmd/buf; do
  go build -modfile=scripts/tools/go.mod -o "$tools/" "$t"
done
find proto -name '*.pb.go' -delete
PATH="$tools:$PATH" buf generate --template '{"version":"v2","plugins":[
  {"local":"protoc-gen-go","out":".","opt":["module=damselfly"]},
  {"local":"protoc-gen-go-grpc","out":".","opt":["module=damselfly"]}]}'
scripts/generated >proto/generated.sum
