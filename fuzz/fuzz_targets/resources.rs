//! Transfers: headers, names and frames in any order, at both ends. No name that is accepted leads
//! out of its folder, and what is read is written and read the same.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use multipeer_proto::resource::{
    Entry, EntryKind, EntryPath, LinkTarget, Offer, ReceiveLimits, ReceiveStep, Receiving,
    ResourceDecoder, ResourceFrame, ResourceKind, SafeNames, Sending, TransferId, check_component,
    hash_block, safe_component,
};

fuzz_target!(|data: &[u8]| {
    names(data);
    let mut decoder = ResourceDecoder::default();
    decoder.extend(data);
    let mut sending = Sending::new(offer(), vec![entry()]);
    let mut receiving: Option<Receiving> = None;
    while let Ok(Some(frame)) = decoder.poll_frame() {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        let mut again = ResourceDecoder::default();
        again.extend(&bytes);
        assert_eq!(again.poll_frame(), Ok(Some(frame.clone())));
        _ = sending.handle(frame.clone());
        while sending.poll().is_some_and(|_| !sending.is_done()) {
            _ = sending.handle_block(&hash_block(0, 1024, b"content"));
        }
        match (&mut receiving, frame) {
            (none @ None, ResourceFrame::Offer(offer)) => {
                let limits = ReceiveLimits { max_bytes: 1 << 40, max_entries: 1000 };
                *none = Receiving::new(offer, limits).ok();
                none.iter_mut().for_each(Receiving::accept);
            }
            (Some(receiving), frame) => {
                _ = receiving.handle(frame);
                receive(receiving, &mut decoder);
            }
            (None, _) => {}
        }
    }
});

fn receive(receiving: &mut Receiving, decoder: &mut ResourceDecoder) {
    while let Some(step) = receiving.poll() {
        match step {
            ReceiveStep::Prepare => receiving.handle_prepared(),
            ReceiveStep::ReadBlock(block) => {
                let bytes = decoder.take_bytes(usize::try_from(block.bytes).unwrap());
                if !bytes.is_empty() {
                    _ = receiving.handle_block(&hash_block(0, 1024, &bytes));
                }
            }
            ReceiveStep::Complete => receiving.handle_completed(),
            ReceiveStep::Frame(_) | ReceiveStep::FinishFile { .. } => {}
        }
    }
    for entry in receiving.entries() {
        for component in SafeNames::default().path(&entry.path) {
            assert!(
                component != ".." && component != "." && !component.contains(['/', '\\', '\0'])
            );
        }
    }
}

fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if check_component(text).is_ok() {
        let safe = safe_component(text);
        assert_eq!(check_component(&safe), Ok(()), "{text:?} became {safe:?}");
    }
    let Ok(path) = EntryPath::new(vec!["folder".to_owned(), "link".to_owned()]) else { return };
    if LinkTarget::new(&path, text).is_ok() {
        // Followed from the folder, it never rises above the top.
        let mut depth = 1_i64;
        for step in text.split('/') {
            match step {
                "" | "." => {}
                ".." => depth -= 1,
                _ => depth += 1,
            }
            assert!(depth >= 0, "{text:?} leads out");
        }
    }
}

fn entry() -> Entry {
    Entry {
        path: EntryPath::default(),
        kind: EntryKind::File,
        size: Some(7),
        executable: false,
        modified_millis: None,
        target: None,
    }
}

fn offer() -> Offer {
    Offer {
        transfer: TransferId([7; 16]),
        kind: ResourceKind::File,
        name: "file".to_owned(),
        size: Some(7),
        entries: 1,
        block_bytes: 1024,
    }
}
