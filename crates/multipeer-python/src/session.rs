//! A session, as Python holds it.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
    task::{Context, Poll, Waker},
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use multipeer::{
    Activity, Event, Events, InviteError, OutgoingInvitation, Peer, PeerId, PingMode, SendError,
    Source,
};
use pyo3::{
    prelude::*,
    pybacked::PyBackedBytes,
    types::{PyList, PyTuple},
};

use crate::{
    errors::{Failure, Outcome, over},
    events::{self, Faces},
    pending::{Mailbox, Pending, Reply, done, lock, reply},
    resources::Transfer,
    runtime::Threads,
    settings::choice,
    streams::{Reader, Writer},
};

type PyEvent = (&'static str, Py<PyTuple>);

/// A session that has started.
#[pyclass(frozen, module = "multipeer._multipeer")]
pub(crate) struct Session {
    inner: multipeer::Session,
    events: Arc<tokio::sync::Mutex<Events>>,
    faces: Arc<Faces>,
    /// Let go when the session is closed.
    threads: Mutex<Option<Arc<Threads>>>,
}

impl Session {
    pub(crate) fn new(
        session: multipeer::Session,
        threads: Arc<Threads>,
        faces: Arc<Faces>,
    ) -> Self {
        let events = Arc::new(tokio::sync::Mutex::new(session.events()));
        Self { inner: session, events, faces, threads: Mutex::new(Some(threads)) }
    }

    fn threads(&self, py: Python<'_>) -> PyResult<Weak<Threads>> {
        let threads = lock(&self.threads).as_ref().map(Arc::downgrade);
        threads.ok_or_else(|| over().into_err(py))
    }

    /// An operation on the session.
    fn begin<F>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(multipeer::Session) -> F,
    ) -> PyResult<Pending>
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        Ok(Pending::new(&self.threads(py)?, work(self.inner.clone())))
    }
}

/// An invitation that is withdrawn when nobody waits for its answer any more.
struct Asked(Option<OutgoingInvitation>);

impl Asked {
    async fn answer(mut self) -> Result<Peer, InviteError> {
        let answer = match &mut self.0 {
            Some(invitation) => invitation.answer().await,
            None => Err(InviteError::SessionOver),
        };
        self.0 = None;
        answer
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(invitation) = self.0.take() {
            invitation.cancel();
        }
    }
}

fn id(py: Python<'_>, text: &str) -> PyResult<PeerId> {
    checked(py, text.parse::<PeerId>())
}

fn checked<T, E: Into<Failure>>(py: Python<'_>, result: Result<T, E>) -> PyResult<T> {
    result.map_err(|error| error.into().into_err(py))
}

#[pymethods]
impl Session {
    #[getter]
    fn id(&self) -> String {
        self.inner.id().to_string()
    }

    #[getter]
    fn name(&self) -> &str {
        self.inner.name().as_str()
    }

    #[getter]
    fn port(&self) -> u16 {
        self.inner.port()
    }

    #[getter]
    fn passcode(&self) -> Option<String> {
        self.inner.passcode().map(|passcode| passcode.to_text())
    }

    fn peers(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        self.faces.of_all(py, &self.inner.peers())
    }

    fn nearby(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        self.faces.of_all(py, &self.inner.nearby())
    }

    /// Events that are there already, at most so many; nothing when the session is over. If there are none, the mailbox is
    /// rung once there are.
    #[pyo3(signature = (at_most, mailbox=None))]
    fn take_events(
        &self,
        py: Python<'_>,
        at_most: usize,
        mailbox: Option<&Mailbox>,
    ) -> PyResult<Option<Vec<PyEvent>>> {
        let mut taken = Vec::new();
        // Another thread waits for the next one.
        let Ok(mut queue) = self.events.try_lock() else { return Ok(Some(taken)) };
        let threads = self.threads(py)?;
        let waker = mailbox.map_or_else(|| Waker::noop().clone(), |mailbox| mailbox.inbox().into());
        let mut context = Context::from_waker(&waker);
        while taken.len() < at_most {
            match queue.poll_next_unpin(&mut context) {
                Poll::Ready(Some(event)) => {
                    taken.extend(events::event(py, event, &self.faces, &threads)?);
                }
                Poll::Ready(None) if taken.is_empty() => return Ok(None),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Ok(Some(taken))
    }

    /// The next event, in a list that is empty if it is of a kind that is not known; nothing when the session is over.
    fn next_event(&self, py: Python<'_>) -> PyResult<Pending> {
        let (queue, faces, threads) = (self.events.clone(), self.faces.clone(), self.threads(py)?);
        self.begin(py, |_| async move {
            let next: Option<Event> = queue.lock().await.next().await;
            reply(Ok(next), move |py, next| {
                let Some(next) = next else { return Ok(py.None()) };
                let event = events::event(py, next, &faces, &threads)?;
                Ok(PyList::new(py, event)?.into_any().unbind())
            })
        })
    }

    /// Sends a reliable message. Nothing if there was room for it, or an operation that waits for room.
    fn send(&self, py: Python<'_>, peer: &str, data: PyBackedBytes) -> PyResult<Option<Pending>> {
        let (peer, data) = (id(py, peer)?, Bytes::from_owner(data));
        match self.inner.try_send(peer, data.clone()) {
            Err(SendError::QueueFull(_)) => {}
            result => return checked(py, result).map(|()| None),
        }
        let waiting = self.begin(py, |session| async move {
            done(session.send(peer, data).await.map_err(Failure::from))
        });
        waiting.map(Some)
    }

    fn send_to(
        &self,
        py: Python<'_>,
        peers: Vec<String>,
        data: PyBackedBytes,
    ) -> PyResult<Pending> {
        let peers = peers.into_iter().map(|peer| id(py, &peer)).collect::<PyResult<Vec<_>>>()?;
        self.begin(py, |session| async move {
            done(session.send_to(peers, Bytes::from_owner(data)).await.map_err(Failure::from))
        })
    }

    fn broadcast(&self, py: Python<'_>, data: PyBackedBytes) -> PyResult<Pending> {
        self.begin(py, |session| async move {
            done(session.broadcast(Bytes::from_owner(data)).await.map_err(Failure::from))
        })
    }

    fn send_unreliable(&self, py: Python<'_>, peer: &str, data: PyBackedBytes) -> PyResult<()> {
        checked(py, self.inner.send_unreliable(id(py, peer)?, Bytes::from_owner(data)))
    }

    fn broadcast_unreliable(&self, py: Python<'_>, data: PyBackedBytes) -> PyResult<()> {
        checked(py, self.inner.broadcast_unreliable(Bytes::from_owner(data)))
    }

    fn max_unreliable_size(&self, py: Python<'_>, peer: &str) -> PyResult<Option<usize>> {
        Ok(self.inner.max_unreliable_size(id(py, peer)?))
    }

    /// Invites a peer, and waits for its answer.
    fn invite(
        &self,
        py: Python<'_>,
        peer: &str,
        context: PyBackedBytes,
        seconds: f64,
    ) -> PyResult<Pending> {
        let (peer, faces) = (id(py, peer)?, self.faces.clone());
        let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.begin(py, |session| async move {
            let answered = async {
                let context = Bytes::from_owner(context);
                let asked = session.invite_within(peer, context, time).await?;
                Asked(Some(asked)).answer().await
            };
            let answered = answered.await.map_err(Failure::from);
            reply(answered, move |py, peer| faces.of(py, &peer))
        })
    }

    /// Opens a stream: the end to write into, and the one to read from unless nothing comes back.
    fn open_stream(
        &self,
        py: Python<'_>,
        peer: &str,
        name: String,
        one_way: bool,
    ) -> PyResult<Pending> {
        let (peer, threads) = (id(py, peer)?, self.threads(py)?);
        self.begin(py, |session| async move {
            let opened = if one_way {
                session.open_one_way_stream(peer, name).await.map(|writer| (writer, None))
            } else {
                session.open_stream(peer, name).await.map(|(writer, reader)| (writer, Some(reader)))
            };
            reply(opened.map_err(Failure::from), move |py, (writer, reader)| {
                let writer = Writer::new(writer, &threads);
                let reader = reader.map(|reader| Reader::new(reader, &threads));
                Ok((writer, reader).into_pyobject(py)?.into_any().unbind())
            })
        })
    }

    /// Sends a file or a folder, data under a name, or what a web address answers.
    #[pyo3(signature = (peer, path=None, data=None, name=None, url=None))]
    fn send_resource(
        &self,
        py: Python<'_>,
        peer: &str,
        path: Option<PathBuf>,
        data: Option<PyBackedBytes>,
        name: Option<String>,
        url: Option<String>,
    ) -> PyResult<Pending> {
        let source: Outcome<Source> = match (path, data, url) {
            (Some(path), None, None) => Ok(Source::path(path)),
            (None, Some(data), None) => Ok(Source::bytes(
                name.unwrap_or_else(|| "data".to_owned()),
                Bytes::from_owner(data),
            )),
            (None, None, Some(url)) => Ok(Source::url(url)),
            _ => {
                Err(Failure::new("TransferError", "one of a path, data and a web address is sent"))
            }
        };
        let source = checked(py, source)?;
        let (peer, faces, threads) = (id(py, peer)?, self.faces.clone(), self.threads(py)?);
        self.begin(py, |session| async move {
            let sent = session.send_resource(peer, source).await.map_err(Failure::from);
            reply(sent, move |py, transfer| {
                Ok(Py::new(py, Transfer::new(transfer, &faces, &threads))?.into_any())
            })
        })
    }

    fn nudge(&self, py: Python<'_>, peer: &str, text: String) -> PyResult<Pending> {
        let peer = id(py, peer)?;
        self.begin(py, |session| async move {
            done(session.nudge(peer, text).await.map_err(Failure::from))
        })
    }

    fn remove(&self, py: Python<'_>, peer: &str, reason: String) -> PyResult<Pending> {
        let peer = id(py, peer)?;
        self.begin(py, |session| async move {
            done(session.remove(peer, reason).await.map_err(Failure::from))
        })
    }

    /// The round trip to a peer, in seconds.
    fn ping(&self, py: Python<'_>, peer: &str, bytes: usize, reliable: bool) -> PyResult<Pending> {
        let peer = id(py, peer)?;
        let mode = if reliable { PingMode::Reliable } else { PingMode::Unreliable };
        self.begin(py, |session| async move {
            let took = session.ping(peer, bytes, mode).await.map_err(Failure::from);
            reply(took, |py, took| Ok(took.as_secs_f64().into_pyobject(py)?.into_any().unbind()))
        })
    }

    fn start_looking(&self) {
        self.inner.start_looking();
    }

    fn stop_looking(&self) {
        self.inner.stop_looking();
    }

    fn set_discovery_info(&self, py: Python<'_>, info: Vec<(String, String)>) -> PyResult<()> {
        checked(py, self.inner.set_discovery_info(info))
    }

    fn set_activity(&self, py: Python<'_>, activity: &str) -> PyResult<()> {
        let choices = [("foreground", Activity::Foreground), ("background", Activity::Background)];
        self.inner.set_activity(checked(py, choice("activity", activity, &choices))?);
        Ok(())
    }

    fn activity(&self, py: Python<'_>, peer: &str) -> PyResult<Option<&'static str>> {
        Ok(self.inner.activity(id(py, peer)?).map(Activity::as_str))
    }

    fn is_viable(&self, py: Python<'_>, peer: &str) -> PyResult<bool> {
        Ok(self.inner.is_viable(id(py, peer)?))
    }

    fn is_resting(&self, py: Python<'_>, peer: &str) -> PyResult<bool> {
        Ok(self.inner.is_resting(id(py, peer)?))
    }

    fn verified(&self, py: Python<'_>, peer: &str) -> PyResult<Option<&'static str>> {
        Ok(self.inner.verified(id(py, peer)?).map(|verified| verified.as_str()))
    }

    fn comparison(&self, py: Python<'_>, peer: &str) -> PyResult<Option<String>> {
        Ok(self.inner.comparison(id(py, peer)?))
    }

    /// Says goodbye and waits until what was sent has arrived, or it is clear that it does not.
    fn leave(&self, py: Python<'_>) -> PyResult<Pending> {
        self.begin(py, |session| async move {
            session.leave().await;
            done(Ok(()))
        })
    }

    /// As `close`, without waiting; that it is done goes into the mailbox under this number.
    fn begin_closing(&self, mailbox: &Mailbox, number: u64) {
        let threads = lock(&self.threads).take();
        let inbox = mailbox.inbox();
        let closing: Arc<Mutex<Option<JoinHandle<()>>>> = Arc::default();
        let closed = closing.clone();
        // They cannot wait for themselves.
        let helper = thread::spawn(move || {
            drop(threads);
            let reply: Reply = Box::new(move |py| {
                // It has nothing more to do but to call the loop, for which it may need the interpreter: then no thread is
                // left, this one neither.
                if let Some(helper) = lock(&closed).take() {
                    _ = py.detach(|| helper.join());
                }
                Ok(py.None())
            });
            inbox.put(number, reply);
        });
        *lock(&closing) = Some(helper);
    }

    /// Lets go of the threads, which end with the last session.
    fn close(&self, py: Python<'_>) {
        let threads = lock(&self.threads).take();
        py.detach(|| drop(threads));
    }
}
