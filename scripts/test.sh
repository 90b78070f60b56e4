#!/usr/bin/env bash
# Runs every test that this machine can run, from a fresh clone: sets up libtorch, builds, tests.
#
#   scripts/test.sh [arguments of `cargo test`]
#   scripts/test.sh quick                          the tests that take half a minute after the build: no whole runs
#
# The notebook tests use python3's nbformat, nbconvert and jupytext, and Chromium; the workbook tests use
# LibreOffice; the CUDA tests use a card. Tests whose tools are missing are skipped, and say so (`-- --nocapture`).
set -euo pipefail
"$(dirname "$0")/setup.sh"
cd "$(dirname "$0")/.."
if [[ ${1:-} == quick ]]; then
  shift
  cargo test --release --lib "$@"
  exec cargo test --release --test it "$@" -- data:: descent:: interpretation:: machines:: notebook:: parquet:: plots:: \
    readers:: solver:: spreadsheet:: titles:: training:: steppers::
fi
# One more than processors: some tests wait for a process, or for libtorch's generator.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc 2>/dev/null || sysctl -n hw.ncpu) + 1))}
exec cargo test --release "$@"
