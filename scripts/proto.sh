#!/bin/sh
# Generates the Python of proto/. With --check nothing is written; exit code 1 where the committed files are not what would be generated.
set -eu
cd "$(dirname "$0")/.."
out=proto
if [ "${1:-}" = --check ]; then out=$(mktemp -d); trap 'rm -rf "$out"' EXIT; fi
PATH="$PWD/.venv/bin:$PATH" .venv/bin/python -m grpc_tools.protoc -Iproto --python_out="$out" --grpc_python_out="$out" --mypy_out="quiet:$out" --mypy_grpc_out="quiet:$out" \
    proto/framegate_proto/v1/framegate.proto proto/framegate_proto/v1/open_inference.proto
if [ "$out" != proto ]; then
    for name in framegate open_inference; do for file in ${name}_pb2.py ${name}_pb2.pyi ${name}_pb2_grpc.py ${name}_pb2_grpc.pyi; do
        cmp -s "$out/framegate_proto/v1/$file" "proto/framegate_proto/v1/$file" || { echo "proto/framegate_proto/v1/$file is stale: run make proto" >&2; exit 1; }
    done; done
fi
