//! The first failure of a property, told at once. Proptest tells of one after it has made it smaller, which takes as long as
//! hundreds of cases, and the test harness keeps even that until the test is over.

use std::any::Any;
use std::fmt::Debug;
use std::io::Write;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Mutex;

/// The properties that have failed.
static FAILED: Mutex<Vec<&'static Location<'static>>> = Mutex::new(Vec::new());

/// Tries `case`. If that is the first failure of the property that asks, it is told to whoever watches, whatever becomes of it.
#[track_caller]
pub fn told<T: Debug>(case: &T, attempt: impl FnOnce()) {
    let property = Location::caller();
    let Err(panic) = catch_unwind(AssertUnwindSafe(attempt)) else { return };
    let mut failed = FAILED.lock().unwrap();
    if !failed.contains(&property) {
        failed.push(property);
        // `eprintln!` is kept by the harness.
        let why = message(panic.as_ref());
        let _ =
            writeln!(std::io::stderr(), "{property}: the first failure, before it is made smaller: {why}\n{case:#?}");
    }
    drop(failed);
    resume_unwind(panic);
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}
