//! Ends a wait for something outside when the run is to stop.
//!
//! A run that is to stop finishes the batch under way. But a broker or a registry that does not answer would keep it waiting forever. Then
//! the run leaves the batch as planned, which loses nothing: the next start runs it again.

use std::time::Duration;

use tokio::sync::watch;

/// How long what waits for something outside is given to come to its end after the run was told to stop.
const GRACE: Duration = Duration::from_secs(3);

/// What `work` gives; `None` when the run is to stop and `work` still waits after [`GRACE`].
pub(crate) async fn unless_left<T>(stop: &watch::Receiver<bool>, work: impl Future<Output = T>) -> Option<T> {
    unless_left_within(GRACE, stop, work).await
}

async fn unless_left_within<T>(
    grace: Duration,
    stop: &watch::Receiver<bool>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut stop = stop.clone();
    let left = async {
        if stop.wait_for(|stop| *stop).await.is_err() {
            // Nobody is left who could stop the run.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = left => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn work_is_left_only_when_the_run_is_to_stop_and_it_still_waits() {
        let (sender, stop) = watch::channel(false);
        assert_eq!(unless_left(&stop, async { 1 }).await, Some(1));
        sender.send_replace(true);
        assert_eq!(unless_left(&stop, async { 2 }).await, Some(2), "what is ready is taken");
        let soon = async {
            tokio::task::yield_now().await;
            3
        };
        assert_eq!(unless_left(&stop, soon).await, Some(3), "what is nearly there is waited for");
        assert_eq!(unless_left_within(Duration::ZERO, &stop, pending::<u8>()).await, None);
        // Without anybody to stop it a run goes on.
        let (_, never) = watch::channel(false);
        let soon = async {
            tokio::task::yield_now().await;
            4
        };
        assert_eq!(unless_left_within(Duration::ZERO, &never, soon).await, Some(4));
    }
}
