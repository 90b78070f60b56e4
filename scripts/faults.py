#!/usr/bin/env python3
"""Run deliberate faults, and list which check catches each one with how many seeds.

    scripts/faults.py                      all of tests/faults.toml; about an hour on two cores
    scripts/faults.py "shuffle off"        only the named ones
    scripts/faults.py --table              print the Markdown table of earlier runs again

A copy of the working tree in target/faults/tree contains every fault, each behind a switch; one build covers all of
them. A fault runs with 1, 2, 5 and 20 seeds, until every check of the losses has caught it, and the tests of the data,
the training and the parity with PyTorch run with it once. Results stay in target/faults/, so a stopped run resumes
where it left off; remove the folder when the sources have changed. Once all faults have been run, the table goes into
docs/verification.md. Needs LIBTORCH as `cargo build` does, and Python 3.11 with only the standard library.
"""

import argparse
import csv
import json
import os
import random
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tomllib

sys.dont_write_bytecode = True
from ensemble import put_between, table  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "faults"
TREE = WORK / "tree"
PROGRAM = WORK / "build" / "release" / "lecture5"
SEEDS = [1, 2, 5, 20]
TESTS = ["--test", "it"]
FILTERS = ["--", "data::", "training::", "parity::"]
FITS = {"learner": "collab_learner", "dot": "embedding_dot", "bias": "embedding_dot_bias", "net": "embedding_net"}
SWITCH = """
/// Whether the named fault is switched on.
pub fn fault(name: &str) -> bool {
    static ON: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    ON.get_or_init(|| std::env::var("LECTURE5_FAULT").ok()).as_deref() == Some(name)
}
"""


def copy_of_the_tree(faults):
    """Writes the working tree's files with all faults in them; only changed files, so that cargo rebuilds little."""
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True,
                           capture_output=True, check=True).stdout.splitlines()
    texts = {name: (ROOT / name).read_bytes() for name in files if (ROOT / name).is_file()}
    for fault in faults:
        if "file" not in fault:
            continue
        text = texts[fault["file"]].decode()
        if text.count(fault["find"]) != 1:
            sys.exit(f"{fault['name']}: {text.count(fault['find'])} times in {fault['file']}, not once: {fault['find']}")
        texts[fault["file"]] = text.replace(fault["find"], fault["replace"]).encode()
    texts["src/lib.rs"] += SWITCH.encode()
    for name, text in texts.items():
        path = TREE / name
        if not path.exists() or path.read_bytes() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)


def data_of_2018():
    """A substitute with the counts of the 2018 snapshot, which may not be available: 61 users of the lecture's data are
    left out, and synthetic ratings of old and new movies fill the count, each with a value that its user gave
    elsewhere."""
    folder = WORK / "data-2018"
    folder.mkdir(parents=True, exist_ok=True)
    with open(ROOT / "data/ml-latest-small/ratings.csv") as file:
        header, *rows = csv.reader(file)
    draw = random.Random(2018)
    users = sorted({row[0] for row in rows}, key=int)
    gone = set(draw.sample(users, len(users) - 610))
    rows = [row for row in rows if row[0] not in gone]
    movies = {row[1] for row in rows}
    new = [str(1_000_000 + k) for k in range(9_724 - len(movies))]
    taken = {(row[0], row[1]) for row in rows}
    old = list(rows)
    while len(rows) < 100_836:
        like, movie = draw.choice(old), new.pop() if new else draw.choice(old)[1]
        if (like[0], movie) not in taken:
            taken.add((like[0], movie))
            rows.append([like[0], movie, like[2], like[3]])
    rows.sort(key=lambda row: (int(row[0]), int(row[1])))
    with open(folder / "ratings.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return folder


class Fault:
    """One fault, or none: runs processes with it switched on, and keeps their results."""

    def __init__(self, name, options, fits=tuple(FITS)):
        self.name, self.options, self.fits = name, options, fits
        self.folder = WORK / "runs" / re.sub(r"\W+", "-", name or "none").strip("-")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = data_of_2018() if name == "2018 data" else ROOT / "data/ml-latest-small"

    def process(self, *command, **how):
        environment = {**os.environ, "LECTURE5_FAULT": self.name or ""}
        return subprocess.run([*self.options.prefix.split(), *map(str, command)], cwd=TREE, env=environment,
                              text=True, capture_output=True, **how)

    def run(self, model, seed):
        """The losses of a run, or its error message."""
        kept = self.folder / f"{model}-{seed}.json"
        if not kept.exists():
            done = self.process(PROGRAM, "one-run", "--model", model, "--seed", seed, "--device", "cpu", "--data", self.data)
            said = [line for line in done.stderr.splitlines() if "assertion" in line or line.startswith("error")]
            losses = json.loads(done.stdout)["losses"] if done.returncode == 0 else (said or done.stderr.splitlines())[0]
            kept.write_text(json.dumps(losses))
        return json.loads(kept.read_text())

    def failing_tests(self):
        kept = self.folder / "tests.json"
        if not kept.exists():
            ratings = TREE / "data/ml-latest-small/ratings.csv"
            if self.name == "2018 data":
                shutil.copy(self.data / "ratings.csv", ratings)
            done = self.process("cargo", "test", "--release", "--quiet", "--no-fail-fast", *TESTS,
                                "--target-dir", WORK / "build", *FILTERS)
            shutil.copy(ROOT / "data/ml-latest-small/ratings.csv", ratings)
            if "test result" not in done.stdout:
                sys.exit(done.stderr)
            kept.write_text(json.dumps(sorted(set(re.findall(r"^---- (?:\w+::)*(\w+) stdout", done.stdout, re.M)))))
        return json.loads(kept.read_text())


def judge(fault, runs, saved, n):
    """The names of the loss checks that catch the fault with n seeds."""
    fits = [{"name": FITS[model], "seeds": list(range(n)), "runs": runs[model][:n]} for model in FITS]
    file = fault.folder / f"{n}.json"

    def fails(machine, *arguments):
        file.write_text(json.dumps(dict(saved, made={**saved["made"], "machine": machine}, fits=fits)))
        done = Fault(None, fault.options).process(
            PROGRAM, "verify", "--quiet", "--from", file, *arguments, "--out", fault.folder / "out")
        if done.returncode not in (0, 1):
            sys.exit(done.stderr)
        return done.returncode == 1

    here, against = saved["made"]["machine"], ["--against", ROOT / "data/ensembles/cpu.json"]
    checks = {"exact": [here, *against]}
    if n == 1:
        checks["inside"] = ["another", "--quick"]
    if n >= 4:
        checks["paired"] = ["another", *against]
        checks["lecture"] = [here]
    return {name for name, arguments in checks.items() if fails(*arguments)}
    (fault.folder / f"{n}.json").write_text(json.dumps(ours))
    elsewhere = fault.folder / "elsewhere.json"
    elsewhere.write_text(json.dumps(dict(saved, made={**saved["made"], "machine": "another"})))

    def fails(*arguments):
        done = Fault(None, fault.options).process(
            PROGRAM, "verify", "--quiet", "--from", fault.folder / f"{n}.json", *arguments, "--out", fault.folder / "out")
        if done.returncode not in (0, 1):
            sys.exit(done.stderr)
        return done.returncode == 1

    checks = {"exact": ["--against", ROOT / "data/ensembles/cpu.json"]}
    if n == 1:
        checks["inside"] = ["--quick"]
    if n >= 4:
        checks["paired"] = ["--against", elsewhere]
        checks["lecture"] = []
    return {name for name, arguments in checks.items() if fails(*arguments)}


def differ(run, other):
    """Whether two runs differ beyond the digits that are printed and kept; a run that stopped differs."""
    return isinstance(run, str) or any(abs(a / b - 1) > 1e-9 for a, b in zip(run, other))


def examine(fault, saved):
    """Runs a fault with increasing numbers of seeds; returns which check caught it, and with how many. An unaffected
    fit uses the committed runs."""
    found = {}
    none = Fault(None, fault.options)
    affected = [m for m in fault.fits if differ(fault.run(m, 0), none.run(m, 0))]
    broken = [fault.run(m, 0) for m in affected if isinstance(fault.run(m, 0), str)]
    if broken:
        return {"stops": broken[0], "fits": affected}
    committed = {fit["name"]: fit["runs"] for fit in saved["fits"]}
    for n in [n for n in SEEDS if n <= fault.options.seeds]:
        with ThreadPoolExecutor(fault.options.jobs) as pool:
            mine = {m: list(pool.map(lambda seed: fault.run(m, seed), range(n))) for m in affected}
        runs = {m: mine.get(m, committed[FITS[m]]) for m in FITS}
        for check in judge(fault, runs, saved, n):
            found.setdefault(check, n)
        if not affected or {"exact", "paired", "lecture"} <= set(found):
            break
    return {**found, "fits": affected, "seeds": n}


def row(fault, tests, found):
    def cell(name):
        if "stops" in found:
            return "stops"
        if not found["fits"]:
            return "none differs"
        return str(found[name]) if name in found else f"not by {1 if name == 'inside' else found['seeds']}"

    named = [t for t in tests if "pytorch" not in t]
    parity = [t for t in tests if "pytorch" in t]
    fits = "none" if not found["fits"] else "all" if len(found["fits"]) == 4 else ", ".join(found["fits"])
    cells = [fault.name, fits, cell("exact"), cell("inside"), cell("paired"), cell("lecture"),
             f"{len(parity)} of 4" if parity else "no", "; ".join(t.replace("_", " ") for t in named) or "none"]
    return cells


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="FAULT")
    parser.add_argument("--table", action="store_true", help="only print the table")
    parser.add_argument("--seeds", type=int, default=SEEDS[-1], help="maximum number of seeds per fault")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="number of parallel runs")
    parser.add_argument("--prefix", default="", help="command to prefix to the others, such as 'nice'")
    options = parser.parse_args()
    faults = tomllib.loads((ROOT / "tests/faults.toml").read_text())["fault"]
    unknown = set(options.names) - {fault["name"] for fault in faults}
    if unknown:
        sys.exit(f"no such fault: {', '.join(unknown)}; tests/faults.toml lists them")
    if not options.table:
        copy_of_the_tree(faults)
        build = Fault(None, options).process("cargo", "test", "--release", "--no-run", *TESTS, "--target-dir", WORK / "build")
        if build.returncode:
            sys.exit(build.stderr)
    saved = json.loads((ROOT / "data/ensembles/cpu.json").read_text())
    if not options.table:
        none = Fault(None, options)
        if none.failing_tests():
            sys.exit(f"these tests fail without any fault: {', '.join(none.failing_tests())}")
        for model in FITS:
            theirs = next(fit for fit in saved["fits"] if fit["name"] == FITS[model])["runs"][0]
            if any(abs(a / b - 1) > 1e-6 for a, b in zip(none.run(model, 0), theirs)):
                sys.exit("without any fault the losses differ from those of data/ensembles/cpu.json: "
                         "regenerate the ensemble first (scripts/ensemble.py)")
    rows = []
    for fault in (Fault(fault["name"], options, fault.get("fits", tuple(FITS))) for fault in faults):
        kept = fault.folder / "found.json"
        if not options.table and (not options.names or fault.name in options.names):
            tests = fault.failing_tests()
            kept.write_text(json.dumps({"tests": tests, "found": examine(fault, saved)}))
            print(fault.name, kept.read_text(), file=sys.stderr, flush=True)
        if kept.exists():
            rows.append(row(fault, **json.loads(kept.read_text())))
    columns = ["fault", "fits that differ", ">exact", ">inside", ">paired", ">lecture", ">parity", "other tests that fail"]
    text = table(columns, rows)
    print(text)
    if len(rows) == len(faults):
        put_between("faults", text)


if __name__ == "__main__":
    main()
