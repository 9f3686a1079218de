//! The TXT record: any strings, and what is read is written and read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use multipeer_proto::Announcement;

fuzz_target!(|data: Vec<(String, Vec<u8>)>| {
    // A name and an id that are right, so that the rest is reached too.
    let own = [("_v", &b"1"[..]), ("_id", &[b'a'; 64][..]), ("_name", &b"Ann"[..])];
    let strings = data.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
    for announcement in
        [Announcement::from_txt(strings.clone()), Announcement::from_txt(strings.chain(own))]
            .into_iter()
            .flatten()
    {
        let strings = announcement.to_txt();
        let read = Announcement::from_txt(strings.iter().map(|(k, v)| (&**k, v.as_bytes())));
        assert_eq!(read.as_ref(), Ok(&announcement));
        assert!(announcement.instance_name().len() <= 63);
    }
});
