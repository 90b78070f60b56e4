#!/usr/bin/env bash
# Runs the tests that use src/libtorch and src/fast under the address sanitizer: out-of-bounds reads and writes, use
# after free, double free, leaks. This project's C++ files and tch's are also checked for undefined behavior, which ends
# the test with a trap.
#
#   scripts/sanitize.sh [arguments of `cargo test`; the default is `--test it -- training:: steppers::`]
#
# Needs Linux with GCC. libtorch itself is not instrumented, but its allocations are tracked. A first build compiles
# everything again into target/sanitize; delete it when done.
set -euo pipefail
"$(dirname "$0")/setup.sh"
cd "$(dirname "$0")/.."

# Containers cross between libtorch, which is not instrumented, and files that are.
export ASAN_OPTIONS="detect_container_overflow=0:${ASAN_OPTIONS:-}"
export CARGO_TARGET_DIR=$PWD/target/sanitize
mkdir -p "$CARGO_TARGET_DIR"

# The C++ file alone; the test calls each of its functions. NDEBUG as in build.rs: without it libtorch's classes have
# a different layout than in the library.
libtorch=${LIBTORCH:-$PWD/libtorch}
"${CXX:-g++}" -std=c++17 -g -O1 -w -DNDEBUG -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined \
  -I"$libtorch/include" -I"$libtorch/include/torch/csrc/api/include" tests/extra.cpp -o "$CARGO_TARGET_DIR/extra" \
  -L"$libtorch/lib" -Wl,-rpath,"$libtorch/lib" -ltorch_cpu -lc10 -ldl
"$CARGO_TARGET_DIR/extra"

(($#)) || set -- --test it -- training:: steppers::
# With an explicit target, build scripts and macros are not instrumented.
target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1 # the flag is not in stable Rust yet
export RUSTFLAGS="-Zsanitizer=address"
# Trapping needs no GCC library besides the one that rustc links.
export CXXFLAGS="-fsanitize=address,undefined -fsanitize-undefined-trap-on-error"
exec cargo test --release --target "$target" "$@"
