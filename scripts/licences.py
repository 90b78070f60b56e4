#!/usr/bin/env python3
"""List the licence of every crate that the program is made of, in docs/licences.md.

    scripts/licences.py                  write the list anew, after a change of the dependencies
    scripts/licences.py --check          fail if the list is not today's
    scripts/licences.py --texts FILE     write the crates' own licence texts, which go along with a binary

Needs cargo and nothing else. The crates are those of Cargo.lock for Linux and macOS; crates that only build or test
the program are left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "docs/licences.md"
TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin"]
FILES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE")
HEAD = """\
# The crates in the program, and their licences

Written by `scripts/licences.py` from what `Cargo.lock` holds. Every one of these licences lets the program be passed
on under any terms, with the licence texts: `scripts/licences.py --texts FILE` collects them.
Not in this list: libtorch, which is loaded when the program starts (BSD-3-Clause; with the parts that it brings along,
in the folder `licences` beside its `lib`), the font DejaVu Sans inside the crate `dejavu` (Bitstream Vera's and Arev's
licences: free to embed and pass on, not to sell by itself), and the ratings
([GroupLens' own terms](../data/ml-latest-small/README.md)).

| crate | version | licence |
|---|---|---|
"""


def cargo(*words: str) -> str:
    done = subprocess.run(["cargo", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"licences: cargo {words[0]} failed (above it says why)")
    return done.stdout


def shipped() -> dict[tuple[str, str], str]:
    """The crates that the program is linked with, on any of the targets: name and version, and the licence."""
    found = {}
    for target in TARGETS:
        tree = cargo("tree", "--locked", "--edges", "normal,no-proc-macro", "--target", target, "--prefix", "none",
                     "--format", "{p} | {l}")
        for line in tree.splitlines()[1:]:  # the first is the program itself
            package, _, licence = line.removesuffix(" (*)").partition(" | ")
            name, version = package.split()[:2]
            found[name, version.removeprefix("v")] = licence.strip().replace("/", " OR ")
    return dict(sorted(found.items()))


def texts(packages: dict[tuple[str, str], str]) -> str:
    """The crates' own licence files, each text once, headed by the crates that it belongs to."""
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
    if without := [name for (name, _), licence in packages.items() if not licence]:
        sys.exit(f"licences: {', '.join(without)} state no licence")
    listed = HEAD + "".join(f"| {name} | {version} | {licence} |\n" for (name, version), licence in packages.items())
    if not arguments:
        LIST.write_text(listed, encoding="utf-8")
    elif arguments == ["--check"]:
        if LIST.read_text(encoding="utf-8") != listed:
            sys.exit("licences: docs/licences.md is not what Cargo.lock says: run scripts/licences.py")
    elif arguments[0] == "--texts" and len(arguments) == 2:
        Path(arguments[1]).write_text(texts(packages), encoding="utf-8")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
