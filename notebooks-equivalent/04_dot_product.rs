// %% [markdown]
// # The dot product
//
// Linear algebra on two small matrices, and the first layer of our own: `DotProduct`.
//
// A tensor is an array of numbers with any number of dimensions. **`T`** makes one in the lecture, and
// `Tensor::from_slice2` here.

// %% plumbing
use std::collections::HashMap;

use anyhow::Result;
use tch::Tensor;

use lecture5::notebook::{Notebook, Table};
use lecture5::plots;
use lecture5::run::lecture::{Lecture, shown};

#[lecture5::notebook::cells]
pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## Two matrices
    //
    // Think of a row of `a` as a user, and of the same row of `b` as a movie.

    // %% a
    let a = Tensor::from_slice2(&[[1f32, 2.], [3., 4.]]).to_device(lecture.run.device);
    let b = Tensor::from_slice2(&[[2f32, 2.], [10., 10.]]).to_device(lecture.run.device);
    nb.print(format!("a\n{}\nb\n{}", shown(&a)?, shown(&b)?));

    // %% plumbing
    lecture.plot(nb, plots::tensors("tensors", "Tensors of no, one, two and three dimensions")?)?;

    // %% [markdown]
    // `a * b` multiplies element by element:

    // %% a*b
    nb.show(shown(&(&a * &b))?);

    // %% [markdown]
    // and `.sum(1)` adds along dimension 1, across the columns. Together they are the dot product of each row of
    // `a` with the same row of `b`, $\sum_k a_{ik} b_{ik}$:

    // %% sum
    nb.show(shown(&(&a * &b).sum_dim_intlist(1, false, None))?);

    // %% plumbing
    let rows = [Vec::<Vec<f64>>::try_from(&a)?, Vec::<Vec<f64>>::try_from(&b)?];
    let title = "The dot product of each row of a with the same row of b";
    lecture.plot(nb, plots::dot_product("dot_product", title, &rows[0], &rows[1])?)?;

    // %% [markdown]
    // ## Our first custom layer
    //
    // In PyTorch a layer is a class that extends `nn.Module`, and its method **`forward`** says what it computes. `forward`
    // is not called by its name: calling the module (`model(a, b)`) calls it, and so do other parts of the library. Here it
    // computes one dot product for each row. (The lecture's notes say matrix multiplication; that would combine each row of
    // `a` with *every* column of `b`.) `backward`, which finds the gradients, does not have to be written at all: PyTorch
    // records what `forward` does and works backward through it.
    //
    // In Rust a layer is a struct with a method `forward`, which is called by its name.

    // %% DotProduct
    struct DotProduct;

    impl DotProduct {
        fn forward(&self, u: &Tensor, m: &Tensor) -> Tensor {
            (u * m).sum_dim_intlist(1, false, None) // (n, k), (n, k) → (n,)
        }
    }

    // %% [markdown]
    // An instance of it,

    // %% model
    let model = DotProduct;

    // %% [markdown]
    // and its result:

    // %% model(a,b)
    nb.show(shown(&model.forward(&a, &b))?);

    // %% [markdown]
    // ## Prepare the data
    //
    // Ids may skip numbers, as those of the movies do in the lecture's data. An embedding is a table whose rows are looked up
    // by number, so it would need a row for each skipped number too. Therefore:
    //
    // 1. look at the unique values of `userId`;
    // 2. map each of them to an integer, counting from 0 in the order in which they appear;
    // 3. do the same for `movieId`.
    //
    // The lecture's notes explain two things that this needs, and Rust has both:
    //
    // - **`enumerate`** takes a collection and returns the index and the value of each element;
    // - **`lambda`** is Python's keyword for a small function without a name, which in Rust is a *closure*,
    //   `|x| user2idx[x]`.

    // %% u_uniq
    let user_id = lecture.ml.ratings.column("userId")?.clone();
    let movie_id = lecture.ml.ratings.column("movieId")?.clone();

    let u_uniq = user_id.unique_stable()?;
    let user2idx: HashMap<String, i64> =
        u_uniq.as_materialized_series().iter().map(|x| x.str_value().into_owned()).zip(0..).collect();
    let users: Vec<i64> =
        user_id.as_materialized_series().iter().map(|x| user2idx[&*x.str_value()]).collect();

    let m_uniq = movie_id.unique_stable()?;
    let movie2idx: HashMap<String, i64> =
        m_uniq.as_materialized_series().iter().map(|x| x.str_value().into_owned()).zip(0..).collect();
    let movies: Vec<i64> =
        movie_id.as_materialized_series().iter().map(|x| movie2idx[&*x.str_value()]).collect();

    // %% plumbing
    let mut mapped = Table::new(["userId", "movieId", "user", "movie"]);
    for row in 0..users.len().min(5) {
        let ids = [user_id.get(row)?, movie_id.get(row)?].map(|id| id.str_value().into_owned());
        mapped.push(ids.into_iter().chain([users[row].to_string(), movies[row].to_string()]));
    }
    nb.show(mapped.caption("The ids of the first ratings, and the indices that they become"));

    // %% n_users
    let (n_users, n_movies) = (user_id.n_unique()?, movie_id.n_unique()?);
    nb.show(format!("n_users = {n_users}, n_movies = {n_movies}"));

    // %% [markdown]
    // `CollabFilterDataset`, which the sections share as `cf`, does the same in one go. It stores the mapping in both
    // directions, since titles will have to be found from indices later:

    // %% plumbing
    let (cf, _) = lecture.ratings();
    let same = (&cf.user_idx, &cf.item_idx) == (&users, &movies);
    nb.print(if same { "cf has the same indices." } else { "cf has other indices: this is a bug." });

    // %% [markdown]
    // ## The lecture's cells of this section
    //
    // | | the lecture | here | | why |
    // |---|---|---|---|---|
    // | P4 | picture: rows times columns | [`sum`](#dot_product-sum) | differs | row by row, as the lecture's code computes it |
    // | P5 | picture: tensors | [`a`](#dot_product-a) | same | after that cell |
    // | 16 | `a`, `b` | [`a`](#dot_product-a) | same | |
    // | 17 | `a*b` | [`a*b`](#dot_product-a_b) | same | |
    // | 18 | `(a*b).sum(1)` | [`sum`](#dot_product-sum) | same | |
    // | 19 | `class DotProduct` | [`DotProduct`](#dot_product-DotProduct) | same | |
    // | 20 | `model=DotProduct()` | [`model`](#dot_product-model) | same | |
    // | 21 | `model(a,b)` | [`model(a,b)`](#dot_product-model_a_b_) | same | `forward` is called by its name |
    // | 22 | `u_uniq`, `user2idx`, …, `n_users` | [`u_uniq`](#dot_product-u_uniq), [`n_users`](#dot_product-n_users) | same | `ratings` keeps its ids; the indices are separate columns |

    Ok(())
}
