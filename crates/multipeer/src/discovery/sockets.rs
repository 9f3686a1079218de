//! UDP sockets at ports that several programs have at the same time.

use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use crate::interfaces::any_address;

/// A socket at the port of multicast DNS, beside other responders: if they leave room for one more (RFC 6762, section 15).
pub(crate) fn responder_socket(domain: Domain) -> io::Result<Socket> {
    let socket = udp_socket(domain)?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    bind(socket, domain, mdns_sd::MDNS_PORT)
}

/// A socket for questions that does not block, at a port that other programs may have, too; or at any, which is its own.
pub(crate) fn probe_socket(domain: Domain, port: u16) -> io::Result<Socket> {
    let socket = udp_socket(domain)?;
    if domain == Domain::IPV4 {
        socket.set_broadcast(true)?;
    }
    if port != 0 {
        socket.set_reuse_address(true)?;
        // Elsewhere the above is enough, or this would divide among the programs what is for all of them.
        #[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    bind(socket, domain, port)
}

fn udp_socket(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn bind(socket: Socket, domain: Domain, port: u16) -> io::Result<Socket> {
    let address = SocketAddr::new(any_address(domain == Domain::IPV6), port);
    socket.bind(&address.into())?;
    Ok(socket)
}
