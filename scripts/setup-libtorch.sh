#!/usr/bin/env bash
# Sets up libtorch for this checkout: the symlink ./libtorch, which .cargo/config.toml names as LIBTORCH.
#
#   scripts/setup-libtorch.sh [auto|cpu|cuda]
#
# auto (the default) selects the full CUDA build where nvidia-smi works, and the lean CPU part of the
# same wheel elsewhere. Both come from PyPI's torch wheel and stay in the user's cache folder, so a
# second clone downloads nothing. If LIBTORCH or LIBTORCH_USE_PYTORCH is set, the script does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'setup-libtorch: %s\n' "$@" >&2; exit 1; }

if [[ -n "${LIBTORCH_USE_PYTORCH+set}" || -n "${LIBTORCH+set}" ]]; then
  exit 0
fi

variant=${1:-auto}
if [[ $variant == auto ]]; then
  if nvidia-smi >/dev/null 2>&1; then variant=cuda; else variant=cpu; fi
fi
[[ $variant == cpu || $variant == cuda ]] || fail "'$variant' is not one of auto, cpu, cuda"

# Each torch-sys is written for one libtorch; Cargo.lock says which torch-sys this checkout builds.
torch_sys=$(awk '/^name = "torch-sys"/ { getline; gsub(/[^0-9.]/, ""); print }' Cargo.lock)
case $torch_sys in
  0.24.*) version=2.11.0 ;;
  0.25.*) version=2.12.0 ;;
  0.26.*) version=2.13.0 ;;
  *) fail "no libtorch is known for torch-sys '$torch_sys' (see libtorch-setup.md)" ;;
esac

cache=${LECTURE5_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lecture5}
home=$cache/libtorch-$version-$variant
if [[ $variant == cuda ]]; then root=$home/torch; else root=$home; fi

if [[ ! -e $home/complete ]]; then
  command -v python3 >/dev/null ||
    fail "python3 is missing. Debian, Ubuntu: apt-get install python3 python3-pip"
  python3 -m pip --version >/dev/null 2>&1 ||
    fail "pip is missing. Debian, Ubuntu: apt-get install python3-pip; elsewhere: python3 -m ensurepip"

  mkdir -p "$cache"
  work=$(mktemp -d "$cache/making-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  # pip unpacks into TMPDIR, and /tmp is often too small.
  export TMPDIR=$work PIP_ROOT_USER_ACTION=ignore
  # The wheel's shared libraries do not depend on the Python that downloads them.
  pip=(python3 -m pip --disable-pip-version-check)
  wheels=(--no-cache-dir --only-binary=:all: --python-version 3.12 --implementation cp)
  echo "Downloading libtorch $version ($variant) into $home, once for this user …" >&2
  if [[ $variant == cuda ]]; then
    "${pip[@]}" install --quiet "${wheels[@]}" --target "$work/libtorch" "torch==$version" ||
      fail "pip could not install torch $version (the reason is above)"
    printf '%s\n' "$version" > "$work/libtorch/torch/build-version"
  else
    "${pip[@]}" download --quiet --no-deps "${wheels[@]}" --dest "$work" "torch==$version" ||
      fail "pip could not download torch $version for this machine (the reason is above)"
    python3 scripts/unpack_libtorch.py "$work"/torch-*.whl "$work/libtorch" > "$work/needed" ||
      fail "the torch wheel could not be unpacked"
    if [[ -s $work/needed ]]; then
      "${pip[@]}" download --quiet "${wheels[@]}" --dest "$work" "$(cat "$work/needed")" ||
        fail "pip could not download $(cat "$work/needed") (the reason is above)"
      for wheel in "$work"/nvidia_*.whl; do
        python3 scripts/unpack_libtorch.py "$wheel" "$work/libtorch"
      done
    fi
    printf '%s\n' "$version" > "$work/libtorch/build-version"
  fi
  touch "$work/libtorch/complete"
  # Another clone may have finished first; then its copy stays.
  if [[ ! -e $home/complete ]]; then
    rm -rf "$home"
    mv "$work/libtorch" "$home"
  fi
fi

if [[ $(readlink libtorch || true) != "$root" ]]; then
  [[ ! -e libtorch || -L libtorch ]] || fail "./libtorch is in the way: it should be a symlink to $root"
  ln -sfn "$root" libtorch
  # Cargo does not see where a symlink points; this makes the next build link again.
  touch build.rs
fi
