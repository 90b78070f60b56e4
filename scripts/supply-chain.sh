#!/usr/bin/env bash
# Checks the dependencies: licenses, sources, advisories, and whether each one is used.
#
#   scripts/supply-chain.sh
#
# Needs cargo-deny and cargo-machete (`cargo install --locked cargo-deny cargo-machete`), and for the advisories
# access to RustSec's database on GitHub; without access, that part says that it was not run.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in cargo-deny cargo-machete; do
  command -v "$tool" >/dev/null || { echo "supply-chain: $tool is missing: cargo install --locked $tool" >&2; exit 1; }
done
scripts/licenses.py --check
cargo deny --locked check licenses bans sources
cargo machete --with-metadata
if fetched=$(cargo deny --locked fetch db 2>&1); then
  cargo deny --locked check advisories
else
  echo "supply-chain: the advisories were NOT checked: ${fetched##*fatal: }" >&2
fi
