#!/usr/bin/env bash
# Every test that this machine can run, from nothing: libtorch for this machine, the build, the tests.
#
#   scripts/test.sh [arguments of `cargo test`]
#
# Tests of the notebooks use python3's nbformat, nbconvert and jupytext, and Chromium; tests of the workbooks
# LibreOffice; tests of CUDA a card. What is not there is skipped, and says so (`-- --nocapture` shows it).
set -euo pipefail
"$(dirname "$0")/setup.sh"
cd "$(dirname "$0")/.."
exec cargo test --release "$@"
