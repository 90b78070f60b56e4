#!/usr/bin/env bash
# Sets up libtorch for this checkout: the symlink ./libtorch, which .cargo/config.toml names as LIBTORCH.
#
#   scripts/setup-libtorch.sh [auto|cpu|cuda] [--index URL]
#
# auto (the default) selects the full CUDA build where nvidia-smi lists a card, and the lean CPU part of the
# same wheel elsewhere. Both come from PyPI's torch wheel and stay in the user's cache folder, so a
# second clone downloads nothing. If LIBTORCH or LIBTORCH_USE_PYTORCH is set, the script does nothing.
#
# --index URL takes the CUDA build from another index, such as PyTorch's own for an older CUDA (its address ends in
# /cu126, for CUDA 12.6): for a driver that is too old for the CUDA of PyPI's wheel.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'setup-libtorch: %s\n' "$@" >&2; exit 1; }

if [[ -n "${LIBTORCH_USE_PYTORCH+set}" || -n "${LIBTORCH+set}" ]]; then
  exit 0
fi

variant=auto index=
while (($#)); do
  case $1 in
    auto | cpu | cuda) variant=$1 ;;
    --index) index=${2:-} && [[ -n $index ]] || fail "--index takes the address of a package index" && shift ;;
    *) fail "'$1' is not one of auto, cpu, cuda, --index URL" ;;
  esac
  shift
done
asked=$variant

# Each torch-sys is written for one libtorch, and PyPI's wheel of that for one CUDA; Cargo.lock says which torch-sys this
# checkout builds.
torch_sys=$(awk '/^name = "torch-sys"/ { getline; gsub(/[^0-9.]/, ""); print }' Cargo.lock)
case $torch_sys in
  0.24.*) version=2.11.0 cuda=13.0 ;;
  0.25.*) version=2.12.0 cuda=13.0 ;;
  0.26.*) version=2.13.0 cuda=13.0 ;;
  *) fail "no libtorch is known for torch-sys '$torch_sys' (see libtorch-setup.md)" ;;
esac

# The driver is asked first: what it cannot run is not worth 3 GB.
smi=
if [[ $variant != cpu ]] && command -v nvidia-smi >/dev/null; then
  # With a broken driver it can hang.
  smi=$(timeout 20 nvidia-smi 2>&1) && [[ $smi != "No devices"* ]] || {
    printf 'setup-libtorch: nvidia-smi fails: %s\n' "$(head -n 1 <<<"${smi:-no answer}")" >&2
    smi=
  }
fi
driver=$(sed -nE 's/.*CUDA[A-Za-z ]* Version: *([0-9]+\.[0-9]+).*/\1/p' <<<"$smi" | head -n 1)
if [[ $variant == auto ]]; then
  variant=cpu
  if [[ -n $driver ]]; then
    variant=cuda
  elif [[ -n $smi ]]; then
    echo "setup-libtorch: nvidia-smi states no CUDA version, so the driver's libraries are missing here: libtorch for the" \
      "CPU is taken ('scripts/setup-libtorch.sh cuda' takes the other one)" >&2
  fi
elif [[ $variant == cuda && -z $driver ]]; then
  echo "setup-libtorch: the driver cannot be asked which CUDA it supports; it must support $cuda" >&2
fi
kind=$variant
if [[ $variant == cuda && -n $index ]]; then
  kind=$(sed -nE 's|.*/(cu[0-9]+)/*$|\1|p' <<<"${index%%[?#]*}")
  cuda=$(sed -nE 's|cu([0-9]+)([0-9])|\1.\2|p' <<<"$kind")
  kind=${kind:-cuda-$(cksum <<<"$index" | cut -d' ' -f1)}
fi
if [[ $variant == cuda && -n $driver && -n $cuda ]] && ((${driver%%.*} < ${cuda%%.*})); then
  # A choice that was made before stays.
  if [[ $asked == auto && -e libtorch/build-version && $(< libtorch/build-version) == "$version" ]]; then
    echo "setup-libtorch: the driver is for CUDA $driver, libtorch for CUDA $cuda: ./libtorch stays what it is" >&2
    exit 0
  fi
  fail "the driver is for CUDA $driver, and this libtorch ($version) needs one for CUDA ${cuda%%.*}. Nothing was downloaded." \
    "Either install a newer driver (nvidia-smi then shows CUDA Version ${cuda%%.*}.0 or higher)," \
    "or take a libtorch $version for an older CUDA: scripts/setup-libtorch.sh cuda --index URL" \
    "  (pytorch.org, 'Get started', lists the address for each CUDA; libtorch-setup.md has an example)," \
    "or compute on the CPU: scripts/setup-libtorch.sh cpu"
fi

# Without HOME, as in some containers and services, the user's entry in the system's list counts.
cache=${LECTURE5_CACHE:-${XDG_CACHE_HOME:-${HOME:-$(echo ~)}/.cache}/lecture5}
elsewhere="LECTURE5_CACHE=DIR scripts/setup-libtorch.sh puts it into another folder"
home=$cache/libtorch-$version-$kind
if [[ $variant == cuda ]]; then root=$home/torch; else root=$home; fi

if [[ ! -e $home/complete ]]; then
  command -v python3 >/dev/null ||
    fail "python3 is missing. Debian, Ubuntu: apt-get install python3 python3-pip"
  python3 -m pip --version >/dev/null 2>&1 ||
    fail "pip is missing. Debian, Ubuntu: apt-get install python3-pip; elsewhere: python3 -m ensurepip"
  mkdir -p "$cache" 2>/dev/null && [[ -w $cache ]] || fail "$cache cannot be written: $elsewhere"

  # At the peak there are wheels that are not unpacked yet, and the unpacked ones.
  if [[ $variant == cuda ]]; then needed=8; else needed=2; fi
  free=$(df -Pk "$cache" 2>/dev/null | awk 'NR == 2 { print int($4 / 1048576) }')
  if [[ -n $free ]] && ((free < needed)); then
    fail "$cache has $free GB free, and this takes up to $needed GB: $elsewhere"
  fi

  work=$(mktemp -d "$cache/making-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  # pip unpacks into TMPDIR, and /tmp is often too small. Settings that belong to other uses of pip are off.
  export TMPDIR=$work PIP_ROOT_USER_ACTION=ignore PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0
  # The wheel's shared libraries do not depend on the Python that downloads them.
  download() {
    python3 -m pip --disable-pip-version-check download --no-cache-dir --only-binary=:all: --python-version 3.12 \
      --implementation cp ${index:+--index-url "$index"} --dest "$work" "$@" >&2 ||
      fail "pip could not download $* (the reason is above)" "If the disk is full or a quota bites: $elsewhere"
  }
  # Unpacks wheels one by one, and removes each.
  unpack() {
    local wheel at=0
    for wheel in "$@"; do
      at=$((at + 1))
      echo "Unpacking $at of $#: $(basename "$wheel") …" >&2
      python3 scripts/unpack_libtorch.py "$variant" "$wheel" "$work/libtorch" ||
        fail "$(basename "$wheel") could not be unpacked" "If the disk is full or a quota bites: $elsewhere"
      rm "$wheel"
    done
  }
  size=$([[ $variant == cuda ]] && echo 3 || echo 0.5)
  echo "Downloading libtorch $version ($kind, about $size GB) into $home, once for this user …" >&2
  download --no-deps "torch==$version"
  unpack "$work"/torch-*.whl > "$work/needed"
  if [[ -s $work/needed ]]; then
    download --requirement "$work/needed"
    unpack "$work"/*.whl
  fi
  printf '%s\n' "$version" > "$work/libtorch/${root#"$home"}/build-version"
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
