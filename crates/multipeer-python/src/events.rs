//! What happens in a session, as Python sees it: the name of an event class of `multipeer._events`, and its fields.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use multipeer::{Event, Peer, PeerId, discovery::Way};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict, PyTuple},
};

use crate::{
    errors::Failure,
    pending::lock,
    resources::{Offer, Transfer},
    runtime::Threads,
    streams::{Reader, Writer},
};

/// Peers of whom the object is kept that stands for them, at most.
const MAX_FACES: usize = 4096;

/// The objects that stand for peers: the same one for the same peer, as long as it says the same of itself.
pub(crate) struct Faces {
    class: Py<PyAny>,
    known: Mutex<HashMap<PeerId, (Peer, Py<PyAny>)>>,
}

impl Faces {
    pub(crate) fn new(py: Python<'_>) -> PyResult<Self> {
        let class = py.import("multipeer._types")?.getattr("Peer")?.unbind();
        Ok(Self { class, known: Mutex::default() })
    }

    pub(crate) fn of(&self, py: Python<'_>, peer: &Peer) -> PyResult<Py<PyAny>> {
        if let Some((known, face)) = lock(&self.known).get(&peer.id)
            && known == peer
        {
            return Ok(face.clone_ref(py));
        }
        let info = PyDict::new(py);
        for (key, value) in peer.info.iter() {
            info.set_item(key, value)?;
        }
        let fields = (
            peer.id.to_string(),
            peer.name.as_str(),
            info,
            peer.lasting_id.map(|id| id.to_string()),
            peer.heard_through.map(|hub| hub.to_string()),
            peer.ways.iter().map(Way::as_str).collect::<Vec<_>>(),
        );
        let face = self.class.call1(py, fields)?;
        let mut known = lock(&self.known);
        if known.len() >= MAX_FACES {
            known.clear();
        }
        known.insert(peer.id, (peer.clone(), face.clone_ref(py)));
        Ok(face)
    }

    pub(crate) fn of_all(&self, py: Python<'_>, peers: &[Peer]) -> PyResult<Vec<Py<PyAny>>> {
        peers.iter().map(|peer| self.of(py, peer)).collect()
    }
}

/// An invitation that another peer sent.
#[pyclass(frozen, module = "multipeer._multipeer")]
pub(crate) struct Invitation {
    invitation: Mutex<Option<multipeer::Invitation>>,
}

#[pymethods]
impl Invitation {
    fn accept(&self, py: Python<'_>) -> PyResult<()> {
        self.take(py)?.accept();
        Ok(())
    }

    fn decline(&self, py: Python<'_>, text: String) -> PyResult<()> {
        self.take(py)?.decline(text);
        Ok(())
    }
}

impl Invitation {
    fn take(&self, py: Python<'_>) -> PyResult<multipeer::Invitation> {
        lock(&self.invitation).take().ok_or_else(|| {
            Failure::new("InviteError", "the invitation was answered already").into_err(py)
        })
    }
}

/// The class of an event, and its fields; nothing for what later versions of the library tell.
pub(crate) fn event(
    py: Python<'_>,
    event: Event,
    faces: &Arc<Faces>,
    threads: &Weak<Threads>,
) -> PyResult<Option<(&'static str, Py<PyTuple>)>> {
    let face = |peer: &Peer| faces.of(py, peer);
    let fields = |fields: Bound<'_, PyTuple>| fields.unbind();
    Ok(Some(match event {
        Event::Message { from, data, reliable } => {
            let data = PyBytes::new(py, &data);
            ("Message", fields((face(&from)?, data, reliable).into_pyobject(py)?))
        }
        Event::PeerFound(peer) => ("PeerFound", one(py, face(&peer)?)?),
        Event::PeerUpdated(peer) => ("PeerUpdated", one(py, face(&peer)?)?),
        Event::PeerLost(peer) => ("PeerLost", one(py, face(&peer)?)?),
        Event::Connecting(peer) => ("Connecting", one(py, face(&peer)?)?),
        Event::PeerConnected(peer) => ("PeerConnected", one(py, face(&peer)?)?),
        Event::InvitationWithdrawn { from } => ("InvitationWithdrawn", one(py, face(&from)?)?),
        Event::Invitation(invitation) => {
            let (from, context) = (face(invitation.from())?, invitation.context().clone());
            let verified = invitation.verified().as_str();
            let invitation = Invitation { invitation: Mutex::new(Some(invitation)) };
            let context = PyBytes::new(py, &context);
            ("InvitationReceived", fields((from, context, verified, invitation).into_pyobject(py)?))
        }
        Event::InvitationFailed { peer, error } => {
            ("InvitationFailed", fields((face(&peer)?, error.to_string()).into_pyobject(py)?))
        }
        Event::Nudged { from, text } => ("Nudged", fields((face(&from)?, text).into_pyobject(py)?)),
        Event::ActivityChanged { peer, activity } => {
            ("ActivityChanged", fields((face(&peer)?, activity.as_str()).into_pyobject(py)?))
        }
        Event::ViabilityChanged { peer, viable } => {
            ("ViabilityChanged", fields((face(&peer)?, viable).into_pyobject(py)?))
        }
        Event::PathChanged { peer, path } => {
            let round_trip = path.round_trip.as_secs_f64();
            let route = path.route.to_string();
            ("PathChanged", fields((face(&peer)?, route, round_trip).into_pyobject(py)?))
        }
        Event::PeerDisconnected { peer, reason, unconfirmed } => {
            let unconfirmed: Vec<_> =
                unconfirmed.iter().map(|data| PyBytes::new(py, data)).collect();
            let said = (face(&peer)?, reason.as_str(), reason.to_string(), unconfirmed);
            ("PeerDisconnected", fields(said.into_pyobject(py)?))
        }
        Event::Stream(stream) => {
            let reader = Reader::new(stream.reader, threads);
            let writer = stream.writer.map(|writer| Writer::new(writer, threads));
            let opened = (face(&stream.from)?, stream.name.as_str(), reader, writer);
            ("StreamOpened", fields(opened.into_pyobject(py)?))
        }
        Event::ResourceOffered(offer) => {
            let from = face(offer.from())?;
            let said = (from, Offer::new(offer, faces, threads));
            ("ResourceOffered", fields(said.into_pyobject(py)?))
        }
        Event::TransferEnded { transfer, result } => {
            let peer = face(transfer.peer())?;
            let transfer = Transfer::new(transfer, faces, threads);
            let error = result.as_ref().err().map(ToString::to_string);
            let path = result.ok().and_then(|report| report.path);
            ("TransferEnded", fields((peer, transfer, path, error).into_pyobject(py)?))
        }
        Event::ProofsRefused { peer, replaced_by } => {
            let passcode = replaced_by.map(|passcode| passcode.to_text());
            ("ProofsRefused", fields((face(&peer)?, passcode).into_pyobject(py)?))
        }
        Event::RemovalRefused { by, subject } => {
            ("RemovalRefused", fields((face(&by)?, face(&subject)?).into_pyobject(py)?))
        }
        Event::DiscoveryProblem(problem) => ("DiscoveryProblem", one(py, problem.to_string())?),
        _ => return Ok(None),
    }))
}

fn one<'py, T: IntoPyObject<'py>>(py: Python<'py>, field: T) -> PyResult<Py<PyTuple>> {
    Ok((field,).into_pyobject(py)?.unbind())
}
