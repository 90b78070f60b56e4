#!/usr/bin/env bash
# Runs the lecture's cells one by one in Jupyter: installs a kernel for it, and checks that it shows what the program shows.
#
#   scripts/live.sh install                the kernel `lecture5`, for this user and this clone
#   scripts/live.sh check [SECTION…]       runs these sections, or movielens to training_loop, in the program and in the
#                                          kernel, and compares what their cells show; -v gives each cell's time
#   scripts/live.sh uninstall              removes the kernel and all that it was built from
#
# The kernel is evcxr's; docs/live.md says what it can do. Needs Linux, Rust 1.95, the standard library's source, Jupyter
# and, for check, Python's nbclient. LECTURE5_PYTHON names another Python than python3.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'live: %s\n' "$@" >&2; exit 1; }

evcxr=0.22.0
live=$PWD/target/live
python=${LECTURE5_PYTHON:-python3}

install() {
  [[ $(uname) == Linux ]] || fail "the kernel was made for Linux only; elsewhere, lecture5 watch shows an edited cell (docs/live.md)"
  scripts/setup.sh
  local rust source
  rust=$(rustc --version | grep -oP '^rustc 1\.\K[0-9]+')
  ((rust >= 95)) || fail "evcxr $evcxr needs Rust 1.95, and this is 1.$rust: rustup update"
  source=$(rust_source) ||
    fail "the source of the standard library (1.95 or later) is missing: rustup component add rust-src" \
      "RUST_SRC_PATH, if it is set, names its folder 'library'"
  command -v nm >/dev/null || fail "nm is missing. Debian, Ubuntu: apt-get install binutils"
  local kernels
  kernels=$(kernels) || exit 1

  cat >&2 <<TEXT
This makes a Jupyter kernel from evcxr $evcxr and this lecture:
  $live/    evcxr and the lecture as a shared library: about 4 GB
  $kernels/lecture5/    the kernel's description, one small file
On two cores it takes about a quarter of an hour, and only the first time. scripts/live.sh uninstall removes all of it.

TEXT
  mkdir -p "$live"
  local free
  free=$(df -Pk "$live" | awk 'NR == 2 { print int($4 / 1048576) }')
  if [[ ! -e $live/build/target ]] && ((free < 6)); then
    fail "$live has $free GB free, and this takes up to 6 GB: set up the clone on a larger disk"
  fi

  grep -qs "evcxr_jupyter $evcxr " "$live/.crates.toml" || {
    echo "Installing evcxr_jupyter $evcxr …" >&2
    cargo install evcxr_jupyter --version "$evcxr" --locked --root "$live" --target-dir "$live/evcxr"
    rm -rf "$live/evcxr"
  }
  configure
  # evcxr resolves the dependencies of a cell anew from what is in Cargo's folder, without regard to Cargo.lock. In a
  # folder of its own are only the locked versions.
  local cargo_home=${CARGO_HOME:-$HOME/.cargo} file
  mkdir -p "$live/cargo"
  for file in config.toml credentials.toml; do
    [[ ! -e $cargo_home/$file ]] || ln -sfn "$cargo_home/$file" "$live/cargo/$file"
  done
  export CARGO_HOME=$live/cargo
  echo "Building the lecture as a shared library …" >&2
  # As evcxr calls Cargo, so that it finds everything built: for cells, and for the messages about wrong ones.
  local host command
  host=$(rustc -vV | sed -n 's/^host: //p')
  for command in build check; do
    (cd "$live/build" && CARGO_TARGET_DIR=target CARGO_BUILD_BUILD_DIR=target RUSTFLAGS=-Cprefer-dynamic \
      cargo "$command" --target "$host")
  done
  # The kernel looks for the dependencies of every platform, and does not download.
  (cd "$live/build" && cargo fetch --quiet)

  mkdir -p "$kernels/lecture5"
  "$python" - "$PWD/scripts/live-kernel.sh" "$source" > "$kernels/lecture5/kernel.json" <<'PYTHON'
import json, sys
argv, env = ["/bin/sh", sys.argv[1], "{connection_file}"], {"RUST_SRC_PATH": sys.argv[2]}
spec = {"argv": argv, "env": env, "display_name": "Rust (lecture5)", "language": "rust", "interrupt_mode": "signal"}
print(json.dumps(spec, indent=1))
PYTHON
  echo "Done. Open a notebook in out/notebooks with the kernel 'Rust (lecture5)', which starts in about half a minute." >&2
}

# The source that evcxr infers the types of variables with. Of an older one it does not understand enough.
rust_source() {
  local library
  for library in "${RUST_SRC_PATH:-}" "$(rustc --print sysroot)/lib/rustlib/src/rust/library" /usr/src/rustc-1.*/library; do
    if [[ -e $library/core && ! $library =~ ^/usr/src/rustc-1\.([0-8][0-9]|9[0-4])\. ]]; then
      echo "$library"
      return
    fi
  done
  return 1
}

# The folder of the user's kernels, or of the environment's in JUPYTER_DATA_DIR.
kernels() {
  command -v "$python" >/dev/null || fail "$python is missing. Debian, Ubuntu: apt-get install python3 python3-venv"
  "$python" -c 'from jupyter_core.paths import jupyter_data_dir; print(f"{jupyter_data_dir()}/kernels")' 2>/dev/null ||
    fail "$python has no Jupyter: $python -m pip install jupyterlab nbclient (LECTURE5_PYTHON names another Python)"
}

# What evcxr reads: the crates that cells use, and the variables that they find.
configure() {
  mkdir -p "$live/build/src" "$live/config" "$live/.cargo"
  # Other crates than the program's would give other results.
  cp Cargo.lock "$live/build/"
  local crates
  crates=$(
    printf 'lecture5 = { path = "%s" }\nlecture5-live = { path = "%s/live" }\n' "$PWD" "$PWD"
    sed -nE 's/^((anyhow|tch) = .*)/\1/p' Cargo.toml
    sed -nE 's/^polars = \{ version = ("[^"]*").*/polars = { version = \1, default-features = false }/p' Cargo.toml
  )
  cat > "$live/config/evcxr.toml" <<TOML
[evcxr]
offline_mode = true
opt_level = "1"
prelude = """
use lecture5_live::Nothing;
let nb: &'static mut lecture5::notebook::Notebook = lecture5_live::notebook();
let lecture: &'static mut lecture5::run::lecture::Lecture = lecture5_live::lecture()?;
"""

[dependencies]
$crates
TOML
  # The kernel's first package, which it replaces by one for each cell.
  cat > "$live/build/Cargo.toml" <<TOML
[package]
name = "ctx"
version = "1.0.0"
edition = "2024"

[lib]
crate-type = ["cdylib"]

[profile.dev]
opt-level = 1
debug = false
strip = "debuginfo"
rpath = true
codegen-units = 16

[dependencies]
$crates
TOML
  touch "$live/build/src/lib.rs"
  # evcxr builds in the profile dev: with what release says in Cargo.toml, the lecture computes as in the program.
  {
    printf '[profile.dev]\ndebug-assertions = false\noverflow-checks = false\n\n[profile.dev.package.lecture5]\nopt-level = 3\n\n'
    sed -n '/^\[profile\.release\.package/,$p' Cargo.toml | sed 's/^\[profile\.release/[profile.dev/'
  } > "$live/.cargo/config.toml"
}

check() {
  [[ -x $live/bin/evcxr_jupyter ]] || fail "the kernel is not installed: scripts/live.sh install"
  "$python" -c 'import nbclient' 2>/dev/null || fail "$python has no nbclient: $python -m pip install nbclient"
  local verbose=()
  if [[ ${1:-} == -v ]]; then
    verbose=(--verbose)
    shift
  fi
  (($#)) || set -- movielens excel_subset collab_filter dot_product embedding_dot embedding_dot_bias embedding_net training_loop
  # On a card, sums are added in another order each time.
  export LECTURE5_DEVICE=${LECTURE5_DEVICE:-cpu}
  cargo build --release
  local section notebooks=()
  for section; do
    # Each one by itself, as in a kernel that has just begun.
    target/release/lecture5 run "$section" --fresh --quiet --out "$live/check/$section"
    notebooks+=("$live/check/$section"/notebooks/*.ipynb)
  done
  exec "$python" scripts/live_check.py "${verbose[@]}" "${notebooks[@]}"
}

uninstall() {
  local kernels
  kernels=$(kernels) || exit 1
  rm -rf "$kernels/lecture5" "$live"
}

case ${1:-} in
  install | check | uninstall) "$@" ;;
  *) fail "say install, check or uninstall (the head of this script says what they do)" ;;
esac
