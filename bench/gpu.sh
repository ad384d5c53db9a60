#!/usr/bin/env bash
# gpu.sh [--out FILE] [--only PATTERN] [--seconds N] [--no-peers]: the CUDA back end on the GPU of this
# machine: kernels against the references, models against the CPU, times beside PyTorch's.
#
# Resumable: a row that FILE holds is not measured again; stop it when you like, and start it again.
# DYNO names the program (build/release/dyno, built when it is not there), GCHECK and CYCLES the checks
# beside it, PYTHON an interpreter with numpy and onnx (and torch, for the peers), DYNO_NVRTC the
# run-time compiler where it is found by no other way.
set -euo pipefail
cd "$(dirname "$0")/.."

: "${DYNO:=build/release/dyno}" "${GCHECK:=build/release/tests/cuda/gcheck}"
: "${CYCLES:=build/release/tests/cuda/cuda_cycles}" "${PYTHON:=python3}"
if [ ! -x "$DYNO" ]; then
  cmake --preset release >/dev/null
  cmake --build --preset release --target dyno gcheck cuda_cycles
fi
if [ -z "${DYNO_NVRTC:-}" ]; then
  DYNO_NVRTC=$("$PYTHON" - <<'EOF'
import glob, sysconfig
found = sorted(glob.glob(sysconfig.get_paths()["purelib"] + "/nvidia/*/lib/libnvrtc.so.1[23]"))
print(found[-1] if found else "")
EOF
  )
  [ -n "$DYNO_NVRTC" ] && export DYNO_NVRTC
fi
export DYNO GCHECK CYCLES
exec "$PYTHON" bench/gpu/bench_gpu.py "$@"
