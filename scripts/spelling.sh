#!/usr/bin/env bash
# Checks the spelling, American English, of everything in this repository: https://github.com/crate-ci/typos, which pip
# fetches into target/ as a program. _typos.toml says what is left out.
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.52.0
export PIP_ROOT_USER_ACTION=ignore
typos=target/typos-$version
[[ -x $typos/bin/typos ]] || python3 -m pip --disable-pip-version-check install --quiet --target "$typos" "typos==$version"
"$typos/bin/typos" "$@"
