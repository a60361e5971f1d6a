#!/usr/bin/env bash
# Writes the Go code of the .proto files beside them, with the tools pinned in
# scripts/tools/go.mod. Run it after a change of a .proto file; `make verify`
# fails when the committed code is not what it writes.
#
#   scripts/generate.sh [DIR]   writes below DIR instead
set -euo pipefail
out=$(realpath -m "${1:-$(dirname "$0")/..}")
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
for t in google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc github.com/bufbuild/buf/cmd/buf; do
  go build -modfile=scripts/tools/go.mod -o "$tools/" "$t"
done
PATH="$tools:$PATH" buf generate --output "$out" --template '{"version":"v2","plugins":[
  {"local":"protoc-gen-go","out":".","opt":["module=damselfly"]},
  {"local":"protoc-gen-go-grpc","out":".","opt":["module=damselfly"]}]}'
