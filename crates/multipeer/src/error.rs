//! What can go wrong, one enum for each thing that a caller does.

use multipeer_proto::{NameError, PeerId, trust::AdmissionError};

/// A session that could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name, the service type or the discovery info breaks a rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A passcode or a key breaks a rule.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// Who is told nothing but by paired devices has to be known to them.
    #[error("to announce itself to paired devices a session needs an identity that it keeps")]
    NoIdentity,
    /// Another program has the port.
    #[error(
        "UDP port {port} is taken by another program: choose another, or none to have one chosen"
    )]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// There is no interface of that name.
    #[error("there is no network interface {name:?} with an address; there are {available}")]
    NoSuchInterface {
        /// The name that was given.
        name: String,
        /// Those that there are.
        available: String,
    },
    /// The sockets could not be opened.
    #[error("could not open a UDP socket: {error}")]
    Socket {
        /// What the system said.
        error: String,
    },
    /// The relay of a hub could not be opened.
    #[error("could not open a TCP port to relay at: {error}")]
    Relay {
        /// What the system said.
        error: String,
    },
    /// Discovery could not be started.
    #[error("could not start discovery: {error}")]
    Discovery {
        /// What went wrong.
        error: String,
    },
    /// A setting is out of its range.
    #[error("{setting} must be {rule}, and is {value}")]
    OutOfRange {
        /// The setting's name.
        setting: &'static str,
        /// The range.
        rule: &'static str,
        /// The value that was given.
        value: String,
    },
}

/// A reliable message that was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The peer is not in the session.
    #[error("peer {peer} is not connected", peer = .0.short())]
    NotConnected(PeerId),
    /// The message is larger than the receiver takes.
    #[error(
        "the receiver takes messages of at most {limit} bytes, and this has {bytes}: use a stream"
    )]
    TooLarge {
        /// The message's length.
        bytes: usize,
        /// What the receiver takes.
        limit: usize,
    },
    /// The peer is slow and its queue is full. Only [`try_send`](crate::Session::try_send) says so.
    #[error("the queue to peer {peer} is full: it is slow; wait, or use `send`", peer = .0.short())]
    QueueFull(PeerId),
    /// The session is over.
    #[error("the session is over")]
    SessionOver,
}

/// A best-effort message that was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnreliableError {
    /// The peer is not in the session.
    #[error("peer {peer} is not connected", peer = .0.short())]
    NotConnected(PeerId),
    /// The message does not fit one datagram.
    #[error(
        "a best-effort message to this peer has at most {limit} bytes now, and this has {bytes}"
    )]
    TooLarge {
        /// The message's length.
        bytes: usize,
        /// What fits at the moment.
        limit: usize,
    },
}

/// A ping without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// The peer is not in the session.
    #[error("peer {peer} is not connected", peer = .0.short())]
    NotConnected(PeerId),
    /// The padding does not fit.
    #[error("a ping of this kind carries at most {limit} bytes, and this has {bytes}")]
    TooLarge {
        /// The padding's length.
        bytes: usize,
        /// What fits.
        limit: usize,
    },
    /// No answer came in time.
    #[error("no answer came in time")]
    TimedOut,
}

/// A certificate, a key or roots that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFileError {
    /// The text holds no certificate.
    #[error("there is no certificate in the {what}: expected PEM, `-----BEGIN CERTIFICATE-----`")]
    NoCertificate {
        /// Which text.
        what: &'static str,
    },
    /// The text holds no private key, or one that cannot be used.
    #[error("there is no usable private key (RSA, ECDSA or Ed25519, in PEM): {problem}")]
    NoKey {
        /// What is wrong.
        problem: String,
    },
    /// A certificate cannot be read.
    #[error("a certificate in the {what} cannot be read: {problem}")]
    Malformed {
        /// Which text.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The key is not the certificate's.
    #[error("the private key is not that of the certificate")]
    WrongKey,
    /// The chain is too long.
    #[error("a chain has at most 8 certificates of 32 KiB together")]
    TooLong,
}

/// An identity that could not be loaded or kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file could not be read or written.
    #[error("could not {action} {path}: {error}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        error: String,
    },
    /// The file does not hold a key.
    #[error("{path} does not hold an identity: expected 64 hexadecimal digits")]
    NotAKey {
        /// The file.
        path: String,
    },
    /// A line of the file is no paired device.
    #[error("{path}, line {line}: expected an id, a time, how it was verified, and a name")]
    NotADevice {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
    },
    /// The text is no key.
    #[error("an identity is 64 hexadecimal digits")]
    NotDigits,
    /// Others can read the file.
    #[error("others can read {path} (mode {mode:o}): run `chmod 600 {path}`")]
    Readable {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
}
