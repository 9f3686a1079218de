//! A host and its clients: who is linked with whom, and what it costs.

use std::time::Duration;

use bytes::Bytes;

use super::{
    party::{self, Party},
    tests::{config, id},
    *,
};
use crate::{GoodbyeReason, limits::LEAVE_TIMEOUT, way::Way};

fn with_role(byte: u8, role: Role) -> Config {
    Config { topology: Topology::ClientServer { role }, ..config(byte) }
}

/// 1 is the host, the others are clients.
fn party(clients: u8) -> Party {
    let mut party = Party::default();
    party.add(with_role(1, Role::Host), 1);
    for client in 2..2 + clients {
        party.add(with_role(client, Role::Client), client);
    }
    party
}

#[test]
fn clients_are_linked_with_the_host_and_with_nobody_else() {
    let mut party = party(3);
    party.bring_in(1, 2);
    party.bring_in(3, 1);
    party.bring_in(1, 4);
    party.wait(Duration::from_mins(1));
    assert_eq!(party.peers(1), [2, 3, 4]);
    for client in [2, 3, 4] {
        assert_eq!(party.peers(client), [1]);
        assert_eq!(party.sessions[&client].host(), Some(id(1)));
    }
    assert_eq!(party.links.len(), 3);
}

#[test]
fn a_client_that_joins_costs_the_others_nothing() {
    let mut party = party(3);
    party.bring_in(1, 2);
    party.bring_in(1, 3);
    party.wait(Duration::from_mins(1));
    party.frames.clear();
    party.bring_in(1, 4);
    party.wait(Duration::from_mins(1));
    let to_others = party.frames.iter().filter(|(_, to)| [2, 3].contains(to));
    assert_eq!(to_others.count(), 0);
}

fn refusals(party: &Party, byte: u8) -> Vec<GoodbyeReason> {
    let failures = party.failures(byte).into_iter();
    failures
        .filter_map(|error| match error {
            InviteError::Refused { reason, text } => {
                assert!(
                    text.starts_with("one side is ") && text.contains("the other is "),
                    "{text}"
                );
                Some(reason)
            }
            _ => None,
        })
        .collect()
}

#[test]
fn two_clients_two_hosts_and_one_of_a_mesh_have_no_business_with_each_other() {
    let mut party = party(2);
    party.invite(2, 3);
    assert_eq!(refusals(&party, 2), [GoodbyeReason::Topology]);
    party.add(with_role(4, Role::Host), 4);
    party.invite(4, 1);
    assert_eq!(refusals(&party, 4), [GoodbyeReason::Topology]);
    party.add(config(5), 5);
    party.invite(5, 1);
    party.invite(5, 2);
    assert_eq!(refusals(&party, 5), [GoodbyeReason::Topology; 2]);
    party.wait(Duration::from_secs(10));
    assert!((1..=5).all(|byte| party.peers(byte).is_empty()));
}

#[test]
fn clients_invite_hosts_by_themselves_and_no_other_clients() {
    let mut session = Session::new(with_role(1, Role::Client));
    session.handle(Timestamp::ZERO, Input::Command(Command::StartLooking));
    let roles = [(2, Some(Role::Client)), (3, None), (4, Some(Role::Host))];
    for (byte, role) in roles {
        let PeerInfo { id: peer, name, info, .. } = PeerInfo::unnamed(id(byte));
        let announcement = Announcement { peer, name: Some(name), info, tags: None, role };
        let addresses = vec![party::address(byte)];
        session
            .handle(Timestamp::ZERO, Input::Discovered { announcement, addresses, way: Way::Mdns });
    }
    let outputs = std::iter::from_fn(|| session.poll());
    let dialled: Vec<PeerId> = outputs
        .filter_map(|output| match output {
            Output::Dial { peer, .. } => Some(peer),
            _ => None,
        })
        .collect();
    assert_eq!(dialled, [id(4)]);
    assert_eq!(session.nearby().count(), 3, "all of them are near");
}

#[test]
fn the_host_alone_removes() {
    let mut party = party(2);
    party.bring_in(1, 2);
    party.bring_in(1, 3);
    assert_eq!(party.sessions[&2].may_remove(id(1)), Err(RemoveError::NotHost));
    party.remove(1, 2, "too loud");
    assert_eq!(party.peers(1), [3]);
    assert_eq!(party.peers(2), [0_u8; 0]);
}

#[test]
fn a_client_whose_host_has_left_may_join_another_whoever_else_was_about_to_come() {
    let mut party = party(1);
    for other in [3, 4] {
        party.add(with_role(other, Role::Host), other);
    }
    // The second host fell silent when the client was about to join it.
    party.announce(3, 2);
    let (invitation, context, timeout) = (InvitationId(1), Bytes::new(), Duration::from_secs(30));
    party.command(3, Command::Invite { invitation, peer: id(2), context, timeout });
    let answer = Command::AnswerInvitation { peer: id(3), invitation, decline: None };
    party.input(2, Input::Command(answer));
    party.part(2, 3);
    party.bring_in(1, 2);
    assert_eq!(party.sessions[&2].host(), Some(id(1)));
    party.command(1, Command::Leave);
    party.wait(LEAVE_TIMEOUT);
    party.bring_in(4, 2);
    assert_eq!(party.sessions[&2].host(), Some(id(4)));
    assert_eq!(party.peers(2), [4]);
}
