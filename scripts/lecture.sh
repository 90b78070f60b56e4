#!/usr/bin/env bash
# The main job, from nothing to results: libtorch for this machine, the build, the lecture.
#
#   scripts/lecture.sh [arguments of `lecture5 run`]
#
# Afterwards plain `cargo run --release -- …` works too.
set -euo pipefail
"$(dirname "$0")/setup.sh"
cd "$(dirname "$0")/.."
cargo build --release
exec target/release/lecture5 run "$@"
