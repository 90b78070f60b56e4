#!/usr/bin/env python3
"""The lecture's four fits in plain PyTorch: the reference for the Rust program.

    python3 -m venv venv && venv/bin/pip install torch==2.13.0 numpy
    venv/bin/python scripts/pytorch_twin.py                         # every fit, seed 0, on the CPU
    venv/bin/python scripts/pytorch_twin.py --seeds 0,1 --threads 2 --json tests/fixtures/pytorch_twin.json

It needs only torch and numpy, and draws its random numbers as `lecture5` does, all of them from
libtorch's CPU generator, seeded once before a fit: each parameter in the order of `shapes`, with one
`uniform_` on a float32 CPU tensor of its shape; then, at the start of each epoch, one `randperm` of the
number of training rows. With the libtorch inside PyTorch, the same seed therefore gives the same losses,
up to the rounding of sums that are computed in a different order.

An epoch's losses are those of the lecture's `fit`: `trn`, the debiased running mean of the batches'
losses, which restarts with each call of `fit`; `val`, the mean of the batch means over 128 rows at a
time; and then the mean over the rows, which later versions of fastai print.
"""

import argparse
import json
import math
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

REPOSITORY = Path(__file__).resolve().parent.parent
N_FACTORS, N_HIDDEN, BATCH_SIZE = 50, 10, 64
MIN_RATING, MAX_RATING = 0.5, 5.0


# --- the models: a forward function over named parameters -----------------------------------------------

def dot(p, users, movies):
    u, m = F.embedding(users, p["u"]), F.embedding(movies, p["m"])  # (bs, n_factors) each
    return (u * m).sum(1)  # (bs)


def dot_bias(p, users, movies):
    um = F.embedding(users, p["u"]) * F.embedding(movies, p["m"])  # (bs, n_factors)
    res = um.sum(1) + F.embedding(users, p["ub"]).squeeze(1) + F.embedding(movies, p["mb"]).squeeze(1)
    return torch.sigmoid(res) * (MAX_RATING - MIN_RATING) + MIN_RATING  # (bs)


def net(p, users, movies):
    """Without dropout: `F.dropout` did nothing in the PyTorch that the lecture ran on."""
    x = torch.cat([F.embedding(users, p["u"]), F.embedding(movies, p["m"])], dim=1)  # (bs, 2 * n_factors)
    x = F.relu(F.linear(x, p["lin1.weight"], p["lin1.bias"]))  # (bs, n_hidden)
    x = F.linear(x, p["lin2.weight"], p["lin2.bias"]).squeeze(1)  # (bs)
    return torch.sigmoid(x) * (MAX_RATING - MIN_RATING + 1) + MIN_RATING - 0.5


def shapes(forward, n_users, n_movies):
    """A model's parameters in the order in which they are drawn: name, shape, and the fan-in of a linear
    layer (its bound is 1/sqrt(fan-in)) or None for a table (its bounds are the fit's)."""
    tables = [("u", (n_users, N_FACTORS), None), ("m", (n_movies, N_FACTORS), None)]
    if forward is dot_bias:
        tables += [("ub", (n_users, 1), None), ("mb", (n_movies, 1), None)]
    if forward is net:
        tables += [
            ("lin1.weight", (N_HIDDEN, 2 * N_FACTORS), 2 * N_FACTORS),
            ("lin1.bias", (N_HIDDEN,), 2 * N_FACTORS),
            ("lin2.weight", (1, N_HIDDEN), N_HIDDEN),
            ("lin2.bias", (1,), N_HIDDEN),
        ]
    return tables


def draw_parameters(forward, bounds, n_users, n_movies, device):
    params = {}
    for name, shape, fan_in in shapes(forward, n_users, n_movies):
        low, high = bounds if fan_in is None else (-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
        drawn = torch.empty(shape, dtype=torch.float32).uniform_(low, high)  # on the CPU, whatever the device
        params[name] = drawn.to(device).requires_grad_()
    return params


# --- the fits, with the lecture's settings --------------------------------------------------------------
# Each entry of "calls" is one call of `fit` with the same parameters and optimizer: epochs and rate.

FITS = {
    "collab_learner": dict(
        forward=dot_bias, bounds=(-0.05, 0.05), optimizer="adam", wd=2e-4, calls=[(3, "cosine")], rate=1e-2),
    "embedding_dot": dict(
        forward=dot, bounds=(0.0, 0.05), optimizer="sgd", wd=1e-5, calls=[(3, 1e-1), (3, 1e-2)], rate=1e-1),
    "embedding_dot_bias": dict(
        forward=dot_bias, bounds=(-0.01, 0.01), optimizer="sgd", wd=2e-4, calls=[(3, 1e-1)], rate=1e-1),
    "embedding_net": dict(
        forward=net, bounds=(-0.05, 0.05), optimizer="sgd", wd=5e-4, calls=[(3, 1e-2), (3, 1e-3)], rate=1e-2),
}


def cosine_rates(rate, nb):
    """`fit(rate, 2, cycle_len=1, cycle_mult=2)`, batch by batch: cycles of nb and 2·nb batches, and a
    hundredth of the rate for the first twentieth of the first cycle; its clock runs during that time."""
    warm_up = nb / 20
    for cycle in (nb, 2 * nb):
        for clock in range(cycle):
            if cycle == nb and clock < warm_up:
                yield rate / 100
            else:
                yield rate / 2 * (math.cos(math.pi * clock / cycle) + 1)


def make_optimizer(kind, params, rate, wd, implementation):
    how = {} if implementation == "default" else {implementation: True}
    if kind == "adam":
        return torch.optim.Adam(params.values(), rate, weight_decay=wd, **how)
    return torch.optim.SGD(params.values(), rate, momentum=0.9, weight_decay=wd, **how)


# --- the data -------------------------------------------------------------------------------------------

def index_of(column):
    """Ids numbered from 0 in the order in which they first appear in the file."""
    seen = {}
    return [seen.setdefault(value, len(seen)) for value in column.tolist()], len(seen)


def load(folder, device):
    path = Path(folder) / "ratings.csv"
    if not path.exists():
        sys.exit(f"{path} does not exist: name the folder of ratings.csv with --data")
    with path.open() as file:
        header = file.readline().strip()
        if header != "userId,movieId,rating,timestamp":
            sys.exit(f"{path}: the first line is {header!r}, not userId,movieId,rating,timestamp")
        table = np.loadtxt(file, delimiter=",", usecols=(0, 1, 2))
    users, n_users = index_of(table[:, 0])
    movies, n_movies = index_of(table[:, 1])
    np.random.seed(42)  # get_cv_idxs
    val_idxs = np.random.permutation(len(table))[: int(0.2 * len(table))]
    is_val = np.zeros(len(table), dtype=bool)
    is_val[val_idxs] = True
    columns = [torch.tensor(users), torch.tensor(movies), torch.tensor(table[:, 2], dtype=torch.float32)]

    def part(mask):  # in file order
        return [column[torch.from_numpy(mask)].to(device) for column in columns]

    return part(~is_val), part(is_val), n_users, n_movies


# --- the loop -------------------------------------------------------------------------------------------

def batches(rows, size):
    return zip(*(column.split(size) for column in rows))


def train_epoch(forward, params, optimizer, trn, rates):
    order = torch.randperm(len(trn[2])).to(trn[2].device)  # drawn on the CPU
    losses = []
    for (users, movies, ratings), rate in zip(batches([column[order] for column in trn], BATCH_SIZE), rates):
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = F.mse_loss(forward(params, users, movies), ratings)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).tolist()


@torch.no_grad()
def validate(forward, params, val):
    """The mean of the batch means, the mean over the rows, and the predictions."""
    preds = [forward(params, users, movies) for users, movies, _ in batches(val, 2 * BATCH_SIZE)]
    ratings = val[2].split(2 * BATCH_SIZE)
    losses = torch.stack([F.mse_loss(p, y) for p, y in zip(preds, ratings)]).tolist()
    by_rows = sum(loss * len(y) for loss, y in zip(losses, ratings)) / len(val[2])
    return sum(losses) / len(losses), by_rows, torch.cat(preds)


def run(name, seed, data, options):
    """One fit: its rows [trn, val, val_by_rows], one per epoch, and its last validation predictions."""
    settings = FITS[name]
    forward = settings["forward"]
    trn, val, n_users, n_movies = data
    torch.manual_seed(seed)
    params = draw_parameters(forward, settings["bounds"], n_users, n_movies, options.device)
    if options.dump_init:
        for key, value in params.items():
            print(f"  {key:12} {str(tuple(value.shape)):12} sum {value.detach().double().sum().item():.12g}")
    optimizer = make_optimizer(
        settings["optimizer"], params, settings["rate"], settings["wd"], options.optimizer_impl)

    rows = []
    for epochs, rate in settings["calls"]:
        nb = math.ceil(len(trn[2]) / BATCH_SIZE)
        rates = cosine_rates(settings["rate"], nb) if rate == "cosine" else iter([rate] * (epochs * nb))
        average, batch = 0.0, 0
        for epoch in range(epochs):
            began = time.perf_counter()
            losses = train_epoch(forward, params, optimizer, trn, rates)
            trained = time.perf_counter()
            for loss in losses:
                batch += 1
                average = average * 0.98 + loss * (1 - 0.98)
            trn_loss = average / (1 - 0.98**batch)
            val_loss, by_rows, preds = validate(forward, params, val)
            rows.append([trn_loss, val_loss, by_rows])
            line = f"{name:18} seed {seed}  [ {epoch}  {trn_loss:.6f}  {val_loss:.6f} ]"
            line += f"  by rows {by_rows:.6f}"
            if options.time:
                line += f"  {trained - began:.2f} s + {time.perf_counter() - trained:.2f} s"
            print(line, flush=True)
    return rows, preds


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
    parser.add_argument("--optimizer-impl", choices=["default", "fused", "foreach"], default="default")
    parser.add_argument("--flush-denormal", action="store_true", help="round subnormal floats to zero")
    parser.add_argument("--json", metavar="FILE", help="write every loss here, at full precision")
    parser.add_argument("--predictions", metavar="FILE",
                        help="write the last run's validation predictions and targets here (csv)")
    parser.add_argument("--time", action="store_true", help="print each epoch's seconds, training + validation")
    parser.add_argument("--dump-init", action="store_true", help="print the sum of each parameter as drawn")
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

    data = load(options.data, options.device)
    print(f"torch {torch.__version__}, {options.device}, {torch.get_num_threads()} threads, "
          f"{options.optimizer_impl} optimizer; {data[2]} users, {data[3]} movies, "
          f"{len(data[0][2])} training and {len(data[1][2])} validation rows")
    results = {}
    for name in names:
        for seed in map(int, options.seeds.split(",")):
            rows, preds = run(name, seed, data, options)
            results.setdefault(name, {})[str(seed)] = rows
    if options.json:
        write_json(options.json, results, options)
    if options.predictions:
        pairs = zip(preds.tolist(), data[1][2].tolist())
        Path(options.predictions).write_text(
            "prediction,target\n" + "".join(f"{p:.9g},{y}\n" for p, y in pairs))


if __name__ == "__main__":
    main()
