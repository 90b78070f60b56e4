"""The lecture in today's Python: pandas, NumPy, PyTorch. The page shows it next to the Rust that does the same.

    pip install torch pandas
    python notebooks-equivalent/python/lecture.py

A cell is named `section: cell`, after the Rust cell that it is shown with. The names and their order are the lecture's.
scripts/pytorch_twin.py runs these cells with other seeds, on other devices, and compares lecture5's losses with theirs.
"""

# %% import
from fastai_2017 import *

# %% movielens: path
from pathlib import Path

path = f"{Path(__file__).parents[2]}/data/ml-latest-small/"
device, seed = "cpu", 0
torch.set_flush_denormal(True)  # Adam slows down on numbers too small to matter

# %% movielens: ratings
ratings = pd.read_csv(path + "ratings.csv")
print(ratings.head())

# %% movielens: movies
movies = pd.read_csv(path + "movies.csv")
print(movies.head().to_string())

# %% movielens: value_counts
print(ratings.rating.value_counts().sort_index().to_string())
print(ratings.rating.mean().round(4), ratings.rating.std(ddof=0).round(4))

# %% excel_subset: top_users
# "stable": equal counts stay in the order of their ids; pandas' own sort leaves that order to the processor
g = ratings.groupby("userId")["rating"].count()
top_users = g.sort_values(ascending=False, kind="stable")[:15]

g = ratings.groupby("movieId")["rating"].count()
top_movies = g.sort_values(ascending=False, kind="stable")[:15]
print(top_users.to_string(), top_movies.to_string(), sep="\n")

# %% excel_subset: top_r
# pandas 3 refuses two columns with the same name, which the lecture's rsuffix="_r" would make here
top_r = ratings.join(top_users.rename("by_user"), how="inner", on="userId")
top_r = top_r.join(top_movies.rename("of_movie"), how="inner", on="movieId")

# %% excel_subset: crosstab
crosstab = pd.crosstab(top_r.userId, top_r.movieId, top_r.rating, aggfunc="sum")
print(crosstab.T.to_string())
print(crosstab.count().sum(), "of", crosstab.size)

# %% collab_filter: val_idxs
val_idxs = get_cv_idxs(len(ratings))
wd = 2e-4
n_factors = 50
print(val_idxs[:10], len(val_idxs))

# %% collab_filter: cf
cf = CollabFilterDataset.from_csv(path, "ratings.csv", "userId", "movieId", "rating")

# %% collab_filter: learn
torch.manual_seed(seed)
learn = cf.get_learner(n_factors, val_idxs, 64, opt_fn=optim.Adam, device=device)

# %% collab_filter: learn.fit
losses = learn.fit(1e-2, 2, wds=wd, cycle_len=1, cycle_mult=2)

# %% collab_filter: sqrt
print(math.sqrt(0.776))

# %% collab_filter: preds
preds = learn.predict()

# %% collab_filter: y
y = learn.data.val_y
# sns.jointplot(x=preds, y=y, kind="hex")
print(math.sqrt(np.mean((preds - y) ** 2)))

# %% dot_product: a
a = T([[1.0, 2], [3, 4]])
b = T([[2.0, 2], [10, 10]])
print(a, b)

# %% dot_product: a*b
print(a * b)

# %% dot_product: sum
print((a * b).sum(1))


# %% dot_product: DotProduct
class DotProduct(nn.Module):
    def forward(self, u, m):
        return (u * m).sum(1)


# %% dot_product: model
model = DotProduct()

# %% dot_product: model(a,b)
print(model(a, b))

# %% dot_product: u_uniq
u_uniq = ratings.userId.unique()
user2idx = {o: i for i, o in enumerate(u_uniq)}
ratings.userId = ratings.userId.apply(lambda x: user2idx[x])

m_uniq = ratings.movieId.unique()
movie2idx = {o: i for i, o in enumerate(m_uniq)}
ratings.movieId = ratings.movieId.apply(lambda x: movie2idx[x])
print(ratings[["userId", "movieId"]].head())

# %% dot_product: n_users
n_users = int(ratings.userId.nunique())
n_movies = int(ratings.movieId.nunique())
print(n_users, n_movies)


# %% embedding_dot: EmbeddingDot
class EmbeddingDot(nn.Module):
    def __init__(self, n_users, n_movies):
        super().__init__()
        self.u = skip_init(nn.Embedding, n_users, n_factors)
        self.m = skip_init(nn.Embedding, n_movies, n_factors)
        self.u.weight.data.uniform_(0, 0.05)
        self.m.weight.data.uniform_(0, 0.05)

    def forward(self, cats, conts):
        users, movies = cats[:, 0], cats[:, 1]
        u, m = self.u(users), self.m(movies)
        return (u * m).sum(1)


# %% embedding_dot: x
x = ratings.drop(["rating", "timestamp"], axis=1)
y = ratings["rating"]

# %% embedding_dot: data
data = ColumnarModelData.from_data_frame(path, val_idxs, x, y, ["userId", "movieId"], 64, device)

# %% embedding_dot: opt
wd = 1e-5
torch.manual_seed(seed)
model = EmbeddingDot(n_users, n_movies).to(device)  # .cuda() in the lecture
opt = optim.SGD(model.parameters(), 1e-1, weight_decay=wd, momentum=0.9)

# %% embedding_dot: fit
losses = fit(model, data, 3, opt, F.mse_loss)

# %% embedding_dot: set_lrs
set_lrs(opt, 0.01)

# %% embedding_dot: fit again
losses = fit(model, data, 3, opt, F.mse_loss)

# %% embedding_dot_bias: min_rating
min_rating, max_rating = ratings.rating.min(), ratings.rating.max()
print(min_rating, max_rating)


# %% embedding_dot_bias: get_emb
def get_emb(ni, nf):
    e = skip_init(nn.Embedding, ni, nf)
    e.weight.data.uniform_(-0.01, 0.01)
    return e


# %% embedding_dot_bias: EmbeddingDotBias
class EmbeddingDotBias(nn.Module):
    def __init__(self, n_users, n_movies):
        super().__init__()
        (self.u, self.m, self.ub, self.mb) = [get_emb(*o) for o in [
            (n_users, n_factors), (n_movies, n_factors), (n_users, 1), (n_movies, 1)
        ]]

    def forward(self, cats, conts):
        users, movies = cats[:, 0], cats[:, 1]
        um = self.u(users) * self.m(movies)
        res = um.sum(1) + self.ub(users).squeeze(1) + self.mb(movies).squeeze(1)
        return torch.sigmoid(res) * (max_rating - min_rating) + min_rating


# %% embedding_dot_bias: opt
wd = 2e-4
torch.manual_seed(seed)
model = EmbeddingDotBias(cf.n_users, cf.n_items).to(device)
opt = optim.SGD(model.parameters(), 1e-1, weight_decay=wd, momentum=0.9)

# %% embedding_dot_bias: fit
losses = fit(model, data, 3, opt, F.mse_loss)

# %% embedding_net: get_emb
from fastai_2017 import get_emb  # redefined by the lecture's cell 35: between -0.05 and 0.05


# %% embedding_net: EmbeddingNet
class EmbeddingNet(nn.Module):
    def __init__(self, n_users, n_movies, nh=10):
        super().__init__()
        (self.u, self.m) = [get_emb(*o) for o in [
            (n_users, n_factors), (n_movies, n_factors)]]
        self.lin1 = nn.Linear(n_factors * 2, 10)  # the lecture's third argument, nh, is the layer's `bias`
        self.lin2 = nn.Linear(10, 1)

    def forward(self, cats, conts):
        users, movies = cats[:, 0], cats[:, 1]
        x = F.dropout(torch.cat([self.u(users), self.m(movies)], dim=1), 0.75, training=False)  # the default of 2017
        x = F.dropout(F.relu(self.lin1(x)), 0.75, training=False)
        return (torch.sigmoid(self.lin2(x)) * (max_rating - min_rating + 1) + min_rating - 0.5).squeeze(1)


# %% embedding_net: opt
wd = 5e-4
torch.manual_seed(seed)
model = EmbeddingNet(n_users, n_movies).to(device)
opt = optim.SGD(model.parameters(), 1e-2, weight_decay=wd, momentum=0.9)

# %% embedding_net: fit
losses = fit(model, data, 3, opt, F.mse_loss)

# %% embedding_net: set_lrs
set_lrs(opt, 1e-3)

# %% embedding_net: fit again
losses = fit(model, data, 3, opt, F.mse_loss)

# %% training_loop: points
x = T([14, 86, 28, 51, 28, 29, 72, 62, 84, 15, 42, 62, 47, 35, 9, 38, 44, 99, 13, 21, 28, 20, 8, 64, 99, 70, 27, 17, 8.0])
y = 2 * x + 30
print(torch.stack([x, y], dim=1)[:5])


# %% training_loop: error
def error(b, a, x, y):
    return (b + a * x - y) ** 2


print(error(1.0, 1, x[0], y[0]).item(), error(1.5, 1, x[0], y[0]).item())

# %% training_loop: finite differences
h = 0.01
x0, y0 = x[0].item(), y[0].item()
print(round((error(1 + h, 1, x0, y0) - error(1, 1, x0, y0)) / h, 2), round((error(1, 1 + h, x0, y0) - error(1, 1, x0, y0)) / h, 2))

# %% training_loop: backward
w = T([1.0, 1.0], requires_grad=True)  # b, a
error(w[0], w[1], x[0], y[0]).backward()
print(w.grad)

# %% training_loop: sgd
b = a = 1.0
for x_, y_ in zip(x[:3].tolist(), y[:3].tolist()):
    pred = b + a * x_
    de_db = 2 * (pred - y_)
    de_da = x_ * de_db
    print(x_, y_, round(b, 6), round(a, 6), round(pred, 6), round((pred - y_) ** 2, 6), round(de_db, 6), round(de_da, 6))
    b, a = b - 1e-4 * de_db, a - 1e-4 * de_da


# %% training_loop: optimizers
def train_line(opt_fn, epochs=5):
    w = T([1.0, 1.0], dtype=torch.float64, requires_grad=True)
    opt = opt_fn([w])
    for _ in range(epochs):
        for x_, y_ in zip(x.double(), y.double()):
            opt.zero_grad()
            error(w[0], w[1], x_, y_).backward()
            opt.step()
    return w.detach()


for opt_fn in [
    lambda p: optim.SGD(p, 1e-4),
    lambda p: optim.SGD(p, 1e-5, momentum=0.9),
    lambda p: optim.Adam(p, 1.0),
    lambda p: optim.Adam(p, 1.0, weight_decay=0.01),
    lambda p: optim.AdamW(p, 1.0, weight_decay=0.01),
]:
    print(train_line(opt_fn).numpy().round(4))

# %% training_loop: AdamW
for opt_fn in [optim.Adam, optim.AdamW]:
    w = T([1.0, 1.0], requires_grad=True)
    opt = opt_fn([w], 0.01, weight_decay=0.1)
    for step in range(200):
        opt.zero_grad()
        (w * T([100, 0.01]) * (-1) ** step).sum().backward()
        opt.step()
    print(w.detach().numpy().round(4))

# %% training_loop: running mean
avg_mom, avg_loss, batch_num = 0.98, 0.0, 0
for loss in [2, 1.5, 1.2]:
    batch_num += 1
    avg_loss = avg_loss * avg_mom + loss * (1 - avg_mom)
    print(loss, round(avg_loss, 4), round(avg_loss / (1 - avg_mom**batch_num), 4))
