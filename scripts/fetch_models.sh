#!/usr/bin/env bash
# fetch_models.sh CACHE: trained models and a real page out of PyPI packages, checked by digest.
#
# PP-OCRv6 detection and recognition and the PP-OCR direction classifier (Apache-2.0) come from
# rapidocr, the scanned page (public domain) from scikit-image.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$1
mkdir -p "$cache"
if (cd "$cache" && sha256sum --status -c) <scripts/models.sha256 2>/dev/null; then
  exit 0
fi
echo "fetching models and the page into $cache" >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip=build/venv-demo/bin/pip
"$pip" download -q --disable-pip-version-check --no-deps -d "$work" rapidocr==3.10.0 scikit-image==0.26.0
unzip -q -o -j "$work"/rapidocr-*.whl 'rapidocr/models/*.onnx' -d "$cache"
unzip -q -o -j "$work"/scikit_image-*.whl skimage/data/page.png -d "$cache"
(cd "$cache" && sha256sum --quiet -c) <scripts/models.sha256
