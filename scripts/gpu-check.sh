#!/usr/bin/env bash
# Runs all checks of a machine with an NVIDIA card, and writes a report in Markdown:
# the doctor, the four fits' losses on CUDA against the CPU's, no silent fallback to the CPU, time per epoch.
#
#   scripts/gpu-check.sh [--report FILE] …        see scripts/gpu_check.py --help
#
# It builds the program first, unless LECTURE5_PROGRAM names one, such as one built on another machine
# (libtorch-setup.md says how).
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

if [[ -z ${LECTURE5_PROGRAM:-} ]]; then
  (cd "$here" && scripts/setup.sh && cargo build --release)
  LECTURE5_PROGRAM=${CARGO_TARGET_DIR:-$here/target}/release/lecture5
fi
exec "${LECTURE5_PYTHON:-python3}" "$here/scripts/gpu_check.py" --program "$LECTURE5_PROGRAM" "$@"
