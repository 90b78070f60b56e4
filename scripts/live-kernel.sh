#!/bin/sh
# Starts the kernel `lecture5` for one notebook. Jupyter calls it, as scripts/live.sh install has told it.
#
#   scripts/live-kernel.sh CONNECTION_FILE
set -eu
cd "$(dirname "$0")/.."

# An interrupt stops the running fit, which sets a handler of its own, and neither the kernel nor the compiler.
trap '' INT

# The kernel compiles in its own folder, with the dependencies as links: two notebooks at once would overwrite each
# other's cells. What compiles a cell must not be a link, since Cargo writes into it.
live=$PWD/target/live
for other in "$live"/kernels/*; do
  kill -0 "${other##*/}" 2>/dev/null || rm -rf "$other"
done
EVCXR_TMPDIR=$live/kernels/$$
mkdir -p "$EVCXR_TMPDIR"
cp -al "$live/build/target" "$EVCXR_TMPDIR/target"
find "$EVCXR_TMPDIR/target" \( -name 'ctx-*' -o -name 'libctx*' -o -name 'libcode_*' -o -name .cargo-lock \) -prune \
  -exec rm -rf {} +
cp "$live/build/Cargo.lock" "$EVCXR_TMPDIR/"

# Cells that show the lecture's own code include these files, from a folder next to theirs.
mkdir "$EVCXR_TMPDIR/src"
ln -s "$PWD/src/fit.rs" "$PWD/src/history.rs" "$EVCXR_TMPDIR/src/"

export EVCXR_TMPDIR EVCXR_CONFIG_DIR="$live/config" CARGO_HOME="$live/cargo"
exec "$live/bin/evcxr_jupyter" --control_file "$1"
