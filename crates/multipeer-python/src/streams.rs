//! The ends of a stream.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use multipeer::{StreamReader, StreamWriter};
use pyo3::{prelude::*, pybacked::PyBackedBytes, types::PyBytes};
use tokio::sync::Mutex;

use crate::{
    errors::{Failure, Outcome},
    pending::{Pending, done, reply},
    runtime::Threads,
};

/// The end into which bytes are written.
#[pyclass(frozen, module = "multipeer._multipeer")]
pub(crate) struct Writer {
    writer: Arc<Mutex<Option<StreamWriter>>>,
    threads: Weak<Threads>,
}

/// The end from which bytes are read.
#[pyclass(frozen, module = "multipeer._multipeer")]
pub(crate) struct Reader {
    reader: Arc<Mutex<Option<StreamReader>>>,
    threads: Weak<Threads>,
}

fn closed() -> Failure {
    Failure::new("StreamError", "this end of the stream is closed")
}

impl Writer {
    pub(crate) fn new(writer: StreamWriter, threads: &Weak<Threads>) -> Self {
        Self { writer: Arc::new(Mutex::new(Some(writer))), threads: threads.clone() }
    }
}

#[pymethods]
impl Writer {
    /// Writes bytes, of which it keeps no copy.
    fn write(&self, data: PyBackedBytes) -> Pending {
        let writer = self.writer.clone();
        Pending::new(&self.threads, async move {
            let mut writer = writer.lock().await;
            let written: Outcome<()> = match writer.as_mut() {
                Some(writer) => {
                    writer.write_bytes(Bytes::from_owner(data)).await.map_err(Failure::from)
                }
                None => Err(closed()),
            };
            done(written)
        })
    }

    /// Says that nothing more comes, and waits until everything has arrived.
    fn finish(&self) -> Pending {
        let writer = self.writer.clone();
        Pending::new(&self.threads, async move {
            let mut writer = writer.lock().await;
            let finished: Outcome<()> = match writer.as_mut() {
                Some(writer) => writer.finish().await.map_err(Failure::from),
                None => Err(closed()),
            };
            done(finished)
        })
    }

    /// Gives the stream up, with a code for the other side. Waits for a write that is under way.
    fn reset(&self, code: u32) -> Pending {
        let writer = self.writer.clone();
        Pending::new(&self.threads, async move {
            if let Some(writer) = writer.lock().await.take() {
                writer.reset(code);
            }
            done(Ok(()))
        })
    }

    /// Sets which of several streams goes first: the one with the larger number.
    fn set_priority(&self, priority: i16) {
        if let Ok(writer) = self.writer.try_lock()
            && let Some(writer) = writer.as_ref()
        {
            writer.set_priority(priority);
        }
    }
}

impl Reader {
    pub(crate) fn new(reader: StreamReader, threads: &Weak<Threads>) -> Self {
        Self { reader: Arc::new(Mutex::new(Some(reader))), threads: threads.clone() }
    }
}

#[pymethods]
impl Reader {
    /// The next bytes, at most so many; nothing at the end.
    fn read(&self, at_most: usize) -> Pending {
        let reader = self.reader.clone();
        Pending::new(&self.threads, async move {
            let mut reader = reader.lock().await;
            let read: Outcome<Option<Bytes>> = match reader.as_mut() {
                Some(reader) => reader.read_bytes(at_most).await.map_err(Failure::from),
                None => Ok(None),
            };
            reply(read, |py, data| {
                Ok(match data {
                    Some(data) => PyBytes::new(py, &data).into_any().unbind(),
                    None => py.None(),
                })
            })
        })
    }

    /// Wants no more, and says why with a code.
    fn stop(&self, code: u32) -> Pending {
        let reader = self.reader.clone();
        Pending::new(&self.threads, async move {
            if let Some(reader) = reader.lock().await.take() {
                reader.stop(code);
            }
            done(Ok(()))
        })
    }
}
