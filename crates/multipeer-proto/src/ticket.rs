//! Tickets: where a session is and how to get in, in one string, for where nobody can be heard.

use std::{fmt, net::SocketAddr, str::FromStr};

use data_encoding::BASE32_NOPAD;
use minicbor::{Decode, Encode};

use crate::{
    frame::codec::{addresses, from_cbor, to_cbor},
    id::PeerId,
    limits::{MAX_ADDRESSES, MAX_TICKET_CHARS, MAX_TICKET_PASSCODE_BYTES, MAX_TICKET_PEERS},
    name::ServiceType,
};

/// What a ticket begins with.
const SCHEME: &str = "multipeer://";
/// The version of what is behind it.
const FORMAT: u8 = 1;
/// Bytes of BLAKE3 at the end, by which one that was cut off or mistyped is known.
const CHECK_BYTES: usize = 4;

/// Where a session is, and how to get in.
///
/// Its text is all that is needed to join: who reads it may know the passcode.
///
/// ```
/// use multipeer_proto::{PeerId, ServiceType, Ticket, TicketPeer};
///
/// let maker = TicketPeer {
///     id: PeerId::from_bytes([7; 32]),
///     addresses: vec!["192.0.2.7:4000".parse()?],
/// };
/// let ticket = Ticket {
///     service: ServiceType::new("chat")?,
///     peers: vec![maker],
///     passcode: Some("481-516".to_owned()),
/// };
/// let text = ticket.to_string();
/// assert!(text.starts_with("multipeer://"));
/// assert_eq!(text.to_uppercase().parse::<Ticket>()?, ticket);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ticket {
    /// What the session is about.
    #[n(0)]
    pub service: ServiceType,
    /// Those to try: who made the ticket, and the hubs in its session; 1 to 4.
    #[n(1)]
    pub peers: Vec<TicketPeer>,
    /// The session's passcode, if whoever has the ticket is to get in with it; at most 256 bytes.
    #[n(2)]
    pub passcode: Option<String>,
}

/// A peer that a ticket names.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TicketPeer {
    /// Who: whoever answers at the addresses has to prove it.
    #[n(0)]
    pub id: PeerId,
    /// Where; at most 8.
    #[n(1)]
    #[cbor(with = "addresses")]
    pub addresses: Vec<SocketAddr>,
}

/// A text that is no ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// It begins otherwise, or has characters that none has.
    #[error("this is no ticket: one begins with {SCHEME} and goes on with letters and digits")]
    NoTicket,
    /// Something is missing, or mistyped.
    #[error("the ticket is not whole: copy all of it, from {SCHEME} to its end")]
    NotWhole,
    /// A later version of multipeer made it.
    #[error("the ticket's format is version {0}, and this version of multipeer reads {FORMAT}")]
    Version(u8),
    /// It is whole, and breaks a rule.
    #[error("the ticket is wrong in itself: {0}")]
    Content(String),
}

impl Ticket {
    fn check(&self) -> Result<(), &'static str> {
        let fit = |peer: &TicketPeer| peer.addresses.len() <= MAX_ADDRESSES;
        if !(1..=MAX_TICKET_PEERS).contains(&self.peers.len()) || !self.peers.iter().all(fit) {
            Err("it names 1 to 4 peers, with at most 8 addresses each")
        } else if self.passcode.as_ref().is_some_and(|code| code.len() > MAX_TICKET_PASSCODE_BYTES)
        {
            Err("its passcode has more than 256 bytes")
        } else {
            Ok(())
        }
    }
}

fn check_bytes(content: &[u8]) -> [u8; CHECK_BYTES] {
    let [a, b, c, d, ..] = *blake3::hash(content).as_bytes();
    [a, b, c, d]
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![FORMAT];
        bytes.extend(to_cbor(self));
        bytes.extend(check_bytes(&bytes));
        write!(f, "{SCHEME}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Letters count alike in both cases, and white space around the text does not count.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let (scheme, code) = text.split_at_checked(SCHEME.len()).ok_or(TicketError::NoTicket)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) || text.len() > MAX_TICKET_CHARS {
            return Err(TicketError::NoTicket);
        }
        let code = code.to_ascii_uppercase();
        if !code.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7')) {
            return Err(TicketError::NoTicket);
        }
        let bytes = BASE32_NOPAD.decode(code.as_bytes()).map_err(|_| TicketError::NotWhole)?;
        let (content, check) =
            bytes.split_last_chunk::<CHECK_BYTES>().ok_or(TicketError::NotWhole)?;
        if check_bytes(content) != *check {
            return Err(TicketError::NotWhole);
        }
        let ticket: Self = match content {
            [FORMAT, body @ ..] => from_cbor(body).map_err(TicketError::Content)?,
            [version, ..] => return Err(TicketError::Version(*version)),
            [] => return Err(TicketError::NotWhole),
        };
        ticket.check().map_err(|rule| TicketError::Content(rule.to_owned()))?;
        Ok(ticket)
    }
}

/// Without the passcode: logs are read by others.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, peers, passcode } = self;
        let passcode = passcode.as_ref().map(|_| "..");
        f.debug_struct("Ticket")
            .field("service", service)
            .field("peers", peers)
            .field("passcode", &passcode)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    fn ticket() -> Ticket {
        let peer = |byte: u8| TicketPeer {
            id: PeerId::from_bytes([byte; 32]),
            addresses: vec![
                SocketAddr::from(([192, 0, 2, byte], 4000)),
                SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 4000)),
            ],
        };
        Ticket {
            service: ServiceType::new("chat").unwrap(),
            peers: vec![peer(1), peer(2)],
            passcode: Some("481-516".to_owned()),
        }
    }

    /// Text with the right check bytes around any content.
    fn seal(content: &[u8]) -> String {
        let bytes = [content, &check_bytes(content)].concat();
        format!("{SCHEME}{}", BASE32_NOPAD.encode(&bytes))
    }

    #[test]
    fn a_ticket_is_read_as_it_was_made_in_either_case() {
        let text = ticket().to_string();
        assert_eq!(text.parse(), Ok(ticket()));
        assert_eq!(format!("  {}\n", text.to_uppercase()).parse(), Ok(ticket()));
        assert!(!format!("{:?}", ticket()).contains("481"), "logs do not have the passcode");
    }

    #[test]
    fn a_ticket_that_is_cut_off_or_mistyped_is_known_for_that() {
        let text = ticket().to_string();
        for length in SCHEME.len()..text.len() {
            assert_eq!(text[..length].parse::<Ticket>(), Err(TicketError::NotWhole), "{length}");
        }
        for position in SCHEME.len()..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[position] = if wrong[position] == b'a' { b'b' } else { b'a' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert_eq!(wrong.parse::<Ticket>(), Err(TicketError::NotWhole), "{position}");
        }
        for other in ["", "multipeer", "https://example.com", "multipeer://o=1", "ümultipeer://"] {
            assert_eq!(other.parse::<Ticket>(), Err(TicketError::NoTicket), "{other}");
        }
    }

    proptest! {
        /// Whoever makes tickets by hand gets the check bytes right.
        #[test]
        fn whatever_is_sealed_is_refused_or_is_read_again_as_it_was(
            body in vec(any::<u8>(), 0..300),
            flip in any::<Index>(),
            byte: u8,
        ) {
            let mut changed = to_cbor(&ticket());
            let position = flip.index(changed.len());
            changed[position] = byte;
            for body in [body, changed] {
                let content = [&[FORMAT][..], &body].concat();
                if let Ok(ticket) = seal(&content).parse::<Ticket>() {
                    prop_assert_eq!(ticket.to_string().parse(), Ok(ticket));
                }
            }
        }
    }

    #[test]
    fn a_ticket_that_breaks_a_rule_is_refused_with_the_rule() {
        assert_eq!(seal(&[2, 0]).parse::<Ticket>(), Err(TicketError::Version(2)));
        let text = |change: fn(&mut Ticket)| {
            let mut ticket = ticket();
            change(&mut ticket);
            ticket.to_string().parse::<Ticket>()
        };
        let changes: [fn(&mut Ticket); 4] = [
            |ticket| ticket.peers.clear(),
            |ticket| ticket.peers = vec![ticket.peers[0].clone(); 5],
            |ticket| {
                let address = ([192, 0, 2, 1], 1).into();
                ticket.peers[0].addresses = vec![address; MAX_ADDRESSES + 1];
            },
            |ticket| ticket.passcode = Some("x".repeat(257)),
        ];
        for change in changes {
            assert!(matches!(text(change), Err(TicketError::Content(_))));
        }
        let garbage = seal(&[FORMAT, 0xff, 0xff]).parse::<Ticket>();
        assert!(matches!(garbage, Err(TicketError::Content(_))), "{garbage:?}");
    }
}
