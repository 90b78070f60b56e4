#!/usr/bin/env bash
# The tests that go through src/libtorch, under the address sanitiser: reads and writes outside of what is
# allocated, use after free, double free, leaks. The C++ page, and tch's, are also checked for undefined
# behaviour, which then ends the test by a trap.
#
#   scripts/sanitize.sh [arguments of `cargo test`; `--test it -- training::` otherwise]
#
# Linux with GCC. libtorch itself is not instrumented, but what it allocates and frees is watched. A first build
# compiles everything anew into target/sanitize; delete it when done.
set -euo pipefail
"$(dirname "$0")/setup.sh"
cd "$(dirname "$0")/.."

# Containers cross between libtorch, which is not instrumented, and pages that are.
export ASAN_OPTIONS="detect_container_overflow=0:${ASAN_OPTIONS:-}"
export CARGO_TARGET_DIR=$PWD/target/sanitize
mkdir -p "$CARGO_TARGET_DIR"

# The C++ page alone, each of its functions called. NDEBUG as in build.rs: without it libtorch's own classes have
# another layout than in the library.
libtorch=${LIBTORCH:-$PWD/libtorch}
"${CXX:-g++}" -std=c++17 -g -O1 -w -DNDEBUG -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined \
  -I"$libtorch/include" -I"$libtorch/include/torch/csrc/api/include" tests/extra.cpp -o "$CARGO_TARGET_DIR/extra" \
  -L"$libtorch/lib" -Wl,-rpath,"$libtorch/lib" -ltorch_cpu -lc10 -ldl
"$CARGO_TARGET_DIR/extra"

(($#)) || set -- --test it -- training::
# With the target named, build scripts and macros are left as they are.
target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1 # the switch is not in stable Rust yet
export RUSTFLAGS="-Zsanitizer=address"
# Trapping needs no library of GCC's beside the one that rustc links.
export CXXFLAGS="-fsanitize=address,undefined -fsanitize-undefined-trap-on-error"
exec cargo test --release --target "$target" "$@"
