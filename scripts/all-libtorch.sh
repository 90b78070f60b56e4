#!/usr/bin/env bash
# Builds this checkout against every supported libtorch, and runs the quick tests on each.
#
#   scripts/all-libtorch.sh [TCH[:cpu|:cuda]…] [-- arguments of `cargo test`]
#
# For example: `0.24.0 0.26.0:cuda`. The default is all published pairs on the CPU.
#
# Each pair gets a copy of the working tree with its own target folder, in target/all-libtorch. The original
# Cargo.lock and ./libtorch stay unchanged, and nothing built for one libtorch is used for another. The copies are kept
# for the next run; delete them when done. A first build takes a few minutes per pair; `cuda` downloads 3 GB and
# needs no card (without one the CUDA tests report that they were skipped).
set -euo pipefail
cd "$(dirname "$0")/.."

pairs=()
while (($#)) && [[ $1 != -- ]]; do pairs+=("$1"); shift; done
# tch 0.25 (libtorch 2.12) is in upstream's changelog but is not published.
((${#pairs[@]})) || pairs=(0.24.0 0.26.0)
# The tests that use libtorch: training and saving, all fits' losses compared with PyTorch's, the linked libraries.
tests=(--test it -- training:: parity:: machines::)
if (($#)); then shift; tests=("$@"); fi

here=$PWD
unset LIBTORCH LIBTORCH_LIB LIBTORCH_INCLUDE LIBTORCH_USE_PYTORCH CARGO_TARGET_DIR

summary=() failed=0
for pair in "${pairs[@]}"; do
  tch=${pair%%:*} variant=cpu
  [[ $pair == *:* ]] && variant=${pair#*:}
  copy=$here/target/all-libtorch/$tch-$variant
  mkdir -p "$copy"
  # Remove files that an earlier copy left but that no longer exist.
  find "$copy" -mindepth 1 -maxdepth 1 ! -name target ! -name libtorch -exec rm -rf {} +
  git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
    tar -cf - --null -T - | tar -xf - -C "$copy"
  echo "=== tch $tch, $variant"
  SECONDS=0
  set +e # report a failing pair, and continue with the next one
  (
    set -e
    cd "$copy"
    cargo update --quiet -p tch --precise "$tch"
    cargo update --quiet -p torch-sys --precise "$tch"
    scripts/setup-libtorch.sh "$variant"
    cargo test --release --no-fail-fast "${tests[@]}"
    target/release/lecture5 doctor
  ) 2>&1 | tee "$copy.log"
  status=${PIPESTATUS[0]}
  set -e
  libtorch=$(sed -n 's/^libtorch  *\([0-9.]*\).*/\1/p' "$copy.log" | tail -1)
  passed=$(awk '/^test result:/ { n += $4 } END { print n + 0 }' "$copy.log")
  if ((status == 0)); then verdict="$passed tests passed"; else verdict="FAILED: see $copy.log"; failed=1; fi
  summary+=("tch $tch  libtorch ${libtorch:-?}  $variant  ${SECONDS} s  $verdict")
done
echo
printf '%s\n' "${summary[@]}"
exit $failed
