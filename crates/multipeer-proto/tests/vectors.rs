//! The bytes on the wire, as `vectors/` has them for every implementation: they must not change.
//!
//! A change of the protocol is written down with `UPDATE_VECTORS=1 cargo test -p multipeer-proto
//! --test vectors`, and its difference read.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]
// The tests read the files; the protocol does no IO.
#![allow(clippy::disallowed_methods)]

use std::{fmt::Write, net::SocketAddr, path::PathBuf};

use bytes::{Bytes, BytesMut};
use multipeer_proto::{
    Announce, Announcement, Command, Config, DeclineReason, Direction, DiscoveryInfo, DisplayName,
    Frame, FrameDecoder, GoodbyeReason, Input, InvitationId, LinkId, LinkRef, Output, PeerId, Role,
    ServiceType, Session, Timestamp,
    frame::{
        Accept, Attention, Cancel, Certificate, Confirm, Decline, Digest, Echo, Enquire,
        ExchangeOffer, Goodbye, Hello, Introduce, Invite, Join, Listen, MemberRecord, Members,
        Missing, Near, NearRecord, Nudge, Profile, Proof, Remove, Rest,
    },
    limits,
    message::{self, Datagram, MessageDecoder},
    resource::{
        Block, BlockHash, Entries, Entry, EntryKind, EntryPath, Failure, FailureReason, FileEnd,
        Have, Offer, Paused, Received, Refusal, RefusalReason, ResourceDecoder, ResourceFrame,
        ResourceKind, TransferId, TreeHash, hash_block,
    },
    stream::StreamName,
    trust::{
        Exchange, Keys, LastingId, LinkKeys, LinkRole, Removal, Scheme, Secret, Subject, Voucher,
    },
};
use serde_json::{Value, json};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// Compares with the file, or writes it when told to.
fn check(file: &str, vectors: &Value) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors");
    let path = folder.join(file);
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(vectors).unwrap();
        std::fs::write(&path, text + "\n").unwrap();
        return;
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let kept: Value = serde_json::from_str(&text).unwrap();
    for (kept, now) in kept.as_array().unwrap().iter().zip(vectors.as_array().unwrap()) {
        assert_eq!(kept, now, "{file} says otherwise");
    }
    assert_eq!(&kept, vectors, "{file} has more, or fewer");
}

fn peer(byte: u8) -> PeerId {
    PeerId::from_bytes([byte; 32])
}

fn addresses() -> Vec<SocketAddr> {
    ["192.0.2.7:4242", "[2001:db8::7]:4242"].map(|text| text.parse().unwrap()).to_vec()
}

fn hello() -> Hello {
    Hello {
        version: 1,
        min_version: 1,
        service: ServiceType::new("chat").unwrap(),
        incarnation: 1_700_000_000_000_000,
        attempt: 3,
        gone: Some(LinkRef { dialler: peer(0xab), attempt: 2 }),
        max_message_bytes: 16 * 1024 * 1024,
        exchanges: vec![],
        remembers: None,
        introduced_by: None,
        tags: None,
        role: None,
    }
}

fn member() -> MemberRecord {
    MemberRecord { id: peer(0xcd), incarnation: 5, addresses: addresses(), voucher: None }
}

/// What peers show, say and sign about who may be in the session.
fn trust_frames() -> Vec<(&'static str, Frame)> {
    let voucher = Voucher {
        issuer: peer(0xab),
        issuer_incarnation: 4,
        expires: 1_800_000_600,
        signature: [0x51; 64],
    };
    let vouched = MemberRecord { voucher: Some(voucher), ..member() };
    let removal = Removal {
        issuer: peer(0xab),
        issuer_incarnation: 4,
        subject: peer(0xcd),
        until: 1_800_003_600,
        text: "too loud".to_owned(),
        signature: [0x52; 64],
    };
    let info = DiscoveryInfo::new([("mood", "happy"), ("flag", "")]).unwrap();
    let profile = Profile { name: DisplayName::new("Zoë").unwrap(), info, lasting: None };
    let lasting = Some(LastingId { id: peer(0xcd), signature: [0x54; 64] });
    let private = Profile { lasting, ..profile.clone() };
    let certificate = Certificate {
        chain: vec![vec![0x30, 0x03, 0x01, 0x02, 0x03].into()],
        scheme: 0x0403,
        signature: Bytes::from(vec![0x53; 8]),
    };
    let known =
        Hello { remembers: Some(6), introduced_by: Some(peer(0xef)), gone: None, ..hello() };
    let exchange =
        ExchangeOffer { scheme: 1, name: "fleet".to_owned(), message: Bytes::from(vec![0x41; 33]) };
    vec![
        ("hello with an exchange", Frame::Hello(Hello { exchanges: vec![exchange], ..hello() })),
        ("hello to somebody known", Frame::Hello(known)),
        ("nudge", Frame::Nudge(Nudge { text: "look".to_owned() })),
        ("in the background", Frame::Attention(Attention { background: true })),
        ("rest", Frame::Rest(Rest { wanted: true, witnesses: vec![peer(0xab), peer(0xcd)] })),
        ("missing", Frame::Missing(Missing { peer: peer(0xcd) })),
        ("hello with tags", Frame::Hello(Hello { tags: Some(vec![0x61; 512].into()), ..hello() })),
        ("proof", Frame::Proof(Proof { confirmation: [0xee; 32] })),
        ("certificate", Frame::Certificate(certificate)),
        ("profile", Frame::Profile(profile)),
        ("profile with a lasting id", Frame::Profile(private)),
        ("introduce with a voucher", Frame::Introduce(Introduce { member: vouched })),
        ("enquire", Frame::Enquire(Enquire { peer: peer(0xcd) })),
        ("remove", Frame::Remove(Remove { removal })),
    ]
}

fn frames() -> Vec<(&'static str, Frame)> {
    let invitation = InvitationId(7);
    let member = member();
    let join =
        Join { pairing: None, received: 0, addresses: addresses(), host: false, relay_port: None };
    let context = Bytes::from_static(b"join us");
    let announcement = Announcement {
        peer: peer(0xcd),
        name: Some(DisplayName::new("Zoë").unwrap()),
        info: DiscoveryInfo::new([("mood", "happy")]).unwrap(),
        tags: None,
        role: None,
    };
    let near = Near {
        round: 3,
        peers: vec![NearRecord::new(announcement, addresses())],
        gone: vec![peer(0xab), peer(0xef)],
        complete: true,
    };
    let echo = Echo { token: u64::MAX, padding: Bytes::from_static(&[0, 1, 2]) };
    let pairing = Some(LinkRef { dialler: peer(0xab), attempt: 2 });
    vec![
        ("hello", Frame::Hello(hello())),
        ("hello of a client", Frame::Hello(Hello { role: Some(Role::Client), ..hello() })),
        ("hello of who was dialled", Frame::Hello(Hello { attempt: 0, gone: None, ..hello() })),
        ("invite", Frame::Invite(Invite { invitation, context, timeout_millis: 30_000 })),
        ("accept", Frame::Accept(Accept { invitation })),
        (
            "decline",
            Frame::Decline(Decline {
                invitation,
                reason: DeclineReason::Full,
                text: "not now".to_owned(),
            }),
        ),
        ("cancel", Frame::Cancel(Cancel { invitation })),
        ("first join", Frame::Join(join.clone())),
        (
            "join that resumes",
            Frame::Join(Join { pairing, received: 300, addresses: vec![], ..join.clone() }),
        ),
        ("join of the host", Frame::Join(Join { host: true, ..join.clone() })),
        ("join of a hub", Frame::Join(Join { relay_port: Some(3340), ..join })),
        ("listen", Frame::Listen(Listen { wanted: true })),
        ("near", Frame::Near(near)),
        ("members", Frame::Members(Members { members: vec![member.clone()] })),
        ("no members", Frame::Members(Members { members: vec![] })),
        ("introduce", Frame::Introduce(Introduce { member })),
        ("digest", Frame::Digest(Digest { sum: u64::MAX, count: 3 })),
        ("confirm", Frame::Confirm(Confirm { received: 1 << 40 })),
        ("ping", Frame::Ping(echo.clone())),
        ("pong", Frame::Pong(echo)),
        ("goodbye", Frame::Goodbye(Goodbye { reason: GoodbyeReason::Left, text: String::new() })),
    ]
}

fn decode_frame(bytes: &[u8]) -> Result<Option<Frame>, String> {
    let mut decoder = FrameDecoder::default();
    decoder.extend(bytes);
    decoder.poll_frame().map_err(|error| error.to_string())
}

#[test]
fn frames_are_the_bytes_of_the_vectors() {
    let vectors = frames().into_iter().chain(trust_frames()).map(|(name, frame)| {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        assert_eq!(decode_frame(&bytes), Ok(Some(frame)), "{name}");
        // Of these frames none is so long that its length takes more than two bytes.
        let head = if bytes[1] < 0x40 { 2 } else { 3 };
        let body = minicbor::display(&bytes[head..]).to_string();
        json!({"name": name, "type": bytes[0], "body": body, "bytes": hex(&bytes)})
    });
    check("frames.json", &vectors.collect());
}

#[test]
fn vouchers_removals_and_lasting_ids_are_signed_as_in_the_vectors() {
    let secret: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let (keys, incarnation) = (Keys::from_secret(&secret), 4);
    let service = ServiceType::new("chat").unwrap();
    let subject = Subject { peer: peer(0xcd), incarnation: 5 };
    let unix = 1_800_000_000;
    let voucher = Voucher::issue((&keys, incarnation), &service, subject, unix);
    let removal = Removal::issue(
        (&keys, incarnation),
        &service,
        subject.peer,
        "too loud".to_owned(),
        unix + 3600,
    );
    let ends = [peer(0xab), peer(0xcd)];
    let link = LinkKeys::new([0x11; 32], [0x22; 32]);
    let lasting = LastingId::prove(&keys, LinkRole::Dialler, ends, &link);
    assert!(lasting.check(&keys, LinkRole::Dialler, ends, &link));
    assert_eq!(voucher.check(&keys, &service, subject, unix), Ok(()));
    assert!(removal.check(&keys, &service, unix));
    let vectors = json!([
        {
            "name": "voucher",
            "secret": hex(&secret),
            "issuer": hex(keys.id().as_bytes()),
            "issuer_incarnation": incarnation,
            "service": "chat",
            "subject": hex(subject.peer.as_bytes()),
            "subject_incarnation": subject.incarnation,
            "expires": voucher.expires,
            "signature": hex(&voucher.signature),
        },
        {
            "name": "removal",
            "secret": hex(&secret),
            "issuer": hex(keys.id().as_bytes()),
            "issuer_incarnation": incarnation,
            "service": "chat",
            "subject": hex(removal.subject.as_bytes()),
            "until": removal.until,
            "text": removal.text,
            "signature": hex(&removal.signature),
        },
        {
            "name": "lasting id, shown by the dialler",
            "secret": hex(&secret),
            "id": hex(lasting.id.as_bytes()),
            "dialler": hex(ends[0].as_bytes()),
            "acceptor": hex(ends[1].as_bytes()),
            "exporter": hex(&[0x11; 32]),
            "signature": hex(&lasting.signature),
        },
    ]);
    check("statements.json", &vectors);
}

/// The tags that a peer announces and shows which has this lasting key, and is paired with these devices.
fn tags(lasting: &Keys, paired: &[PeerId], ends: [PeerId; 2]) -> [Vec<Vec<u8>>; 2] {
    let service = ServiceType::new("chat").unwrap();
    // The dialler's own key is not used, and so may be pretended.
    let mut config = Config::new(ends[0], service, DisplayName::new("Zoë").unwrap(), 1);
    config.announce = Announce::Paired;
    config.lasting = Some(lasting.clone());
    config.paired = paired.iter().map(|&id| (id, DisplayName::new("a device").unwrap())).collect();
    let mut session = Session::new(config);
    session.handle(Timestamp::ZERO, Input::Command(Command::StartLooking));
    let (link, keys) = (LinkId(1), LinkKeys::new([0x11; 32], [0x22; 32]));
    let direction = Direction::Dialled { attempt: 1 };
    let up = Input::LinkUp { link, peer: ends[1], direction, remote: None, keys };
    session.handle(Timestamp::ZERO, up);
    let (mut announced, mut shown) = (Vec::new(), Vec::new());
    while let Some(output) = session.poll() {
        match output {
            Output::Announce(announcement) => {
                let txt = announcement.to_txt();
                let text = &txt.iter().find(|(key, _)| key == "_tags").unwrap().1;
                let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
                announced = bytes.chunks(5).map(<[u8]>::to_vec).collect();
            }
            Output::SendFrame { frame: Frame::Hello(hello), .. } => {
                shown = hello.tags.unwrap().chunks(16).map(<[u8]>::to_vec).collect();
            }
            _ => {}
        }
    }
    [announced, shown]
}

#[test]
fn paired_devices_are_told_by_the_tags_of_the_vectors() {
    let [own, device] = [0, 32].map(|first| {
        let secret: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap() + first);
        (hex(&secret), Keys::from_secret(&secret))
    });
    let ends = [peer(0xab), peer(0xcd)];
    let alone = tags(&own.1, &[device.1.id()], ends);
    // The same device among 32: nothing else is in both, as what fills up is in one only.
    let others = (1..32).map(|byte| Keys::from_secret(&[byte; 32]).id());
    let among_others: Vec<PeerId> = others.chain([device.1.id()]).collect();
    let among_others = tags(&own.1, &among_others, ends);
    let tag = |kind: usize| {
        let common: Vec<&Vec<u8>> =
            alone[kind].iter().filter(|tag| among_others[kind].contains(tag)).collect();
        assert_eq!((common.len(), alone[kind].len()), (1, 32));
        hex(common[0])
    };
    let vectors = json!([{
        "name": "a dialler under an id made for the occasion",
        "secret": own.0,
        "id": hex(own.1.id().as_bytes()),
        "device_secret": device.0,
        "device_id": hex(device.1.id().as_bytes()),
        "dialler": hex(ends[0].as_bytes()),
        "acceptor": hex(ends[1].as_bytes()),
        "exporter": hex(&[0x11; 32]),
        "announced": tag(0),
        "shown": tag(1),
    }]);
    check("pairing.json", &vectors);
}

#[test]
fn malformed_frames_of_the_vectors_are_refused() {
    let mut too_long = BytesMut::from(&[0x02][..]);
    too_long.extend_from_slice(&[0x80, 0x01, 0x04, 0x01]);
    let vectors = [
        ("unknown type", "7f00"),
        ("type zero", "00 00"),
        ("longer than any frame may be", &hex(&too_long)),
        ("no map", "0a0105"),
        ("a missing key", "0a01a0"),
        ("something behind the map", "0a04a1000500"),
        ("cut short", "0a02a100"),
        ("a number where text belongs", "0d05a200000105"),
        ("an unknown reason to decline", "040ba3000701187802646e6f7065"),
        ("text that is not UTF-8", "0d06a200000161ff"),
        ("an id of 31 bytes", &format!("0825a100a300581f{}01000280", "ab".repeat(31))),
    ]
    .map(|(name, bytes)| {
        let bytes = unhex(&bytes.replace(' ', ""));
        let error = decode_frame(&bytes).expect_err(name);
        json!({"name": name, "bytes": hex(&bytes), "error": error})
    });
    check("malformed_frames.json", &Value::from(vectors.to_vec()));
}

#[test]
fn message_streams_and_datagrams_are_the_bytes_of_the_vectors() {
    let messages = [Bytes::from_static(b"hello"), Bytes::new(), Bytes::from(vec![7; 70])];
    let mut stream = BytesMut::new();
    message::encode_stream_header(300, &mut stream);
    for message in &messages {
        message::encode_message_length(message.len(), &mut stream);
        stream.extend_from_slice(message);
    }
    let mut decoder = MessageDecoder::new(limits::DEFAULT_MAX_MESSAGE_BYTES);
    let mut read = Vec::new();
    decoder.decode(stream.clone().freeze().slice(1..), |messages| read.extend(messages)).unwrap();
    assert_eq!((decoder.first(), &read[..]), (Some(300), &messages[..]));
    let texts: Vec<String> = messages.iter().map(|message| hex(message)).collect();
    let mut vectors = vec![json!({
        "name": "message stream", "first": 300, "messages": texts, "bytes": hex(&stream),
    })];
    let payload = Bytes::from_static(b"best effort");
    for (name, datagram) in [
        ("message datagram", Datagram::Message(payload.clone())),
        ("ping datagram", Datagram::Ping { token: 0x0102_0304_0506_0708, padding: Bytes::new() }),
        ("pong datagram", Datagram::Pong { token: 0x0102_0304_0506_0708, padding: payload }),
    ] {
        let bytes = datagram.encode();
        let payload = hex(datagram.payload());
        vectors.push(json!({"name": name, "payload": payload, "bytes": hex(&bytes)}));
        assert_eq!(Datagram::decode(bytes), Some(datagram));
    }
    check("messages.json", &Value::from(vectors));
}

#[test]
fn named_streams_begin_with_the_bytes_of_the_vectors() {
    let vectors = [("short", "cam".to_owned()), ("longest", "é".repeat(127) + "!")];
    let vectors = vectors.map(|(what, text)| {
        let name = StreamName::new(&text).unwrap();
        let mut bytes = BytesMut::new();
        name.encode_header(&mut bytes);
        assert_eq!(StreamName::decode(&bytes[2..]), Ok(name));
        json!({"name": what, "stream": text, "bytes": hex(&bytes)})
    });
    check("streams.json", &Value::from(vectors.to_vec()));
}

/// A file of two blocks and a half, in blocks of 1 KiB, and what is known of it.
fn blocks() -> (Vec<BlockHash>, [u8; 2560]) {
    let content: [u8; 2560] = std::array::from_fn(|n| u8::try_from(n % 251).unwrap());
    let blocks = content.chunks(1024).zip(0..).map(|(data, index)| hash_block(index, 1024, data));
    (blocks.collect(), content)
}

fn resource_frames() -> Vec<(&'static str, ResourceFrame)> {
    let (blocks, _) = blocks();
    let mut tree = TreeHash::default();
    blocks.iter().for_each(|block| tree.push(block));
    let path = |parts: &[&str]| {
        EntryPath::new(parts.iter().map(|&part| part.to_owned()).collect()).unwrap()
    };
    let entry = |parts: &[&str], kind| Entry {
        path: path(parts),
        kind,
        size: (kind == EntryKind::File).then_some(2560),
        executable: kind == EntryKind::File,
        modified_millis: (kind != EntryKind::Link).then_some(-1),
        target: (kind == EntryKind::Link).then(|| "../run".to_owned()),
    };
    let entries = vec![
        entry(&["src"], EntryKind::Folder),
        entry(&["src", "up"], EntryKind::Link),
        entry(&["run"], EntryKind::File),
    ];
    let offer = Offer {
        transfer: TransferId([0xee; 16]),
        kind: ResourceKind::Folder,
        name: "project".to_owned(),
        size: Some(2560),
        entries: 3,
        block_bytes: 1024,
    };
    let unknown = Offer { kind: ResourceKind::Data, size: None, entries: 1, ..offer.clone() };
    let text = "no, thank you".to_owned();
    vec![
        ("offer", ResourceFrame::Offer(offer)),
        ("offer of unknown size", ResourceFrame::Offer(unknown)),
        ("accept", ResourceFrame::Accept),
        ("refuse", ResourceFrame::Refuse(Refusal { reason: RefusalReason::Declined, text })),
        ("entries", ResourceFrame::Entries(Entries { entries })),
        ("end of entries", ResourceFrame::EntriesEnd),
        ("have", ResourceFrame::Have(Have { entry: 2, first: 0, hashes: vec![blocks[0].subtree] })),
        ("end of have", ResourceFrame::HaveEnd),
        (
            "block, before its bytes",
            ResourceFrame::Block(Block { entry: 2, index: 2, hash: blocks[2].subtree, bytes: 512 }),
        ),
        (
            "end of file",
            ResourceFrame::FileEnd(FileEnd { entry: 2, size: 2560, hash: tree.finish() }),
        ),
        ("end", ResourceFrame::End),
        ("received", ResourceFrame::Received(Received { bytes: 2560, files: 1 })),
        ("done", ResourceFrame::Done),
        (
            "failed",
            ResourceFrame::Failed(Failure {
                reason: FailureReason::SourceChanged,
                text: "run".to_owned(),
            }),
        ),
        ("paused", ResourceFrame::Paused(Paused { paused: true })),
    ]
}

#[test]
fn resource_frames_are_the_bytes_of_the_vectors() {
    let vectors = resource_frames().into_iter().map(|(name, frame)| {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        let mut decoder = ResourceDecoder::default();
        decoder.extend(&bytes);
        assert_eq!(decoder.poll_frame(), Ok(Some(frame)), "{name}");
        let head = if bytes[1] < 0x40 { 2 } else { 3 };
        let body = minicbor::display(&bytes[head..]).to_string();
        json!({"name": name, "type": bytes[0], "body": body, "bytes": hex(&bytes)})
    });
    check("resource_frames.json", &vectors.collect());
}

#[test]
fn proofs_are_the_bytes_of_the_vectors() {
    let (dialler, acceptor) = (peer(0xab), peer(0xcd));
    let vectors = [
        (Scheme::Passcode, "", "481516"),
        (Scheme::PresharedKey, "fleet 2026", "0123456789abcdef"),
    ]
    .map(|(scheme, name, secret)| {
        let begin = |role, ids, random| {
            let keys = LinkKeys::new([0xee; 32], [random; 32]);
            let secret = Secret::new(secret);
            (Exchange::start(role, ids, (scheme, name, &secret), &keys, 0), keys)
        };
        let (ours, our_keys) = begin(LinkRole::Dialler, [dialler, acceptor], 1);
        let (theirs, their_keys) = begin(LinkRole::Acceptor, [acceptor, dialler], 2);
        let messages = [ours.message(), theirs.message()].map(<[u8]>::to_vec);
        let dialler_proofs = ours.finish(&messages[1], &our_keys).unwrap();
        let acceptor_proofs = theirs.finish(&messages[0], &their_keys).unwrap();
        let proofs = [dialler_proofs.ours, acceptor_proofs.ours];
        assert!(dialler_proofs.verify(&proofs[1]) && acceptor_proofs.verify(&proofs[0]));
        json!({
            "name": format!("{scheme:?} {name}"),
            "scheme": scheme as u8,
            "key": name,
            "secret": secret,
            "dialler": dialler.to_string(),
            "acceptor": acceptor.to_string(),
            "exporter": "ee".repeat(32),
            "dialler_random": "01".repeat(32),
            "acceptor_random": "02".repeat(32),
            "dialler_message": hex(&messages[0]),
            "acceptor_message": hex(&messages[1]),
            "dialler_proof": hex(&proofs[0]),
            "acceptor_proof": hex(&proofs[1]),
        })
    });
    check("proofs.json", &Value::from(vectors.to_vec()));
}

#[test]
fn hashes_of_blocks_are_those_of_the_vectors() {
    let (blocks, content) = blocks();
    let mut tree = TreeHash::default();
    blocks.iter().for_each(|block| tree.push(block));
    let file = tree.finish();
    assert_eq!(file.to_string(), blake3::hash(&content).to_string());
    let hashes: Vec<String> = blocks.iter().map(|block| block.subtree.to_string()).collect();
    let vectors = json!([{
        "name": "2560 bytes, each its offset modulo 251, in blocks of 1024",
        "blocks": hashes,
        "file": file.to_string(),
    }]);
    check("hashes.json", &vectors);
}

#[test]
fn announcements_are_the_strings_of_the_vectors() {
    let vectors = [
        ("plain", "Alice", vec![]),
        ("private", "", vec![]),
        ("info", "Zoë", vec![("mood", "happy"), ("flag", "")]),
        ("a name that must be cut", "漢字の名前はとても長くて切られます", vec![]),
    ]
    .map(|(what, name, info)| {
        let announcement = Announcement {
            peer: peer(0xab),
            name: (!name.is_empty()).then(|| DisplayName::new(name).unwrap()),
            info: DiscoveryInfo::new(info).unwrap(),
            tags: None,
            role: None,
        };
        let strings = announcement.to_txt();
        let read = strings.iter().map(|(key, value)| (&**key, value.as_bytes()));
        assert_eq!(Announcement::from_txt(read), Ok(announcement.clone()));
        let strings: Vec<String> = strings.iter().map(|(k, v)| format!("{k}={v}")).collect();
        json!({"name": what, "instance": announcement.instance_name(), "txt": strings})
    });
    check("announcements.json", &Value::from(vectors.to_vec()));
}
