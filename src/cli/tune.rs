//! `lecture5 tune`: the settings of section `beyond`, chosen again.

use anyhow::Result;
use clap::Args;

use super::common::Common;
use super::parse::whole;
use lecture5::beyond::tune;

#[derive(Args)]
pub struct Tune {
    /// Folds that the training rows are cut into.
    #[arg(long, value_name = "N", default_value_t = 5, allow_negative_numbers = true, value_parser = whole::<u16>(2, 20))]
    folds: u16,
    /// Steps down the gradient for the weights of the Gaussian process; 0 leaves that out.
    #[arg(long, value_name = "N", default_value_t = 30, allow_negative_numbers = true, value_parser = whole::<u16>(0, 1000))]
    steps: u16,
    /// What to choose again [default: everything].
    #[arg(long, value_name = "WHAT,…", value_delimiter = ',')]
    only: Vec<tune::Part>,
    #[command(flatten)]
    common: Common,
}

/// `lecture5 tune`
pub fn tune(args: Tune) -> Result<()> {
    args.common.check_out(&["tune.json"])?;
    let lecture = args.common.begin()?;
    let _lock = args.common.lock_out()?;
    tune::run(&lecture, args.folds.into(), args.steps.into(), &args.only)
}
