//! A hub tells who is near, and relays: what is told to whom, and which way is taken.

use std::time::Duration;

use bytes::Bytes;

use super::{
    party::{Party, address},
    tests::{config, id},
    *,
};
use crate::{
    frame::{Near, NearRecord},
    limits::{FAREWELL_TIME, LEAVE_TIMEOUT, LISTEN_INTERVAL, MAX_NEAR_PER_FRAME, MAX_REPEATED},
    way::Way,
};

const SOON: Duration = Duration::from_secs(2);

fn hub(byte: u8) -> Config {
    Config { relay_port: Some(3340), ..config(byte) }
}

/// 1 is a hub, 2 and 3 are in its session, and cannot reach each other.
fn bridge() -> Party {
    let mut party = Party::default();
    party.add(hub(1), 1);
    party.add(config(2), 2);
    party.add(config(3), 3);
    party.part(2, 3);
    party.bring_in(1, 2);
    party.bring_in(1, 3);
    party
}

/// Who is near one, and through which hub it is heard, if it is not heard without.
fn near(party: &Party, byte: u8) -> Vec<(u8, Option<u8>)> {
    let short = |id: PeerId| id.as_bytes()[0];
    let nearby = party.sessions[&byte].nearby();
    nearby.map(|peer| (short(peer.id), peer.heard_through.map(short))).collect()
}

#[test]
fn those_who_cannot_reach_each_other_find_and_join_each_other_through_a_hub() {
    let mut party = bridge();
    party.wait(SOON);
    assert_eq!(near(&party, 2), [(3, Some(1))]);
    assert_eq!(near(&party, 3), [(2, Some(1))]);
    assert_eq!(near(&party, 1), [(2, None), (3, None)], "the hub is told nothing");
    let home = Relay { hub: id(1), address: SocketAddr::from(([10, 0, 0, 1], 3340)) };
    assert_eq!(party.homes, [(2, home), (3, home)].into());
    assert_eq!((party.peers(2), party.peers(3)), (vec![1, 3], vec![1, 2]));
}

#[test]
fn who_is_heard_without_the_hub_does_not_count_as_heard_through_it() {
    let mut party = bridge();
    party.wait(SOON);
    party.announce(2, 3);
    party.wait(SOON);
    assert_eq!(near(&party, 2), [(3, None)]);
    party.input(2, Input::Lost { peer: id(3), way: Way::Mdns });
    party.wait(SOON);
    assert_eq!(near(&party, 2), [(3, Some(1))], "the hub still hears it");
    let lost = |event: &(u8, Event)| matches!(event, (2, Event::PeerLost(_)));
    assert!(!party.events.iter().any(lost));
}

#[test]
fn when_the_hub_leaves_those_heard_through_it_are_lost() {
    let mut party = bridge();
    party.wait(SOON);
    party.command(1, Command::Leave);
    party.wait(LEAVE_TIMEOUT + SOON);
    assert_eq!(near(&party, 2), []);
    assert!(party.homes.is_empty(), "nobody waits at its relay");
}

#[test]
fn who_leaves_uses_the_relay_of_a_hub_until_everyone_has_heard_it() {
    let mut party = bridge();
    party.wait(SOON);
    assert_eq!(party.peers(2), [1, 3]);
    party.command(2, Command::Leave);
    party.input(2, Input::Drained { peer: id(1) });
    party.run();
    assert_eq!(party.reasons(1, 2), [DisconnectReason::Left]);
    assert!(party.homes.contains_key(&2), "3 has not heard it yet");
    party.input(2, Input::Drained { peer: id(3) });
    party.run();
    assert_eq!(party.reasons(3, 2), [DisconnectReason::Left]);
}

#[test]
fn a_hub_tells_only_those_who_look_and_everything_to_those_who_look_again() {
    let mut party = bridge();
    party.wait(SOON);
    party.command(2, Command::SetActivity(Activity::Background));
    party.add(config(4), 4);
    party.bring_in(1, 4);
    party.input(
        1,
        Input::Discovered { announcement: unnamed(5), addresses: vec![address(5)], way: Way::Mdns },
    );
    party.wait(SOON);
    assert_eq!(near(&party, 2), [(3, Some(1))], "nobody looks at it");
    assert_eq!(near(&party, 3), [(2, Some(1)), (4, Some(1)), (5, Some(1))]);
    party.command(3, Command::Leave);
    party.wait(SOON);
    party.command(2, Command::SetActivity(Activity::Foreground));
    party.wait(SOON);
    // The hub heard 3 by itself, and has not heard yet that it is gone.
    assert_eq!(near(&party, 2), [(3, Some(1)), (4, Some(1)), (5, Some(1))]);
    party.input(1, Input::Lost { peer: id(5), way: Way::Mdns });
    party.wait(SOON * 2);
    assert_eq!(near(&party, 2), [(3, Some(1)), (4, Some(1))]);
}

fn unnamed(byte: u8) -> Announcement {
    let PeerInfo { id: peer, info, .. } = PeerInfo::unnamed(id(byte));
    Announcement { peer, name: None, info, tags: None, role: None }
}

/// A peer of which nothing is known but that the first one, a hub, tells of it.
fn told_by_hub(byte: u8) -> PeerInfo {
    let unnamed = PeerInfo::unnamed(id(byte));
    PeerInfo { heard_through: Some(id(1)), ways: Way::Hub.into(), ..unnamed }
}

#[test]
fn a_hub_repeats_what_is_announced_and_no_more() {
    let mut party = bridge();
    party.input(
        1,
        Input::Discovered { announcement: unnamed(5), addresses: vec![address(5)], way: Way::Mdns },
    );
    party.wait(SOON);
    let heard = party.sessions[&2].nearby().find(|peer| peer.id == id(5));
    let heard = heard.expect("the hub hears it");
    let expected = told_by_hub(5);
    assert_eq!(heard, expected);
}

#[test]
fn what_a_client_tells_its_host_alone_a_host_that_is_a_hub_tells_nobody() {
    let with_role =
        |config: Config, role| Config { topology: Topology::ClientServer { role }, ..config };
    let mut party = Party::default();
    party.add(with_role(hub(1), Role::Host), 1);
    party.add(with_role(config(2), Role::Client), 2);
    let private = Config { announce: Announce::Private, ..config(3) };
    party.add(with_role(private, Role::Client), 3);
    party.bring_in(1, 2);
    // It was not heard, but came by itself, and told the host its name.
    party.bring_in(3, 1);
    party.wait(SOON);
    let name = |peer: PeerInfo| peer.name.to_string();
    assert_eq!(party.sessions[&1].peer(id(3)).map(name), Some("peer 3".to_owned()));
    let heard = party.sessions[&2].nearby().find(|peer| peer.id == id(3));
    let expected = told_by_hub(3);
    assert_eq!(heard, Some(expected));
}

#[test]
fn of_two_hubs_both_ends_choose_the_same_and_the_other_one_when_it_falls_silent() {
    let mut party = bridge();
    party.add(hub(4), 4);
    party.bring_in(1, 4);
    party.wait(SOON);
    let homes = |party: &Party| [2, 3].map(|byte| party.homes[&byte].hub);
    assert_eq!(homes(&party), [id(1); 2]);
    // All but the first hub go on to answer.
    for _ in 0..12 {
        party.now = party.now + LISTEN_INTERVAL;
        for byte in [2, 3, 4] {
            let links = party.links.iter().filter(|(_, ends)| !ends.contains(&1));
            let links = links.filter(|(_, ends)| ends.contains(&byte)).map(|(&link, _)| link);
            let links = links.collect();
            party.input(byte, Input::Heard { links, used: Vec::new() });
        }
    }
    party.run();
    assert_eq!(homes(&party), [id(4); 2]);
    party.part(2, 3);
    party.wait(SOON);
    assert_eq!(party.peers(2), [1, 3, 4]);
    assert!(party.sessions[&2].attached(id(3)).is_some(), "linked through the other hub");
}

#[test]
fn the_relay_is_where_the_link_to_its_hub_leads() {
    let mut party = bridge();
    let link = party.sessions[&2].attached(id(1)).unwrap();
    let elsewhere = SocketAddr::from(([192, 0, 2, 9], 77));
    party.input(2, Input::Moved { link, remote: Some(elsewhere) });
    party.run();
    assert_eq!(party.homes[&2].address, SocketAddr::from(([192, 0, 2, 9], 3340)));
    party.input(2, Input::Moved { link, remote: None });
    party.run();
    assert!(!party.homes.contains_key(&2), "it cannot be reached without another hub");
}

#[test]
fn who_is_heard_is_dialled_without_a_hub_first() {
    let mut party = bridge();
    party.wait(SOON);
    let session = &party.sessions[&2];
    assert_eq!(session.relays_to(id(3), 0).len(), 1, "heard through the hub only");
    assert_eq!(session.relays_to(id(1), 0), [], "a hub is not reached through itself");
    party.announce(2, 9);
    let session = &party.sessions[&2];
    assert_eq!(session.relays_to(id(9), 0), []);
    assert_eq!(session.relays_to(id(9), 1).len(), 1, "that came to nothing");
}

#[test]
fn what_a_hub_can_make_this_side_keep_is_limited() {
    let mut party = bridge();
    party.wait(SOON);
    let link = party.sessions[&2].attached(id(1)).unwrap();
    let record = |number: usize| {
        let mut id = [7; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let announcement = Announcement { peer: PeerId::from_bytes(id), ..unnamed(7) };
        NearRecord::new(announcement, vec![address(7)])
    };
    for part in 0..2 * MAX_REPEATED / MAX_NEAR_PER_FRAME {
        let peers = (0..MAX_NEAR_PER_FRAME).map(|at| record(part * MAX_NEAR_PER_FRAME + at));
        let near = Near { round: 1, peers: peers.collect(), gone: vec![], complete: false };
        party.input(2, Input::Frame { link, frame: Frame::Near(near) });
    }
    party.run();
    assert_eq!(near(&party, 2).len(), MAX_REPEATED);
    assert!(party.sessions[&2].statistics().nearby_overflow > 0);
}

#[test]
fn who_is_no_hub_and_tells_who_is_near_breaks_the_protocol() {
    let mut party = bridge();
    party.wait(SOON);
    let link = party.sessions[&3].attached(id(2)).unwrap();
    let near = Near { round: 1, peers: vec![], gone: vec![], complete: true };
    party.input(3, Input::Frame { link, frame: Frame::Near(near) });
    party.run();
    let reasons = party.reasons(3, 2);
    assert!(matches!(reasons[..], [DisconnectReason::ProtocolError { .. }]), "{reasons:?}");
}

#[test]
fn a_hub_serves_its_session_and_who_is_none_serves_nobody() {
    let party = bridge();
    assert_eq!(party.sessions[&1].served().collect::<Vec<_>>(), [id(2), id(3)]);
    assert_eq!(party.sessions[&2].served().count(), 0);
}

#[test]
fn who_is_known_only_from_a_hub_can_be_invited() {
    let mut party = bridge();
    party.add(config(5), 5);
    party.announce(1, 5);
    party.wait(SOON);
    let invitation = InvitationId(9);
    let command = Command::Invite {
        invitation,
        peer: id(5),
        context: Bytes::new(),
        timeout: Duration::from_secs(30),
    };
    party.command(2, command);
    party.accept_all();
    assert_eq!(party.peers(5), [1, 2, 3], "the hub told where it is");
}

#[test]
fn whose_application_is_behind_is_told_by_a_hub_only_once_it_has_caught_up() {
    let mut party = bridge();
    party.wait(SOON);
    party.input(2, Input::Behind(true));
    party.run();
    party.input(
        1,
        Input::Discovered { announcement: unnamed(5), addresses: vec![address(5)], way: Way::Mdns },
    );
    party.wait(SOON);
    // A hub that tells all the same is not listened to.
    let link = party.sessions[&2].attached(id(1)).unwrap();
    let record = NearRecord::new(unnamed(6), vec![address(6)]);
    let near = Near { round: 99, peers: vec![record], gone: Vec::new(), complete: false };
    party.input(2, Input::Frame { link, frame: Frame::Near(near) });
    party.run();
    assert_eq!(near_of_hub(&party, 2), [3]);
    party.input(2, Input::Behind(false));
    party.wait(SOON);
    assert_eq!(near_of_hub(&party, 2), [3, 5]);
}

fn near_of_hub(party: &Party, byte: u8) -> Vec<u8> {
    near(party, byte).into_iter().map(|(peer, _)| peer).collect()
}

#[test]
fn who_leaves_is_served_long_enough_to_say_goodbye_and_who_is_removed_is_not() {
    let mut party = bridge();
    let served = |party: &Party| party.sessions[&1].served().collect::<Vec<_>>();
    party.command(3, Command::Leave);
    party.wait(LEAVE_TIMEOUT);
    assert_eq!(party.peers(1), [2]);
    assert_eq!(served(&party), [id(2), id(3)]);
    party.wait(FAREWELL_TIME);
    assert_eq!(served(&party), [id(2)]);
    party.remove(1, 2, "too loud");
    assert_eq!(served(&party), []);
}

#[test]
fn who_is_in_the_session_is_near_by_the_name_that_it_has_there() {
    let mut party = Party::default();
    party.add(hub(1), 1);
    [2, 3].into_iter().for_each(|byte| party.add(config(byte), byte));
    party.part(2, 3);
    [2, 3].into_iter().for_each(|byte| party.bring_in(byte, 1));
    party.wait(SOON * 2);
    assert_eq!(party.peers(2), [1, 3]);
    let heard = party.sessions[&2].nearby().find(|peer| peer.id == id(3)).unwrap();
    assert_eq!(heard.heard_through, Some(id(1)));
    assert_eq!(heard.name.to_string(), "peer 3", "the hub has not heard it");
}

#[test]
fn who_left_came_back_and_is_removed_is_not_relayed_for() {
    let mut party = bridge();
    party.command(3, Command::Leave);
    party.wait(LEAVE_TIMEOUT);
    party.add(Config { incarnation: 4, ..config(3) }, 3);
    party.bring_in(1, 3);
    assert_eq!(party.peers(1), [2, 3]);
    party.remove(1, 3, "too loud");
    assert_eq!(party.sessions[&1].served().collect::<Vec<_>>(), [id(2)]);
}
