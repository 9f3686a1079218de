//! Tests of what a session does when nobody answers for a peer, or another one.

use std::time::Duration;

use bytes::Bytes;

use super::{
    tests::{config, id, started},
    *,
};
use crate::{limits::IMPOSTOR_PAUSE, way::Way};

/// A session that meets by itself, whose dials are answered one at a time.
struct Caller {
    session: Session,
    now: Timestamp,
    told: Vec<InviteError>,
}

impl Caller {
    fn new(joining: Joining) -> Self {
        Self {
            session: started(Config { joining, ..config(1) }),
            now: Timestamp::ZERO,
            told: Vec::new(),
        }
    }

    fn hear(&mut self, addresses: &[&str]) {
        let PeerInfo { id: peer, info, .. } = PeerInfo::unnamed(id(2));
        let announcement = Announcement { peer, name: None, info, tags: None, role: None };
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let way = Way::Mdns;
        self.session.handle(self.now, Input::Discovered { announcement, addresses, way });
    }

    fn invite(&mut self, number: u64) {
        let command = Command::Invite {
            peer: id(2),
            invitation: InvitationId(number),
            context: Bytes::new(),
            timeout: Duration::from_secs(30),
        };
        self.session.handle(self.now, Input::Command(command));
    }

    /// The next dial within so many seconds: its number, and where it leads.
    fn next_dial(&mut self, seconds: u64) -> Option<(u64, Vec<String>)> {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            while let Some(output) = self.session.poll() {
                match output {
                    Output::Dial { attempt, addresses, .. } => {
                        return Some((
                            attempt,
                            addresses.iter().map(ToString::to_string).collect(),
                        ));
                    }
                    Output::Event(Event::InvitationFailed { error, .. })
                    | Output::InviteAnswered { result: Err(error), .. } => self.told.push(error),
                    _ => {}
                }
            }
            let next = self.session.poll_timeout().filter(|&next| next <= end)?;
            self.now = self.now.max(next);
            self.session.handle(self.now, Input::Tick);
        }
    }

    /// Where the next dial leads, to which nobody answers but who has an address in `impostors`.
    fn dial(&mut self, seconds: u64, impostors: &[&str]) -> Option<Vec<String>> {
        let (attempt, addresses) = self.next_dial(seconds)?;
        let is_impostor = addresses.iter().any(|address| impostors.contains(&address.as_str()));
        let error = if is_impostor {
            DialError::Impostor
        } else {
            DialError::Failed("no answer".to_owned())
        };
        self.session.handle(self.now, Input::DialFailed { peer: id(2), attempt, error });
        Some(addresses)
    }
}

const NOWHERE: &str = "[fe80::7]:9";
const TRUE: &str = "10.0.0.7:9";
const FALSE: [&str; 2] = ["10.0.0.66:6", "10.0.0.67:6"];

#[test]
fn a_false_address_is_dialled_once_a_minute_at_the_most() {
    let mut caller = Caller::new(Joining::Automatic);
    caller.hear(&FALSE[..1]);
    assert_eq!(caller.dial(1, &FALSE), Some(vec![FALSE[0].to_owned()]));
    for _ in 0..50 {
        // As often as it is announced.
        caller.hear(&FALSE[..1]);
        assert_eq!(caller.dial(1, &FALSE), None);
    }
    assert!(
        matches!(&caller.told[..], [InviteError::Unreachable { error }] if error.contains("another device"))
    );
    let found_out = caller.now;
    assert_eq!(caller.dial(61, &FALSE), Some(vec![FALSE[0].to_owned()]), "devices change");
    assert!(caller.now.since(found_out) <= IMPOSTOR_PAUSE);
}

#[test]
fn an_impostor_that_answers_first_does_not_hide_the_peer() {
    let mut caller = Caller::new(Joining::Automatic);
    caller.hear(&[FALSE[0], TRUE, FALSE[1]]);
    for _ in 0..8 {
        let dialled = caller.dial(180, &FALSE).unwrap();
        assert!(dialled.iter().any(|address| address == TRUE), "{dialled:?}");
    }
    assert!(caller.now >= Timestamp::after_start(Duration::from_mins(1)), "with pauses that grow");
    assert_eq!(caller.told.len(), 1, "{:?}", caller.told);
}

#[test]
fn the_true_address_is_not_blamed_for_the_false_one() {
    let mut caller = Caller::new(Joining::Automatic);
    caller.hear(&FALSE[..1]);
    assert_eq!(caller.dial(1, &FALSE), Some(vec![FALSE[0].to_owned()]));
    caller.hear(&[TRUE]);
    for _ in 0..3 {
        // The transport tries the former address, too, where the impostor is quicker.
        assert_eq!(caller.dial(50, &[TRUE]), Some(vec![TRUE.to_owned()]));
    }
}

#[test]
fn an_invitation_of_the_application_is_told_who_answered() {
    let mut caller = Caller::new(Joining::Ask);
    let addresses = vec![FALSE[0].parse().unwrap()];
    let command = Command::Add { peer: id(2), addresses };
    caller.session.handle(caller.now, Input::Command(command));
    for number in 1..=2 {
        caller.invite(number);
        // The second time nobody is asked.
        assert_eq!(caller.dial(60, &FALSE).is_some(), number == 1);
    }
    let is_told = |error: &InviteError| matches!(error, InviteError::Unreachable { error } if error.contains("another device"));
    assert!(caller.told.len() >= 2 && caller.told.iter().all(is_told), "{:?}", caller.told);
}

#[test]
fn an_invitation_outlives_a_dial_to_the_part_of_a_peer_that_was_heard_first() {
    let mut caller = Caller::new(Joining::Ask);
    caller.hear(&[NOWHERE]);
    caller.invite(1);
    assert_eq!(caller.dial(0, &[]), Some(vec![NOWHERE.to_owned()]));
    caller.hear(&[TRUE]);
    assert_eq!(caller.dial(0, &[]), Some(vec![TRUE.to_owned(), NOWHERE.to_owned()]));
    assert!(caller.told.is_empty(), "{:?}", caller.told);
}

#[test]
fn who_is_invited_and_heard_elsewhere_is_dialled_there_though_the_first_dial_hangs() {
    for joining in [Joining::Ask, Joining::Automatic] {
        let mut caller = Caller::new(joining);
        caller.hear(&[NOWHERE]);
        if joining == Joining::Ask {
            caller.invite(1);
        }
        let (_, first) = caller.next_dial(1).unwrap();
        assert_eq!(first, [NOWHERE]);
        let begun = caller.now;
        caller.hear(&[TRUE]);
        let (_, second) = caller.next_dial(1).unwrap();
        assert_eq!(second, [TRUE, NOWHERE]);
        assert!(caller.now.since(begun) <= Duration::from_millis(200));
    }
}

#[test]
fn an_invitation_of_who_is_nowhere_fails_within_seconds() {
    let mut caller = Caller::new(Joining::Ask);
    caller.hear(&[NOWHERE]);
    caller.invite(1);
    while caller.told.is_empty() {
        assert!(caller.dial(5, &[]).is_some());
        caller.next_dial(0);
    }
    assert!(caller.now.since(Timestamp::ZERO) < Duration::from_secs(4), "{:?}", caller.now);
    assert_eq!(caller.dial(60, &[]), None);
}
