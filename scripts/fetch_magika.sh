#!/usr/bin/env bash
# fetch_magika.sh DIR: the file-type model of the package magika (Apache-2.0), as DIR/magika.onnx.
set -euo pipefail
cd "$(dirname "$0")/.."
[ ! -f "$1/magika.onnx" ] || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build/venv-demo/bin/pip download -q --disable-pip-version-check --no-deps -d "$work" magika==1.0.3
unzip -q -o -j "$work"/magika-*.whl magika/models/standard_v3_3/model.onnx -d "$work"
mv "$work/model.onnx" "$1/magika.onnx"
