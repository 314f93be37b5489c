//! Threads, of which the system may have none to give.

use std::io;
use std::sync::RwLock;
use std::thread::{Builder, ScopedJoinHandle, scope};

/// What to do when no thread can be started, to follow the message.
pub const WAY_OUT: &str = "raise the limit of processes (`ulimit -u`; of a container, that of its pids), and run again";

/// Makes sure that the system has `count` more threads to give: so many are started, and end when all are there.
///
/// # Errors
/// What it says when it has fewer.
pub fn can_start(count: usize) -> io::Result<()> {
    let gate = RwLock::new(());
    let gate = &gate;
    scope(|scope| {
        let closed = gate.write();
        let wait = move || drop(gate.read());
        let started = (0..count).try_for_each(|_| Builder::new().spawn_scoped(scope, wait).map(drop));
        drop(closed);
        started
    })
}

/// What `work` gives for each of `parts`, in their order. Each part has a thread of its own, but the first, and those for which the
/// system has none: they are done here.
pub fn side_by_side<P: Copy + Send, R: Send>(
    parts: impl IntoIterator<Item = P>,
    work: impl Fn(P) -> R + Sync,
) -> Vec<R> {
    let (work, mut parts) = (&work, parts.into_iter());
    scope(|scope| {
        let first = parts.next();
        let start = |part| Builder::new().spawn_scoped(scope, move || work(part)).map_err(|_| part);
        let others: Vec<Result<ScopedJoinHandle<'_, R>, P>> = parts.map(start).collect();
        let first = first.map(work);
        let others = others.into_iter().map(|other| match other {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(part) => work(part),
        });
        first.into_iter().chain(others).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn threads_that_can_be_had_are_given_back() {
        for _ in 0..100 {
            assert!(can_start(8).is_ok());
        }
        assert!(can_start(0).is_ok());
    }

    #[test]
    fn parts_are_done_at_the_same_time_and_their_results_stand_in_their_order() {
        let all = Barrier::new(3);
        let done = side_by_side([7, 8, 9], |part| {
            // None goes on before all are there.
            all.wait();
            (part, std::thread::current().id())
        });
        assert_eq!(done.iter().map(|(part, _)| *part).collect::<Vec<_>>(), [7, 8, 9]);
        assert_eq!(done[0].1, std::thread::current().id(), "the first needs no thread");
        assert_eq!(done.iter().map(|(_, thread)| format!("{thread:?}")).collect::<BTreeSet<_>>().len(), 3);
        assert!(side_by_side([0; 0], |part| part).is_empty());
    }
}
