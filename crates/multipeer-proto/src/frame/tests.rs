use proptest::prelude::*;

use super::*;
use crate::{limits::KEPT_LINKS, session::Role, trust::AnnouncedTags, varint};

fn id() -> impl Strategy<Value = PeerId> {
    any::<[u8; 32]>().prop_map(PeerId::from_bytes)
}

fn link() -> impl Strategy<Value = LinkRef> {
    (id(), any::<u64>()).prop_map(|(dialler, attempt)| LinkRef { dialler, attempt })
}

fn addresses() -> impl Strategy<Value = Vec<SocketAddr>> {
    prop::collection::vec(
        prop_oneof![
            any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
            any::<([u8; 16], u16)>().prop_map(SocketAddr::from),
        ],
        0..4,
    )
}

fn member() -> impl Strategy<Value = MemberRecord> {
    (id(), any::<u64>(), addresses(), prop::option::of(voucher())).prop_map(
        |(id, incarnation, addresses, voucher)| MemberRecord {
            id,
            incarnation,
            addresses,
            voucher,
        },
    )
}

fn signature() -> impl Strategy<Value = [u8; 64]> {
    any::<[u8; 32]>().prop_map(|half| std::array::from_fn(|at| half[at % 32]))
}

fn voucher() -> impl Strategy<Value = Voucher> {
    (id(), any::<u64>(), any::<u64>(), signature()).prop_map(
        |(issuer, issuer_incarnation, expires, signature)| Voucher {
            issuer,
            issuer_incarnation,
            expires,
            signature,
        },
    )
}

fn removal() -> impl Strategy<Value = Removal> {
    (id(), any::<u64>(), id(), any::<u64>(), ".{0,50}", signature()).prop_map(
        |(issuer, issuer_incarnation, subject, until, text, signature)| Removal {
            issuer,
            issuer_incarnation,
            subject,
            until,
            text,
            signature,
        },
    )
}

fn blob() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..100).prop_map(Bytes::from)
}

fn info() -> impl Strategy<Value = DiscoveryInfo> {
    prop::collection::btree_map("[a-z]{1,9}", ".{0,20}", 0..4)
        .prop_map(|pairs| DiscoveryInfo::new(pairs).unwrap())
}

fn exchange() -> impl Strategy<Value = ExchangeOffer> {
    (any::<u8>(), ".{0,20}", blob()).prop_map(|(scheme, name, message)| ExchangeOffer {
        scheme,
        name,
        message,
    })
}

fn hello() -> impl Strategy<Value = Hello> {
    (
        (any::<u16>(), any::<u16>()),
        "[a-z]{1,15}",
        any::<u64>(),
        any::<u64>(),
        prop::option::of(link()),
        any::<u64>(),
        prop::collection::vec(exchange(), 0..3),
        (prop::option::of(any::<u64>()), prop::option::of(id())),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..520)),
    )
        .prop_map(
            |((a, b), service, incarnation, attempt, gone, max, exchanges, known, tags)| Hello {
                version: a.max(b),
                min_version: a.min(b),
                service: ServiceType::new(service).unwrap(),
                incarnation,
                attempt,
                gone,
                max_message_bytes: max,
                exchanges,
                remembers: known.0,
                introduced_by: known.1,
                tags: tags.map(Into::into),
                role: None,
            },
        )
}

fn near() -> impl Strategy<Value = Near> {
    let tags = prop::option::of(any::<bool>()).prop_map(|tags| {
        let letter = if tags? { "A" } else { "E" };
        AnnouncedTags::from_text(&letter.repeat(214))
    });
    let name = prop::option::of("[a-zA-Zé ]{1,20}")
        .prop_map(|name| name.map(|name| DisplayName::new(name).unwrap()));
    let record =
        (id(), name, info(), tags, addresses()).prop_map(|(id, name, info, tags, addresses)| {
            NearRecord { id, name, info, tags, addresses, role: Some(Role::Client) }
        });
    let peers = prop::collection::vec(record, 0..5);
    (any::<u64>(), peers, prop::collection::vec(id(), 0..5), any::<bool>())
        .prop_map(|(round, peers, gone, complete)| Near { round, peers, gone, complete })
}

fn frame() -> impl Strategy<Value = Frame> {
    let number = any::<u64>().prop_map(InvitationId);
    prop_oneof![
        hello().prop_map(Frame::Hello),
        any::<[u8; 32]>().prop_map(|confirmation| Frame::Proof(Proof { confirmation })),
        (any::<u64>(), blob(), any::<u64>()).prop_map(|(n, context, timeout_millis)| {
            Frame::Invite(Invite { invitation: InvitationId(n), context, timeout_millis })
        }),
        "[a-zé ]{0,60}".prop_map(|text| Frame::Nudge(Nudge { text })),
        any::<bool>().prop_map(|background| Frame::Attention(Attention { background })),
        (any::<bool>(), prop::collection::vec(id(), 0..=KEPT_LINKS))
            .prop_map(|(wanted, witnesses)| Frame::Rest(Rest { wanted, witnesses })),
        any::<[u8; 32]>().prop_map(|id| Frame::Missing(Missing { peer: PeerId::from_bytes(id) })),
        number.clone().prop_map(|invitation| Frame::Accept(Accept { invitation })),
        (number.clone(), ".{0,50}").prop_map(|(invitation, text)| {
            Frame::Decline(Decline { invitation, reason: DeclineReason::Full, text })
        }),
        number.prop_map(|invitation| Frame::Cancel(Cancel { invitation })),
        (prop::option::of(link()), any::<u64>(), addresses(), any::<(bool, Option<u16>)>())
            .prop_map(|(pairing, received, addresses, (host, relay_port))| {
                Frame::Join(Join { pairing, received, addresses, host, relay_port })
            }),
        ("[a-zA-Zé ]{1,20}", info()).prop_map(|(name, info)| {
            Frame::Profile(Profile { name: DisplayName::new(name).unwrap(), info, lasting: None })
        }),
        (prop::collection::vec(blob(), 1..4), any::<u16>(), blob()).prop_map(
            |(chain, scheme, signature)| {
                let shown = ShownCertificate { chain, scheme, signature };
                Frame::Certificate(shown.into())
            }
        ),
        id().prop_map(|peer| Frame::Enquire(Enquire { peer })),
        removal().prop_map(|removal| Frame::Remove(Remove { removal })),
        prop::collection::vec(member(), 0..5)
            .prop_map(|members| Frame::Members(Members { members })),
        member().prop_map(|member| Frame::Introduce(Introduce { member })),
        any::<(u64, u64)>().prop_map(|(sum, count)| Frame::Digest(Digest { sum, count })),
        any::<bool>().prop_map(|wanted| Frame::Listen(Listen { wanted })),
        near().prop_map(Frame::Near),
        any::<u64>().prop_map(|received| Frame::Confirm(Confirm { received })),
        (any::<u64>(), blob()).prop_map(|(token, padding)| Frame::Ping(Echo { token, padding })),
        ".{0,50}"
            .prop_map(|text| { Frame::Goodbye(Goodbye { reason: GoodbyeReason::Version, text }) }),
    ]
}

proptest! {
    #[test]
    fn frames_read_back_however_their_bytes_are_cut(
        frames in prop::collection::vec(frame(), 1..6),
        piece in 1..50_usize,
    ) {
        let mut bytes = BytesMut::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        let mut decoder = FrameDecoder::default();
        let mut read = Vec::new();
        for piece in bytes.chunks(piece) {
            decoder.extend(piece);
            while let Some(frame) = decoder.poll_frame().unwrap() {
                read.push(frame);
            }
        }
        prop_assert_eq!(read, frames);
    }

    #[test]
    fn any_bytes_give_frames_or_an_error_and_never_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut decoder = FrameDecoder::default();
        decoder.extend(&bytes);
        while let Ok(Some(_)) = decoder.poll_frame() {}
    }
}

fn decode(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
    let mut decoder = FrameDecoder::default();
    decoder.extend(bytes);
    decoder.poll_frame()
}

#[test]
fn a_frame_longer_than_the_limit_is_refused_before_its_body_comes() {
    let mut bytes = BytesMut::from(&[0x02][..]);
    varint::write(MAX_FRAME_BYTES as u64 + 1, &mut bytes);
    let error = decode(&bytes).unwrap_err();
    assert_eq!(error, FrameError::TooLong { bytes: MAX_FRAME_BYTES as u64 + 1 });
}

#[test]
fn an_unknown_type_is_an_error_that_names_it() {
    assert_eq!(decode(&[0x7f, 0]), Err(FrameError::UnknownType { kind: 0x7f }));
}

#[test]
fn a_key_that_a_later_version_added_is_skipped() {
    // {0: 5, 99: "later"}
    let body = b"\xa2\x00\x05\x18\x63\x65later";
    let mut bytes = vec![0x0a, u8::try_from(body.len()).unwrap()];
    bytes.extend_from_slice(body);
    assert_eq!(decode(&bytes), Ok(Some(Frame::Confirm(Confirm { received: 5 }))));
}

#[test]
fn a_body_with_something_behind_it_is_malformed() {
    let error = decode(&[0x0a, 4, 0xa1, 0x00, 0x05, 0x00]).unwrap_err().to_string();
    assert!(error.contains("1 bytes too many"), "{error}");
}

#[test]
fn a_context_over_64_kib_is_malformed() {
    let context = Bytes::from(vec![0; crate::limits::MAX_CONTEXT_BYTES + 1]);
    let mut bytes = BytesMut::new();
    Frame::Invite(Invite { invitation: InvitationId(1), context, timeout_millis: 0 })
        .encode(&mut bytes);
    assert!(matches!(decode(&bytes), Err(FrameError::Malformed { kind: 0x02, .. })));
}
