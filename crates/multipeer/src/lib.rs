//! Nearby devices find each other and talk in one session: no server, no internet, any platform.
//!
//! ```no_run
//! use multipeer::{Event, Session};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let session = Session::builder("chat", "Alice").start().await?; // announces and browses
//! let mut events = session.events();
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::PeerConnected(peer) => session.send(peer.id, "hello").await?,
//!         Event::Message { from, data, .. } => println!("{}: {data:?}", from.name),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Peers announce themselves with DNS-SD over multicast DNS. Every link is QUIC with TLS 1.3, both
//! keys proven. By default a session invites whom it finds and takes every invitation; with
//! [`Joining::Ask`] the application decides.
//!
//! # Who may join
//!
//! Unless told otherwise a session is open. [`SessionBuilder::admission`] asks for a passcode, a
//! preshared key, or an id on a list, proven on the very link before anything else is heard. Whom one
//! member has admitted the others admit on its signed word; [`Session::remove`] sends somebody away;
//! with [`Inviting::HostAlone`] one peer alone does either. [`PairedDevices`] are known again.
//!
//! # Back-pressure
//!
//! Everything is bounded. [`Session::send`] waits while the receiver is slow; a slow peer slows
//! those who send to it and nobody else. A slow reader of [`Events`] loses nothing: its session
//! stops reading from the network until it catches up.
//!
//! # Runtime
//!
//! A session runs on the tokio runtime in which it was started. All its tasks end with
//! [`Session::leave`].

#![deny(missing_docs)]

mod certificate;
mod config;
pub mod discovery;
pub mod doctor;
mod error;
mod event;
mod given;
mod hub;
mod identity;
mod interfaces;
mod invitation;
mod net;
mod paired;
mod passcode;
mod path;
mod peer;
mod private_file;
mod resource;
mod session;
mod stream;

pub use certificate::{Certificate, PeerCertificate};
pub use config::SessionBuilder;
pub use error::{
    CertificateFileError, IdentityError, PingError, SendError, StartError, UnreliableError,
};
pub use event::{Event, Events};
pub use hub::HubLimits;
pub use identity::Identity;
pub use interfaces::{InterfaceKind, Interfaces};
pub use invitation::{Invitation, OutgoingInvitation};
pub use multipeer_proto::resource::{
    FailureReason, RefusalReason, ResourceKind, TransferFailure, TransferId,
};
pub use multipeer_proto::trust::{Admission, AdmissionError, CertificateError, Secret, Verified};
pub use multipeer_proto::{
    Activity, Announce, DeclineReason, DisconnectReason, DiscoveryInfo, DisplayName, GoodbyeReason,
    InviteError, Inviting, Joining, NameError, NudgeError, ParsePeerIdError, PeerId, PeerInfo,
    RemoveError, Role, ServiceType, Statistics, StreamName, StreamNameError, Ticket, TicketError,
    TicketPeer, Topology, limits,
};
pub use paired::{PairedDevice, PairedDevices};
pub use passcode::{Passcode, PasscodeForm};
pub use path::{Path, Route};
pub use peer::Peer;
pub use resource::{
    Progress, ResourceOffer, Source, Transfer, TransferDirection, TransferError, TransferReport,
    TransferState,
};
pub use session::{PingMode, Session};
pub use stream::{IncomingStream, StreamError, StreamReader, StreamWriter};
