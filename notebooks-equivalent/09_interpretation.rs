// %% [markdown]
// # What the embeddings mean
//
// Which movies does the learner rank best, in which directions do movies differ, and which users are similar?
//
// Before its first model, the lecture asks which other movies are similar to this one, and which people are similar to this
// person. Its notes do not return to the question; fast.ai's own notebook for the lesson does, with the movies' biases
// and principal components. Nobody told the [learner](#collab_filter) what a movie is about; all it has seen is ratings.
// The only way to learn what its numbers mean is to look at them.

// %% plumbing
use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use rand_mt::Mt;

use lecture5::learner::Learner;
use lecture5::notebook::{Notebook, Table};
use lecture5::plots;
use lecture5::recommend::interpret::{in_common, nearest, pca};
use lecture5::recommend::titles::short;
use lecture5::run::lecture::Lecture;
use lecture5::settings::ModelKind;
use lecture5::system::arithmetic::mean;

#[lecture5::notebook::cells]
pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## The trained learner
    //
    // This is the learner that this run has trained. If the run has not trained one, it does so now, as in the lecture.

    // %%
    let (cf, split) = lecture.ratings();
    if !lecture.has_fit("collab_learner") {
        let settings = lecture.settings(ModelKind::Learner);
        let mut learn = Learner::new(&cf, &split, &settings, lecture.run.device)?;
        let history = learn.fit_plan(lecture.options(nb))?;
        lecture.record("collab_learner", history);
        lecture.save("collab_learner", &settings, &learn.opt)?;
    }
    let learner = lecture.trained_learner().context("the trained learner is missing")?;
    let (u, m) = learner.vectors();
    nb.print(format!("u {:?}, m {:?}", u.size(), m.size()));

    // %% [markdown]
    // ## The movies to look at
    //
    // The learner knows next to nothing about a movie with one or two ratings. So this section leaves such movies out, and
    // looks at the 3,000 movies with the most ratings, in that order, as fast.ai's notebook does. Movies that the training
    // rows lack are left out in any case. A movie without a title is called by its id.

    // %%
    let times_rated = &learner.card.movie_ratings;
    let mut top: Vec<i64> = (0..cf.items.len()).filter(|&movie| times_rated[movie as usize] > 0).collect();
    top.sort_by_key(|&movie| (std::cmp::Reverse(times_rated[movie as usize]), movie));
    top.truncate(3000);
    let titles = lecture.ml.titles()?;
    let name = |movie: i64| {
        let id = cf.items.name(movie);
        titles.get(&id).cloned().unwrap_or_else(|| format!("movie {id}"))
    };
    let mut sorted = times_rated.clone();
    sorted.sort();
    nb.print(format!("half of all movies have {} ratings or fewer in training", sorted[sorted.len() / 2]));
    let fewest = top.last().map_or(0, |&movie| times_rated[movie as usize]);
    nb.print(format!(
        "movies in this section: {}, each with at least {fewest} ratings in training",
        top.len()
    ));
    let length = |which: &dyn Fn(u32) -> bool| {
        let rows: Vec<i64> =
            (0..cf.items.len()).filter(|&movie| which(times_rated[movie as usize])).collect();
        let lengths = m
            .index_select(0, &tch::Tensor::from_slice(&rows))
            .square()
            .sum_dim_intlist(1, false, None)
            .sqrt();
        (!rows.is_empty()).then(|| lengths.median().double_value(&[]))
    };
    let start = learner.card.settings.init.1 * (m.size()[1] as f64 / 3.0).sqrt();
    if let (Some(few), Some(many)) = (length(&|n| n == 1 || n == 2), length(&|n| n >= 50)) {
        nb.markdown(format!(
            "The median length of a movie's vector is {few:.3} for movies with one or two ratings{} and {many:.3} for movies with \
             fifty or more.",
            match few < start {
                true => format!(" (less than the {start:.3} of the random start, since weight decay has shrunk them)"),
                false => String::new(),
            }
        ));
    }

    // %% [markdown]
    // ## Best and worst by bias
    //
    // A movie's bias is added to every prediction for it, no matter who rates it. The table also has the plain mean of its
    // ratings, their number, and the mean bias of the users who rated it (on the scale of the movie's bias: before the sigmoid).

    // %%
    let bias: Vec<f32> = learner.movie_bias().map(Vec::<f32>::try_from).transpose()?.unwrap_or_default();
    let user_bias: Vec<f32> = learner.user_bias().map(Vec::<f32>::try_from).transpose()?.unwrap_or_default();
    let mut stars = vec![0.0; cf.items.len() as usize];
    let mut raters = vec![0.0; cf.items.len() as usize];
    for &row in &split.trn {
        let [user, movie] = cf.cats(row).map(|index| index as usize);
        stars[movie] += f64::from(cf.y[row]) / f64::from(times_rated[movie]);
        raters[movie] += f64::from(user_bias[user]) / f64::from(times_rated[movie]);
    }
    let show = |movies: &[i64]| {
        let mut table = Table::new(["movie", "bias", "mean rating", "ratings", "raters' bias"]);
        for &movie in movies {
            let at = movie as usize;
            let numbers = [format!("{:+.2}", bias[at]), format!("{:.2}", stars[at])];
            let more = [times_rated[at].to_string(), format!("{:+.2}", raters[at])];
            table.push([name(movie)].into_iter().chain(numbers).chain(more));
        }
        table
    };
    let sorted = |by: &dyn Fn(i64) -> f64| {
        let mut movies = top.clone();
        movies.sort_by(|&a, &b| by(b).total_cmp(&by(a)));
        movies
    };
    let by_bias = sorted(&|movie| f64::from(bias[movie as usize]));
    nb.show(show(&by_bias[..by_bias.len().min(10)]).caption("the best, by bias"));
    let worst: Vec<i64> = by_bias.iter().rev().take(10).copied().collect();
    nb.show(show(&worst).caption("the worst, by bias"));

    // %% [markdown]
    // The list by mean rating is different:

    // %%
    let by_mean = sorted(&|movie| stars[movie as usize]);
    nb.show(show(&by_mean[..by_mean.len().min(10)]).caption("the best, by mean rating"));

    // %% [markdown]
    // Why they differ:
    //
    // - **How many ratings.** Five friends who give five stars make a perfect mean. The bias starts near zero and
    //   is pulled back there by weight decay: the fewer ratings, the less they move it.
    // - **Who rates.** The mean takes every rating at face value. The model knows whose it is: a four from a user who seldom
    //   gives fours says more than a four from a user who always does. That is in the user's bias.
    // - **For whom.** How well a movie suits some users more than others is in the vectors. A movie that is loved by some
    //   and hated by others may have the same mean as an average one.
    //
    // Among the movies with many ratings, these gain or lose the most ranks by bias compared with their rank by mean. Compare
    // the bias of their raters with that of all 300. The vectors, which also contribute to every prediction, can make a
    // difference as well.

    // %%
    let often: Vec<i64> = top.iter().copied().take(300).collect();
    let rank = |by: &[i64]| -> HashMap<i64, i64> {
        let of_often = by.iter().filter(|movie| often.contains(movie));
        (0..).zip(of_often).map(|(rank, &movie)| (movie, rank)).collect()
    };
    let (rank_by_bias, rank_by_mean) = (rank(&by_bias), rank(&by_mean));
    let mut gains = often.clone();
    gains.sort_by_key(|movie| rank_by_bias[movie] - rank_by_mean[movie]);
    let ends: Vec<i64> = gains.iter().take(4).chain(gains.iter().rev().take(4).rev()).copied().collect();
    let mut table = Table::new(["movie", "rank by mean", "rank by bias", "raters' bias"]);
    for movie in &ends {
        let ranks = [&rank_by_mean, &rank_by_bias].map(|rank| (rank[movie] + 1).to_string());
        let raters = format!("{:+.2}", raters[*movie as usize]);
        table.push([name(*movie)].into_iter().chain(ranks).chain([raters]));
    }
    nb.show(table.caption(
        "of the 300 most-rated: the four that the bias raises most, and the four that it lowers most",
    ));
    let of_all = mean(&often.iter().map(|&movie| raters[movie as usize]).collect::<Vec<_>>());
    nb.print(format!("raters' bias, mean over all {}: {of_all:+.2}", often.len()));

    // %% [markdown]
    // ## The directions in which movies differ
    //
    // Fifty numbers per movie are too many to look at. Their *principal components* are the directions along
    // which the vectors differ most, each at right angles to the ones before. The sign of a component means
    // nothing, and components have no names: look at the movies at both ends and find your own.

    // %%
    let components = pca(&m.index_select(0, &tch::Tensor::from_slice(&top)), 3.min(top.len() as i64))?;
    let along: Vec<Vec<f64>> = (0..components.shares.len() as i64)
        .map(|k| Vec::<f64>::try_from(components.scores.select(1, k)))
        .collect::<Result<_, _>>()?;
    for (k, scores) in along.iter().enumerate() {
        let mut order: Vec<usize> = (0..top.len()).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        let mut table = Table::new(["at one end", "score", "at the other end", "score "]);
        for (&low, &high) in order.iter().zip(order.iter().rev()).take(8) {
            let score = |at: usize| format!("{:+.2}", scores[at]);
            table.push([short(&name(top[low])), score(low), short(&name(top[high])), score(high)]);
        }
        let share = 100.0 * components.shares[k];
        nb.show(table.caption(format!("component {}, {share:.0}% of the variance", k + 1)));
    }

    // %% [markdown]
    // The plot shows the fifty most-rated movies along the first two components. These are components of all the movies of
    // this section, so the fifty need not lie around the middle. Movies that the same people like should be close together,
    // as far as two components can tell:

    // %%
    let some = top.len().min(50);
    if let [first, second, ..] = &along[..] {
        let points: Vec<(f64, f64)> = (0..some).map(|at| (first[at], second[at])).collect();
        let labels: Vec<String> = top[..some].iter().map(|&movie| short(&name(movie))).collect();
        let title = format!("The {some} most-rated movies in the plane of two principal components");
        let share = |k: usize| 100.0 * components.shares[k];
        let axes = [("first", 0), ("second", 1)]
            .map(|(which, k)| format!("{which} component ({:.0}% of the variance)", share(k)));
        let axes = (axes[0].as_str(), axes[1].as_str());
        match plots::labeled_scatter("movie_components", &title, axes, &points, &labels) {
            Ok(figure) => lecture.plot(nb, figure)?,
            Err(error) => nb.print(error),
        }
    }

    // %% [markdown]
    // ## Which other movies are similar to it?
    //
    // Two movies are similar if their vectors point the same way, that is, if the *cosine* of the angle between them is
    // near 1, whatever their lengths. For the ten most-rated movies, the table has the nearest among the thousand most-rated
    // (for any other movie: `lecture5 similar --movie TITLE`):

    // %%
    let thousand = &top[..top.len().min(1000)];
    let near = |movie: i64, n: usize| {
        let others: Vec<i64> = thousand.iter().copied().filter(|&other| other != movie).collect();
        nearest(&m, &m.get(movie), &others, n)
    };
    let mut table = Table::new(["movie", "nearest", "second", "third"]);
    for &movie in top.iter().take(10) {
        let found = near(movie, 3)?;
        let mut cells: Vec<String> =
            found.iter().map(|&(other, cosine)| format!("{} {cosine:.2}", short(&name(other)))).collect();
        cells.resize(3, String::new());
        table.push([short(&name(movie))].into_iter().chain(cells));
    }
    nb.show(table);

    // %% plumbing
    if lecture.is_the_lectures() {
        nb.markdown(
            "Some neighbors make sense, such as the other parts of Star Wars: people who like one like the others. Others make \
             none. Eighty thousand ratings are few for the 453,300 numbers of the movies.",
        );
    }

    // %% [markdown]
    // Genres, which the learner has never seen, show how much this similarity means. For two movies, take the genres that
    // both have as a share of those that either has. If the similarity meant nothing, neighbors would share no more genres
    // than movies chosen at random (*strangers*):

    // %%
    let mut genres: HashMap<String, Vec<String>> = HashMap::new();
    if let Some(movies) = &lecture.ml.movies
        && let Ok(listed) = movies.column("genres")
    {
        let ids = movies.column("movieId")?;
        for row in 0..movies.height() {
            let names = listed.get(row)?.str_value().split('|').map(str::to_owned).collect();
            genres.insert(ids.get(row)?.str_value().into_owned(), names);
        }
    }
    let of = |movie: i64| genres.get(&cf.items.name(movie));
    let mut generator = Mt::new(0);
    let (mut neighbors, mut strangers) = (Vec::new(), Vec::new());
    for &movie in thousand.iter().take(300) {
        for (other, _) in near(movie, 10)? {
            let stranger = thousand[generator.next_u32() as usize % thousand.len()];
            if let (Some(mine), Some(theirs), Some(strange)) = (of(movie), of(other), of(stranger)) {
                neighbors.push(in_common(mine, theirs));
                if stranger != movie {
                    strangers.push(in_common(mine, strange));
                }
            }
        }
    }
    match neighbors.is_empty() {
        true => nb.print("There are no genres to compare with."),
        false => nb.print(format!(
            "genres in common, mean share: {:.3} with the ten nearest, {:.3} with strangers",
            mean(&neighbors),
            mean(&strangers)
        )),
    }

    // %% [markdown]
    // ## Which people are similar to this person?
    //
    // The users' vectors answer the same question. *Stars apart* is the mean absolute difference between the ratings that two
    // users gave to the movies that both have rated, after subtracting each user's mean, since a user's
    // generosity is mostly in the bias. (The learner has seen four fifths of these ratings, so this does not test its
    // predictions; it shows what its similarity is made of.)

    // %%
    let mut rated: Vec<BTreeMap<i64, f64>> = vec![BTreeMap::new(); cf.users.len() as usize];
    for ((&user, &movie), &y) in cf.user_idx.iter().zip(&cf.item_idx).zip(&cf.y) {
        rated[user as usize].insert(movie, f64::from(y));
    }
    for ratings in &mut rated {
        let mean = mean(&ratings.values().copied().collect::<Vec<_>>());
        ratings.values_mut().for_each(|y| *y -= mean);
    }
    let apart = |a: i64, b: i64| -> Vec<f64> {
        let (a, b) = (&rated[a as usize], &rated[b as usize]);
        a.iter().filter_map(|(movie, y)| Some((b.get(movie)? - y).abs())).collect()
    };
    let people: Vec<i64> =
        (0..cf.users.len()).filter(|&user| learner.card.user_ratings[user as usize] > 0).collect();
    let like = |user: i64, n: usize| {
        let others: Vec<i64> = people.iter().copied().filter(|&other| other != user).collect();
        nearest(&u, &u.get(user), &others, n)
    };
    let mut table = Table::new(["user", "similar user", "cosine", "rated by both", "stars apart"]);
    for &user in people.iter().take(4) {
        for (other, cosine) in like(user, 3)? {
            let differences = apart(user, other);
            let stars =
                if differences.is_empty() { "–".to_owned() } else { format!("{:.2}", mean(&differences)) };
            let both = differences.len().to_string();
            table.push([cf.users.name(user), cf.users.name(other), format!("{cosine:.2}"), both, stars]);
        }
    }
    nb.show(table);

    // %% [markdown]
    // The model can compare two users even if they have rated few movies in common: that is its point. For the first
    // two hundred users, are the ratings of their ten nearest users closer to theirs than those of users chosen at random?

    // %%
    let (mut neighbors, mut strangers) = (Vec::new(), Vec::new());
    for &user in people.iter().take(200) {
        for (other, _) in like(user, 10)? {
            neighbors.extend(apart(user, other));
            let stranger = people[generator.next_u32() as usize % people.len()];
            if stranger != user {
                strangers.extend(apart(user, stranger));
            }
        }
    }
    match neighbors.is_empty() {
        true => nb.print("No two of them have rated the same movie."),
        false => nb.print(format!(
            "stars apart: {:.3} from the ten nearest, {:.3} from strangers",
            mean(&neighbors),
            mean(&strangers)
        )),
    }

    // %% [markdown]
    // ## Ask it yourself
    //
    // The saved learner answers questions on the command line; a new user is described by a few ratings in a file:

    // %% plumbing
    if let (Some(&movie), Some(&user)) = (top.first(), people.first()) {
        let (user, movie) = (cf.users.name(user), name(movie).replace('"', "'"));
        nb.markdown(format!(
            "```\nlecture5 similar --movie \"{movie}\"\nlecture5 recommend --user {user}\n\
             lecture5 recommend --ratings my.csv\nlecture5 predict --user {user} --movie \"{movie}\"\n```"
        ));
    }

    Ok(())
}
