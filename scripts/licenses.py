#!/usr/bin/env python3
"""List the license of every crate in the program, in docs/licenses.md.

    scripts/licenses.py                  rewrite the list, after a change of the dependencies
    scripts/licenses.py --check          fail if the list is out of date
    scripts/licenses.py --texts FILE     write the crates' own license texts, which accompany a binary

Needs only cargo. The crates are those of Cargo.lock for Linux and macOS; crates that only build or test the program are
left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "docs/licenses.md"
TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin"]
FILES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE")
HEAD = """\
# The crates in the program, and their licenses

Written by `scripts/licenses.py` from `Cargo.lock`. Each of these licenses permits redistribution of the program under
any terms, with the license texts: `scripts/licenses.py --texts FILE` collects them.
Not in this list: libtorch, which is loaded when the program starts (BSD-3-Clause; the licenses of libtorch and its
bundled parts are in the folder `licenses` next to its `lib`), the font DejaVu Sans inside the crate `dejavu` (Bitstream
Vera's and Arev's licenses: free to embed and redistribute, not to sell by itself), and the ratings
([GroupLens' own terms](../data/ml-latest-small/README.md)).

| crate | version | license |
|---|---|---|
"""


def cargo(*words: str) -> str:
    done = subprocess.run(["cargo", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"licenses: cargo {words[0]} failed (the reason is above)")
    return done.stdout


def shipped() -> dict[tuple[str, str], str]:
    """The crates that the program is linked with, on any of the targets: name, version and license."""
    found = {}
    for target in TARGETS:
        tree = cargo("tree", "--locked", "--edges", "normal,no-proc-macro", "--target", target, "--prefix", "none",
                     "--format", "{p} | {l}")
        for line in tree.splitlines()[1:]:  # the first is the program itself
            package, _, license_ = line.removesuffix(" (*)").partition(" | ")
            name, version = package.split()[:2]
            found[name, version.removeprefix("v")] = license_.strip().replace("/", " OR ")
    return dict(sorted(found.items()))


def texts(packages: dict[tuple[str, str], str]) -> str:
    """The crates' own license files, each text once, headed by the crates that it belongs to."""
    holders: dict[str, list[str]] = {}
    for package in json.loads(cargo("metadata", "--format-version", "1", "--locked"))["packages"]:
        name, version = package["name"], package["version"]
        if (name, version) not in packages:
            continue
        for file in sorted(Path(package["manifest_path"]).parent.iterdir()):
            if file.is_file() and file.name.upper().startswith(FILES):
                text = file.read_text(encoding="utf-8", errors="replace").strip()
                holders.setdefault(text, []).append(f"{name} {version}")
    parts = [f"{', '.join(names)}\n\n{text}\n" for text, names in holders.items()]
    return ("\n" + "-" * 100 + "\n\n").join(parts)


def main() -> None:
    arguments = sys.argv[1:]
    packages = shipped()
    if without := [name for (name, _), license_ in packages.items() if not license_]:
        sys.exit(f"licenses: {', '.join(without)} state no license")
    listed = HEAD + "".join(f"| {name} | {version} | {license_} |\n" for (name, version), license_ in packages.items())
    if not arguments:
        LIST.write_text(listed, encoding="utf-8")
    elif arguments == ["--check"]:
        if LIST.read_text(encoding="utf-8") != listed:
            sys.exit("licenses: docs/licenses.md does not match Cargo.lock: run scripts/licenses.py")
    elif arguments[0] == "--texts" and len(arguments) == 2:
        Path(arguments[1]).write_text(texts(packages), encoding="utf-8")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
