// %% [markdown]
// # Are these the lecture's numbers?
//
// A fit starts from random numbers, and the lecture printed one run. A loss next to the lecture's therefore says little
// until the spread of such runs is known. The *ensemble* that comes with this program shows the spread: it has the
// losses of every fit, run with many seeds.

// %% plumbing
use anyhow::Result;

use lecture5::notebook::Notebook;
use lecture5::run::lecture::Lecture;
use lecture5::verify::ensemble::Ensemble;
use lecture5::verify::{self, MARGIN};

#[lecture5::notebook::cells]
pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %%
    let ensemble = verify::committed()?;
    for fit in &ensemble.fits {
        nb.print(format!("{:18} {} seeds of {} losses", fit.name, fit.runs.len(), fit.runs[0].len()));
    }
    if !lecture.is_the_lectures() {
        nb.print("It is an ensemble of the lecture's data, and this is other data: nothing can be compared.");
        return Ok(());
    }

    // %% [markdown]
    // ## The picture
    //
    // Each line is one of the lecture's 36 numbers, in standard deviations from its ensemble's mean. A training
    // loss is a running mean over some 50 batches, and scatters more than a validation loss: in the last epochs ten times as
    // much.

    // %%
    let ours = Ensemble::of(lecture);
    lecture.plot(nb, verify::figure(&ensemble, Some(&ours))?)?;

    // %% [markdown]
    // ## Could the lecture's run be one more of these?
    //
    // *p (rank)* is the share of seeds that are as far from the median in this number, *p (t)* what Student's t says
    // instead. But of so many numbers, some are far out by chance. What decides is therefore the share of seeds of which
    // *any* number of the same fit is as many standard errors from its mean, times four, because there are four fits. (In
    // both shares the judged run counts as one more seed: 3 of 160 are 4/161. Other rules apply to fewer seeds:
    // docs/verification.md.) This is *adjusted*: at least the probability that chance alone would put some number so far
    // out. If it is at most 0.05, the number deviates.
    // The last column is the interval that one more run would fall into if runs were normally distributed, which
    // EmbeddingNet's first epochs are not: by t, its first epoch would deviate. The rule that ranks decide in such a case was
    // added after that number had been seen to lie above all of the first 20 seeds (docs/verification.md).
    //
    // *Detectable* is the smallest deviation that would have been found four times in five. If it is at most
    // 5% of the number, the verdict is REPRODUCED, otherwise UNDERPOWERED.
    //
    // UNDERPOWERED does not mean failed: the number was not found to deviate. (Of numbers judged one by one, one in twenty would
    // lie outside its interval even if all is well.) But runs scatter so much, and the lecture printed only one of
    // them, that a deviation of 5% could have gone unnoticed. For most of these numbers, more seeds would not change that. (If
    // ranks decide, a fit deviates only if hardly any seed is further out, so a few odd seeds widen what goes unnoticed.)

    // %%
    let report = verify::beside_the_lecture(&ensemble, MARGIN)?;
    nb.show(report.table("lecture"));
    nb.show(report.fits_table().caption("Each fit, judged by whichever of its numbers is furthest out"));
    nb.print(report.summary());

    // %% [markdown]
    // ## Is this run inside the ensemble?
    //
    // This is the same question about the run that made this page. If the ensemble has this run's own seed, that seed is left
    // out.

    // %%
    if ours.fits.is_empty() {
        nb.print("No fit has been run; `lecture5 run` without a section's name runs them all.");
        return Ok(());
    }
    let report = verify::inside(&ensemble, &ours, MARGIN)?;
    nb.show(report.table("this run"));
    nb.print(match report.deviations() {
        none if none.is_empty() => "Inside: nothing deviates.".to_owned(),
        some => format!("Outside: {}.", some.join("; ")),
    });

    // %% [markdown]
    // On the machine and with the libtorch that made the ensemble, the same seed must give the same losses, up to rounding:

    // %%
    if verify::has_the_same_runs(&ensemble, &ours) {
        let found = verify::against(&ensemble, &ours, verify::AGAINST_MARGIN)?;
        nb.print(found.rule());
        nb.print(match found.failures() {
            none if none.is_empty() => "They are the same.".to_owned(),
            some => format!("They are not: {}.", some.join("; ")),
        });
    } else {
        nb.print(verify::why_not_exact(&ensemble, &ours));
    }

    // %% [markdown]
    // `lecture5 verify` runs more seeds and compares other builds. docs/verification.md says what is accepted and why, and
    // which deliberate faults the checks catch.
    Ok(())
}
