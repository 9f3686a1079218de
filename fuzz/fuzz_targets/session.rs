//! The state machine: whatever a peer sends, in whatever order, it stays bounded and sane.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use multipeer_proto::{
    Command, Config, Direction, DisplayName, FrameDecoder, Input, LinkId, Output, PeerId,
    ServiceType, Session, Timestamp,
    trust::{Admission, Keys, LinkKeys},
};

/// One session that takes everyone, and one that asks for a passcode, which nobody here has.
fn config(closed: bool) -> Config {
    let service = ServiceType::new("fuzz").unwrap();
    let name = DisplayName::new("Fuzz").unwrap();
    let mut config = Config::new(Keys::from_secret(&[7; 32]), service, name, 1);
    if closed {
        config.admission = Admission::passcode("481-516");
    }
    config
}

/// Two strangers say whatever comes out of `data`: a byte tells who, and how long it takes.
fn frames_of(data: &[u8]) -> Vec<(u8, multipeer_proto::Frame)> {
    data.chunks(97)
        .flat_map(|piece| {
            let (head, body) = (piece[0], &piece[1..]);
            let mut decoder = FrameDecoder::default();
            decoder.extend(body);
            let mut frames = Vec::new();
            while let Ok(Some(frame)) = decoder.poll_frame() {
                frames.push((head, frame));
            }
            frames
        })
        .collect()
}

fuzz_target!(|data: &[u8]| {
    let closed = data.len() % 2 == 1;
    let mut session = Session::new(config(closed));
    let mut now = Timestamp::ZERO;
    session.handle(now, Input::Command(Command::StartLooking));
    for (number, byte) in [(1, 1), (2, 9)] {
        let (link, peer) = (LinkId(number), PeerId::from_bytes([byte; 32]));
        let direction = match byte {
            1 => Direction::Accepted,
            _ => Direction::Dialled { attempt: 1 },
        };
        let keys = LinkKeys::new([byte; 32], [8; 32]);
        session.handle(now, Input::LinkUp { link, peer, direction, remote: None, keys });
    }
    let mut connected = std::collections::BTreeSet::new();
    for (head, frame) in frames_of(data) {
        now = now + Duration::from_millis(u64::from(head >> 1) * 10);
        let link = LinkId(u64::from(head & 1) + 1);
        session.handle(now, Input::Frame { link, frame });
        let mut outputs = 0;
        while let Some(output) = session.poll() {
            outputs += 1;
            assert!(outputs < 10_000, "one frame made ten thousand outputs");
            match output {
                Output::Event(multipeer_proto::Event::Connected(_)) | Output::Attach { .. }
                    if closed =>
                {
                    panic!("a stranger without the passcode is in");
                }
                Output::Event(multipeer_proto::Event::Connected(peer)) => {
                    assert!(connected.insert(peer.id), "connected twice");
                }
                Output::Event(multipeer_proto::Event::Disconnected { peer, .. }) => {
                    assert!(connected.remove(&peer.id), "disconnected without connected");
                }
                Output::Pause { peer, link } => {
                    session.handle(now, Input::Paused { peer, link, quiet: head & 2 == 0 });
                }
                _ => {}
            }
        }
        assert!(session.table_sizes().iter().all(|&size| size <= 1024));
    }
});
