#!/usr/bin/env python3
"""Run the lecture's four fits in lecture5 and in PyTorch, alternately, several times; print Markdown tables.

scripts/bench.sh builds lecture5, installs PyTorch and starts this script. The time is that of the fit itself, training
and validation of all its epochs, as each program measures it: without startup, reading of the data, or plots. PyTorch
runs scripts/pytorch_twin.py, the same fits with the same random numbers.
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import torch

import pytorch_twin as twin

ROOT = Path(__file__).resolve().parent.parent
LECTURE5 = ROOT / "target/release/lecture5"
MODELS = {"collab_learner": "learner", "embedding_dot": "dot", "embedding_dot_bias": "bias", "embedding_net": "net"}
TITLES = {"collab_learner": "fastai's learner, Adam, 3 epochs", "embedding_dot": "EmbeddingDot, SGD, 6 epochs",
          "embedding_dot_bias": "EmbeddingDotBias, SGD, 3 epochs", "embedding_net": "EmbeddingNet, SGD, 6 epochs"}


def ours(model, stepper, threads, extra=()):
    """One fit of lecture5: its seconds, its last validation loss, and the seconds from the start of the process to the
    first epoch's line."""
    with tempfile.TemporaryDirectory() as out:
        command = [LECTURE5, "fit", "--model", model, "--threads", str(threads), "--device", "cpu",
                   "--data", ROOT / "data/ml-latest-small", "--out", out, "--json", *extra, *(["--fast"] if stepper == "fast" else [])]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        first = time.perf_counter() - began
        process.communicate()
        if process.returncode:
            sys.exit(f"bench: lecture5 fit --model {model} failed")
        fit = json.loads((Path(out) / "metrics.json").read_text())["fits"][0]
    return fit["seconds"], fit["epochs"][-1]["val"], first


def pytorch(name, implementation, data):
    options = SimpleNamespace(device="cpu", optimizer_impl=implementation, dump_init=False, time=False)
    began = time.perf_counter()
    with open(os.devnull, "w") as nowhere:
        stdout, sys.stdout = sys.stdout, nowhere
        try:
            rows, _ = twin.run(name, 0, data, options)
        finally:
            sys.stdout = stdout
    return time.perf_counter() - began, rows[-1][1]


def fastai_learner():
    """Three epochs of current fastai, as in its own tutorial: a different split and schedule, the same work."""
    import pandas
    from fastai.collab import CollabDataLoaders, collab_learner

    ratings = pandas.read_csv(ROOT / "data/ml-latest-small/ratings.csv")
    dls = CollabDataLoaders.from_df(ratings, user_name="userId", item_name="movieId", rating_name="rating",
                                    valid_pct=0.2, seed=42, bs=64)
    learn = collab_learner(dls, n_factors=50, y_range=(0.5, 5.0), wd=2e-4)
    began = time.perf_counter()
    with learn.no_bar(), learn.no_logging():
        learn.fit(3, 1e-2)
    return time.perf_counter() - began


def spread(seconds):
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})"


def fits(options):
    data = twin.load(ROOT / "data/ml-latest-small", "cpu")
    kinds = ["libtorch", "fast", "default", "fused"]
    seconds = {kind: {name: [] for name in MODELS} for kind in kinds}
    last = {kind: {} for kind in kinds}
    for round_ in range(options.rounds):
        for name, model in MODELS.items():
            for kind in kinds:
                if kind in ("libtorch", "fast"):
                    taken, val, _ = ours(model, kind, options.threads)
                else:
                    taken, val = pytorch(name, kind, data)
                seconds[kind][name].append(taken)
                last[kind][name] = val
                print(f"round {round_ + 1} of {options.rounds}: {name}, {kind}: {taken:.2f} s", file=sys.stderr)

    print("| fit | lecture5, s | `--fast`, s | PyTorch's default loop, s | its fused optimizers, s | "
          "lecture5: times default, fused | `--fast`: times default, fused |")
    print("|---|--:|--:|--:|--:|--:|--:|")

    def row(title, times):
        median = {kind: statistics.median(times[kind]) for kind in kinds}
        cells = [spread(times[kind]) for kind in kinds]
        cells += [", ".join(f"{median[theirs] / median[mine]:.1f}" for theirs in ("default", "fused"))
                  for mine in ("libtorch", "fast")]
        print("| " + " | ".join([title, *cells]) + " |")

    for name in MODELS:
        row(TITLES[name], {kind: seconds[kind][name] for kind in kinds})
    whole = {kind: [sum(round_) for round_ in zip(*seconds[kind].values())] for kind in kinds}
    row("**the whole lecture, 18 epochs**", whole)
    apart = max(abs(last[kind][name] / last["default"][name] - 1) for kind in kinds for name in MODELS)
    print(f"\nMedian (lowest–highest) of {options.rounds} rounds, the four columns alternating. The last validation "
          f"losses of all four agree within {apart:.0e} (relative).")


def starts(options):
    ours_, theirs = [], []
    load = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import pytorch_twin as t; "
    load += f"t.load({str(ROOT / 'data/ml-latest-small')!r}, 'cpu')"
    for _ in range(max(options.rounds, 3)):
        taken, _, first = ours("dot", "libtorch", options.threads, ["--schedule", "0.1x1"])
        ours_.append(first - taken)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", load], check=True)
        theirs.append(time.perf_counter() - began)
    print(f"\nFrom the start of the process to the first batch, data read: lecture5 {spread(ours_)} s, "
          f"PyTorch {spread(theirs)} s.")


def run(program, *arguments):
    """Seconds of a whole process of lecture5, and its metrics if it writes some."""
    with tempfile.TemporaryDirectory() as out:
        command = [program, *arguments]
        if arguments[0] == "run":
            command += ["--quiet", "--data", ROOT / "data/ml-latest-small", "--out", out]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken = time.perf_counter() - began
        metrics = Path(out) / "metrics.json"
        return taken, json.loads(metrics.read_text()) if metrics.exists() else {}


# Ends the page with its own times, in milliseconds: its first paint, and all of it loaded.
TIMES = """<script>addEventListener("load", () => {
  const [paint] = performance.getEntriesByType("paint");
  document.documentElement.textContent = `times ${paint ? paint.startTime : "NaN"} ${performance.now()} `;
});</script>"""


def page_opens(program, rounds):
    """Seconds from the opening of a whole run's page in Chromium to its first paint, and until it is loaded."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        return None
    seconds = []
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([program, "run", "--quiet", "--out", out], check=True, stdout=subprocess.DEVNULL)
        page = Path(out) / "lecture.html"
        page.write_text(page.read_text() + TIMES)
        for _ in range(max(rounds, 3)):
            shown = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", page.as_uri()],
                                   check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
            paint, loaded = re.search(r"times (\S+) (\S+) ", shown).groups()
            seconds.append((float(paint) / 1e3, float(loaded) / 1e3))
    return list(zip(*seconds))


def waits(options):
    """What one waits for besides the fits: whole processes of lecture5, the models of section `beyond`, the page."""
    programs = {**({"before": options.before} if options.before else {}), "lecture5": LECTURE5}
    models = {name: {} for name in programs}
    heads = " | ".join(f"{name}, s" for name in programs) + " |\n|---" + "|--:" * len(programs) + "|"
    print(f"\n| whole process | {heads}")
    for arguments in (["list"], ["run", "movielens"], ["run", "embedding_dot_bias"], ["run", "beyond"], ["run"],
                      ["run", "--fast"]):
        seconds = {name: [] for name in programs}
        for _ in range(options.rounds):
            for name, program in programs.items():
                try:
                    taken, metrics = run(program, *arguments)
                except subprocess.CalledProcessError:
                    if program == LECTURE5:
                        raise
                    continue  # an option that the earlier program does not have
                seconds[name].append(taken)
                if arguments == ["run", "beyond"]:
                    models[name] = {row["name"]: row["seconds"] for row in metrics.get("beyond", {}).get("rows", [])}
        cells = [spread(taken) if taken else "–" for taken in seconds.values()]
        print(f"| `lecture5 {' '.join(arguments)}` | {' | '.join(cells)} |", flush=True)
    print(f"\n| model of section `beyond`, beside another | {heads}")
    for model in models["lecture5"]:
        cells = [f"{of[model]:.2f}" if model in of else "–" for of in models.values()]
        print(f"| {model} | {' | '.join(cells)} |")
    print()
    for name, program in programs.items():
        if opened := page_opens(program, options.rounds):
            print(f"The page of a whole run of {name} in headless Chromium: first paint after {spread(opened[0])} s, "
                  f"loaded after {spread(opened[1])} s.")


def fastai_row(options):
    try:
        import fastai.collab  # noqa: F401
    except ImportError:
        print("\nfastai's own collab learner is not installed here.")
        return
    import fastai
    seconds = [fastai_learner() for _ in range(options.rounds)]
    print(f"\nfastai {fastai.__version__}'s own collab learner, three epochs of 1,251 batches: {spread(seconds)} s.")


def scale(users=162_000, movies=59_000, ratings=20_000_000, steps=1_000):
    """The time that the dense loop would need for an epoch of 25 million ratings, a fifth of them held out."""
    params = {"u": torch.zeros(users, 50).uniform_(-0.01, 0.01).requires_grad_(),
              "m": torch.zeros(movies, 50).uniform_(-0.01, 0.01).requires_grad_(),
              "ub": torch.zeros(users, 1).requires_grad_(), "mb": torch.zeros(movies, 1).requires_grad_()}
    optimizer = twin.make_optimizer("sgd", params, 0.1, 2e-4, "default")
    each = []
    for _ in range(steps):
        u, m, y = torch.randint(users, (64,)), torch.randint(movies, (64,)), torch.rand(64) * 5
        began = time.perf_counter()
        loss = torch.nn.functional.mse_loss(twin.dot_bias(params, u, m), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        each.append(time.perf_counter() - began)
    mean, batches = sum(each) / steps, -(-ratings // 64)
    print(f"\nPyTorch's default loop on {users:,} users and {movies:,} movies (EmbeddingDotBias, SGD, batch 64): "
          f"{mean * 1e3:.1f} ms a step over {steps:,} steps, so {mean * batches / 3600:.1f} hours for the {batches:,} "
          "batches of an epoch (extrapolated, not run).")


def processor():
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how many times each fit runs (3)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(),
                        help="for both programs (default: all processors, as in PyTorch)")
    parser.add_argument("--fastai", action="store_true", help="also time fastai's own collab learner, if installed")
    parser.add_argument("--waits", action="store_true",
                        help="also time whole runs, the models of section beyond, and the opening of the page")
    parser.add_argument("--before", type=Path, metavar="FILE",
                        help="another build of lecture5, such as an earlier commit's, whose waits are timed in turn")
    parser.add_argument("--scale", action="store_true",
                        help="also time PyTorch's dense loop at MovieLens 25M's size, 1,000 steps (a minute or two)")
    options = parser.parse_args()
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads must be at least 1")
    if options.before:
        options.before, options.waits = options.before.resolve(strict=True), True
    torch.set_num_threads(options.threads)
    print(f"{processor()}, {os.cpu_count()} processors; {options.threads} threads in both; "
          f"PyTorch {torch.__version__.split('+')[0]}\n", flush=True)
    fits(options)
    starts(options)
    if options.waits:
        waits(options)
    if options.fastai:
        fastai_row(options)
    if options.scale:
        scale()


if __name__ == "__main__":
    main()
