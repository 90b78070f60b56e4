#!/usr/bin/env bash
# Runs all checks of a machine with an NVIDIA card in about ten minutes, and writes a report in Markdown, also when a
# step fails: driver and libtorch, gradients and steps, the four fits on CUDA, CPU and fast stepper side by side and twice,
# proof of the device, dropout, Ctrl-C and --resume, crossing to the CPU, refusals, all sections, batch sizes, times.
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
