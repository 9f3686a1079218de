//! The threads on which sessions run, one and those for files: there while a session is, and gone with the last.

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::runtime::{Builder, Handle, Runtime};

/// Threads for everything but files, whatever number of sessions there is: more pass the work to each other, which takes longer
/// than what they do at the same time saves.
const THREADS: usize = 1;
/// Time for the threads to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The runtime of every session in the process.
pub(crate) struct Threads(Option<Runtime>);

static THREADS_IN_USE: Mutex<Weak<Threads>> = Mutex::new(Weak::new());

impl Threads {
    /// Those that are there, or new ones.
    pub(crate) fn shared() -> io::Result<Arc<Self>> {
        let mut shared = THREADS_IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(threads) = shared.upgrade() {
            return Ok(threads);
        }
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(THREADS).thread_name("multipeer").enable_all();
        let threads = Arc::new(Self(Some(builder.build()?)));
        *shared = Arc::downgrade(&threads);
        Ok(threads)
    }

    fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }

    /// Runs a task. Returns what ends it before its time.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Option<tokio::task::AbortHandle> {
        self.handle().map(|handle| handle.spawn(task).abort_handle())
    }

    /// Waits here for a future, on this thread.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> Option<F::Output> {
        self.handle().map(|handle| handle.block_on(future))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            if Handle::try_current().is_ok() {
                // The last one to know of it is one of its own tasks, which cannot wait for itself.
                runtime.shutdown_background();
            } else {
                runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
            }
        }
    }
}
