//! Two or three sessions joined in virtual time: single situations, in every order of events.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::*;
use crate::{
    DeclineReason, DisplayName, ServiceType,
    frame::{Digest, Goodbye, Hello, Join, Profile},
    limits,
    trust::LinkKeys,
    way::Way,
};

const A: u8 = 1;
const B: u8 = 2;

pub(super) fn id(byte: u8) -> PeerId {
    PeerId::from_bytes([byte; 32])
}

pub(super) fn config(byte: u8) -> Config {
    let service = ServiceType::new("test").unwrap();
    let name = DisplayName::new(format!("peer {byte}")).unwrap();
    Config::new(id(byte), service, name, u64::from(byte))
}

/// A session that looks.
pub(super) fn started(config: Config) -> Session {
    let mut session = Session::new(config);
    session.handle(Timestamp::ZERO, Input::Command(Command::StartLooking));
    session
}

fn session(byte: u8, joining: Joining) -> Session {
    let mut session = started(Config { joining, ..config(byte) });
    drain(&mut session);
    session
}

fn drain(session: &mut Session) -> Vec<Output> {
    std::iter::from_fn(|| session.poll()).collect()
}

fn hello(byte: u8, attempt: u64) -> Hello {
    Hello {
        version: 1,
        min_version: 1,
        service: ServiceType::new("test").unwrap(),
        incarnation: u64::from(byte),
        attempt,
        gone: None,
        max_message_bytes: 1000,
        exchanges: Vec::new(),
        remembers: None,
        introduced_by: None,
        tags: None,
        role: None,
    }
}

/// Says hello, and presents itself.
fn greet(session: &mut Session, link: u64, hello: Hello) {
    frame(session, link, Frame::Hello(hello));
    let name = DisplayName::new("somebody").unwrap();
    frame(
        session,
        link,
        Frame::Profile(Profile { name, info: DiscoveryInfo::default(), lasting: None }),
    );
}

fn keys() -> LinkKeys {
    LinkKeys::new([7; 32], [8; 32])
}

fn join(pairing: Option<LinkRef>) -> Frame {
    Frame::Join(Join { pairing, received: 0, addresses: Vec::new(), host: false, relay_port: None })
}

fn link_up(session: &mut Session, link: u64, byte: u8) {
    let (link, peer, direction) = (LinkId(link), id(byte), Direction::Accepted);
    session.handle(
        Timestamp::ZERO,
        Input::LinkUp { link, peer, direction, remote: None, keys: keys() },
    );
}

fn frame(session: &mut Session, link: u64, frame: Frame) {
    session.handle(Timestamp::ZERO, Input::Frame { link: LinkId(link), frame });
}

/// A session of A with B in it, over link 1, that B dialled as its attempt 1.
fn joined() -> Session {
    let mut session = session(A, Joining::Automatic);
    link_up(&mut session, 1, B);
    greet(&mut session, 1, hello(B, 1));
    let invite = crate::frame::Invite {
        invitation: InvitationId(1),
        context: Bytes::new(),
        timeout_millis: 1000,
    };
    frame(&mut session, 1, Frame::Invite(invite));
    frame(&mut session, 1, join(None));
    assert_eq!(session.peers().count(), 1);
    drain(&mut session);
    session
}

fn closed(outputs: &[Output]) -> Vec<(u64, GoodbyeReason)> {
    let close = |output: &Output| match output {
        Output::CloseLink { link, reason, .. } => Some((link.0, *reason)),
        _ => None,
    };
    outputs.iter().filter_map(close).collect()
}

fn events(outputs: Vec<Output>) -> Vec<Event> {
    let event = |output| match output {
        Output::Event(event) => Some(event),
        _ => None,
    };
    outputs.into_iter().filter_map(event).collect()
}

#[test]
fn of_two_links_the_one_dialled_by_the_smaller_id_stays_whichever_came_first() {
    for dialled_first in [true, false] {
        let mut session = session(A, Joining::Automatic);
        let dialled = |session: &mut Session| {
            let direction = Direction::Dialled { attempt: 1 };
            let (link, peer) = (LinkId(1), id(B));
            session.handle(
                Timestamp::ZERO,
                Input::LinkUp { link, peer, direction, remote: None, keys: keys() },
            );
            greet(session, 1, hello(B, 0));
        };
        if dialled_first {
            dialled(&mut session);
        }
        link_up(&mut session, 2, B);
        greet(&mut session, 2, hello(B, 1));
        if !dialled_first {
            dialled(&mut session);
        }
        assert_eq!(closed(&drain(&mut session)), [(2, GoodbyeReason::Duplicate)]);
    }
}

#[test]
fn a_link_that_the_other_side_knows_to_be_dead_gives_way_to_a_new_one() {
    let mut session = joined();
    // B would lose by rank: what it dials later wins only among its own. Here the dead link is
    // named, and one that A dialled would have given way too.
    link_up(&mut session, 2, B);
    let gone = Some(LinkRef { dialler: id(B), attempt: 1 });
    greet(&mut session, 2, Hello { gone, ..hello(B, 0) });
    let outputs = drain(&mut session);
    assert_eq!(closed(&outputs), [(1, GoodbyeReason::Duplicate)]);
    assert!(events(outputs).is_empty(), "it is the same peer, still connected");
}

#[test]
fn a_reconnection_goes_on_and_a_peer_that_forgot_begins_anew() {
    let begun_on = Some(LinkRef { dialler: id(B), attempt: 1 });
    for (pairing, expected) in [(begun_on, 0), (None, 2)] {
        let mut session = joined();
        session.handle(Timestamp::ZERO, Input::LinkDown { link: LinkId(1) });
        link_up(&mut session, 2, B);
        greet(&mut session, 2, hello(B, 2));
        frame(&mut session, 2, join(pairing));
        let outputs = drain(&mut session);
        let fresh = outputs.iter().find_map(|output| match output {
            Output::Attach { fresh, .. } => Some(*fresh),
            _ => None,
        });
        assert_eq!(fresh, Some(expected > 0));
        let events = events(outputs);
        assert_eq!(events.len(), expected, "{events:?}");
        if let [Event::Disconnected { reason, .. }, Event::Connected(_)] = &events[..] {
            assert_eq!(*reason, DisconnectReason::Forgotten);
        }
    }
}

#[test]
fn a_restarted_peer_is_disconnected_and_its_former_link_closed() {
    let mut session = joined();
    link_up(&mut session, 2, B);
    greet(&mut session, 2, Hello { incarnation: 99, ..hello(B, 1) });
    let outputs = drain(&mut session);
    assert_eq!(closed(&outputs), [(1, GoodbyeReason::Duplicate)]);
    let [Event::Disconnected { reason, .. }] = &events(outputs)[..] else { panic!() };
    assert_eq!(*reason, DisconnectReason::Restarted);
}

#[test]
fn who_has_left_is_dialled_again_only_if_it_is_still_near_after_a_while() {
    let mut session = joined();
    let announcement = session.unheard(id(B));
    let addresses = vec!["192.0.2.2:1".parse().unwrap()];
    session.handle(Timestamp::ZERO, Input::Discovered { announcement, addresses, way: Way::Mdns });
    drain(&mut session);
    let goodbye = Goodbye { reason: GoodbyeReason::Left, text: String::new() };
    frame(&mut session, 1, Frame::Goodbye(goodbye));
    let outputs = drain(&mut session);
    let dials = |output: &Output| matches!(output, Output::Dial { .. });
    assert!(!outputs.iter().any(dials), "{outputs:?}");
    assert!(matches!(events(outputs)[..], [Event::Disconnected { .. }]));
    let dialled_at = loop {
        let at = session.poll_timeout().expect("it has not gone, and is invited");
        session.handle(at, Input::Tick);
        if drain(&mut session).iter().any(dials) {
            break at;
        }
    };
    assert_eq!(dialled_at, Timestamp::ZERO + limits::LEFT_GRACE);
}

#[test]
fn a_link_that_never_says_hello_or_comes_to_nothing_is_closed() {
    let mut session = session(A, Joining::Ask);
    link_up(&mut session, 1, B);
    link_up(&mut session, 2, 3);
    greet(&mut session, 2, hello(3, 1));
    drain(&mut session);
    let mut closings = Vec::new();
    while let Some(at) = session.poll_timeout() {
        session.handle(at, Input::Tick);
        closings.extend(closed(&drain(&mut session)));
    }
    assert_eq!(closings, [(1, GoodbyeReason::TimedOut), (2, GoodbyeReason::Unneeded)]);
}

/// Two hundred strangers, each with the address that it is given, are linked to a session; those
/// of them that were turned away.
fn refused_of_two_hundred(remote: impl Fn(u8) -> Option<SocketAddr>) -> usize {
    let mut session = session(A, Joining::Ask);
    for number in 0..200_u8 {
        let (link, peer) = (LinkId(number.into()), PeerId::from_bytes([number; 32]));
        let (direction, remote) = (Direction::Accepted, remote(number));
        if peer != session.id() {
            let keys = keys();
            let up = Input::LinkUp { link, peer, direction, remote, keys };
            session.handle(Timestamp::ZERO, up);
        }
    }
    let refused = closed(&drain(&mut session));
    assert!(refused.iter().all(|(_, reason)| *reason == GoodbyeReason::Busy));
    assert_eq!(session.statistics().refused_links, refused.len() as u64);
    refused.len()
}

#[test]
fn strangers_get_so_many_links_and_those_of_one_address_fewer() {
    use crate::limits::{MAX_PENDING_LINKS, MAX_PENDING_PER_ADDRESS};
    let remote = |text: String| Some(text.parse().unwrap());
    let each_its_own = refused_of_two_hundred(|number| remote(format!("192.0.2.{number}:7")));
    assert_eq!(each_its_own, 199 - MAX_PENDING_LINKS);
    let of_this_machine = refused_of_two_hundred(|number| remote(format!("127.0.0.1:{number}")));
    assert_eq!(of_this_machine, 199 - MAX_PENDING_LINKS);
    let of_one_host = refused_of_two_hundred(|number| remote(format!("192.0.2.1:{number}")));
    assert_eq!(of_one_host, 199 - MAX_PENDING_PER_ADDRESS);
    let of_one_network = refused_of_two_hundred(|number| remote(format!("[2001:db8::{number}]:7")));
    assert_eq!(of_one_network, 199 - MAX_PENDING_PER_ADDRESS);
}

#[test]
fn a_peer_that_floods_before_it_joins_is_cut_off() {
    let mut session = session(A, Joining::Ask);
    link_up(&mut session, 1, B);
    greet(&mut session, 1, hello(B, 1));
    for number in 0..100 {
        let cancel = crate::frame::Cancel { invitation: InvitationId(number) };
        frame(&mut session, 1, Frame::Cancel(cancel));
    }
    assert_eq!(closed(&drain(&mut session)), [(1, GoodbyeReason::Protocol)]);
    assert_eq!(session.statistics().protocol_errors, 1);
}

#[test]
fn who_has_another_member_list_answers_a_digest_with_its_own() {
    let mut session = joined();
    let first = |byte| u64::from_be_bytes([byte; 8]);
    let equal = Digest { sum: first(A).wrapping_add(first(B)), count: 2 };
    frame(&mut session, 1, Frame::Digest(equal.clone()));
    assert!(drain(&mut session).is_empty());
    frame(&mut session, 1, Frame::Digest(Digest { sum: 0, count: 3 }));
    let [Output::SendFrame { frame, .. }] = &drain(&mut session)[..] else { panic!() };
    assert_eq!(*frame, Frame::Digest(equal), "there is nobody else to tell of");
}

#[test]
fn a_member_that_left_is_not_brought_back_by_late_news_of_it() {
    let mut session = joined();
    link_up(&mut session, 2, 3);
    let left = Goodbye { reason: GoodbyeReason::Left, text: String::new() };
    let record = crate::frame::MemberRecord {
        id: id(3),
        incarnation: 3,
        addresses: vec![([10, 0, 0, 3], 3).into()],
        voucher: None,
    };
    let introduce = Frame::Introduce(crate::frame::Introduce { member: record });
    frame(&mut session, 1, introduce.clone());
    greet(&mut session, 2, hello(3, 1));
    frame(&mut session, 2, join(None));
    assert_eq!(session.peers().count(), 2);
    frame(&mut session, 2, Frame::Goodbye(left));
    assert_eq!(session.peers().count(), 1);
    drain(&mut session);
    frame(&mut session, 1, introduce);
    assert!(drain(&mut session).is_empty(), "neither dialled nor listed");
}

#[test]
fn a_join_waits_for_the_introduction_that_explains_it() {
    let mut session = joined();
    link_up(&mut session, 2, 3);
    greet(&mut session, 2, hello(3, 1));
    frame(&mut session, 2, join(None));
    assert_eq!(session.peers().count(), 1);
    let addresses = Vec::new();
    let member = crate::frame::MemberRecord { id: id(3), incarnation: 3, addresses, voucher: None };
    frame(&mut session, 1, Frame::Introduce(crate::frame::Introduce { member }));
    assert_eq!(session.peers().count(), 2);
}

#[test]
fn commands_take_effect_in_the_order_given() {
    let mut session = session(A, Joining::Ask);
    let discovered = |session: &mut Session| {
        let announcement = Announcement {
            peer: id(B),
            name: Some(DisplayName::new("Bob").unwrap()),
            info: DiscoveryInfo::default(),
            tags: None,
            role: None,
        };
        let addresses = vec![([10, 0, 0, 2], 2).into()];
        session
            .handle(Timestamp::ZERO, Input::Discovered { announcement, addresses, way: Way::Mdns });
    };
    discovered(&mut session);
    drain(&mut session);
    let invitation = InvitationId(1);
    let invite = Command::Invite {
        invitation,
        peer: id(B),
        context: Bytes::new(),
        timeout: Duration::from_secs(1),
    };
    for command in [invite, Command::CancelInvite { invitation }, Command::StopLooking] {
        session.handle(Timestamp::ZERO, Input::Command(command));
    }
    let mut outputs = VecDeque::from(drain(&mut session));
    assert_eq!(outputs.pop_front(), Some(Output::Event(Event::Connecting(id(B)))));
    assert!(matches!(outputs.pop_front(), Some(Output::Dial { .. })));
    assert!(matches!(outputs.pop_front(), Some(Output::Event(Event::InvitationFailed { .. }))));
    let result = Err(InviteError::Cancelled);
    assert_eq!(outputs.pop_front(), Some(Output::InviteAnswered { invitation, result }));
    assert_eq!(outputs.pop_front(), Some(Output::Look(false)));
}

#[test]
fn among_many_few_dials_begin_at_a_time_and_those_first_that_are_ones_own() {
    let mut session = session(A, Joining::Automatic);
    let now = Timestamp::ZERO;
    for byte in 100..164 {
        let PeerInfo { id: peer, name, info, .. } = PeerInfo::unnamed(id(byte));
        let announcement = Announcement { peer, name: Some(name), info, tags: None, role: None };
        let addresses = vec![([10, 0, 0, byte], 2).into()];
        session.handle(now, Input::Discovered { announcement, addresses, way: Way::Mdns });
    }
    let dialled = |session: &mut Session| -> Vec<PeerId> {
        let outputs = drain(session).into_iter();
        outputs
            .filter_map(|output| match output {
                Output::Dial { peer, .. } => Some(peer),
                _ => None,
            })
            .collect()
    };
    let first = dialled(&mut session);
    assert_eq!(first.len(), limits::MAX_FRESH_DIALS);
    session.handle(now + limits::SLOW_DIAL, Input::Tick);
    let more = dialled(&mut session);
    assert_eq!(more.len(), limits::MAX_FRESH_DIALS, "who does not answer holds up nobody");
    session.handle(now + limits::SLOW_DIAL * 2, Input::Tick);
    let rest = dialled(&mut session);
    assert_eq!(first.len() + more.len() + rest.len(), limits::MAX_DIALS);
    assert_eq!(session.poll_timeout().filter(|&at| at <= now + limits::SLOW_DIAL * 2), None);
    let own = |id: &&PeerId| !session.yields_to(**id);
    // The first were few when they were found, and nobody was waited for.
    let later: Vec<PeerId> = [more, rest].concat();
    assert_eq!(later.iter().filter(own).count(), later.len());
    let theirs = (100..164).filter(|&byte| session.yields_to(id(byte))).count();
    assert!((16..48).contains(&theirs), "about half of them dial this one, not {theirs}");
}

#[test]
fn who_does_not_look_takes_no_invitation() {
    let mut session = session(A, Joining::Automatic);
    session.handle(Timestamp::ZERO, Input::Command(Command::StopLooking));
    link_up(&mut session, 1, B);
    greet(&mut session, 1, hello(B, 1));
    drain(&mut session);
    let invite = crate::frame::Invite {
        invitation: InvitationId(1),
        context: Bytes::new(),
        timeout_millis: 1000,
    };
    frame(&mut session, 1, Frame::Invite(invite));
    let [Output::SendFrame { frame: Frame::Decline(decline), .. }] = &drain(&mut session)[..]
    else {
        panic!()
    };
    assert_eq!(decline.reason, DeclineReason::NotLooking);
}

#[test]
fn after_leaving_nothing_is_done_any_more() {
    let mut session = joined();
    session.handle(Timestamp::ZERO, Input::Command(Command::Leave));
    assert!(drain(&mut session).contains(&Output::Drain { peer: id(B) }));
    session.handle(Timestamp::ZERO, Input::Drained { peer: id(B) });
    let outputs = drain(&mut session);
    assert_eq!(closed(&outputs), [(1, GoodbyeReason::Left)]);
    assert_eq!(outputs.last(), Some(&Output::Left));
    assert_eq!(session.poll_timeout(), None);
    link_up(&mut session, 2, 3);
    assert_eq!(closed(&drain(&mut session)), [(2, GoodbyeReason::Left)]);
}

#[test]
fn an_idle_session_takes_another_id_and_one_that_is_not_keeps_its_own() {
    let renew = |session: &mut Session| {
        let command = Command::Renew { keys: id(9).into(), incarnation: 99 };
        session.handle(Timestamp::ZERO, Input::Command(command));
    };
    let mut idle = session(A, Joining::Ask);
    assert!(idle.is_idle());
    renew(&mut idle);
    assert_eq!(idle.id(), id(9));
    let outputs = drain(&mut idle);
    assert!(matches!(&outputs[..], [Output::Announce(announcement)] if announcement.peer == id(9)));
    link_up(&mut idle, 1, B);
    let outputs = drain(&mut idle);
    assert!(matches!(
        &outputs[..],
        [Output::SendFrame { frame: Frame::Hello(hello), .. }] if hello.incarnation == 99
    ));
    let mut busy = joined();
    renew(&mut busy);
    assert_eq!(busy.id(), id(A));
}
