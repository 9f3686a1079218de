//! The multipeer protocol without any IO: no sockets, no clock, no threads, no randomness.
//!
//! [`Session`] is the state machine of one peer. A driver feeds it what happens and carries out
//! what it asks for:
//!
//! ```
//! use multipeer_proto::{
//!     Config, DisplayName, Input, Output, ServiceType, Session, Timestamp, trust::Keys,
//! };
//!
//! let keys = Keys::from_secret(&[1; 32]);
//! let config = Config::new(keys, ServiceType::new("chat")?, DisplayName::new("Alice")?, 1);
//! let mut session = Session::new(config);
//!
//! // The run loop: hand in what happened and the moment of it ...
//! session.handle(Timestamp::ZERO, Input::Tick);
//! // ... do what is asked ...
//! while let Some(output) = session.poll() {
//!     match output {
//!         Output::Dial { .. } => { /* open a connection, report `LinkUp` or `DialFailed` */ }
//!         Output::SendFrame { .. } => { /* write it to the link's control stream */ }
//!         _ => {}
//!     }
//! }
//! // ... and come back at the latest at this moment, with `Input::Tick`.
//! let _ = session.poll_timeout();
//! # Ok::<(), multipeer_proto::NameError>(())
//! ```
//!
//! Messages do not pass through the session: for each connected peer there is an [`Outbox`] and an
//! [`Inbox`], which count and keep them, and which the session tells the driver to attach to a
//! link. With the feature `sim` the module `sim` has a simulator of many peers on a bad network.

mod announcement;
pub mod delivery;
pub mod frame;
mod id;
pub mod limits;
pub mod message;
mod name;
mod network;
pub mod probe;
mod recent;
pub mod resource;
mod session;
#[cfg(feature = "sim")]
pub mod sim;
pub mod stream;
mod ticket;
mod time;
pub mod trust;
mod turnstile;
mod varint;
mod way;

pub use announcement::{Announcement, AnnouncementError};
pub use delivery::{Inbox, Outbox};
pub use frame::{DeclineReason, Frame, FrameDecoder, FrameError, GoodbyeReason};
pub use id::{InvitationId, LinkId, LinkRef, ParsePeerIdError, PeerId};
pub use name::{DiscoveryInfo, DisplayName, NameError, ServiceType};
pub use network::Network;
pub use session::{
    Activity, Announce, Command, Config, DialError, Direction, DisconnectReason, Event, Input,
    InviteError, Inviting, Joining, NudgeError, Output, PeerInfo, Relay, RemoveError, Role,
    Session, Statistics, Topology,
};
pub use stream::{StreamName, StreamNameError};
pub use ticket::{Ticket, TicketError, TicketPeer};
pub use time::Timestamp;
pub use turnstile::{Knock, Origin, Turnstile};
pub use way::{Way, Ways};
