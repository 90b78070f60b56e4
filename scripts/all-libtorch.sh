#!/usr/bin/env bash
# Builds this checkout against every libtorch that it can be built against, and runs the quick tests on each.
#
#   scripts/all-libtorch.sh [TCH[:cpu|:cuda]…] [-- arguments of `cargo test`]
#
# as in `0.24.0 0.26.0:cuda`; all published ones on the CPU otherwise.
#
# Each pair gets a copy of the working tree with a target folder of its own, in target/all-libtorch, so that this
# one's Cargo.lock and ./libtorch stay as they are, and nothing built for one libtorch is taken for another. They stay
# there for the next time; delete them when done. A first build takes a few minutes a pair; `cuda` fetches 3 GB and
# needs no card (without one the CUDA tests say that they were skipped).
set -euo pipefail
cd "$(dirname "$0")/.."

pairs=()
while (($#)) && [[ $1 != -- ]]; do pairs+=("$1"); shift; done
# tch 0.25 (libtorch 2.12) is in upstream's changelog, but has not been published.
((${#pairs[@]})) || pairs=(0.24.0 0.26.0)
# What touches libtorch: training and saving, the losses of all fits beside PyTorch's, the linked libraries.
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
  # Files that are no longer there must not stay in a copy of an earlier time.
  find "$copy" -mindepth 1 -maxdepth 1 ! -name target ! -name libtorch -exec rm -rf {} +
  git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
    tar -cf - --null -T - | tar -xf - -C "$copy"
  echo "=== tch $tch, $variant"
  SECONDS=0
  set +e # so that a failing pair is told of, and the next one tried
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
