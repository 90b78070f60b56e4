#!/usr/bin/env bash
# Checks for the tools that the build needs, and sets up libtorch for this checkout.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }

command -v cargo >/dev/null || fail "cargo is missing: install Rust with rustup (https://rustup.rs), then open a new shell"
command -v "${CXX:-c++}" >/dev/null ||
  fail "a C++ compiler is missing. Debian, Ubuntu: apt-get install g++; macOS: xcode-select --install"
scripts/setup-libtorch.sh
