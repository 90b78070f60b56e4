#!/usr/bin/env python3
"""Compare a program's fits on CUDA with its fits on the CPU, and write a report. scripts/gpu-check.sh calls it.

Needs only Python's standard library; if this Python has a torch that sees the card, the report also lists PyTorch's
time per epoch (scripts/pytorch_twin.py). The exit status is 0 when every check passed, and otherwise 1.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
MODELS = {"dot": "embedding_dot", "bias": "embedding_dot_bias", "net": "embedding_net", "learner": "collab_learner"}


def stop(message: str) -> None:
    sys.exit(f"gpu-check: {message}")


def run(command: list) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


# --- the comparison ---------------------------------------------------------------------------------------

def compare(expected: dict, found: dict, tolerance: float) -> tuple[list[list], list[str]]:
    """The losses of two metrics side by side, one row per epoch, and the list of failures."""
    rows, wrong = [], []
    names = [[fit["name"] for fit in metrics["fits"]] for metrics in (expected, found)]
    if names[0] != names[1] or not names[0]:
        wrong.append(f"the fits are {names[0]} and {names[1]}")
    for one, two in zip(expected["fits"], found["fits"]):
        if len(one["epochs"]) != len(two["epochs"]) or not one["epochs"]:
            wrong.append(f"{one['name']}: {len(one['epochs'])} epochs and {len(two['epochs'])}")
        for a, b in zip(one["epochs"], two["epochs"]):
            pairs = [(a[loss], b[loss]) for loss in ("trn", "val")]
            numbers = all(isinstance(x, (int, float)) and math.isfinite(x) for pair in pairs for x in pair)
            apart = max(abs(y - x) / abs(x) if x else abs(y) for x, y in pairs) if numbers else math.inf
            rows.append([one["name"], a["epoch"], *pairs[0], *pairs[1], apart])
            if not apart <= tolerance:
                wrong.append(f"{one['name']}, epoch {a['epoch']}: training {pairs[0][0]} and {pairs[0][1]}, "
                             f"validation {pairs[1][0]} and {pairs[1][1]}: more than {tolerance:g} apart")
    return rows, wrong


def wrong_device(metrics: dict, device: str) -> list[str]:
    """Reports a run that should have been on `device` and says that it was on another one."""
    if metrics["device"].startswith(device):
        return []
    return [f"a fit that should run on {device} ran on {metrics['device']}"]


# --- the parts of the check -------------------------------------------------------------------------------

class Check:
    def __init__(self, options):
        self.options = options
        self.device = "cpu" if options.rehearse else "cuda"
        self.wrong: list[str] = []
        self.lines: list[str] = []

    def verdict(self, what: str, wrong: list[str]) -> None:
        self.wrong += wrong
        line = f"- {'FAILED' if wrong else 'passed'}: {what}" + "".join(f"\n  - {w}" for w in wrong)
        self.lines.append(line)
        print(line, flush=True)

    def fit(self, model: str, device: str, extra: list = ()) -> dict:
        with tempfile.TemporaryDirectory() as out:
            done = run([self.options.program.absolute(), "fit", "--model", model, "--device", device, "--quiet", "--dpi", 20,
                        "--data", self.options.data, "--out", out, *extra])
            if done.returncode:
                stop(f"fit --model {model} --device {device} failed: {done.stderr.strip()}")
            return json.loads((Path(out) / "metrics.json").read_text())

    def doctor(self) -> str:
        done = run([self.options.program.absolute(), "doctor"])
        text = done.stdout + done.stderr
        print(text)
        if done.returncode:
            stop("the doctor found a fault (above)")
        if not self.options.rehearse and not re.search(r"^cuda:0 +computes", text, re.M):
            reason = re.search(r"^CUDA +(.*)$", text, re.M)
            stop(f"no CUDA device that computes: {reason[1] if reason else 'the doctor names none'}")
        return text

    def pytorch_epochs(self) -> tuple[str, dict[str, float]]:
        """PyTorch's version and its median seconds per epoch for each fit, or why it was not measured."""
        probe = "import torch, pandas; print(torch.__version__, torch.cuda.is_available())"
        done = run([sys.executable, "-c", probe])
        if done.returncode:
            return f"not measured: {sys.executable} has no torch and pandas", {}
        version, sees_cuda = done.stdout.split()
        if self.device == "cuda" and sees_cuda != "True":
            return f"not measured: this Python's torch {version} sees no CUDA device", {}
        seconds = {}
        for model in self.options.models:
            done = run([sys.executable, SCRIPTS / "pytorch_twin.py", "--device", self.device, "--time", "--data",
                        self.options.data, "--fits", MODELS[model], *(["--threads", 1] if self.options.rehearse else [])])
            if done.returncode:
                return f"not measured: pytorch_twin.py failed: {done.stderr.strip().splitlines()[-1]}", {}
            epochs = re.findall(r"([\d.]+) s \+ ([\d.]+) s$", done.stdout, re.M)
            seconds[model] = statistics.median(float(trn) + float(val) for trn, val in epochs)
        return f"PyTorch {version}, its default loop", seconds


def per_epoch(metrics: dict) -> float:
    fit = metrics["fits"][0]
    return fit["seconds"] / len(fit["epochs"])


def table(head: list[str], rows: list[list]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def card() -> str:
    if not shutil.which("nvidia-smi"):
        return "nvidia-smi not found"
    done = run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])
    return done.stdout.strip() or done.stderr.strip()


def check(options) -> bool:
    c = Check(options)
    device = c.device
    doctor = c.doctor()

    losses, times, repeats, differ = [], [], [], 0
    pytorch, pytorch_seconds = c.pytorch_epochs()
    for model in options.models:
        cpu = c.fit(model, "cpu", ["--threads", 1])
        # Twice: to measure how far two runs on the device differ, and to time a run without startup costs.
        first, second = c.fit(model, device), c.fit(model, device)
        rows, wrong = compare(cpu, second, options.tolerance)
        differ += sum(row[-1] != 0 for row in rows)
        losses += [[name, epoch, *(f"{x:.5f}" for x in numbers), f"{apart:.1e}"]
                   for name, epoch, *numbers, apart in rows]
        wrong += [w for metrics in (first, second) for w in wrong_device(metrics, device)]
        c.verdict(f"{model}: on {device}, with the CPU's losses within {options.tolerance:g}", wrong)
        apart = max((row[-1] for row in compare(first, second, 0)[0]), default=math.nan)
        repeats.append([model, "the same losses to the last bit" if apart == 0 else f"up to {apart:.1e} apart"])
        seconds = [per_epoch(cpu), per_epoch(second)]
        theirs = pytorch_seconds.get(model)
        beside = [f"{theirs:.2f}", f"{theirs / seconds[1]:.1f}"] if theirs else ["", ""]
        times.append([model, *(f"{s:.3f}" for s in seconds), *beside])
    if not options.rehearse:
        short = c.fit("bias", "auto", ["--schedule", "0.1x1", "--batch-size", "4096"])
        c.verdict("--device auto takes the card", wrong_device(short, "cuda"))
        # A card rounds differently from a CPU, and thousands of steps make that visible.
        c.verdict("the losses come from another processor than the CPU's",
                  [] if differ else ["every loss is the CPU's to the last bit: a card did not compute them"])

    title = "Rehearsal on the CPU: no card was tested" if options.rehearse else "lecture5 on a GPU"
    summary = f"{len(c.wrong)} check(s) FAILED" if c.wrong else "Every check passed"
    text = "\n\n".join([
        f"# {title}", f"**{summary}.** Card: {card()}.", "\n".join(c.lines), "## Losses",
        "Relative difference: the larger of training and validation.",
        table(["fit", "epoch", "training, CPU", device, "validation, CPU", device, "apart"], losses),
        "## Seconds per epoch",
        f"Training and validation, batches of 64, seed 0. CPU with one thread. For comparison: {pytorch}.",
        table(["fit", "CPU", device, f"PyTorch, {device}", "PyTorch / ours"], times),
        f"## The same fit twice on {device}", table(["fit", "losses"], repeats),
        "## Doctor", f"```\n{doctor.strip()}\n```",
    ]) + "\n"
    options.report.parent.mkdir(parents=True, exist_ok=True)
    part = options.report.with_name(options.report.name + f".{os.getpid()}")
    part.write_text(text)
    part.replace(options.report)
    print(f"{summary}. The report is {options.report}")
    return not c.wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=SCRIPTS.parent / "target/release/lecture5", metavar="FILE")
    parser.add_argument("--data", type=Path, default=SCRIPTS.parent / "data/ml-latest-small", metavar="DIR")
    parser.add_argument("--report", type=Path, default=Path("out/gpu-check.md"), metavar="FILE")
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated; default: all four")
    parser.add_argument("--tolerance", type=float, default=1e-3, metavar="X",
                        help="maximum relative difference from the CPU's loss (1e-3: three digits)")
    parser.add_argument("--rehearse", action="store_true", help="run the same steps with the CPU in place of the card")
    parser.add_argument("--compare", nargs=2, type=Path, metavar="METRICS",
                        help="only compare the losses of two metrics.json")
    options = parser.parse_args()
    if options.compare:
        first, second = (json.loads(path.read_text()) for path in options.compare)
        rows, wrong = compare(first, second, options.tolerance)
        for row in rows:
            print(*row)
        if wrong:
            stop("\n  ".join(["the losses differ", *wrong]))
        return
    options.models = options.models.split(",")
    if unknown := [model for model in options.models if model not in MODELS]:
        parser.error(f"no model is called {', '.join(unknown)}; there are {', '.join(MODELS)}")
    if not options.program.exists():
        stop(f"{options.program} does not exist: build it (cargo build --release), or name one with LECTURE5_PROGRAM")
    sys.exit(0 if check(options) else 1)


if __name__ == "__main__":
    main()
