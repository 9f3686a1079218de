//! Message streams and datagrams: any bytes, in pieces of any size.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use multipeer_proto::message::{Datagram, MessageDecoder};

const LIMIT: usize = 1000;

fuzz_target!(|data: (u8, Vec<u8>)| {
    let (piece, bytes) = data;
    _ = Datagram::decode(Bytes::copy_from_slice(&bytes));
    let read = |piece: usize| {
        let mut decoder = MessageDecoder::new(LIMIT);
        let mut messages = Vec::new();
        for piece in bytes.chunks(piece) {
            let piece = Bytes::copy_from_slice(piece);
            if decoder.decode(piece, |arrived| messages.extend(arrived)).is_err() {
                break;
            }
            assert!(decoder.buffered_bytes() <= LIMIT + 16);
        }
        messages
    };
    // However the bytes are cut, the messages are the same.
    let whole = read(bytes.len().max(1));
    let cut = read(usize::from(piece).max(1));
    assert!(whole.starts_with(&cut) || cut.starts_with(&whole));
});
