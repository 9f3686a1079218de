//! The ports that a session needs: whether it could have them at the moment.

use std::{io, net::UdpSocket};

use multipeer_proto::limits::PROBE_PORT;
use socket2::Domain;

use crate::{
    discovery::{probe_socket, responder_socket},
    interfaces::any_address,
};

/// A UDP port, and whether a session could have it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PortCheck {
    /// What it is for.
    pub purpose: &'static str,
    /// Which; any, if none is said.
    pub port: Option<u16>,
    /// Whether it is for IPv6.
    pub is_v6: bool,
    /// Why it cannot be had, if so.
    pub error: Option<String>,
}

/// Opens each, and closes it again.
pub(super) fn look() -> Vec<PortCheck> {
    let mut checks = Vec::new();
    for domain in [Domain::IPV4, Domain::IPV6] {
        let is_v6 = domain == Domain::IPV6;
        let mut note = |purpose, port, result: io::Result<()>| {
            let error = result.err().map(|error| error.to_string());
            checks.push(PortCheck { purpose, port, is_v6, error });
        };
        note("multicast DNS", Some(mdns_sd::MDNS_PORT), responder_socket(domain).map(drop));
        note("questions", Some(PROBE_PORT), probe_socket(domain, PROBE_PORT).map(drop));
        note("links", None, UdpSocket::bind((any_address(is_v6), 0)).map(drop));
    }
    checks
}
