#!/usr/bin/env python3
"""Regenerate the committed ensemble, and the parts of the docs that show it.

    scripts/ensemble.py              160 seeds of every fit
    scripts/ensemble.py --seeds 20   fewer: numbers that only rank can judge then never deviate
    scripts/ensemble.py --docs       run no seed; rewrite docs/ from the existing ensemble

Writes data/ensembles/cpu.json, docs/verify.png and the two tables of docs/verification.md. A seed takes about 13 s on
one core. Needs LIBTORCH as `cargo build` does, and only the standard library.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "target" / "ensemble"
ENSEMBLE = ROOT / "data/ensembles/cpu.json"


def lecture5(*arguments):
    """`lecture5 verify`, built from the current sources; the binary contains the committed ensemble."""
    program = ["cargo", "run", "--release", "--quiet", "--", "verify", "--device", "cpu", "--out", str(OUT)]
    done = subprocess.run([*program, *map(str, arguments)], cwd=ROOT)
    if not (OUT / "verify.json").exists():  # status 1 with a report means a deviation, which is a valid result
        sys.exit(done.returncode or 1)


def put_between(marker, text, file=ROOT / "docs/verification.md"):
    """Replaces the text between two marker comments in a page."""
    before, rest = file.read_text().split(f"<!-- {marker} -->\n")
    _, after = rest.split(f"<!-- end of {marker} -->\n")
    file.write_text(f"{before}<!-- {marker} -->\n{text}\n<!-- end of {marker} -->\n{after}")


def table(columns, rows):
    """A Markdown table; columns whose name starts with '>' are right-aligned."""
    names = [column.lstrip(">") for column in columns]
    rules = ["--:" if column.startswith(">") else "---" for column in columns]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [names, *rows]).replace(
        "\n", "\n|" + "|".join(rules) + "|\n", 1)


def docs():
    report = json.loads((OUT / "verify.json").read_text())["report"]
    rows = [[
        n["fit"], str(n["epoch"]), n["loss"], f"{n['value']:.5f}", f"{n['mean']:.5f} ± {n['sd']:.5f}", n["verdict"],
        f"{100 * n['detectable'] / n['value']:.1f}%" if n["detectable"] else "none", f"{n['p_adjusted']:.2f}", n["by"],
        f"{n['p_t']:.4f}", f"{n['p_rank']:.3f}", f"{n['interval'][0]:.4f} to {n['interval'][1]:.4f}",
    ] for n in report["numbers"]]
    numbers = table(["fit", ">epoch", "loss", ">lecture", ">mean ± sd", "verdict", ">detectable", ">adjusted", "by",
                     ">p (t)", ">p (rank)", ">95% for one draw"], rows)
    rows = [[f["fit"], f["by"], str(f["numbers"]), str(f["runs"]), f"{f['largest_t']:.2f}", f"{f['p']:.4f}",
             f"{f['p_adjusted']:.2f}", "DEVIATES" if f["deviates"] else "inside"] for f in report["fits"]]
    fits = table(["fit as a whole", "by", ">numbers", ">seeds", r">largest \|t\|", ">p", ">adjusted", "verdict"], rows)
    put_between("numbers", f"{numbers}\n\n{fits}")
    shutil.copy(OUT / "plots/verify.png", ROOT / "docs/verify.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=160)
    parser.add_argument("--jobs", type=int, help="number of parallel runs")
    parser.add_argument("--docs", action="store_true", help="run no seed")
    options = parser.parse_args()
    shutil.rmtree(OUT, ignore_errors=True)
    if not options.docs:
        lecture5("--seeds", options.seeds, *(["--jobs", options.jobs] if options.jobs else []))
        shutil.copy(OUT / "ensemble.json", ENSEMBLE)
        (OUT / "verify.json").unlink()
    lecture5("--from", ENSEMBLE)
    docs()


if __name__ == "__main__":
    main()
