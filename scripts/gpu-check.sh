#!/usr/bin/env bash
# All that a machine with an NVIDIA card should check, in one go, with a report in Markdown at the end:
# the doctor, the four fits on CUDA against the CPU's losses, no silent fall back to the CPU, time per epoch.
#
#   scripts/gpu-check.sh [--report FILE] …        see scripts/gpu_check.py --help
#
# It builds the program first, unless LECTURE5_PROGRAM names one, such as one carried from another machine
# (libtorch-setup.md says how).
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

if [[ -z ${LECTURE5_PROGRAM:-} ]]; then
  (cd "$here" && scripts/setup.sh && cargo build --release)
  LECTURE5_PROGRAM=${CARGO_TARGET_DIR:-$here/target}/release/lecture5
fi
exec "${LECTURE5_PYTHON:-python3}" "$here/scripts/gpu_check.py" --program "$LECTURE5_PROGRAM" "$@"
