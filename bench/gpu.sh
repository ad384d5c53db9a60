#!/usr/bin/env bash
# gpu.sh [--out FILE] [--only PATTERN]... [--seconds N] [--no-peers] [--svg FILE]: the CUDA back end on the
# GPU of this machine: kernels against the references, models against the CPU, times beside PyTorch's.
#
# Resumable: a row that FILE holds is not measured again; stop it when you like, and start it again.
# STREAMS names the program that plays live streams (else bench/gpu/streams.c is compiled), DYNO the program
# (build/release/dyno, built when it is not there; dyno-serve beside it), GCHECK and CYCLES the checks
# beside it, PYTHON an interpreter with numpy and onnx (and torch, for the peers; none of them to draw what
# FILE holds), DYNO_NVRTC, DYNO_CUDNN and DYNO_CUBLASLT NVIDIA's libraries where they are found by no other way.
set -euo pipefail
cd "$(dirname "$0")/.."

: "${DYNO:=build/release/dyno}" "${GCHECK:=build/release/tests/cuda/gcheck}"
: "${CYCLES:=build/release/tests/cuda/cuda_cycles}" "${PYTHON:=python3}"
if [ ! -x "$DYNO" ]; then
  cmake --preset release >/dev/null
  cmake --build --preset release --target dyno dyno-serve dyno_shared gcheck cuda_cycles
fi
# Where nothing names them: NVIDIA's libraries as Python's packages hold them.
while read -r variable path; do
  [ -n "${!variable:-}" ] || export "$variable=$path"
done < <("$PYTHON" - <<'EOF'
import glob, sysconfig
for variable, name in (("DYNO_NVRTC", "libnvrtc.so.1[23]"), ("DYNO_CUDNN", "libcudnn.so.9"),
                       ("DYNO_CUBLASLT", "libcublasLt.so.1[23]")):
    found = sorted(glob.glob(f"{sysconfig.get_paths()['purelib']}/nvidia/*/lib/{name}"))
    if found:
        print(variable, found[-1])
EOF
)
export DYNO GCHECK CYCLES
exec "$PYTHON" bench/gpu/bench_gpu.py "$@"
