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


def shipped() -> list[dict]:
    """The packages that the program is linked with, on any of the targets, by name and version."""
    found = {}
    for target in TARGETS:
        command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            sys.exit("licences: cargo metadata failed (above it says why)")
        metadata = json.loads(done.stdout)
        packages = {package["id"]: package for package in metadata["packages"]}
        nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
        root = metadata["resolve"]["root"]
        seen, waiting = {root}, [root]
        while waiting:
            for dependency in nodes[waiting.pop()]["deps"]:
                linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
                if linked and dependency["pkg"] not in seen:
                    seen.add(dependency["pkg"])
                    waiting.append(dependency["pkg"])
        # A procedural macro runs in the compiler, and so do the crates that only it needs; they are harmless here.
        found |= {name: packages[name] for name in seen - {root}}
    return sorted(found.values(), key=lambda package: (package["name"], package["version"]))


def main() -> None:
    arguments = sys.argv[1:]
    packages = shipped()
    if without := [p["name"] for p in packages if not p["license"]]:
        sys.exit(f"licences: {', '.join(without)} state no licence")
    if arguments[:1] == ["--texts"] and len(arguments) == 2:
        holders: dict[str, list[str]] = {}
        for package in packages:
            folder = Path(package["manifest_path"]).parent
            for file in sorted(folder.iterdir()):
                if file.is_file() and file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE")):
                    text = file.read_text(encoding="utf-8", errors="replace").strip()
                    holders.setdefault(text, []).append(f"{package['name']} {package['version']}")
        parts = [f"{', '.join(names)}\n\n{text}\n" for text, names in holders.items()]
        Path(arguments[1]).write_text(("\n" + "-" * 100 + "\n\n").join(parts), encoding="utf-8")
        return
    text = HEAD + "".join(f"| {p['name']} | {p['version']} | {p['license'].replace('/', ' OR ')} |\n" for p in packages)
    if not arguments:
        LIST.write_text(text, encoding="utf-8")
    elif arguments == ["--check"]:
        if LIST.read_text(encoding="utf-8") != text:
            sys.exit("licences: docs/licences.md is not what Cargo.lock says: run scripts/licences.py")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
