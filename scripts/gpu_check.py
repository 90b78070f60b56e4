#!/usr/bin/env python3
"""Check that a program computes on this machine's NVIDIA card, and rightly. scripts/gpu-check.sh calls it.

It takes about ten minutes and writes one report in Markdown, also when a step fails. It needs only Python's standard
library; if this Python has a torch that sees the card, the report also lists PyTorch's time per epoch. The exit status is
0 when every check passed, and otherwise 1. With --rehearse the CPU takes the card's place.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gpu_compare import compare, table, wrong_device

SCRIPTS = Path(__file__).resolve().parent
MODELS = {"dot": "embedding_dot", "bias": "embedding_dot_bias", "net": "embedding_net", "learner": "collab_learner"}
DROPOUT = ["--model", "net", "--dropout", "0.05,0.5"]


class Failed(Exception):
    """A step that could not be done."""


def stop(message: str) -> None:
    sys.exit(f"gpu-check: {message}")


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Fit:
    """A finished fit: its metrics, its model, and how long the process took besides its epochs."""

    def __init__(self, out: Path, model: str, seconds: float):
        self.metrics = json.loads((out / "metrics.json").read_text())
        self.model = out / "models" / f"{model}.safetensors"
        self.sha = sha(self.model)
        self.epochs = [epoch["seconds"] for epoch in self.metrics["fits"][0]["epochs"]]
        self.start = seconds - sum(self.epochs)

    def val(self) -> float:
        return self.metrics["fits"][0]["epochs"][-1]["val"]

    def epoch(self) -> float:
        """The median of its epochs but the first, in which kernels are loaded."""
        return statistics.median(self.epochs[1:] or self.epochs)


class Check:
    def __init__(self, options, work: Path):
        self.options, self.work = options, work
        self.device = "cpu" if options.rehearse else "cuda"
        self.program = options.program.absolute()
        self.deadline = time.monotonic() + 60 * options.minutes
        self.wrong: list[str] = []
        self.lines: list[str] = []
        self.sections: list[str] = []
        self.fits: dict[str, dict[str, Fit]] = {}
        self.losses_by_epoch: list[list] = []
        self.no_graphs = "it is a rehearsal" if options.rehearse else ""
        self.runs = 0

    # --- what is told -------------------------------------------------------------------------------------

    def tell(self, line: str) -> None:
        self.lines.append(line)
        print(line, flush=True)

    def verdict(self, what: str, wrong: list[str]) -> None:
        self.wrong += wrong
        self.tell(f"- {'FAILED' if wrong else 'passed'}: {what}" + "".join(f"\n  - {w}" for w in wrong))

    def left_out(self, what: str, why: str) -> None:
        self.tell(f"- not checked: {what}: {why}")

    def section(self, title: str, *parts: str) -> None:
        self.sections.append("\n\n".join([f"## {title}", *parts]))

    def step(self, what: str, body) -> bool:
        """Runs a step; one that cannot be done fails, and the others go on."""
        before = len(self.wrong)
        try:
            body()
        except Exception as why:  # whatever a program prints, there is a report
            self.verdict(what, [f"{type(why).__name__}: {why}" if not isinstance(why, Failed) else str(why)])
        return len(self.wrong) == before

    # --- the program --------------------------------------------------------------------------------------

    def begin(self, words: list) -> subprocess.Popen:
        if time.monotonic() > self.deadline:
            raise Failed(f"the {self.options.minutes} minutes are over (--minutes)")
        return subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end_of(self, child: subprocess.Popen) -> tuple[str, str]:
        """What a process printed, once it has ended."""
        try:
            return child.communicate(timeout=max(1, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            words = " ".join(map(str, child.args))
            raise Failed(f"{words}: not done when the {self.options.minutes} minutes were over") from None

    def call(self, *words) -> subprocess.CompletedProcess:
        """Calls the program."""
        child = self.begin([self.program, *words])
        said = self.end_of(child)
        return subprocess.CompletedProcess(words, child.returncode, *said)

    def words(self, device: str, out: Path, *more) -> list:
        return ["fit", "--device", device, "--quiet", "--dpi", 20, "--data", self.options.data, "--out", out, *more]

    def out(self) -> Path:
        self.runs += 1
        return self.work / str(self.runs)

    def fit(self, device: str, *more) -> Fit:
        out, model, began = self.out(), more[more.index("--model") + 1], time.monotonic()
        done = self.call(*self.words(device, out, *more))
        if done.returncode:
            raise Failed(f"fit {' '.join(map(str, more))} --device {device}: {done.stderr.strip()}")
        return Fit(out, model, time.monotonic() - began)

    # --- the steps ----------------------------------------------------------------------------------------

    def doctor(self) -> None:
        done = self.call("doctor")
        text = (done.stdout + done.stderr).strip()
        self.section("Doctor", f"```\n{text}\n```")
        self.verdict("the doctor finds no fault", [text.splitlines()[-1]] if done.returncode else [])
        card = "CPU" if self.options.rehearse else "cuda:0"
        reason = re.search(r"^CUDA +(.*)$", text, re.M)
        fine = re.search(rf"^{card} +computes, differentiates and steps as by hand", text, re.M)
        self.verdict(f"{card} computes; gradients of repeated rows and two steps of each rule are right to 1e-6",
                     [] if fine else [f"no CUDA device that computes: {reason[1] if reason else 'the doctor names none'}"])
        versions = re.search(r"^driver +for CUDA (\d+)\.\S+; libtorch for CUDA (\d+)\.", text, re.M)
        if versions:
            self.verdict("the driver is not older than libtorch's CUDA",
                         [] if int(versions[1]) >= int(versions[2]) else [versions[0]])
        elif not self.options.rehearse:
            self.verdict("the driver is not older than libtorch's CUDA", ["the doctor names no versions"])

    def of_device(self, fit: Fit) -> list[str]:
        return wrong_device(fit.metrics, self.device)

    def losses(self, model: str) -> None:
        device = self.device
        # Twice on the device: to see whether two runs agree.
        fits = {"cpu": self.fit("cpu", "--model", model, "--threads", 1),
                "fast": self.fit("cpu", "--model", model, "--threads", 1, "--fast"),
                "device": self.fit(device, "--model", model), "again": self.fit(device, "--model", model)}
        self.fits[model] = fits
        rows, wrong = compare(fits["cpu"].metrics, fits["again"].metrics, self.options.tolerance)
        self.losses_by_epoch += rows
        wrong += self.of_device(fits["device"]) + self.of_device(fits["again"])
        wrong += compare(fits["cpu"].metrics, fits["fast"].metrics, self.options.tolerance)[1]
        self.verdict(f"{model}: on {device}, with the CPU's losses within {self.options.tolerance:g}, and so with --fast", wrong)
        if not self.no_graphs:
            self.graphs(model)
        same = fits["device"].sha == fits["again"].sha
        self.verdict(f"{model}: two fits on {device} leave the same bytes", [] if same else ["the two models differ"])

    def graphs(self, model: str) -> None:
        """The fast stepper on a card, which starts each step as one CUDA graph."""
        fits = self.fits[model]
        try:
            fits["graph"] = self.fit(self.device, "--model", model, "--fast")
        except Failed as why:
            if "CUDA's headers" not in str(why):
                raise
            self.no_graphs = str(why)
            return
        again = self.fit(self.device, "--model", model, "--fast")
        wrong = compare(fits["cpu"].metrics, fits["graph"].metrics, self.options.tolerance)[1] + self.of_device(fits["graph"])
        self.verdict(f"{model}: so with --fast on {self.device}", wrong)
        same = fits["graph"].sha == again.sha
        self.verdict(f"{model}: two fits with --fast on {self.device} leave the same bytes",
                     [] if same else ["the two models differ"])

    def tables(self) -> None:
        if self.no_graphs:
            self.left_out(f"--fast on {self.device}", self.no_graphs)
        pytorch = {how: self.pytorch(how) for how in ("default", "fused", "graphed")}
        rows = []
        for model, fits in self.fits.items():
            times = [fits[how].epoch() if how in fits else None for how in ("cpu", "fast", "again", "graph")]
            theirs = [seconds.get(model) for _, seconds in pytorch.values()]
            rows.append([model, *(f"{s:.3f}" if s else "" for s in times + theirs),
                         f"{fits['cpu'].start:.2f}", f"{fits['again'].start:.2f}"])
        self.section("Losses", "Relative difference: the larger of training and validation.",
                     table(["fit", "epoch", "training, CPU", self.device, "validation, CPU", self.device, "apart"],
                           [[name, epoch, *(f"{x:.5f}" for x in numbers), f"{apart:.1e}"]
                            for name, epoch, *numbers, apart in self.losses_by_epoch]))
        self.section("Seconds per epoch", "Training and validation, batches of 64, seed 0: the median of the epochs but the "
                     f"first. CPU with one thread. Start: the rest of the process. PyTorch: {pytorch['default'][0]}.",
                     table(["fit", "CPU", "CPU, --fast", self.device, f"{self.device}, --fast", "PyTorch",
                            "PyTorch, fused", "PyTorch, a graph", "start, CPU", "start"], rows))

    def pytorch(self, how: str) -> tuple[str, dict[str, float]]:
        """PyTorch's version and its median seconds per epoch for each fit, or why it was not measured."""
        probe = self.begin([sys.executable, "-c", "import torch, pandas; print(torch.__version__, torch.cuda.is_available())"])
        said = self.end_of(probe)[0]
        if probe.returncode:
            return f"not measured: {sys.executable} has no torch and pandas", {}
        version, sees_cuda = said.split()
        if self.device == "cuda" and sees_cuda != "True":
            return f"not measured: this Python's torch {version} sees no CUDA device", {}
        seconds = {}
        for model in self.fits:
            child = self.begin([sys.executable, SCRIPTS / "pytorch_twin.py", "--device", self.device, "--time", "--data",
                                self.options.data, "--fits", MODELS[model], "--optimizer-impl", how,
                                *(["--threads", 1] if self.options.rehearse else [])])
            said, wrong = self.end_of(child)
            if child.returncode:
                return f"not measured: pytorch_twin.py failed: {wrong.strip().splitlines()[-1]}", seconds
            epochs = [float(trn) + float(val) for trn, val in re.findall(r"([\d.]+) s \+ ([\d.]+) s$", said, re.M)]
            seconds[model] = statistics.median(epochs[1:] or epochs)
        return version, seconds

    def card(self) -> None:
        """The run's own proof that a card computed."""
        short = self.fit("auto", "--model", "bias", "--schedule", "0.1x1", "--batch-size", 4096)
        self.verdict("--device auto takes the card", wrong_device(short.metrics, "cuda"))
        card = short.metrics.get("card") or {}
        weights = short.model.stat().st_size / 2  # the file has the optimizer's state, too
        enough = (card.get("peak_bytes") or 0) > weights
        self.verdict("metrics.json names the card and the memory that was taken on it",
                     [] if card.get("name") and enough else [f"it has \"card\": {card}, \"device_reason\": "
                                                             f"{short.metrics.get('device_reason')}"])
        # A card rounds differently from a CPU, and thousands of steps make that visible.
        differ = any(apart != 0 for *_, apart in self.losses_by_epoch)
        self.verdict("the losses come from another processor than the CPU's",
                     [] if differ else ["every loss is the CPU's to the last bit: a card did not compute them"])

    def dropout(self) -> None:
        fits = [self.fit(device, *DROPOUT) for device in ("cpu", self.device, self.device)]
        wrong = [] if fits[1].sha == fits[2].sha else ["two fits differ: its generator is not the seed's"]
        apart = abs(fits[1].val() / fits[0].val() - 1)
        # Other numbers are drawn, so that the losses are not the CPU's.
        wrong += [] if apart < 0.05 else [f"the validation loss is {fits[1].val()}, on the CPU {fits[0].val()}"]
        self.verdict(f"dropout on {self.device} follows from the seed, and learns as on the CPU", wrong)

    def interrupted(self, *how) -> None:
        """Ctrl-C in an epoch, then --resume: the generators of CPU and card continue where they were."""
        device, called = self.device, "".join(f" with {word}" for word in how)
        epochs = max(6, min(500, round(self.options.seconds / self.fit(device, *DROPOUT, *how, "--schedule", "0.01x3").epoch())))
        more = [*DROPOUT, *how, "--schedule", f"0.01x{epochs}"]
        whole, out, kept = self.fit(device, *more), self.out(), self.work / f"kept{called}"
        child = self.begin([self.program, *self.words(device, out, *more, "--checkpoint", kept)])
        while child.poll() is None and not (kept / "checkpoint.safetensors").exists():
            if time.monotonic() > self.deadline:
                self.end_of(child)
            time.sleep(0.005)
        time.sleep(min(1.0, whole.epoch() / 2))
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=60)[1]
        wrong = [] if child.returncode == 130 else [f"it ended with status {child.returncode}: {said.strip()}"]
        self.verdict(f"Ctrl-C in an epoch on {device}{called} ends at a complete epoch, with status 130", wrong)
        if not how:
            self.crosses(kept, more)
        resumed = self.fit(device, *more, "--checkpoint", kept, "--resume")
        self.verdict(f"a resumed fit with dropout on {device}{called} leaves the bytes of an uninterrupted one",
                     [] if resumed.sha == whole.sha else ["the models differ"])

    def crosses(self, kept: Path, more: list) -> None:
        """A copy of a checkpoint, resumed on the CPU."""
        device, copy = self.device, self.work / "crossing"
        shutil.copytree(kept, copy)
        done = self.call(*self.words("cpu", self.out(), *more, "--checkpoint", copy, "--resume"))
        crossed = "continues on the CPU" in done.stderr
        wrong = [] if done.returncode == 0 and crossed != self.options.rehearse else [done.stderr.strip() or "it says nothing"]
        self.verdict(f"what was begun on {device} continues on the CPU when asked to", wrong)

    def asked(self) -> None:
        """Models made on both, asked on the CPU."""
        answers = []
        for fit in (self.fits["bias"]["cpu"], self.fits["bias"]["again"]):
            done = self.call("predict", "--user", 1, "--movie", 31, "--from", fit.model, "--json")
            if done.returncode:
                raise Failed(done.stderr.strip())
            answers.append(json.loads(done.stdout)["stars"])
        apart = abs(answers[1] / answers[0] - 1)
        self.verdict(f"a model made on {self.device} answers as the CPU's does",
                     [] if apart < 10 * self.options.tolerance else [f"{answers[1]} stars, the CPU's {answers[0]}"])

    def refused(self) -> None:
        def refuses(what: str, said: str, device: str, *more) -> None:
            done = self.call(*self.words(device, self.out(), *more))
            error = done.stderr.strip()
            fine = done.returncode in (1, 2) and re.search(said, error) and len(error.splitlines()) == 1
            self.verdict(what, [] if fine else [f"status {done.returncode}: {error}"])

        huge = ["--model", "net", "--factors", 100_000, "--hidden", 100_000]
        refuses("a fit that memory does not hold is refused", "takes at least .* is free", self.device, *huge)
        refuses("a card that is not there is refused",
                "--device cuda:99: " + ("" if self.options.rehearse else ".*numbered from 0"), "cuda:99", "--model", "dot")
        # The rate moves from batch to batch, and losses are read from a card many batches late.
        diverging = ["--model", "dot", "--schedule", "cosine:20,cycles=1", "--batch-size", 16]
        done = self.call(*self.words(self.device, self.out(), *diverging))
        on_cpu = self.call(*self.words("cpu", self.out(), *diverging))
        named = [re.search(r"batch (\d+) of \d+, at a learning rate of ([\d.e]+)", run.stderr) for run in (on_cpu, done)]
        wrong = [] if done.returncode == 1 and all(named) else [f"status {done.returncode}: {done.stderr.strip()}"]
        if all(named):
            # A little rounding may move the batch; the same batch has the same rate.
            (batch, rate), (other, other_rate) = [(int(n[1]), float(n[2])) for n in named]
            if abs(batch - other) > 3 or (batch == other and rate != other_rate):
                wrong.append(f"batch {other} at {other_rate}, on the CPU batch {batch} at {rate}")
        self.verdict("a fit that diverges stops, and names the batch and its rate as on the CPU", wrong)

    def others(self) -> None:
        """A fit on one card leaves the others' memory as it is."""
        def taken() -> list[int]:
            done = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"],
                                  capture_output=True, text=True, timeout=20)
            return [int(line) for line in done.stdout.splitlines() if line.strip().isdigit()]

        before = taken() if shutil.which("nvidia-smi") else []
        if len(before) < 2:
            return self.left_out("a fit on one card leaves the others alone", "this machine shows no two cards")
        for card in (0, 1):
            child, most = self.begin([self.program, *self.words(f"cuda:{card}", self.out(), "--model", "net")]), before
            while child.poll() is None:
                most = [max(pair) for pair in zip(most, taken())]
                time.sleep(0.2)
            self.end_of(child)
            grown = [i for i in range(len(before)) if i != card and most[i] > before[i] + 50]
            self.verdict(f"a fit on cuda:{card} leaves the other cards alone", [f"cuda:{i} grew by "
                         f"{most[i] - before[i]} MiB" for i in grown])

    def sections_run(self) -> None:
        out = self.out()
        done = self.call("run", *self.options.sections, "--device", self.device, "--quiet", "--dpi", 50,
                         "--data", self.options.data, "--out", out)
        wrong = [done.stderr.strip()] if done.returncode else []
        if not wrong:
            wrong = wrong_device(json.loads((out / "metrics.json").read_text()), self.device)
        self.verdict(f"`run` with {' '.join(self.options.sections) or 'all sections'} on {self.device}", wrong)

    def sizes(self) -> None:
        rows, won = [], []
        for size in self.options.sizes:
            fits = [self.fit(device, "--model", "bias", "--schedule", "0.1x4", "--batch-size", size, *more)
                    for device, *more in (["cpu", "--threads", 1], ["cpu", "--threads", 1, "--fast"], [self.device],
                                          *([] if self.no_graphs else [[self.device, "--fast"]]))]
            seconds = [fit.epoch() for fit in fits]
            rows.append([size, *(f"{s:.4f}" for s in seconds)])
            if min(seconds[2:]) < min(seconds[:2]):
                won.append(size)
        wins = f"From batches of {min(won):,} on" if won else "At no size tried"
        self.section("Batch sizes", f"Seconds per epoch of --model bias. {wins}, {self.device} is faster than the CPU's faster "
                     "stepper.", table(["batch", "CPU", "CPU, --fast", self.device, *([] if self.no_graphs else [f"{self.device}, --fast"])], rows))


def card() -> str:
    if not shutil.which("nvidia-smi"):
        return "nvidia-smi not found"
    try:
        done = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"],
                              capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return "nvidia-smi does not answer"
    return done.stdout.strip() or done.stderr.strip()


def take_steps(c: Check) -> None:
    options = c.options
    computes = c.step("the doctor", c.doctor)
    if not computes and not options.rehearse:
        return c.left_out("everything else", "no card computes")
    for model in options.models:
        c.step(f"{model}: the losses", lambda model=model: c.losses(model))
    if not options.rehearse:
        c.step("the card", c.card)
    steps = {"questions": c.asked} if "bias" in c.fits else {}
    steps |= {"times": c.tables, "dropout": c.dropout, "Ctrl-C and --resume": c.interrupted}
    if not c.no_graphs:
        steps["the same with --fast"] = lambda: c.interrupted("--fast")
    steps |= {"refusals": c.refused, "other cards": c.others, "batch sizes": c.sizes, "run": c.sections_run}
    for what, body in steps.items():
        c.step(what, body)


def check(options) -> bool:
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as work:
        c = Check(options, Path(work))
        try:
            take_steps(c)
        except KeyboardInterrupt:
            c.verdict("all steps", ["interrupted by Ctrl-C: the steps after this are missing"])

    title = "Rehearsal on the CPU: no card was tested" if options.rehearse else "lecture5 on a GPU"
    summary = f"{len(c.wrong)} check(s) FAILED" if c.wrong else "Every check passed"
    text = "\n\n".join([f"# {title}", f"**{summary}.** Card: {card()}.", "\n".join(c.lines), *c.sections]) + "\n"
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
    parser.add_argument("--sections", default="", help="of `run`, comma-separated; default: all")
    parser.add_argument("--sizes", default="64,4096,65536", help="of batches, comma-separated")
    parser.add_argument("--seconds", type=float, default=5,
                        help="about how long the interrupted fit takes; it has 6 to 500 epochs (5)")
    parser.add_argument("--minutes", type=float, default=10, help="what is not done by then is not done (10)")
    parser.add_argument("--tolerance", type=float, default=1e-3, metavar="X",
                        help="maximum relative difference from the CPU's loss (1e-3: three digits)")
    parser.add_argument("--rehearse", action="store_true", help="run the same steps with the CPU in place of the card")
    options = parser.parse_args()
    options.models = options.models.split(",")
    options.sections = [name for name in options.sections.split(",") if name]
    options.sizes = [int(size) for size in options.sizes.split(",")]
    if unknown := [model for model in options.models if model not in MODELS]:
        parser.error(f"no model is called {', '.join(unknown)}; there are {', '.join(MODELS)}")
    if not options.program.exists():
        stop(f"{options.program} does not exist: build it (cargo build --release), or name one with LECTURE5_PROGRAM")
    sys.exit(0 if check(options) else 1)


if __name__ == "__main__":
    main()
