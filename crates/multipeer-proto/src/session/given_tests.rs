//! Peers whose addresses were given by hand.

use std::time::Duration;

use bytes::Bytes;

use super::{
    party::{Party, address},
    tests::{config, id},
    *,
};
use crate::{
    announcement::Announcement, limits::MAX_NEARBY, network::Network, ticket::TicketPeer, way::Way,
};

fn add(to: u8, party: &mut Party, peer: u8) {
    party.command(to, Command::Add { peer: id(peer), addresses: vec![address(peer)] });
}

fn near(party: &Party, byte: u8) -> Vec<u8> {
    party.sessions[&byte].nearby().map(|peer| peer.id.as_bytes()[0]).collect()
}

#[test]
fn whoever_is_given_by_hand_is_near_and_can_be_invited_though_nobody_hears_it() {
    let mut party = Party::default();
    [1, 2].into_iter().for_each(|byte| party.add(config(byte), byte));
    add(1, &mut party, 2);
    assert_eq!(near(&party, 1), [2]);
    let (invitation, context, timeout) = (InvitationId(1), Bytes::new(), Duration::from_secs(30));
    party.command(1, Command::Invite { invitation, peer: id(2), context, timeout });
    party.accept_all();
    assert_eq!(party.peers(1), [2]);
    let name = party.sessions[&1].near(id(2)).map(|peer| peer.name.to_string());
    assert_eq!(name.as_deref(), Some("peer 2"), "as it says on the link");
    party.command(1, Command::StopLooking);
    party.command(1, Command::StartLooking);
    party.wait(Duration::from_mins(1));
    assert_eq!(near(&party, 1), [2], "it is not lost for not being heard");
    let found = |event: &&(u8, Event)| matches!(event, (1, Event::PeerFound(_)));
    assert_eq!(party.events.iter().filter(found).count(), 1);
}

#[test]
fn who_was_given_and_is_heard_is_one_peer_with_its_name_and_stays_when_it_is_lost() {
    let mut party = Party::default();
    party.add(config(1), 1);
    add(1, &mut party, 2);
    party.announce(1, 2);
    party.run();
    let elsewhere = SocketAddr::from(([192, 0, 2, 7], 7));
    party.command(1, Command::Add { peer: id(2), addresses: vec![elsewhere] });
    assert_eq!(party.sessions[&1].addresses_of(id(2)), [elsewhere, address(2)]);
    assert_eq!(near(&party, 1), [2]);
    party.input(1, Input::Lost { peer: id(2), way: Way::Mdns });
    party.wait(Duration::from_mins(1));
    assert_eq!(near(&party, 1), [2]);
}

#[test]
fn who_is_given_while_nobody_looks_is_told_of_with_the_first_look_and_there_are_not_too_many() {
    let mut session = Session::new(config(1));
    let add = |session: &mut Session, byte: u8| {
        let command = Command::Add { peer: id(byte), addresses: vec![address(byte)] };
        session.handle(Timestamp::ZERO, Input::Command(command));
    };
    (1..=100).for_each(|byte| add(&mut session, byte));
    assert_eq!(session.nearby().count(), 0);
    session.handle(Timestamp::ZERO, Input::Command(Command::StartLooking));
    assert_eq!(session.nearby().count(), crate::limits::MAX_GIVEN);
    assert!(session.near(id(1)).is_none(), "it is not near itself");
}

#[test]
fn a_ticket_names_its_maker_and_the_hubs_in_its_session() {
    let mut party = Party::default();
    party.add(config(1), 1);
    party.add(Config { relay_port: Some(3340), ..config(2) }, 2);
    party.add(config(3), 3);
    let peer = |byte: u8| TicketPeer { id: id(byte), addresses: vec![address(byte)] };
    assert_eq!(party.sessions[&1].ticket().peers, [peer(1)]);
    party.bring_in(1, 2);
    party.bring_in(1, 3);
    let ticket = party.sessions[&1].ticket();
    assert_eq!(ticket.peers, [peer(1), peer(2)]);
    assert_eq!(ticket.to_string().parse(), Ok(ticket));
    let own = ["[fe80::1]:1", "127.0.0.1:1", "[2001:db8::1]:1"].map(|text| text.parse().unwrap());
    party.input(3, Input::OwnAddresses(own.to_vec()));
    let ticket = party.sessions[&3].ticket();
    assert_eq!(ticket.peers[0].addresses, [own[2]], "the others say nothing elsewhere");
}

/// Where the dials that are under way lead, of a session that was told of its networks and then heard of a peer at these
/// addresses.
fn dialled(way: Way, addresses: &[&str]) -> Vec<String> {
    let mut session = tests::started(config(1));
    let networks = ["10.0.0.1", "fd00::1"].map(|own| Network {
        address: own.parse().unwrap(),
        prefix_len: if own.contains(':') { 64 } else { 24 },
    });
    session.handle(Timestamp::ZERO, Input::OwnNetworks(networks.to_vec()));
    let PeerInfo { id: peer, info, .. } = PeerInfo::unnamed(id(2));
    let announcement = Announcement { peer, name: None, info, tags: None, role: None };
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    session.handle(Timestamp::ZERO, Input::Discovered { announcement, addresses, way });
    session.handle(Timestamp::after_start(Duration::from_secs(1)), Input::Tick);
    let dials = std::iter::from_fn(|| session.poll()).filter_map(|output| match output {
        Output::Dial { addresses, .. } => Some(addresses),
        _ => None,
    });
    dials.flatten().map(|address| address.to_string()).collect()
}

#[test]
fn an_announcement_leads_nowhere_but_to_ones_own_networks() {
    let lies =
        ["10.0.0.9:0", "0.0.0.0:1", "127.0.0.1:22", "192.0.2.1:53", "[2001:db8::1]:53", "[::1]:22"];
    for way in [Way::Mdns, Way::SystemResponder, Way::Probe] {
        assert_eq!(dialled(way, &lies), [""; 0]);
        let truth = ["10.0.0.7:9", "[fd00::7]:9", "192.0.2.1:53"];
        assert_eq!(dialled(way, &truth), ["10.0.0.7:9", "[fd00::7]:9"]);
    }
    // Whoever answered there was asked there.
    assert_eq!(dialled(Way::Given, &["192.0.2.1:53"]), ["192.0.2.1:53"]);
    assert_eq!(dialled(Way::Remembered, &["192.0.2.1:53"]), ["192.0.2.1:53"]);
}

#[test]
fn those_who_lead_nowhere_leave_room_for_those_who_do() {
    let mut session = tests::started(config(1));
    let network = Network { address: "10.0.0.1".parse().unwrap(), prefix_len: 16 };
    session.handle(Timestamp::ZERO, Input::OwnNetworks(vec![network]));
    let mut hear = |number: u32, address: &str| {
        let mut bytes = [9; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        let peer = PeerId::from_bytes(bytes);
        let info = PeerInfo::unnamed(peer).info;
        let announcement = Announcement { peer, name: None, info, tags: None, role: None };
        let addresses = vec![address.parse().unwrap()];
        let way = Way::Mdns;
        session.handle(Timestamp::ZERO, Input::Discovered { announcement, addresses, way });
        let invitations = std::iter::from_fn(|| session.poll());
        let failed = invitations
            .filter(|output| matches!(output, Output::Event(Event::InvitationFailed { .. })));
        (failed.count(), session.near(peer).is_some(), session.nearby().count())
    };
    for number in 0..5000 {
        assert_eq!(hear(number, "192.0.2.1:9").0, 0, "nobody is invited who leads nowhere");
    }
    // Nor does a port at which nobody can be.
    assert!(!hear(5000, "10.0.7.7:0").1);
    assert_eq!(hear(6000, "10.0.7.7:9"), (0, true, MAX_NEARBY / 2 + 1));
}

#[test]
fn who_went_while_looking_was_stopped_and_begun_twice_is_lost() {
    let mut session = tests::started(config(1));
    let PeerInfo { id: peer, info, .. } = PeerInfo::unnamed(id(2));
    let announcement = Announcement { peer, name: None, info, tags: None, role: None };
    let addresses = vec!["10.0.0.7:9".parse().unwrap()];
    let way = Way::Mdns;
    session.handle(Timestamp::ZERO, Input::Discovered { announcement, addresses, way });
    for _ in 0..2 {
        for command in [Command::StopLooking, Command::StartLooking] {
            session.handle(Timestamp::ZERO, Input::Command(command));
        }
    }
    assert!(session.near(peer).is_some(), "it may be heard again");
    session.handle(Timestamp::after_start(Duration::from_secs(4)), Input::Tick);
    assert_eq!(session.near(peer), None);
}
