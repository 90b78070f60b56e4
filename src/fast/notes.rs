//! What the fast stepper has to say.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::system::failure::complain;

/// Says once per process why libtorch trains although the fast stepper was requested.
pub(super) fn say_once(why: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(why.to_owned()) {
        complain(&format!("note: --fast: {why}, so libtorch trains this model"));
    }
}
