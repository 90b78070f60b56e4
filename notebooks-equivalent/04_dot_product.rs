// %% [markdown]
// # The dot product
//
// Linear algebra on two small matrices, and the first layer of our own: `DotProduct`.
//
// A tensor is an array of numbers of any number of dimensions; **`T`** makes one in the lecture, and
// `Tensor::from_slice` here.

// %%
use anyhow::Result;
use tch::Tensor;

use lecture5::models::DotProduct;
use lecture5::movielens::Ids;
use lecture5::notebook::{Notebook, Table};
use lecture5::run::lecture::{Lecture, shown};

pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## Two matrices
    //
    // Think of a row of `a` as a user, of the same row of `b` as a movie.

    // %%
    let a = Tensor::from_slice2(&[[1f32, 2.], [3., 4.]]).to_device(lecture.run.device);
    let b = Tensor::from_slice2(&[[2f32, 2.], [10., 10.]]).to_device(lecture.run.device);
    nb.print("a");
    nb.print(shown(&a)?);
    nb.print("b");
    nb.print(shown(&b)?);

    // %% [markdown]
    // `a * b` multiplies element by element:

    // %%
    nb.show(shown(&(&a * &b))?);

    // %% [markdown]
    // and `.sum(1)` adds along dimension 1, across the columns. Together they are the dot product of each row of
    // `a` with the same row of `b`:

    // %%
    nb.show(shown(&(&a * &b).sum_dim_intlist(1, false, None))?);

    // %% [markdown]
    // ## Our first custom layer
    //
    // In PyTorch a layer is a class that extends `nn.Module`, and what it computes stands in its method
    // **`forward`**. Nobody calls `forward` by name: whoever calls the module (`model(a, b)`) calls it, and so
    // do the other parts of the library. Here it is the multiplication of matrices. `backward`, which finds the gradients, is not written at all: PyTorch
    // records what `forward` does and works backwards through it.
    //
    // In Rust a layer is a struct with a method `forward`, and it is called by its name.

    // %%
    nb.source(include_str!("../src/models.rs"), "struct DotProduct")?;

    // %% [markdown]
    // An instance of it, and its answer:

    // %%
    let model = DotProduct;
    nb.show(shown(&model.forward(&a, &b))?);

    // %% [markdown]
    // ## Prepare the data
    //
    // The ids of users and movies skip numbers, but an embedding is a table whose rows are looked up by number,
    // so it would need a row for each number that is skipped. Therefore:
    //
    // 1. look at the unique values of `userId`;
    // 2. map each of them to an integer, counting from 0 in the order in which they appear;
    // 3. do the same for `movieId`.
    //
    // The lecture does it in Python with two reminders:
    //
    // - **`enumerate`** takes a collection and gives back the index and the value of each element;
    // - **`lambda`** is Python's keyword for a small function without a name.
    //
    // ```python
    // u_uniq = ratings.userId.unique()
    // user2idx = {o:i for i,o in enumerate(u_uniq)}
    // ratings.userId = ratings.userId.apply(lambda x: user2idx[x])
    // ```
    //
    // Rust has both: `.enumerate()` on any iterator, and a closure, `|x| user2idx[&x]`, for the lambda. Here the
    // type `Ids` holds the mapping in both directions, since we will want the titles back.

    // %%
    let ratings = &lecture.ml.ratings;
    let (user2idx, users) = Ids::map(ratings.column("userId")?)?;
    let (movie2idx, movies) = Ids::map(ratings.column("movieId")?)?;
    let mut first = Table::new(["index", "userId", "movieId"]);
    for (index, (user, movie)) in user2idx.ids().zip(movie2idx.ids()).enumerate().take(5) {
        first.push([index.to_string(), user.to_string(), movie.to_string()]);
    }
    nb.show(first.caption("The first ids of each column, and the index that each gets"));

    // %% [markdown]
    // Applied to both columns (the lecture's `apply`), the ids of the ratings become indices. `Ids::map` has done
    // it on the way, as pandas' `factorize` does:

    // %%
    let mut mapped = Table::new(["user", "movie"]);
    for (user, movie) in users.iter().zip(&movies).take(5) {
        mapped.push([user.to_string(), movie.to_string()]);
    }
    nb.show(mapped);

    // %%
    let (n_users, n_movies) = (user2idx.len(), movie2idx.len());
    nb.show(format!("n_users = {n_users}, n_movies = {n_movies}"));

    Ok(())
}
