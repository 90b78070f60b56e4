#!/usr/bin/env bash
# Runs the lecture's four fits here and in PyTorch, alternately, on this machine; prints a Markdown table.
#
#   scripts/bench.sh [--rounds N] [--threads N] [--waits] [--before FILE] [--fastai] [--scale]
#   scripts/bench.py --help explains the options.
#
# The PyTorch version that matches the linked libtorch is installed into a separate Python environment in the user's
# cache folder (5 GB; --fastai adds fastai's collab learner, if it installs). PYTHON, if set, is used unchanged.
set -euo pipefail
"$(dirname "$0")/setup.sh"
cd "$(dirname "$0")/.."

fail() { printf 'bench: %s\n' "$@" >&2; exit 1; }

cargo build --release
version=$(target/release/lecture5 doctor | grep -oP '^libtorch\s+\K[0-9]+\.[0-9]+\.[0-9]+') ||
  fail "lecture5 doctor does not name the libtorch version"

if [[ -z ${PYTHON:-} ]]; then
  cache=${LECTURE5_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lecture5}
  home=$cache/bench-torch-$version
  PYTHON=$home/bin/python
  if [[ ! -e $home/complete ]]; then
    command -v python3 >/dev/null || fail "python3 is missing. Debian, Ubuntu: apt-get install python3 python3-venv"
    echo "Installing PyTorch $version into $home, once for this user …" >&2
    rm -rf "$home"
    python3 -m venv "$home" || fail "python3 -m venv failed. Debian, Ubuntu: apt-get install python3-venv"
    # pip unpacks into TMPDIR, and /tmp is often too small.
    mkdir "$home/tmp"
    TMPDIR=$home/tmp "$home/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir \
      "torch==$version" numpy || fail "pip could not install torch $version (the reason is above)"
    touch "$home/complete"
  fi
  "$PYTHON" -c 'import pandas' 2>/dev/null || "$home/bin/pip" install --quiet --disable-pip-version-check pandas ||
    fail "pip could not install pandas (the reason is above)"
  if [[ " $* " == *" --fastai "* ]] && ! "$PYTHON" -c 'import fastai.collab' 2>/dev/null; then
    echo "Installing fastai …" >&2
    TMPDIR=$home/tmp "$home/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir \
      "torch==$version" fastai || echo "bench: fastai does not install alongside torch $version; skipped" >&2
  fi
fi
exec "$PYTHON" scripts/bench.py "$@"
