//! A session's settings, as Python gives them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use multipeer::{
    Admission, Announce, Certificate, Identity, Inviting, Joining, PeerId, Role, SessionBuilder,
    Ticket, Topology, discovery::LocalNetwork,
};
use pyo3::{prelude::*, types::PyDict};

use crate::{
    errors::{Failure, Outcome},
    events::Faces,
    pending::{Pending, reply},
    runtime::Threads,
    session::Session,
};

/// Every setting; what is not set has the value that means so.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting that Python's users know by its name"
)]
struct Settings {
    service: String,
    name: String,
    discovery_info: Vec<(String, String)>,
    passcode: Option<String>,
    generate_passcode: bool,
    psk: Option<(String, Vec<u8>)>,
    certificate: Option<Papers>,
    allow: Option<Vec<String>>,
    joining: String,
    topology: String,
    announce: String,
    hosting: bool,
    hub: bool,
    interfaces: Vec<String>,
    identity: Option<PathBuf>,
    port: u16,
    ticket: Option<String>,
    questions: bool,
    looking: bool,
    max_peers: Option<usize>,
    max_message_size: Option<usize>,
    reconnect_window: Option<f64>,
    accept_resources: Option<(PathBuf, u64)>,
}

/// A certificate with its key, and whom it takes; all in PEM.
#[derive(FromPyObject)]
struct Papers {
    chain: Vec<u8>,
    key: Vec<u8>,
    roots: Vec<u8>,
    names: Vec<String>,
}

impl Settings {
    fn builder(self) -> Outcome<SessionBuilder> {
        let mut builder = match &self.ticket {
            Some(ticket) => {
                let ticket: Ticket = ticket.parse().map_err(|error: multipeer::TicketError| {
                    Failure::new("StartError", error.to_string())
                })?;
                if ticket.service.as_str() != self.service {
                    let error =
                        format!("the ticket is for the service {:?}", ticket.service.as_str());
                    return Err(Failure::new("StartError", error));
                }
                multipeer::Session::builder_for(&ticket, &self.name)
            }
            None => multipeer::Session::builder(&self.service, &self.name),
        };
        builder = builder
            .joining(choice(
                "joining",
                &self.joining,
                &[("automatic", Joining::Automatic), ("ask", Joining::Ask)],
            )?)
            .topology(choice(
                "topology",
                &self.topology,
                &[
                    ("mesh", Topology::Mesh),
                    ("host", Topology::ClientServer { role: Role::Host }),
                    ("client", Topology::ClientServer { role: Role::Client }),
                ],
            )?)
            .announce(choice(
                "announce",
                &self.announce,
                &[("public", Announce::Public), ("private", Announce::Private)],
            )?)
            .hub(self.hub)
            .interfaces(self.interfaces.clone())
            .port(self.port)
            .looking(self.looking)
            .discovery(LocalNetwork::default().questions(self.questions))
            .discovery_info(self.discovery_info.clone());
        if self.hosting {
            builder = builder.inviting(Inviting::HostAlone);
        }
        if let Some(peers) = self.max_peers {
            builder = builder.max_peers(peers);
        }
        if let Some(bytes) = self.max_message_size {
            builder = builder.max_message_size(bytes);
        }
        if let Some(seconds) = self.reconnect_window {
            let window = Duration::try_from_secs_f64(seconds)
                .map_err(|_| Failure::new("StartError", "reconnect_window is a time in seconds"))?;
            builder = builder.reconnect_window(window);
        }
        if let Some(path) = &self.identity {
            builder = builder.identity(Identity::load_or_create(path)?);
        }
        if let Some((folder, bytes)) = &self.accept_resources {
            builder = builder.accept_resources(folder, *bytes);
        }
        self.admit(builder)
    }

    /// Says whom the session takes.
    fn admit(self, mut builder: SessionBuilder) -> Outcome<SessionBuilder> {
        let mut demands = Vec::new();
        demands.extend(self.passcode.map(Admission::passcode));
        demands.extend(self.psk.map(|(name, key)| Admission::preshared_key(name, key)));
        if let Some(papers) = self.certificate {
            let certificate =
                Certificate::from_pem(&papers.chain, &papers.key)?.trust_roots(&papers.roots)?;
            demands.push(certificate.trust_names(papers.names).admission());
        }
        if let Some(ids) = self.allow {
            let ids = ids.iter().map(|id| id.parse::<PeerId>()).collect::<Result<Vec<_>, _>>();
            demands.push(Admission::allowlist(
                ids.map_err(|error| Failure::new("StartError", error.to_string()))?,
            ));
        }
        if self.generate_passcode {
            builder = builder.generated_passcode();
        }
        Ok(match demands.into_iter().reduce(Admission::or) {
            Some(admission) => builder.admission(admission),
            None => builder,
        })
    }
}

/// The setting that a word stands for.
pub(crate) fn choice<T: Copy>(setting: &str, word: &str, choices: &[(&str, T)]) -> Outcome<T> {
    let found = choices.iter().find(|(name, _)| *name == word);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let error = format!("{setting} is one of {}, and not {word:?}", names.join(", "));
        Failure::new("StartError", error)
    })
}

/// Starts a session: an operation that ends with one.
#[pyfunction]
pub(crate) fn start(py: Python<'_>, settings: &Bound<'_, PyDict>) -> PyResult<Pending> {
    let settings: Settings = settings.extract()?;
    let faces = Arc::new(Faces::new(py)?);
    let threads = Threads::shared()?;
    let weak = Arc::downgrade(&threads);
    Ok(Pending::new(&weak, async move {
        let started = async { Ok(settings.builder()?.start().await?) }.await;
        reply(started, |py, session| {
            Ok(Py::new(py, Session::new(session, threads, faces))?.into_any())
        })
    }))
}
