//! Questions and answers: any datagrams, from near and far. No answer is longer than what was asked, what comes from afar
//! is found by nobody, and what is kept is bounded.
#![no_main]

use std::{net::SocketAddr, time::Duration};

use libfuzzer_sys::fuzz_target;
use multipeer_proto::{
    Announcement, DiscoveryInfo, Network, PeerId, ServiceType, Timestamp,
    limits::MAX_PROBE_BYTES,
    probe::{ProbeOutput, ProbedNetwork, Prober},
};

/// What every datagram begins with.
const MAGIC: [u8; 4] = *b"mpp\x01";

fuzz_target!(|data: Vec<(bool, bool, u16, Vec<u8>)>| {
    let Ok(service) = ServiceType::new("test") else { return };
    let mut prober = Prober::new(service, [7; 32]);
    let peer = PeerId::from_bytes([1; 32]);
    let info = DiscoveryInfo::default();
    prober.announce(Announcement { peer, name: None, info, tags: None, role: None }, 9);
    let network = Network { address: [10, 0, 0, 1].into(), prefix_len: 24 };
    let mut now = Timestamp::ZERO;
    prober.set_networks(now, [ProbedNetwork { interface: 2, network }]);
    prober.look(now);
    for (is_near, is_ours, millis, rest) in data {
        now = now + Duration::from_millis(millis.into());
        prober.tick(now);
        while prober.poll().is_some() {}
        let host = if is_near { [10, 0, 0, 9] } else { [192, 0, 2, 9] };
        let from = SocketAddr::from((host, 5000));
        let datagram = if is_ours { [&MAGIC[..], &rest].concat() } else { rest };
        prober.handle(now, from, &datagram);
        while let Some(output) = prober.poll() {
            match output {
                ProbeOutput::Send { to, bytes, .. } if to == from => {
                    assert!(
                        bytes.len() <= datagram.len(),
                        "{} for {}",
                        bytes.len(),
                        datagram.len()
                    );
                }
                ProbeOutput::Send { bytes, .. } => assert!(bytes.len() <= MAX_PROBE_BYTES + 128),
                ProbeOutput::Found { address, .. } => assert!(is_near, "{address}"),
                ProbeOutput::Gone { .. } | ProbeOutput::TooLarge { .. } => {}
            }
        }
    }
});
