//! A peer that comes to another network, and those that it was linked with.

use std::{net::SocketAddr, time::Duration};

use super::{
    proving_tests::Pair,
    tests::{config, id},
    *,
};
use crate::{
    announcement::Announcement, limits::LISTEN_INTERVAL, network::Network, trust::Admission,
    way::Way,
};

const LINK: LinkId = LinkId(1);

fn address(network: u8, host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, network, host], 1))
}

/// Alice, who is about to move from network 0, and Bob, who is there: connected. Of two like them he is to dial.
fn connected() -> Pair {
    let mut pair = Pair::new(Admission::open(), Admission::open());
    pair.bob.handle(pair.now, Input::OwnAddresses(vec![address(0, 2)]));
    moves(&mut pair, 0);
    pair.join();
    assert!(pair.alice.yields_to(id(2)));
    let remote = Some(address(0, 2));
    pair.alice.handle(pair.now, Input::Moved { link: LINK, remote });
    pair
}

/// Alice comes to a network, and the one before is gone.
fn moves(pair: &mut Pair, network: u8) {
    let address = address(network, 1);
    let own = Network { address: address.ip(), prefix_len: 24 };
    pair.alice.handle(pair.now, Input::OwnNetworks(vec![own]));
    pair.alice.handle(pair.now, Input::OwnAddresses(vec![address]));
}

/// Where the dials lead that Alice begins.
fn dials(pair: &mut Pair) -> Vec<Vec<SocketAddr>> {
    let outputs = std::iter::from_fn(|| pair.alice.poll());
    let addresses = |output| match output {
        Output::Dial { addresses, .. } => Some(addresses),
        _ => None,
    };
    outputs.filter_map(addresses).collect()
}

/// Alice listens so many times, and hears something on the link each time, or does not.
fn listen(pair: &mut Pair, times: u32, hears: bool) -> Vec<Vec<SocketAddr>> {
    (0..times)
        .flat_map(|_| {
            pair.now = pair.now + LISTEN_INTERVAL;
            let links = if hears { vec![LINK] } else { Vec::new() };
            pair.alice.handle(pair.now, Input::Heard { links, used: Vec::new() });
            dials(pair)
        })
        .collect()
}

fn announced(pair: &mut Pair, address: SocketAddr) {
    let PeerInfo { id: peer, info, .. } = PeerInfo::unnamed(config(2).id);
    let announcement = Announcement { peer, name: None, info, tags: None, role: None };
    let input = Input::Discovered { announcement, addresses: vec![address], way: Way::Mdns };
    pair.alice.handle(pair.now, input);
}

#[test]
fn who_has_moved_dials_those_who_do_not_know_of_it_at_once() {
    let mut pair = connected();
    moves(&mut pair, 1);
    assert_eq!(listen(&mut pair, 2, false), [[]; 0], "the link may answer yet");
    assert_eq!(listen(&mut pair, 1, false), [[address(0, 2)]]);
}

#[test]
fn who_leaves_and_moves_dials_those_who_have_not_confirmed_everything() {
    let mut pair = connected();
    pair.alice.handle(pair.now, Input::Command(Command::Leave));
    moves(&mut pair, 1);
    assert_eq!(listen(&mut pair, 3, false), [[address(0, 2)]]);
    assert!(pair.alice.poll_timeout().is_none_or(|at| at > pair.now), "and waits for nothing");
}

#[test]
fn a_link_that_leads_to_a_network_that_was_left_is_given_up_whatever_is_heard_on_it() {
    let mut pair = connected();
    moves(&mut pair, 1);
    assert_eq!(listen(&mut pair, 3, true), [[address(0, 2)]]);
    assert_eq!(pair.alice.attached(id(2)), None);
}

#[test]
fn a_link_that_moves_along_is_kept() {
    for remote in [Some(address(1, 2)), Some(address(7, 2)), None] {
        let mut pair = connected();
        moves(&mut pair, 1);
        pair.alice.handle(pair.now, Input::Moved { link: LINK, remote });
        assert_eq!(listen(&mut pair, 8, true), [[]; 0], "{remote:?}");
        assert_eq!(pair.alice.attached(id(2)), Some(LINK));
    }
    // One whose port is another, and one that is back before anybody noticed.
    let mut pair = connected();
    pair.alice.handle(pair.now, Input::OwnAddresses(vec![SocketAddr::from(([10, 0, 0, 1], 2))]));
    moves(&mut pair, 1);
    moves(&mut pair, 0);
    assert_eq!(listen(&mut pair, 8, true), [[]; 0]);
    assert_eq!(pair.alice.attached(id(2)), Some(LINK));
    // One on the same network, with another address there.
    let mut pair = connected();
    let other = address(0, 9);
    let own = Network { address: other.ip(), prefix_len: 24 };
    pair.alice.handle(pair.now, Input::OwnNetworks(vec![own]));
    pair.alice.handle(pair.now, Input::OwnAddresses(vec![other]));
    assert_eq!(listen(&mut pair, 8, true), [[]; 0]);
    assert_eq!(pair.alice.attached(id(2)), Some(LINK));
}

#[test]
fn a_dial_follows_a_peer_that_is_announced_elsewhere() {
    let mut pair = connected();
    moves(&mut pair, 1);
    listen(&mut pair, 3, false);
    let begun = pair.now;
    announced(&mut pair, address(1, 2));
    announced(&mut pair, address(1, 3));
    assert_eq!(dials(&mut pair), [[]; 0], "the dial has only begun");
    pair.now = pair.alice.poll_timeout().unwrap();
    assert!(pair.now <= begun + Duration::from_millis(200));
    pair.alice.handle(pair.now, Input::Tick);
    let [addresses] = &dials(&mut pair)[..] else { panic!("one dial") };
    assert!(addresses.contains(&address(1, 2)) && addresses.contains(&address(1, 3)));
    announced(&mut pair, address(1, 3));
    let mut count = 0;
    for host in 4..20 {
        pair.now = pair.now + Duration::from_millis(200);
        announced(&mut pair, address(1, host));
        count += dials(&mut pair).len();
    }
    assert_eq!(count, 2, "whoever says so again and again is not followed");
}

#[test]
fn an_interface_that_is_down_and_keeps_its_address_is_no_way_there() {
    let mut pair = connected();
    let [down, up] = [0, 1].map(|network| address(network, 1));
    let networks = [down, up].map(|own| Network { address: own.ip(), prefix_len: 24 });
    pair.alice.handle(pair.now, Input::OwnNetworks(networks.to_vec()));
    pair.alice.handle(pair.now, Input::OwnAddresses(vec![up]));
    assert_eq!(listen(&mut pair, 3, true), [[address(0, 2)]]);
}
