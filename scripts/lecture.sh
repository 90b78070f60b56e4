#!/usr/bin/env bash
# From a fresh clone to results: sets up libtorch for this machine, builds, and runs the lecture.
#
#   scripts/lecture.sh [arguments of `lecture5 run`]
#
# Afterward plain `cargo run --release -- …` works too.
set -euo pipefail
"$(dirname "$0")/setup.sh"
cd "$(dirname "$0")/.."
cargo build --release
exec target/release/lecture5 run "$@"
