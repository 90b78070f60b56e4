#!/usr/bin/env bash
# Every test that this machine can run, from nothing: libtorch for this machine, the build, the tests.
#
#   scripts/test.sh [arguments of `cargo test`]
#   scripts/test.sh quick                          those that take half a minute after the build: no whole runs
#
# Tests of the notebooks use python3's nbformat, nbconvert and jupytext, and Chromium; tests of the workbooks
# LibreOffice; tests of CUDA a card. What is not there is skipped, and says so (`-- --nocapture` shows it).
set -euo pipefail
"$(dirname "$0")/setup.sh"
cd "$(dirname "$0")/.."
if [[ ${1:-} == quick ]]; then
  shift
  cargo test --release --lib "$@"
  exec cargo test --release --test it "$@" -- data:: descent:: interpretation:: machines:: notebook:: parquet:: plots:: \
    readers:: solver:: spreadsheet:: titles:: training:: steppers::
fi
exec cargo test --release "$@"
