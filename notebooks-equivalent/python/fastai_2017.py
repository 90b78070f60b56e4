"""The part of `from fastai.learner import *` and `from fastai.column_data import *` that the lecture's notebook of 2017
used, for today's PyTorch. The cells that the page shows are named after its sections.

Random numbers are drawn as lecture5 draws them: all from PyTorch's CPU generator, each parameter by one `uniform_`, then
one `randperm` at the start of each epoch. `skip_init` makes a layer without the random numbers that PyTorch's own
initialization would draw.
"""

# %% use
import math
import random

import numpy as np
import pandas as pd
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.nn.utils import skip_init

T = torch.tensor


def V(x):
    """Made a variable of a tensor in 2017; every tensor is one today."""
    return x


# %% get_cv_idxs
def get_cv_idxs(n, val_pct=0.2, seed=42):
    np.random.seed(seed)
    return np.random.permutation(n)[: int(val_pct * n)]


# %% ColumnarModelData
class Batches:
    """Batches of rows: shuffled anew for each epoch, or in file order."""

    def __init__(self, cats, y, bs, shuffle, device):
        self.cats, self.y = torch.tensor(cats, device=device), torch.tensor(y, device=device)
        self.bs, self.shuffle = bs, shuffle

    def __len__(self):
        return math.ceil(len(self.y) / self.bs)

    def __iter__(self):
        cats, y = self.cats, self.y
        if self.shuffle:
            order = torch.randperm(len(y)).to(y.device)
            cats, y = cats[order], y[order]
        return zip(cats.split(self.bs), y.split(self.bs))


class ColumnarModelData:
    def __init__(self, val_idxs, cats, y, bs, device):
        val = np.zeros(len(y), dtype=bool)
        val[val_idxs] = True
        self.trn_dl = Batches(cats[~val], y[~val], bs, True, device)
        self.val_dl = Batches(cats[val], y[val], 2 * bs, False, device)
        self.val_y = y[val]

    @classmethod
    def from_data_frame(cls, path, val_idxs, x, y, cat_flds, bs, device="cpu"):
        return cls(val_idxs, x[cat_flds].to_numpy(), y.to_numpy(dtype=np.float32), bs, device)


# %% embedding_dot_bias: fastai
def get_emb(ni, nf):
    e = skip_init(nn.Embedding, ni, nf)
    e.weight.data.uniform_(-0.05, 0.05)
    return e


class EmbeddingDotBias(nn.Module):
    def __init__(self, n_factors, n_users, n_items, min_score, max_score):
        super().__init__()
        self.min_score, self.max_score = min_score, max_score
        (self.u, self.i, self.ub, self.ib) = [get_emb(*o) for o in [
            (n_users, n_factors), (n_items, n_factors), (n_users, 1), (n_items, 1)
        ]]

    def forward(self, users, items):
        um = self.u(users) * self.i(items)
        res = um.sum(1) + self.ub(users).squeeze(1) + self.ib(items).squeeze(1)
        return torch.sigmoid(res) * (self.max_score - self.min_score) + self.min_score


# %% training_loop: fit
class Stepper:
    def __init__(self, model, opt, crit):
        self.model, self.opt, self.crit = model, opt, crit

    def reset(self, train):
        self.model.train(train)

    def step(self, x, y):
        loss = self.crit(self.model(x, None), y)
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        return loss.item()  # loss.data[0] in 2017


def fit(model, data, epochs, opt, crit, on_batch=None):
    stepper = Stepper(model, opt, crit)
    avg_mom = 0.98
    batch_num, avg_loss = 0, 0.0
    losses = []
    for epoch in range(epochs):
        stepper.reset(True)
        for x, y in data.trn_dl:
            if on_batch:
                on_batch(batch_num)  # sets the learning rate
            batch_num += 1
            loss = stepper.step(V(x), V(y))
            avg_loss = avg_loss * avg_mom + loss * (1 - avg_mom)
            debias_loss = avg_loss / (1 - avg_mom**batch_num)
        stepper.reset(False)
        val, by_rows = validate(model, data.val_dl, crit)
        print(np.round([epoch, debias_loss, val], 6))
        losses.append([debias_loss, val, by_rows])
    return losses


# %% validate
@torch.no_grad()
def predict(model, dl):
    return torch.cat([model(x, None) for x, _ in dl])


@torch.no_grad()
def validate(model, dl, crit):
    """The mean of the batches' means, as the fit of 2017 printed it, and the mean over the rows."""
    found = [(crit(model(x, None), y).item(), len(y)) for x, y in dl]
    return sum(loss for loss, _ in found) / len(found), sum(loss * n for loss, n in found) / sum(n for _, n in found)


def set_lrs(opt, lr):
    for group in opt.param_groups:
        group["lr"] = lr


# %% CollabFilterDataset
class UserItem(nn.Module):
    """fastai's models of users and items take both columns of `cats` apart."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, cats, conts):
        return self.model(cats[:, 0], cats[:, 1])


class CollabFilterDataset:
    def __init__(self, users, items, ratings):
        self.users, self.items = pd.factorize(users), pd.factorize(items)  # indices in order of appearance, and the ids
        self.cats = np.stack([self.users[0], self.items[0]], axis=1)
        self.y = ratings.to_numpy(dtype=np.float32)
        self.n_users, self.n_items = len(self.users[1]), len(self.items[1])

    @classmethod
    def from_csv(cls, path, csv, user_name, item_name, rating):
        df = pd.read_csv(path + csv)
        return cls(df[user_name], df[item_name], df[rating])

    def get_learner(self, n_factors, val_idxs, bs, opt_fn, device="cpu"):
        data = ColumnarModelData(val_idxs, self.cats, self.y, bs, device)
        low, high = float(self.y.min()), float(self.y.max())
        model = UserItem(EmbeddingDotBias(n_factors, self.n_users, self.n_items, low, high)).to(device)
        return Learner(data, model, opt_fn)


# %% Learner
class Learner:
    def __init__(self, data, model, opt_fn):
        self.data, self.model, self.opt_fn = data, model, opt_fn

    def fit(self, lr, n_cycle, wds, cycle_len=1, cycle_mult=1):
        """Cosine annealing with restarts; a hundredth of the rate for the first twentieth of the first cycle."""
        opt = self.opt_fn(self.model.parameters(), lr, weight_decay=wds)
        nb = len(self.data.trn_dl)
        epochs = [cycle_len * cycle_mult**cycle for cycle in range(n_cycle)]
        starts = np.cumsum([0, *epochs]) * nb

        def on_batch(batch):
            cycle = np.searchsorted(starts, batch, side="right") - 1
            clock, length = batch - starts[cycle], epochs[cycle] * nb
            warm_up = cycle == 0 and clock < length / 20
            set_lrs(opt, lr / 100 if warm_up else lr / 2 * (math.cos(math.pi * clock / length) + 1))

        return fit(self.model, self.data, sum(epochs), opt, F.mse_loss, on_batch)

    def predict(self):
        return predict(self.model, self.data.val_dl).cpu().numpy()
