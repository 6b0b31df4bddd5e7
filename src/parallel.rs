//! Independent work on all processors.

use std::future::Future;

use futures::{Stream, StreamExt, stream};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

/// Runs futures as tasks, as many at once as there are processors, and gives what came of each with its place. A task
/// goes on while the caller waits for something else, and ends when the stream is dropped.
pub(crate) fn in_tasks<F>(futures: Vec<F>) -> impl Stream<Item = (usize, Result<F::Output, JoinError>)>
where
    F: Future<Output: Send> + Send + 'static,
{
    let tasks = futures.into_iter().enumerate().map(|(place, future)| {
        let task = AbortOnDropHandle::new(tokio::spawn(future));
        async move { (place, task.await) }
    });
    stream::iter(tasks).buffer_unordered(processors())
}

/// How many pieces of work run at once.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
