//! What the command line says about peers that cannot be heard.

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    str::FromStr,
};

use multipeer::{PeerId, Session, SessionBuilder, Ticket, TicketError};

use crate::{cli::DEFAULT_SERVICE, failure::Failure};

/// A peer, or those that a ticket names.
#[derive(Debug, Clone)]
pub(crate) enum Given {
    Ticket(Ticket),
    /// An id, and a host's name or address with a port.
    Peer(PeerId, String),
    /// A host's name or address, and a port if one was said.
    Host(String, Option<u16>),
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(ticket) => return Ok(Self::Ticket(ticket)),
            Err(TicketError::NoTicket) => {}
            Err(error) => return Err(error.to_string()),
        }
        let Some((id, address)) = text.split_once('@') else { return host(text) };
        let id = id.parse().map_err(|error| format!("{error}"))?;
        match host(address)? {
            Self::Host(host, Some(port)) => Ok(Self::Peer(id, format!("{host}:{port}"))),
            _ => Err(format!("{address:?} has no port: give ID@HOST:PORT")),
        }
    }
}

/// A host's name or address, with or without a port.
fn host(text: &str) -> Result<Given, String> {
    let nothing = "give a ticket (`multipeer invite` shows one), HOST, HOST:PORT, or ID@HOST:PORT";
    if text.is_empty() || text.contains(char::is_whitespace) || text.contains("//") {
        return Err(nothing.to_owned());
    }
    // An IPv6 address has colons of its own.
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<IpAddr>().is_ok() {
        return Ok(Given::Host(bare.to_owned(), None));
    }
    let Some((name, port)) = text.rsplit_once(':') else {
        return Ok(Given::Host(text.to_owned(), None));
    };
    match port.parse() {
        Ok(port @ 1..) if !name.is_empty() => Ok(Given::Host(name.to_owned(), Some(port))),
        _ => Err(format!("{port:?} is no port: {nothing}")),
    }
}

/// Settings for a session that tries to reach these peers.
pub(crate) fn apply(
    given: &[Given],
    service: &str,
    name: String,
) -> Result<SessionBuilder, Failure> {
    let mut services = given.iter().filter_map(|given| match given {
        Given::Ticket(ticket) => Some(ticket.service.as_str()),
        Given::Peer(..) | Given::Host(..) => None,
    });
    let said = (service != DEFAULT_SERVICE).then_some(service);
    let wanted = said.or(services.clone().next()).unwrap_or(service);
    if let Some(other) = services.find(|&other| other != wanted) {
        let text = format!(
            "the ticket is for a session about {other:?}, and not {wanted:?}: leave out --service"
        );
        return Err(Failure::Check(text));
    }
    // Of several passcodes the first one counts, which is set last.
    given.iter().rev().try_fold(Session::builder(wanted, name), |builder, given| match given {
        Given::Ticket(ticket) => Ok(builder.ticket(ticket)),
        Given::Peer(id, address) => Ok(builder.peer(*id, resolve(address)?)),
        Given::Host(host, port) => {
            // Any port does to have the name looked up.
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let addresses = match bare.parse::<IpAddr>() {
                Ok(address) => vec![SocketAddr::new(address, 1)],
                Err(_) => resolve(&format!("{host}:1"))?,
            };
            let asked = addresses.iter().map(SocketAddr::ip);
            Ok(asked.fold(builder, |builder, address| builder.host(address, *port)))
        }
    })
}

fn resolve(address: &str) -> Result<Vec<SocketAddr>, Failure> {
    address
        .to_socket_addrs()
        .map(Iterator::collect)
        .map_err(|error| Failure::Check(format!("the address {address:?} leads nowhere: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_or_an_id_with_an_address_is_taken_and_else_it_is_said_what_is_missing() {
        let id = "ab".repeat(32);
        assert!(matches!(format!("{id}@host:80").parse(), Ok(Given::Peer(..))));
        for (text, expected) in [
            ("192.0.2.1", ("192.0.2.1", None)),
            ("box.local:4000", ("box.local", Some(4000))),
            ("fe80::1", ("fe80::1", None)),
            ("[2001:db8::1]:80", ("[2001:db8::1]", Some(80))),
        ] {
            let Ok(Given::Host(host, port)) = text.parse() else { panic!("{text}") };
            assert_eq!((host.as_str(), port), expected);
        }
        for (wrong, hint) in [
            (format!("{id}@host"), "no port"),
            ("host:0".to_owned(), "no port"),
            (String::new(), "a ticket"),
            ("12@host:80".to_owned(), "peer id"),
            ("multipeer://abcdefgh".to_owned(), "not whole"),
        ] {
            let error = wrong.parse::<Given>().map(drop).unwrap_err();
            assert!(error.contains(hint), "{wrong}: {error}");
        }
    }
}
