#!/usr/bin/env python3
"""The lecture's four fits in plain PyTorch: the reference for the Rust program.

    python3 -m venv venv && venv/bin/pip install torch==2.13.0 pandas
    venv/bin/python scripts/pytorch_twin.py                         # every fit, seed 0, on the CPU
    venv/bin/python scripts/pytorch_twin.py --seeds 0,1 --threads 2 --json tests/fixtures/pytorch_twin.json

It runs the cells of notebooks-equivalent/python/lecture.py, the Python that the page shows next to the Rust, with other
seeds, data and devices. The cells draw their random numbers as `lecture5` does, all of them from libtorch's CPU
generator, seeded once before a fit. With the libtorch inside PyTorch, the same seed therefore gives the same losses, up
to the rounding of sums that are computed in a different order.

An epoch's losses are those of the lecture's `fit`: `trn`, the debiased running mean of the batches' losses, which
restarts with each call of `fit`; `val`, the mean of the batch means over 128 rows at a time; and then the mean over the
rows, which later versions of fastai print.
"""

import argparse
import contextlib
import functools
import io
import json
import shlex
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import torch

REPOSITORY = Path(__file__).resolve().parent.parent
PROGRAM = REPOSITORY / "notebooks-equivalent/python/lecture.py"
sys.path.insert(0, str(PROGRAM.parent))

import fastai_2017  # noqa: E402

# What every fit needs, and the cells of each: the first makes the model and its optimizer, the others train it.
SHARED = ["movielens: ratings", "collab_filter: val_idxs", "collab_filter: cf", "dot_product: u_uniq", "dot_product: n_users",
          "embedding_dot: EmbeddingDot", "embedding_dot: x", "embedding_dot: data", "embedding_dot_bias: min_rating",
          "embedding_dot_bias: EmbeddingDotBias", "embedding_net: EmbeddingNet"]
FITS = {
    "collab_learner": ["collab_filter: learn", "collab_filter: learn.fit"],
    "embedding_dot": ["embedding_dot: opt", "embedding_dot: fit", "embedding_dot: set_lrs", "embedding_dot: fit again"],
    "embedding_dot_bias": ["embedding_dot_bias: opt", "embedding_dot_bias: fit"],
    "embedding_net": ["embedding_net: opt", "embedding_net: fit", "embedding_net: set_lrs", "embedding_net: fit again"],
}
# Executed before them, because other fits' cells give the same names other values: `wd`, and `get_emb`.
BEFORE = {"collab_learner": "collab_filter: val_idxs", "embedding_dot_bias": "embedding_dot_bias: get_emb",
          "embedding_net": "embedding_net: get_emb"}


# --- the program's cells --------------------------------------------------------------------------------

def cells():
    """The code of each named cell, with empty lines before it so that errors name the line of the file."""
    found, name = {}, None
    for number, line in enumerate(PROGRAM.read_text().splitlines()):
        if line.startswith("# %% "):
            name = line.removeprefix("# %% ")
            found[name] = "\n" * (number + 1)
        elif name:
            found[name] += line + "\n"
    return found


def execute(names, names_of_cells):
    """Runs cells one after the other; returns what they printed."""
    code, printed = cells(), io.StringIO()
    with contextlib.redirect_stdout(printed):
        for name in names_of_cells:
            exec(compile(code[name], PROGRAM, "exec"), names)
    return printed.getvalue()


def begin():
    names = {"__file__": str(PROGRAM), "__name__": "lecture"}
    execute(names, ["import", "movielens: path"])
    return names


def every_cell():
    """Runs the whole program; returns what each cell printed."""
    names = {"__file__": str(PROGRAM), "__name__": "lecture"}
    return {name: execute(names, [name]) for name in cells()}


class Graphed(fastai_2017.Stepper):
    """Records a whole step as one CUDA graph, and replays it."""

    def batch(self, x, y):
        loss = self.crit(self.model(x, None), y)
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        return loss

    def step(self, x, y):
        if not hasattr(self, "graph"):
            self.x, self.y, aside = x.clone(), y.clone(), torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                loss = self.batch(x, y).item()
            torch.cuda.current_stream().wait_stream(aside)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.loss = self.batch(self.x, self.y)
            return loss
        if len(y) != len(self.y):
            return self.batch(x, y).item()
        self.x.copy_(x)
        self.y.copy_(y)
        self.graph.replay()
        return self.loss.item()


# --- the fits -------------------------------------------------------------------------------------------

def load(folder, device, flush_denormal=False):
    """The data and the models' classes: the names that the shared cells define."""
    names = begin()
    torch.set_flush_denormal(flush_denormal)
    if not (Path(folder) / "ratings.csv").exists():
        sys.exit(f"{folder}/ratings.csv does not exist: name the folder of ratings.csv with --data")
    names.update(path=f"{folder}/", device=device)
    execute(names, SHARED)
    return names


def run(name, seed, names, options):
    """One fit: its rows [trn, val, val_by_rows], one per epoch, and its last validation predictions."""
    graphed = options.optimizer_impl == "graphed"
    how = {} if options.optimizer_impl == "default" else {"fused" if graphed else options.optimizer_impl: True}
    adam = {**how, "capturable": True} if graphed else how
    names["optim"] = SimpleNamespace(SGD=functools.partial(torch.optim.SGD, **how),
                                     Adam=functools.partial(torch.optim.Adam, **adam))
    if graphed:
        fastai_2017.Stepper = Graphed
    names["seed"] = seed
    make, *train = FITS[name]
    execute(names, [*filter(None, [BEFORE.get(name)]), make])
    model, data = (names["learn"].model, names["learn"].data) if name == "collab_learner" else (names["model"], names["data"])
    if options.dump_init:
        for key, value in model.named_parameters():
            print(f"  {key:12} {str(tuple(value.shape)):12} sum {value.detach().double().sum().item():.12g}")

    rows, seconds, validate = [], [], fastai_2017.validate

    def timed(*arguments):
        began = time.perf_counter()
        losses = validate(*arguments)
        seconds.append((began, time.perf_counter()))
        return losses

    fastai_2017.validate = timed
    try:
        for cell in train:
            before, done, names["losses"] = time.perf_counter(), len(seconds), []
            execute(names, [cell])
            for epoch, (row, (began, ended)) in enumerate(zip(names["losses"], seconds[done:])):
                rows.append(row)
                line = f"{name:18} seed {seed}  [ {epoch}  {row[0]:.6f}  {row[1]:.6f} ]  by rows {row[2]:.6f}"
                if options.time:
                    line += f"  {began - before:.3f} s + {ended - began:.3f} s"
                print(line, flush=True)
                before = ended
    finally:
        fastai_2017.validate = validate
    return rows, fastai_2017.predict(model, data.val_dl)


def write_json(path, results, options):
    """One line per epoch; Python prints the shortest digits that read back as the same float64 (17 at most)."""
    command = shlex.join(["scripts/pytorch_twin.py", *sys.argv[1:]])
    head = {"torch": torch.__version__.split("+")[0], "command": command, "device": options.device,
            "threads": torch.get_num_threads(), "optimizer": options.optimizer_impl}
    lines = ["{", *(f" {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()), ' "fits": {']
    fits = []
    for name, seeds in results.items():
        runs = []
        for seed, rows in seeds.items():
            runs.append(f'   "{seed}": [\n    ' + ",\n    ".join(json.dumps(row) for row in rows) + "\n   ]")
        fits.append(f'  "{name}": {{\n' + ",\n".join(runs) + "\n  }")
    Path(path).write_text("\n".join(lines) + "\n" + ",\n".join(fits) + "\n }\n}\n")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", default=",".join(FITS), help="comma-separated; default: all four")
    parser.add_argument("--seeds", default="0", help="comma-separated (0)")
    parser.add_argument("--data", default=REPOSITORY / "data/ml-latest-small", metavar="DIR",
                        help="the folder of ratings.csv (the repository's own)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, help="default: PyTorch's own choice")
    parser.add_argument("--optimizer-impl", choices=["default", "fused", "foreach", "graphed"],
                        default="default", help="of PyTorch's optimizers; graphed: fused, and each step as one CUDA graph")
    parser.add_argument("--flush-denormal", action="store_true", help="round subnormal floats to zero")
    parser.add_argument("--json", metavar="FILE", help="write every loss here, at full precision")
    parser.add_argument("--predictions", metavar="FILE",
                        help="write the last run's validation predictions and targets here (csv)")
    parser.add_argument("--time", action="store_true", help="print each epoch's seconds, training + validation")
    parser.add_argument("--dump-init", action="store_true", help="print the sum of each parameter as drawn")
    parser.add_argument("--cells", metavar="FILE",
                        help="run the program as it stands instead, and write what each cell printed here (JSON)")
    options = parser.parse_args()

    names = options.fits.split(",")
    if unknown := [name for name in names if name not in FITS]:
        parser.error(f"no fit is called {', '.join(unknown)}; there are {', '.join(FITS)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.flush_denormal and not torch.set_flush_denormal(True):
        parser.error("this processor cannot flush subnormal floats")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("this PyTorch sees no CUDA device")
    if options.cells:
        Path(options.cells).write_text(json.dumps(every_cell(), indent=1))
        return

    program = load(options.data, options.device, options.flush_denormal)
    data = program["data"]
    print(f"torch {torch.__version__}, {options.device}, {torch.get_num_threads()} threads, "
          f"{options.optimizer_impl} optimizer; {program['n_users']} users, {program['n_movies']} movies, "
          f"{len(data.trn_dl.y)} training and {len(data.val_dl.y)} validation rows")
    results = {}
    for name in names:
        for seed in map(int, options.seeds.split(",")):
            rows, preds = run(name, seed, program, options)
            results.setdefault(name, {})[str(seed)] = rows
    if options.json:
        write_json(options.json, results, options)
    if options.predictions:
        pairs = zip(preds.tolist(), data.val_dl.y.tolist())
        Path(options.predictions).write_text(
            "prediction,target\n" + "".join(f"{p:.9g},{y}\n" for p, y in pairs))


if __name__ == "__main__":
    main()
