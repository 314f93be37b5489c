//! Threads that the system may refuse to create.

use std::io;
use std::sync::RwLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{Builder, ScopedJoinHandle, scope};
use std::time::Duration;

/// What to do when no thread can be started, to follow the message.
pub const WAY_OUT: &str = "raise the limit of processes (`ulimit -u`; of a container, that of its pids), and run again";

/// How long [`starting`] waits for what has the threads that it needs: this takes milliseconds, or on a machine that has much else to do
/// seconds.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// What `work` gives, which is done by a thread of its own named `name` and waited for as long as `patience`. A thread that has not ended
/// by then is left behind: what it gives later is dropped there, and the end of the process does not wait for it.
///
/// # Errors
/// When no thread can be started, or it panics; of [`io::ErrorKind::TimedOut`] when it has not ended.
pub fn given_within<T: Send + 'static>(
    name: &str,
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (to, from) = mpsc::channel();
    // When it is late, nobody takes what it gives.
    let thread = Builder::new().name(name.to_owned()).spawn(move || drop(to.send(work())))?;
    let given = from.recv_timeout(patience).map_err(|error| match error {
        RecvTimeoutError::Timeout => {
            io::Error::new(io::ErrorKind::TimedOut, format!("it has not ended within {} s", patience.as_secs()))
        }
        RecvTimeoutError::Disconnected => io::Error::other(format!("the thread `{name}` panicked")),
    })?;
    // It has nothing more to do, and whoever starts the next one may have no more than its place.
    let _ = thread.join();
    Ok(given)
}

/// What `work` gives, which starts `count` threads itself and may wait for ever if it gets only some of them. It is not begun where the
/// system has fewer, and given up when another process was faster and took some of them.
///
/// # Errors
/// When the system has fewer, or what takes milliseconds has not ended in half a minute.
pub fn starting<T: Send + 'static>(
    name: &str,
    count: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    can_start(count)?;
    given_within(name, PATIENCE, work).map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => {
            let waited = PATIENCE.as_secs();
            let why = format!("what needs {count} has not begun after {waited} s, as when only some can be started");
            io::Error::new(io::ErrorKind::TimedOut, why)
        }
        _ => error,
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
    fn work_that_does_not_end_is_left_behind_and_what_it_gives_is_taken_if_it_does() {
        assert_eq!(given_within("sum", PATIENCE, || 3 + 4).ok(), Some(7));
        assert_eq!(starting("sum", 2, || 3 + 4).ok(), Some(7));
        let (hold, held) = mpsc::channel::<()>();
        let (told, ended) = mpsc::channel();
        let stuck = given_within("stuck", Duration::from_millis(1), move || (held.recv(), told.send(())));
        assert_eq!(stuck.err().map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
        // What it waits for comes too late for whoever asked, and ends it.
        drop(hold);
        assert!(ended.recv().is_ok());
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
