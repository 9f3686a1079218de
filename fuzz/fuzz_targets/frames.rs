//! The frame codec: any bytes, and what is read is written and read the same.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use multipeer_proto::FrameDecoder;

fuzz_target!(|data: &[u8]| {
    let mut decoder = FrameDecoder::default();
    decoder.extend(data);
    while let Ok(Some(frame)) = decoder.poll_frame() {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        let mut again = FrameDecoder::default();
        again.extend(&bytes);
        assert_eq!(again.poll_frame(), Ok(Some(frame)));
    }
});
