// %% [markdown]
// # The training loop
//
// What happens inside `optim.SGD`? Answered for a line with two unknowns: by hand, by spreadsheet, and by libtorch.
//
// The three models of our own were trained with a line such as
// `opt = optim.SGD(model.parameters(), 1e-2, weight_decay=wd, momentum=0.9)`. This section takes it apart.

// %% plumbing
use std::cell::Cell;

use anyhow::Result;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use lecture5::excel;
use lecture5::excel::descent::{self, Optimizer as Sheet, Pair, START, TRUTH};
use lecture5::fast::StepperKind;
use lecture5::fit::{Options, mse_loss};
use lecture5::history::RunningMean;
use lecture5::notebook::{Notebook, Table};
use lecture5::optim::{Optimizer, Rule};
use lecture5::plots;
use lecture5::run::lecture::Lecture;
use lecture5::settings::ModelKind;
use lecture5::system::files::write_whole;
use lecture5::system::numerals::number;

#[lecture5::notebook::cells]
pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## First create some data
    //
    // The data is 29 points on the line $y = 2x + 30$. Can we learn the slope $a$ and the intercept $b$ from the points alone?

    // %% points
    let points = descent::points();

    // %% plumbing
    let mut table = Table::new(["x", "y"]);
    for (x, y) in points.iter().take(5) {
        table.push([x.to_string(), y.to_string()]);
    }
    nb.show(table);
    let lines = [("y = 2x + 30", TRUTH.a, TRUTH.b), ("the guess: y = x + 1", START.a, START.b)];
    lecture.plot(nb, plots::points_and_lines("points", "The data, and the first guess", &points, &lines)?)?;

    // %% [markdown]
    // ## The error
    //
    // We start with a guess, $b = 1$ and $a = 1$. For the first point, $x = 14$, it predicts 15, but the truth is 58. The
    // *error* $e$ is the square of the difference. With the intercept at 1.5, it is a little smaller, so that is the way to
    // go. (The lecture's notes give 1,849 and then 419; these points and this start cannot give 419.)

    // %% error
    let (x, y) = points[0];
    nb.print(format!("prediction {}, truth {y}", descent::predict(START, x)));
    for b in [1.0, 1.5] {
        nb.print(format!("b = {b}: e = {}", descent::squared_error(Pair { b, ..START }, x, y)));
    }

    // %% [markdown]
    // ## How can we guess where to go next? Finite differencing
    //
    // Change a weight a little, here by 0.01, see how the error changes, and divide: this estimates the slope of the
    // error with respect to the weight.

    // %% finite differences
    let estimated = descent::finite_difference(START, x, y, 0.01);
    nb.print(format!("estimated: de/db = {:.2}, de/da = {:.2}", estimated.b, estimated.a));

    // %% [markdown]
    // The estimate is the slope of a *secant*, through two points of the curve. The smaller the step, the nearer it comes to the
    // slope of the *tangent*, until rounding takes over. A step of 0.01 could not be seen, so the picture has one of 20:

    // %% plumbing
    let slope = descent::gradient(START, x, y).b;
    let (title, labels) = ("Secant and tangent of the first point's error", ("intercept b", "squared error"));
    let picture = plots::secant_and_tangent(
        "secant_and_tangent",
        title,
        labels,
        |b| descent::squared_error(Pair { b, ..START }, x, y),
        (START.b, slope),
        20.0,
    )?;
    lecture.plot(nb, picture)?;

    // %% [markdown]
    // ## The chain rule
    //
    // The error is a function of a function: $e = d^2$, where $d = b + a x - y$. How fast does $e$ change with $a$? The rate
    // at which $e$ changes with $d$ is multiplied by the rate at which $d$ changes with $a$:
    //
    // $$\frac{\partial e}{\partial b} = \frac{\partial e}{\partial d} \cdot \frac{\partial d}{\partial b} = 2d \cdot 1
    // \qquad
    // \frac{\partial e}{\partial a} = \frac{\partial e}{\partial d} \cdot \frac{\partial d}{\partial a} = 2d \cdot x$$
    //
    // That is the *analytic* derivative: it is exact, and nothing has to be tried out. *Backpropagation* is this rule,
    // applied layer by layer from the error backward. PyTorch's autograd does it for any chain that it has recorded:

    // %% backward
    let exact = descent::gradient(START, x, y);
    let b = Tensor::from(START.b).set_requires_grad(true);
    let a = Tensor::from(START.a).set_requires_grad(true);
    let error = (&b + &a * x - y).square();
    error.backward();
    let autograd = (b.grad().double_value(&[]), a.grad().double_value(&[]));

    // %% plumbing
    fn row(name: &str, db: f64, da: f64) -> [String; 3] {
        [name.to_owned(), format!("{db:.2}"), format!("{da:.2}")]
    }
    let mut table = Table::new(["", "de/db", "de/da"]);
    table.push(row("finite differences", estimated.b, estimated.a));
    table.push(row("chain rule", exact.b, exact.a));
    table.push(row("autograd", autograd.0, autograd.1));
    nb.show(table);
    let title = "The chain, forward and backward";
    lecture.plot(nb, plots::backpropagation("backpropagation", title, (START.a, START.b), (x, y))?)?;

    // %% [markdown]
    // ## Caveat: finite differencing in many dimensions
    //
    // Each weight costs a separate pass through the model, in addition to the one at the current weights. A million weights
    // need a million passes for a single step. Autograd needs one forward and one backward pass, whatever the number of
    // weights. The table counts the forward passes for a net with one hidden layer, and gives the largest difference
    // between the two gradients:

    // %% plumbing
    /// Computes the gradient of a net with 4 inputs, `hidden` tanh units and one output both ways. Returns its number of
    /// weights, the forward passes that finite differences and autograd took, and the largest difference between the two.
    fn finite_differences_against_autograd(hidden: i64) -> (usize, [usize; 2], f64) {
        let inputs = Tensor::from_slice(&[0.5, -1.0, 0.25, 2.0]);
        let n = hidden * 5;
        let weights = (Tensor::arange(n, (Kind::Double, Device::Cpu)).sin() * 0.5).set_requires_grad(true);
        let passes = Cell::new(0);
        let loss = |w: &Tensor| {
            passes.set(passes.get() + 1);
            let (first, second) =
                (w.narrow(0, 0, hidden * 4).view([hidden, 4]), w.narrow(0, hidden * 4, hidden));
            (first.mv(&inputs).tanh().dot(&second) - 1.0).square()
        };
        loss(&weights).backward();
        let exact = weights.grad();

        let by_autograd = passes.replace(0);
        let h = 1e-6;
        let apart = tch::no_grad(|| {
            let at = loss(&weights).double_value(&[]);
            (0..n).fold(0.0_f64, |worst, i| {
                let moved = weights.detach().copy();
                let _ = moved.get(i).g_add_scalar_(h);
                let estimate = (loss(&moved).double_value(&[]) - at) / h;
                worst.max((estimate - exact.double_value(&[i])).abs())
            })
        });
        (n as usize, [passes.get(), by_autograd], apart)
    }
    let mut table = Table::new([
        "hidden units",
        "weights",
        "passes, finite differences",
        "passes, autograd",
        "disagreement",
    ]);
    for hidden in [2, 8, 32, 128] {
        let (weights, [differences, autograd], apart) = finite_differences_against_autograd(hidden);
        let counts = [hidden as usize, weights, differences, autograd].map(|n| n.to_string());
        table.push(counts.into_iter().chain([format!("{apart:.0e}")]));
    }
    nb.show(table);

    // %% [markdown]
    // Two words to look up:
    //
    // - The **Jacobian** contains the first derivatives of several outputs with respect to several inputs: with 1,000,000
    //   inputs and 100,000 outputs, that is 100 billion numbers.
    // - The **Hessian** contains the second derivatives, that is, how the slope in one weight changes with another: a square
    //   table of all weights by all weights.
    //
    // Here is the Jacobian of the residuals (how far the line is above each point) of the first three points, and the Hessian of the sum of all 29 squared errors,
    // both by autograd:

    // %% Jacobian
    /// b + a·x − y, for w = (b, a): ()
    fn residual(w: &Tensor, x: f64, y: f64) -> Tensor {
        w.get(0) + w.get(1) * x - y
    }

    /// The derivatives of a scalar with respect to each element of `by`.
    fn derivative(of: &Tensor, by: &Tensor) -> Vec<f64> {
        let slope = Tensor::run_backward(&[of], &[by], true, false).remove(0);
        (0..slope.numel() as i64).map(|i| slope.double_value(&[i])).collect()
    }

    let w = Tensor::from_slice(&[START.b, START.a]).set_requires_grad(true);
    let jacobian: Vec<Vec<f64>> =
        points.iter().take(3).map(|&(x, y)| derivative(&residual(&w, x, y), &w)).collect();

    // %% plumbing
    let mut table = Table::new(["residual of", "by b", "by a"]);
    for ((x, _), row) in points.iter().zip(&jacobian) {
        table.push([format!("x = {x}"), row[0].to_string(), row[1].to_string()]);
    }
    nb.show(table.caption("Jacobian"));

    // %% Hessian
    let errors: Vec<Tensor> = points.iter().map(|&(x, y)| residual(&w, x, y).square()).collect();
    let sum = Tensor::stack(&errors, 0).sum(Kind::Double);
    let slope = Tensor::run_backward(&[sum], &[&w], true, true).remove(0);
    let hessian: Vec<Vec<f64>> = (0..2).map(|at| derivative(&slope.get(at), &w)).collect();

    // %% plumbing
    let mut table = Table::new(["", "b", "a"]);
    for (name, row) in ["b", "a"].iter().zip(&hessian) {
        table.push([(*name).to_owned(), row[0].to_string(), row[1].to_string()]);
    }
    nb.show(table.caption("Hessian of the sum of squared errors"));
    let (bb, ab, aa) = (hessian[0][0], hessian[0][1], hessian[1][1]);
    let (middle, apart) = ((aa + bb) / 2.0, ((aa - bb) / 2.0).hypot(ab));
    nb.markdown(format!(
        "The diagonal has the curvature of the error in each weight: it is {} times as large in a as in b. Over a and b the \
         error is a bowl, but its axes are not those of the two weights. Along its own axes (the Hessian's eigenvectors), the \
         curvatures are {} and {:.1}, a ratio of {}. A learning rate that is small enough for the steep direction is far too small for \
         the shallow one; that is why momentum, Adam and the others below exist.",
        number(aa / bb, 0),
        number(middle + apart, 0),
        middle - apart,
        number((middle + apart) / (middle - apart), 0)
    ));

    // %% [markdown]
    // ## Stochastic gradient descent
    //
    // Take a step against the gradient, row by row, with a learning rate $\eta$; $b$ is treated likewise:
    //
    // $$a \leftarrow a - \eta \frac{\partial e}{\partial a}$$
    //
    // That is the sheet *basic SGD*, with a rate of 0.0001; the other sheets use the same points. Its first rows:

    // %% sgd
    let traces: Vec<descent::Trace> = Sheet::ALL
        .iter()
        .map(|&sheet| descent::run(sheet, sheet.settings(), &points, descent::EPOCHS))
        .collect();

    // %% plumbing
    /// A number with at most this many decimals.
    fn trimmed(x: f64, decimals: usize) -> String {
        let text = format!("{x:.decimals$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
    let mut table = Table::new(["x", "y", "b", "a", "prediction", "e", "de/db", "de/da", "new b", "new a"]);
    for r in traces[0].rows().take(3) {
        let numbers = [r.x, r.y, r.w.b, r.w.a, r.pred, r.err2, r.gradient.b, r.gradient.a, r.new.b, r.new.a];
        table.push(numbers.map(|v| trimmed(v, 6)));
    }
    nb.show(table);

    // %% [markdown]
    // ## Momentum
    //
    // Look at de/da in the picture below: it jumps between plus and minus. (At random, say the lecture's notes; as the rows
    // come in the same order in each epoch, the pattern repeats every 29 steps.) Momentum steps along a moving average of the
    // gradients instead: what points now one way and now the other cancels out, and what keeps pointing the same way stays.
    // With $g$ for the gradient and $m$ for its average,
    //
    // $$m \leftarrow \beta m + (1 - \beta) g$$
    //
    // where $\beta$, here 0.9, says how much of the average is kept. The lecture's hope is to keep going in the same
    // direction, but a bit faster, and so to need fewer iterations. At the sheet's rate, which is that of plain SGD, it is no
    // faster.

    // %% plumbing
    let raw: Vec<f64> = traces[1].rows().map(|row| row.gradient.a).collect();
    let averaged: Vec<f64> = traces[1].rows().map(|row| row.mean.a).collect();
    let title = "Momentum calms a bouncing gradient";
    lecture.plot(nb, plots::gradient_trace("momentum_gradient", title, "de/da", &raw, &averaged)?)?;

    // %% [markdown]
    // ## Adam
    //
    // Adam keeps a second moving average, that of the squared gradients, and divides by its square root. On the sheet,
    // both are linear interpolations between the previous average and the new value:
    //
    // - cell **J8**: the average of the gradients, the direction;
    // - cell **L8**: the average of the squared gradients.
    //
    // The new $b$ is the previous $b$ minus the learning rate times J8 divided by the root of L8, and the same goes for $a$;
    // as with momentum, the sheet takes both averages from the row before.
    // With $s$ for the average of the squares and $w$ for either weight,
    //
    // $$s \leftarrow \beta_2 s + (1 - \beta_2) g^2 \qquad w \leftarrow w - \eta \frac{m}{\sqrt{s}}$$
    //
    // Such an average is also called an *exponentially weighted moving average*. The intuition behind the denominator:
    //
    // - a squared gradient is never negative;
    // - in the rows after a large gradient, which the root remembers longer than $m$ does, and while the gradient keeps
    //   changing its sign, the root is large compared with $m$: slow down;
    // - if it keeps pointing the same way, $m$ is about as large as the root, and the step is about $\eta$, however large or
    //   small the gradient is.
    //
    // (The lecture puts it more simply: where much changes, slow down; where little changes, be bolder.) So each weight has an
    // *adaptive* learning rate. The lecture calls Adam much, much faster, with answers that
    // are not as good as those of SGD with momentum.
    //
    // The averages start at 0 and, those of squares, at 10,000. To fill them, each sheet but *basic SGD* first goes through
    // the points once (*rmsprop*, *adam* and *eve* twice) before the first epoch that counts. After such a *warm-up pass*, $a$
    // and $b$ go back to 1.
    //
    // The workbook has more optimizers of this family. *rmsprop* divides $g$ by $\sqrt{s}$, without momentum. The sheet's
    // *adagrad* has one rate for each weight and epoch: its rate divided by the root mean square gradient of the epoch before.
    // (The published Adagrad divides by the root of the sum of all squares so far.) *eve* divides Adam's rate by a running measure of how much the loss changes from epoch to epoch; here that stays below 1, so its steps are
    // longer than Adam's. Two *annealed* ones halve their rate when the squared length of an epoch's mean gradient has more
    // than doubled. In these five epochs that comes too late: *adam, annealed* differs from *adam* only in having one
    // warm-up pass fewer, and *adagrad, annealed* from *adagrad* by its larger rate.
    //
    // The table has two kinds of errors. The *moving* error of an epoch takes each row's error before its step, while the
    // weights still change, as the sheets do. (The lecture's workbook shows the root of the *sum* of the squared errors,
    // which is $\sqrt{29}$ times as large.) The RMSE at the end is that of the last weights over all 29 points, as in the
    // picture.

    // %% plumbing
    let mut table = Table::new([
        "sheet",
        "rate",
        "b",
        "a",
        "moving, first epoch",
        "moving, last epoch",
        "RMSE at the end",
    ]);
    fn name_of(trace: &descent::Trace) -> String {
        trace.optimizer.name().replace("_ann", ", annealed")
    }
    for trace in &traces {
        let rmse = trace.rmse();
        let moving = [rmse[0], rmse[rmse.len() - 1], descent::rmse(trace.end.w, &points)];
        let weights = [trace.end.w.b, trace.end.w.a].map(|w| format!("{w:.4}"));
        let names = [name_of(trace), trace.settings.lr.to_string()];
        table.push(names.into_iter().chain(weights).chain(moving.map(|rmse| format!("{rmse:.3}"))));
    }
    nb.show(table.caption("After five epochs; the truth is b = 30, a = 2"));

    // %% plumbing
    let start = descent::rmse(START, &points);
    let curves: Vec<(String, Vec<f64>)> = traces
        .iter()
        .map(|trace| {
            let ends = trace.epochs.iter().filter_map(|epoch| epoch.rows.last());
            let after = ends.map(|row| descent::rmse(row.new, &points));
            (name_of(trace), std::iter::once(start).chain(after).collect())
        })
        .collect();
    let figure = plots::loss_by_epoch(
        "descent_loss",
        "The sheets' optimizers on y = 2x + 30",
        "RMSE over all 29 points",
        0,
        &curves.iter().map(|(name, curve)| (name.as_str(), curve.as_slice())).collect::<Vec<_>>(),
    )?;
    lecture.plot(nb, figure)?;

    // %% [markdown]
    // ### A rate at which Adam wins
    //
    // At the sheets' rates, Adam brings the intercept much nearer to 30 than SGD does, but has the larger error: a rate
    // of 1 makes the sheet's Adam jump around. Here are other rates for the same sheets, five epochs each: for SGD and
    // momentum, up to the sheets' own rate; for Adam, smaller ones.

    // %% plumbing
    let mut table = Table::new(["sheet", "rate", "b", "a", "RMSE at the end"]);
    let mut best: Vec<(&str, f64)> = Vec::new();
    for (sheet, rates) in [
        (Sheet::Sgd, [2.5e-5, 5e-5, 1e-4]),
        (Sheet::Momentum, [2.5e-5, 5e-5, 1e-4]),
        (Sheet::Adam, [0.05, 0.1, 0.3]),
    ] {
        let mut lowest = f64::INFINITY;
        for lr in rates {
            let settings = descent::Settings { lr, ..sheet.settings() };
            let w = descent::run(sheet, settings, &points, descent::EPOCHS).end.w;
            let rmse = descent::rmse(w, &points);
            lowest = lowest.min(rmse);
            table.push([
                sheet.name().to_owned(),
                lr.to_string(),
                format!("{:.2}", w.b),
                format!("{:.2}", w.a),
                format!("{rmse:.2}"),
            ]);
        }
        best.push((sheet.name(), lowest));
    }
    nb.show(table);
    let fastest = best.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or("", |(name, _)| *name);
    nb.markdown(format!(
        "The lowest error of each: {}. So {fastest} is the fastest of the three, at a rate that suits it.",
        best.iter().map(|(name, rmse)| format!("{name} {rmse:.2}")).collect::<Vec<_>>().join(", ")
    ));

    // %% [markdown]
    // ### Seen from above
    //
    // The picture shows the error as a landscape over slope and intercept, and the path of each optimizer, epoch by epoch, at
    // the sheets' rates. The valley is narrow and runs nearly along b. SGD falls into it at once, and then its intercept
    // hardly moves. Adam gives each weight its own rate and moves the intercept as fast as the slope; at a rate of 1 it
    // jumps around on the way.

    // %% plumbing
    let paths: Vec<(String, Vec<(f64, f64)>)> = traces
        .iter()
        .map(|trace| {
            let ends = trace.epochs.iter().filter_map(|epoch| epoch.rows.last());
            let path = std::iter::once(START).chain(ends.map(|row| row.new)).map(|w| (w.a, w.b));
            (name_of(trace), path.collect())
        })
        .collect();
    /// From the lowest to the highest value, with a margin.
    fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let margin = 0.12 * (high - low);
        (low - margin, high + margin)
    }
    let all: Vec<(f64, f64)> =
        paths.iter().flat_map(|(_, path)| path.clone()).chain([(TRUTH.a, TRUTH.b)]).collect();
    let (across, up) = (range(all.iter().map(|at| at.0)), range(all.iter().map(|at| at.1)));
    let grid = plots::Grid::of(across, up, 200, |a, b| descent::rmse(Pair { b, a }, &points).powi(2));
    let figure = plots::error_surface(
        "error_surface",
        "The error over slope and intercept, and the optimizers' paths",
        &grid,
        (TRUTH.a, TRUTH.b),
        &paths.iter().map(|(name, path)| (name.as_str(), path.as_slice())).collect::<Vec<_>>(),
    )?;
    lecture.plot(nb, figure)?;

    // %% [markdown]
    // ## How libtorch's optimizers differ
    //
    // | | the sheet | libtorch |
    // |---|---|---|
    // | momentum | the average takes a tenth of the new gradient, and the step uses the average of the row *before* | the buffer takes the *entire* gradient (unless dampened), and the step uses it at once: ten times as far in the end |
    // | Adam | the average of the gradients starts at 0, that of the squares at 10,000; warm-up passes instead of a correction; no $\epsilon$ | both averages start at 0 and are divided by $1 - \beta^t$; $\epsilon = 10^{-8}$ keeps the divisor above zero |
    // | $\beta$ | 0.7 and 0.9 | 0.9 and 0.999 |
    //
    // These are libtorch's optimizers on the same points, with the sheets' rates, but a tenth of the rate for momentum.
    // Plain SGD is the same rule, and ends where the sheet's does:

    // %% optimizers
    /// Fits the line for five epochs, row by row, with one of libtorch's optimizers.
    fn train_line(points: &[(f64, f64)], rule: Rule, lr: f64, wd: f64) -> Result<Pair> {
        let mut vs = VarStore::new(Device::Cpu);
        vs.double();
        let root = vs.root();
        let b = root.var("b", &[1], tch::nn::Init::Const(START.b));
        let a = root.var("a", &[1], tch::nn::Init::Const(START.a));
        let mut opt = Optimizer::new(&vs, rule, lr, wd);
        for _ in 0..descent::EPOCHS {
            for &(x, y) in points {
                let error = (&b + &a * x - y).square().sum(Kind::Float);
                opt.zero_grad();
                error.backward();
                opt.step()?;
            }
        }
        Ok(Pair { b: b.double_value(&[0]), a: a.double_value(&[0]) })
    }

    let mut trained = Vec::new();
    for (name, rule, lr, wd) in [
        ("SGD", Rule::Sgd { momentum: 0.0 }, 1e-4, 0.0),
        ("SGD with momentum", Rule::Sgd { momentum: 0.9 }, 1e-5, 0.0),
        ("Adam", Rule::Adam, 1.0, 0.0),
        ("Adam with L2", Rule::Adam, 1.0, 0.01),
        ("AdamW", Rule::AdamW, 1.0, 0.01),
    ] {
        trained.push((name, lr, wd, train_line(&points, rule, lr, wd)?));
    }

    // %% plumbing
    let mut table = Table::new(["libtorch's", "rate", "decay", "b", "a", "RMSE at the end"]);
    let sheet = ("(the sheet's basic SGD)", traces[0].settings.lr, 0.0, traces[0].end.w);
    for (name, lr, wd, w) in std::iter::once(&sheet).chain(&trained) {
        let weights = [w.b, w.a].map(|w| format!("{w:.4}"));
        let settings = [(*name).to_owned(), lr.to_string(), wd.to_string()];
        let rmse = format!("{:.3}", descent::rmse(*w, &points));
        table.push(settings.into_iter().chain(weights).chain([rmse]));
    }
    nb.show(table);
    let ((.., adam), (.., l2), (_, lr, wd, adamw)) = (trained[2], trained[3], trained[4]);
    let of_the_sheet = traces
        .iter()
        .find(|trace| trace.optimizer == Sheet::Adam)
        .map_or(f64::NAN, |trace| descent::rmse(trace.end.w, &points));
    let slow = descent::Settings { beta2: 0.999, ..Sheet::Adam.settings() };
    let slow = descent::run(Sheet::Adam, slow, &points, descent::EPOCHS).end.w;
    nb.markdown(format!(
        "At a rate of 1, the sheet's Adam ends at an RMSE of {of_the_sheet:.1} and libtorch's at {:.1}. Several \
         differences contribute, $\\beta_2$ most: with 0.999 in place of 0.9, the sheet's would end at {:.1}, though at b = {:.1} \
         and not at {:.1}. At 0.9 the average of the squares has forgotten a large gradient after some twenty rows, and the steps \
         grow again.",
        descent::rmse(adam, &points),
        descent::rmse(slow, &points),
        slow.b,
        adam.b
    ));
    nb.markdown(format!(
        "Two of them use weight decay. Added to the gradient, the decay has hardly any effect: b ends at {:.1}, and without it \
         at {:.1}. AdamW subtracts {} of each weight at every step, the rate times the decay, and b ends at {:.1}.",
        l2.b,
        adam.b,
        lr * wd,
        adamw.b
    ));

    // %% [markdown]
    // ## AdamW: what was wrong with weight decay
    //
    // Weight decay was meant to shrink every weight by the same fraction at each step. If it is added to the gradient (L2),
    // as in PyTorch's Adam, it goes through Adam's division as well: the decay of a weight with large gradients is
    // divided by a large number, so that the weight hardly decays at all. AdamW, new when the lecture was given ("ideally
    // this will be fixed going forward"), keeps the decay outside the moving averages. It is part of PyTorch today.
    //
    // The table shows two weights that both start at 1. Their gradients only alternate, ±100 for one and ±0.01 for the
    // other. They take 200 steps at a rate of 0.01 and a decay of 0.1, which alone would leave 0.82 of each (the small
    // difference comes from the alternating gradients):

    // %% AdamW
    /// Two weights of 1 after 200 steps under gradients that alternate with these amplitudes.
    fn decayed(rule: Rule, amplitudes: [f64; 2]) -> Result<[f64; 2]> {
        let vs = VarStore::new(Device::Cpu);
        let w = vs.root().var("w", &[2], tch::nn::Init::Const(1.0));
        let amplitudes = Tensor::from_slice(&amplitudes).to_kind(Kind::Float);
        let mut opt = Optimizer::new(&vs, rule, 0.01, 0.1);
        for step in 0..200 {
            let sign = if step % 2 == 0 { 1.0 } else { -1.0 };
            let loss = (&w * &amplitudes * sign).sum(Kind::Float);
            opt.zero_grad();
            loss.backward();
            opt.step()?;
        }
        Ok([w.double_value(&[0]), w.double_value(&[1])])
    }

    let mut table =
        Table::new(["optimizer", "weight under gradients of ±100", "weight under gradients of ±0.01"]);
    for (name, rule) in [("Adam with L2", Rule::Adam), ("AdamW", Rule::AdamW)] {
        let [large, small] = decayed(rule, [100.0, 0.01])?;
        table.push([name.to_owned(), format!("{large:.4}"), format!("{small:.4}")]);
    }
    nb.show(table);
    nb.print(format!("1 · (1 − 0.01 · 0.1)²⁰⁰ = {:.4}", (1.0 - 0.01 * 0.1_f64).powi(200)));

    // %% [markdown]
    // With small gradients it is the other way round: L2's decay is then divided by a small number, and almost nothing of the
    // weight is left.

    // %% [markdown]
    // ## The same idea in fastai: the running loss
    //
    // The loss that the progress bar shows is such a moving average too:
    // `avg_loss = avg_loss * avg_mom + loss * (1-avg_mom)`, with `avg_mom` = 0.98. It starts at 0, so at first it is far
    // too low. Divided by `1 - avg_mom**batch_num`, it is correct from the first batch on (*debiased*). `fit` computes it as
    // follows:

    // %% plumbing
    nb.source(include_str!("../src/history.rs"), "struct RunningMean")?;

    // %% [markdown]
    // For a loss of 2, 1.5, 1.2 and from then on 1:

    // %% running mean
    let losses: Vec<f64> = [2.0, 1.5, 1.2].into_iter().chain(std::iter::repeat(1.0)).take(200).collect();
    let by_hand = descent::running_mean(&losses, 0.98);

    // %% plumbing
    let mut in_fit = RunningMean::default();
    let mut table = Table::new(["batch", "loss", "running mean", "debiased", "debiased, in fit"]);
    for (batch, (&loss, &(biased, debiased))) in losses.iter().zip(&by_hand).enumerate() {
        let fits = in_fit.update(loss);
        if [0, 1, 2, 9, 49, 199].contains(&batch) {
            let numbers = [loss, biased, debiased, fits].map(|v| format!("{v:.4}"));
            table.push(std::iter::once((batch + 1).to_string()).chain(numbers));
        }
    }
    nb.show(table);

    // %% [markdown]
    // ## The `fit` function
    //
    // Here it all comes together. In each epoch, for each batch: predict, compute the loss, find the gradients, step, and
    // update the running mean. At the end of the epoch, validate and report.
    //
    // - Its arguments are the lecture's: the *model*, the *data*, the number of *epochs*, the optimizer *opt*, and the
    //   loss *crit*, for which the lecture's own comment names `F.cross_entropy` as an example. `callbacks` and the rest
    //   are options.
    // - `stepper = Stepper(model, opt, crit)` and `loss = stepper.step(V(x), V(y))` are as in the lecture. `V()` turned a
    //   tensor into a *variable*: in the PyTorch of 2017, a bare tensor had no gradients, and autograd recorded only
    //   operations on variables. Today tensors have gradients themselves, and `V` does nothing.
    // - `step` returned `loss.data[0]`: the tensor inside the variable (`.data`), and its first number, since a loss had one
    //   dimension of length 1. Today it has none; its number is `loss.item()` in PyTorch and `loss.double_value(&[])` in
    //   tch. On a GPU, reading the number waits for the computation, so there the losses are read fifty at a time.
    // - The loss is `F.mse_loss`, which here also checks the shapes.
    // - `stepper.reset(True)` put the model into training mode; here an argument of `forward_t` says so.
    // - `metrics`, further figures for the validation rows, are left out: here the loss is the metric.
    // - The *callbacks* are called after each batch and each epoch, and can stop the fit. One of them draws the progress bar
    //   and prints the line of each epoch. The loop itself neither prints nor draws.

    // %% fit
    nb.source(include_str!("../src/fit.rs"), "fn mse_loss")?;
    nb.source(include_str!("../src/fit.rs"), "struct Stepper")?;
    nb.source(include_str!("../src/fit.rs"), "fn fit_with")?;

    // %% loss
    let loss = mse_loss(&Tensor::from_slice(&[15f32]), &Tensor::from_slice(&[58f32]));
    nb.print(format!("a loss has {} dimensions, and its number is {}", loss.dim(), loss.double_value(&[])));

    // %% [markdown]
    // ## Another stepper, in one line
    //
    // `fit` does not know what a stepper does inside. Today's PyTorch has `model = torch.compile(model)`, one line
    // outside the loop. Here `fast::compile` makes another stepper, and `lecture5 run --fast` gives it to every fit. It
    // records the operations of the first batch and replays them on plain numbers. It updates the rows of an embedding only
    // when a batch reads them, by all the steps that they have missed. The losses are the same to five digits.
    //
    // It must not be used for a model whose operations depend on the numbers in a batch, since it replays what the first
    // batch did. Nor does it test libtorch, most of whose operations then do not run. A model with an operation that it does not know,
    // such as `tanh`, is trained by libtorch after all, and a note says so. The cell below runs on the CPU only.

    // %% fast
    if lecture.run.device == Device::Cpu {
        for stepper in [StepperKind::Libtorch, StepperKind::Fast] {
            let mut learn = lecture.learner(&lecture.settings(ModelKind::Bias))?;
            let history = learn.fit(1, Options { stepper: stepper.make(), ..Options::default() })?;
            nb.print(format!("{:9}{}", stepper.name(), history.epochs[0]));
        }
    }

    // %% [markdown]
    // ## The workbook
    //
    // `excel/graddesc.xlsx` has a sheet for each optimizer of the table *After five epochs*, in live formulas: change a rate
    // and watch what happens. The original runs its epochs by macros; here they are below one another.

    // %% workbook
    write_whole(&lecture.run.out.join("excel").join("graddesc.xlsx"), &excel::graddesc()?)?;
    nb.print("excel/graddesc.xlsx");

    // %% [markdown]
    // ## The lecture's cells of this section
    //
    // | | the lecture | here | | why |
    // |---|---|---|---|---|
    // | P10 | picture: first create some data | [`points`](#training_loop-points) | same | |
    // | P11 | picture: slope and intercept | [`points`](#training_loop-points) | differs | in words |
    // | P12 | picture: the error, 1,849 | [`error`](#training_loop-error) | same | |
    // | P13 | picture: a larger intercept, 419 | [`error`](#training_loop-error) | differs | these points give 1,806.25 |
    // | P14 | picture: secant and tangent | [`finite differences`](#training_loop-finite_differences) | same | after that cell |
    // | P15 | picture: finite differences on the sheet | [`finite differences`](#training_loop-finite_differences) | same | |
    // | P16 | picture: backpropagation through a net | [`backward`](#training_loop-backward) | differs | after that cell, through the chain of these points, not a net |
    // | P17 | picture: a new a and b on the sheet | [`sgd`](#training_loop-sgd) | same | |
    // | 41 | `avg_loss = …` | [`running mean`](#training_loop-running_mean) | same | the formula is in the cell before |
    // | 42 | `def fit(…)` | [`fit`](#training_loop-fit) | same | `metrics` are left out; what is drawn and printed comes from callbacks |

    Ok(())
}
