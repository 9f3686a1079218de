//! Operations that take their time: begun, waited for or given up by Python.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::Wake,
    time::{Duration, Instant},
};

use pyo3::{exceptions::PyTimeoutError, prelude::*};
use tokio::{runtime::Handle, task::AbortHandle, time::timeout};

use crate::{
    errors::{Failure, Outcome, over},
    runtime::Threads,
};

/// What comes of an operation, to be made where the interpreter's lock is held.
pub(crate) type Reply = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;
type Work = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// How often somebody who waits for an operation looks whether Ctrl-C was pressed.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

/// A reply that is what a function makes of a value, or an exception.
pub(crate) fn reply<T: Send + 'static>(
    outcome: Outcome<T>,
    convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> Reply {
    Box::new(move |py| match outcome {
        Ok(value) => convert(py, value),
        Err(failure) => Err(failure.into_err(py)),
    })
}

/// The reply of what has no result.
pub(crate) fn done(outcome: Outcome<()>) -> Reply {
    reply(outcome, |py, ()| Ok(py.None()))
}

/// An operation. It begins when it is started or waited for, once.
#[pyclass(frozen, module = "multipeer._multipeer")]
pub(crate) struct Pending {
    threads: Weak<Threads>,
    work: Mutex<Option<Work>>,
    task: Mutex<Option<AbortHandle>>,
}

impl Pending {
    pub(crate) fn new(
        threads: &Weak<Threads>,
        work: impl Future<Output = Reply> + Send + 'static,
    ) -> Self {
        let work: Work = Box::pin(work);
        let (work, task) = (Mutex::new(Some(work)), Mutex::new(None));
        Self { threads: threads.clone(), work, task }
    }
}

#[pymethods]
impl Pending {
    /// Begins; what comes of it goes into the mailbox under this number.
    fn start(&self, py: Python<'_>, mailbox: &Mailbox, number: u64) -> PyResult<()> {
        let Some(work) = lock(&self.work).take() else {
            return Err(Failure::new("MultipeerError", "this was begun already").into_err(py));
        };
        let threads = self.threads.upgrade().ok_or_else(|| over().into_err(py))?;
        let inbox = mailbox.0.clone();
        let task = threads.spawn(async move {
            let reply = work.await;
            inbox.put(number, reply);
        });
        *lock(&self.task) = task;
        Ok(())
    }

    /// Gives it up. Nothing more comes of it.
    fn cancel(&self) {
        lock(&self.work).take();
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }

    /// Waits for it on this thread, while others run; so many seconds at most, after which it is given up.
    #[pyo3(signature = (seconds=None))]
    fn wait(&self, py: Python<'_>, seconds: Option<f64>) -> PyResult<Py<PyAny>> {
        let Some(mut work) = lock(&self.work).take() else {
            return Err(Failure::new("MultipeerError", "this was begun already").into_err(py));
        };
        let threads = self.threads.upgrade().ok_or_else(|| over().into_err(py))?;
        let limit = seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
        let begin = Instant::now();
        loop {
            let left = limit.map(|limit| limit.saturating_sub(begin.elapsed()));
            let slice = left.map_or(SIGNAL_INTERVAL, |left| left.min(SIGNAL_INTERVAL));
            let waited =
                py.detach(|| threads.block_on(async { timeout(slice, work.as_mut()).await }));
            match waited {
                Some(Ok(reply)) => return reply(py),
                Some(Err(_)) => py.check_signals()?,
                None => return Err(over().into_err(py)),
            }
            if left.is_some_and(|left| left <= slice) {
                return Err(PyTimeoutError::new_err("it did not come about in time"));
            }
        }
    }
}

/// Where operations put what comes of them, for an event loop to take.
#[pyclass(frozen, module = "multipeer._multipeer")]
pub(crate) struct Mailbox(Arc<Inbox>);

/// What is behind a mailbox.
pub(crate) struct Inbox {
    replies: Mutex<VecDeque<(u64, Reply)>>,
    bell: Bell,
}

/// How an event loop is told that there is something.
enum Bell {
    /// By a byte on a socket on which it waits.
    #[cfg(unix)]
    Socket(std::os::unix::net::UnixStream, std::os::unix::net::UnixStream),
    /// By a call, where event loops do not wait on sockets that are not their own.
    Call(Arc<Py<PyAny>>),
}

impl Mailbox {
    pub(crate) fn inbox(&self) -> Arc<Inbox> {
        self.0.clone()
    }
}

impl Inbox {
    pub(crate) fn put(&self, number: u64, reply: Reply) {
        let was_empty = {
            let mut replies = lock(&self.replies);
            replies.push_back((number, reply));
            replies.len() == 1
        };
        if was_empty {
            self.bell.ring();
        }
    }
}

/// Whoever waits for events is woken as for a reply.
impl Wake for Inbox {
    fn wake(self: Arc<Self>) {
        self.bell.ring();
    }
}

impl Bell {
    fn ring(&self) {
        match self {
            #[cfg(unix)]
            Self::Socket(_, end) => {
                // One that is full has been rung.
                _ = io::Write::write(&mut &*end, &[1]);
            }
            Self::Call(call) => {
                let call = call.clone();
                // An interpreter that is at its end wants nothing, and neither does a loop that is closed.
                let ring = move || _ = Python::try_attach(|py| call.call0(py).map(drop));
                match Handle::try_current() {
                    // The library may hold a lock for which the thread waits that has the interpreter's.
                    Ok(threads) => drop(threads.spawn_blocking(ring)),
                    Err(_) => ring(),
                }
            }
        }
    }

    fn silence(&self) {
        #[cfg(unix)]
        if let Self::Socket(end, _) = self {
            let mut bytes = [0; 64];
            while io::Read::read(&mut &*end, &mut bytes).is_ok_and(|count| count == bytes.len()) {}
        }
    }
}

#[pymethods]
impl Mailbox {
    /// A mailbox with a socket to wait on; or with a function that is called, from any thread.
    #[new]
    #[pyo3(signature = (call=None))]
    fn new(call: Option<Py<PyAny>>) -> PyResult<Self> {
        let bell = match call {
            Some(call) => Bell::Call(Arc::new(call)),
            None => Bell::socket()?,
        };
        Ok(Self(Arc::new(Inbox { replies: Mutex::default(), bell })))
    }

    /// The socket to wait on, if there is one.
    fn fileno(&self) -> Option<i32> {
        match &self.0.bell {
            #[cfg(unix)]
            Bell::Socket(end, _) => Some(std::os::fd::AsRawFd::as_raw_fd(end)),
            Bell::Call(_) => None,
        }
    }

    /// Everything that came: the number of each operation, its result or nothing, and its exception or nothing.
    fn take(&self, py: Python<'_>) -> Vec<(u64, Option<Py<PyAny>>, Option<PyErr>)> {
        self.0.bell.silence();
        let replies = std::mem::take(&mut *lock(&self.0.replies));
        let results = replies.into_iter().map(|(number, reply)| match reply(py) {
            Ok(value) => (number, Some(value), None),
            Err(error) => (number, None, Some(error)),
        });
        results.collect()
    }
}

impl Bell {
    #[cfg(unix)]
    fn socket() -> io::Result<Self> {
        let (inner, outer) = std::os::unix::net::UnixStream::pair()?;
        inner.set_nonblocking(true)?;
        outer.set_nonblocking(true)?;
        Ok(Self::Socket(inner, outer))
    }

    #[cfg(not(unix))]
    fn socket() -> io::Result<Self> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
