//! Resources: what is offered, and what is under way.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
};

use multipeer::{Progress, ResourceKind, ResourceOffer, TransferDirection, TransferState};
use pyo3::prelude::*;

use crate::{
    errors::Failure,
    events::Faces,
    pending::{Pending, lock, reply},
    runtime::Threads,
};

/// A resource that a peer wants to send.
#[pyclass(frozen, module = "multipeer._multipeer")]
pub(crate) struct Offer {
    /// Until it is answered.
    open: Mutex<Option<ResourceOffer>>,
    #[pyo3(get)]
    name: String,
    #[pyo3(get)]
    kind: &'static str,
    #[pyo3(get)]
    size: Option<u64>,
    #[pyo3(get)]
    count: u64,
    faces: Arc<Faces>,
    threads: Weak<Threads>,
}

impl Offer {
    pub(crate) fn new(offer: ResourceOffer, faces: &Arc<Faces>, threads: &Weak<Threads>) -> Self {
        Self {
            name: offer.name().to_owned(),
            kind: match offer.kind() {
                ResourceKind::File => "file",
                ResourceKind::Folder => "folder",
                _ => "data",
            },
            size: offer.size(),
            count: offer.count(),
            open: Mutex::new(Some(offer)),
            faces: faces.clone(),
            threads: threads.clone(),
        }
    }

    fn take(&self, py: Python<'_>) -> PyResult<ResourceOffer> {
        lock(&self.open).take().ok_or_else(|| {
            Failure::new("TransferError", "the offer was answered already").into_err(py)
        })
    }
}

#[pymethods]
impl Offer {
    /// Takes it into a folder; or as this very file, in the place of another.
    #[pyo3(signature = (folder, path=None, overwrite=false))]
    fn accept(
        &self,
        py: Python<'_>,
        folder: PathBuf,
        path: Option<PathBuf>,
        overwrite: bool,
    ) -> PyResult<Pending> {
        let offer = self.take(py)?;
        let (faces, threads) = (self.faces.clone(), self.threads.clone());
        Ok(Pending::new(&self.threads, async move {
            let accepted = match path {
                Some(path) => offer.accept_as(path, overwrite).await,
                None => offer.accept(folder).await,
            };
            reply(accepted.map_err(Failure::from), move |py, transfer| {
                Ok(Py::new(py, Transfer::new(transfer, &faces, &threads))?.into_any())
            })
        }))
    }

    fn decline(&self, py: Python<'_>, text: String) -> PyResult<()> {
        self.take(py)?.decline(text);
        Ok(())
    }
}

/// A resource on its way.
#[pyclass(frozen, module = "multipeer._multipeer")]
pub(crate) struct Transfer {
    inner: multipeer::Transfer,
    /// The one that knows what was told last.
    watch: Arc<tokio::sync::Mutex<multipeer::Transfer>>,
    faces: Arc<Faces>,
    threads: Weak<Threads>,
}

/// State, bytes done, bytes in all, files done, bytes a second, seconds left.
type Numbers = (&'static str, u64, Option<u64>, u64, f64, Option<f64>);

fn numbers(progress: &Progress) -> Numbers {
    let state = match progress.state {
        TransferState::Offered => "offered",
        TransferState::Active => "active",
        TransferState::Paused => "paused",
        _ => "interrupted",
    };
    let Progress { done, total, files, rate, .. } = *progress;
    (state, done, total, files, rate, progress.time_left().map(|left| left.as_secs_f64()))
}

impl Transfer {
    pub(crate) fn new(
        transfer: multipeer::Transfer,
        faces: &Arc<Faces>,
        threads: &Weak<Threads>,
    ) -> Self {
        let watch = Arc::new(tokio::sync::Mutex::new(transfer.clone()));
        Self { inner: transfer, watch, faces: faces.clone(), threads: threads.clone() }
    }
}

#[pymethods]
impl Transfer {
    #[getter]
    fn peer(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.faces.of(py, self.inner.peer())
    }

    #[getter]
    fn name(&self) -> &str {
        self.inner.name()
    }

    #[getter]
    fn direction(&self) -> &'static str {
        match self.inner.direction() {
            TransferDirection::Sending => "sending",
            TransferDirection::Receiving => "receiving",
        }
    }

    /// How far it is now.
    fn current(&self) -> Numbers {
        numbers(&self.inner.current_progress())
    }

    /// How far it is when that has changed; nothing when it has ended.
    fn progress(&self) -> Pending {
        let watch = self.watch.clone();
        Pending::new(&self.threads, async move {
            let progress = watch.lock().await.progress().await;
            reply(Ok(progress), |py, progress| {
                Ok(progress.as_ref().map(numbers).into_pyobject(py)?.unbind())
            })
        })
    }

    /// Waits for its end: where it is, bytes in it, bytes that went over the network.
    fn finished(&self) -> Pending {
        let mut transfer = self.inner.clone();
        Pending::new(&self.threads, async move {
            let report = transfer.finished().await;
            reply(report.map_err(Failure::from), |py, report| {
                let numbers = (report.path, report.bytes, report.transmitted_bytes);
                Ok(numbers.into_pyobject(py)?.into_any().unbind())
            })
        })
    }

    fn pause(&self) {
        self.inner.pause();
    }

    fn resume(&self) {
        self.inner.resume();
    }

    fn cancel(&self) {
        self.inner.cancel();
    }
}
