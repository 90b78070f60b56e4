#!/usr/bin/env bash
# The lecture's four fits here and in PyTorch, in turn, on this machine: prints a Markdown table.
#
#   scripts/bench.sh [--rounds N] [--threads N] [--fastai] [--scale]      (scripts/bench.py --help)
#
# PyTorch of the libtorch that this checkout links is installed into a Python environment of its own in the user's
# cache folder (5 GB; --fastai adds fastai's collab learner, where it installs). PYTHON, when set, is used as it is.
set -euo pipefail
"$(dirname "$0")/setup.sh"
cd "$(dirname "$0")/.."

fail() { printf 'bench: %s\n' "$@" >&2; exit 1; }

cargo build --release
version=$(target/release/lecture5 doctor | grep -oP '^libtorch\s+\K[0-9]+\.[0-9]+\.[0-9]+') ||
  fail "lecture5 doctor does not say which libtorch this is"

if [[ -z ${PYTHON:-} ]]; then
  cache=${LECTURE5_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lecture5}
  home=$cache/bench-torch-$version
  PYTHON=$home/bin/python
  if [[ ! -e $home/complete ]]; then
    command -v python3 >/dev/null || fail "python3 is missing. Debian, Ubuntu: apt-get install python3 python3-venv"
    echo "Installing PyTorch $version into $home, once for this user …" >&2
    rm -rf "$home"
    python3 -m venv "$home" || fail "python3 -m venv failed. Debian, Ubuntu: apt-get install python3-venv"
    # pip unpacks where TMPDIR says, and /tmp is often too small for it.
    mkdir "$home/tmp"
    TMPDIR=$home/tmp "$home/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir \
      "torch==$version" numpy || fail "pip could not install torch $version (above it says why)"
    touch "$home/complete"
  fi
  if [[ " $* " == *" --fastai "* ]] && ! "$PYTHON" -c 'import fastai.collab' 2>/dev/null; then
    echo "Installing fastai …" >&2
    TMPDIR=$home/tmp "$home/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir \
      "torch==$version" fastai || echo "bench: fastai does not install beside torch $version; left out" >&2
  fi
fi
exec "$PYTHON" scripts/bench.py "$@"
