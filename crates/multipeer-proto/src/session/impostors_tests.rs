//! Tests of what a session does when another one answers for a peer.

use std::time::Duration;

use bytes::Bytes;

use super::{
    tests::{config, id, started},
    *,
};
use crate::{
    limits::{IMPOSTOR_PAUSE, MAX_ADDRESSES},
    way::Way,
};

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
    let all = caller.dial(1, &FALSE).unwrap();
    assert_eq!(all.len(), 3);
    let mut dialled = Vec::new();
    for _ in 0..4 {
        dialled.extend(caller.dial(10, &FALSE).unwrap());
    }
    for address in FALSE {
        assert!(dialled.iter().filter(|&other| other == address).count() <= 1, "{dialled:?}");
    }
    assert!(dialled.iter().filter(|&other| other == TRUE).count() >= 2, "{dialled:?}");
    assert_eq!(dialled.len(), 4, "one at a time");
    assert!(caller.told.len() <= 1, "{:?}", caller.told);
}

#[test]
fn an_invitation_fails_when_every_place_was_tried() {
    let mut caller = Caller::new(Joining::Ask);
    let addresses = [FALSE[0], TRUE].map(|address| address.parse().unwrap()).to_vec();
    let peer = id(2);
    caller.session.handle(caller.now, Input::Command(Command::Add { peer, addresses }));
    let invitation = InvitationId(1);
    let timeout = Duration::from_secs(30);
    let invite = Command::Invite { peer, invitation, context: Bytes::new(), timeout };
    caller.session.handle(caller.now, Input::Command(invite));
    let mut dialled = Vec::new();
    while let Some(addresses) = caller.dial(60, &FALSE) {
        dialled.extend(addresses);
    }
    assert_eq!(dialled, [FALSE[0], TRUE, FALSE[0], TRUE], "both, then one after the other");
    // The application's own is told of, and answered.
    assert!(
        matches!(&caller.told[..], [InviteError::Unreachable { error }, _] if error == "no answer")
    );
}

#[test]
fn only_so_many_false_addresses_are_kept_in_mind() {
    let mut caller = Caller::new(Joining::Automatic);
    let liar: Vec<String> = (1..1000).map(|port| format!("10.0.0.66:{port}")).collect();
    for address in &liar {
        caller.hear(&[address]);
        caller.dial(10, &[address]);
        let doubts = caller.session.doubts.values().map(|doubt| doubt.false_at.len());
        assert!(doubts.sum::<usize>() <= MAX_ADDRESSES);
    }
}
