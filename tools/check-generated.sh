#!/bin/sh
# Generates the protobuf code again and compares: nobody edits it by hand, and nobody forgets to generate.
set -eu
PATH=$PWD/node_modules/.bin:$PATH
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
buf generate --output "$fresh"
diff -r "$fresh/packages/api/src/gen" packages/api/src/gen
