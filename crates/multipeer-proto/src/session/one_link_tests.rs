//! Two peers and several links between them, on which frames take their time.

use std::time::Duration;

use bytes::Bytes;

use super::{
    tests::{config, id, started},
    *,
};
use crate::{frame::Goodbye, trust::LinkKeys};

const FIRST: LinkId = LinkId(1);
const SECOND: LinkId = LinkId(2);
const THIRD: LinkId = LinkId(3);

/// Alice, whose links stay where there are two, and Bob.
struct Two {
    alice: Session,
    bob: Session,
    now: Timestamp,
    /// What Alice says on the second link, behind her hello.
    late: Vec<Frame>,
    closed_by_bob: Vec<LinkId>,
}

impl Two {
    fn new() -> Self {
        let session = |byte, window| {
            started(Config { reconnect_window: Duration::from_millis(window), ..config(byte) })
        };
        Self {
            alice: session(1, 1500),
            bob: session(2, 1000),
            now: Timestamp::ZERO,
            late: Vec::new(),
            closed_by_bob: Vec::new(),
        }
    }

    fn meet(&mut self, link: LinkId, alice_dials: bool) {
        let dialled = Direction::Dialled { attempt: link.0 };
        let (alices, bobs) = if alice_dials {
            (dialled, Direction::Accepted)
        } else {
            (Direction::Accepted, dialled)
        };
        for (session, peer, direction) in
            [(&mut self.alice, id(2), alices), (&mut self.bob, id(1), bobs)]
        {
            let keys = LinkKeys::new([9; 32], [50; 32]);
            session.handle(self.now, Input::LinkUp { link, peer, direction, remote: None, keys });
        }
        self.run();
    }

    fn wait(&mut self, time: u64) {
        self.now = self.now + Duration::from_millis(time);
        self.alice.handle(self.now, Input::Tick);
        self.bob.handle(self.now, Input::Tick);
        self.run();
    }

    /// Until neither has anything more to say.
    fn run(&mut self) {
        loop {
            if let Some(output) = self.alice.poll() {
                match said(output) {
                    Some((SECOND, frame)) if !matches!(frame, Frame::Hello(_)) => {
                        self.late.push(frame);
                    }
                    Some((link, frame)) => {
                        self.bob.handle(self.now, Input::Frame { link, frame });
                    }
                    None => {}
                }
            } else if let Some(output) = self.bob.poll() {
                if let Output::CloseLink { link, .. } = output {
                    self.closed_by_bob.push(link);
                }
                if let Some((link, frame)) = said(output) {
                    self.alice.handle(self.now, Input::Frame { link, frame });
                }
            } else {
                return;
            }
        }
    }

    fn attached(&self) -> [Vec<LinkId>; 2] {
        [self.alice.attached_links(), self.bob.attached_links()]
    }
}

/// What goes over a link.
fn said(output: Output) -> Option<(LinkId, Frame)> {
    match output {
        Output::SendFrame { link, frame } => Some((link, frame)),
        Output::CloseLink { link, reason, text } => {
            Some((link, Frame::Goodbye(Goodbye { reason, text })))
        }
        _ => None,
    }
}

#[test]
fn late_words_on_a_link_that_was_given_up_do_not_end_the_one_that_took_its_place() {
    let mut two = Two::new();
    let invite = |number, byte| {
        Input::Command(Command::Invite {
            invitation: InvitationId(number),
            peer: id(byte),
            context: Bytes::new(),
            timeout: Duration::from_secs(30),
        })
    };
    two.meet(FIRST, true);
    two.alice.handle(two.now, invite(1, 2));
    two.run();
    assert_eq!(two.attached(), [[FIRST], [FIRST]]);
    for session in [&mut two.alice, &mut two.bob] {
        session.handle(two.now, Input::LinkDown { link: FIRST });
    }
    // Bob gives her up, and Alice, who does not yet, dials.
    two.wait(1100);
    two.meet(SECOND, true);
    assert!(matches!(two.late[..], [Frame::Profile(_), Frame::Join(_)]), "{:?}", two.late);
    // She gives him up, too, and with him the link. Then he dials and invites her.
    two.wait(500);
    assert!(matches!(two.late[..], [_, _, Frame::Goodbye(_)]), "{:?}", two.late);
    two.bob.handle(two.now, invite(2, 1));
    two.meet(THIRD, false);
    assert_eq!(two.attached(), [[THIRD], [THIRD]]);
    for frame in std::mem::take(&mut two.late) {
        two.bob.handle(two.now, Input::Frame { link: SECOND, frame });
        two.run();
    }
    assert_eq!(two.attached(), [[THIRD], [THIRD]]);
    assert!(!two.closed_by_bob.contains(&THIRD));
}
