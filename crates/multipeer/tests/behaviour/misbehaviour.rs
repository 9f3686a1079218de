//! Strangers that speak the transport but not the protocol, or another version of it.

use bytes::{BufMut, BytesMut};
use iroh::{
    Endpoint, EndpointAddr, PublicKey, TransportAddr,
    endpoint::{BindOpts, Connection, ConnectionError, presets},
};
use multipeer::{DisplayName, GoodbyeReason, ServiceType};
use multipeer_proto::{
    Frame, FrameDecoder,
    frame::{Hello, Join, Profile},
};
use tokio::time::timeout;

use crate::common::{Host, PATIENCE, Place};

/// A stranger, linked to a host.
struct Stranger {
    _endpoint: Endpoint,
    connection: Connection,
}

impl Stranger {
    async fn link_to(host: &Host) -> Self {
        let options = BindOpts::default().set_prefix_len(8).set_is_default_route(false);
        let endpoint = Endpoint::builder(presets::Minimal)
            .clear_ip_transports()
            .bind_addr_with_opts("127.0.0.1:0", options)
            .unwrap()
            .bind()
            .await
            .unwrap();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], host.session.port()));
        let id = PublicKey::from_bytes(host.id().as_bytes()).unwrap();
        let to = EndpointAddr::from_parts(id, [TransportAddr::Ip(address)]);
        let connection = endpoint.connect(to, b"multipeer").await.unwrap();
        Self { _endpoint: endpoint, connection }
    }

    /// Says something on the control stream, and returns with what code and words the host
    /// closes the link.
    async fn say(&self, bytes: &[u8]) -> (u64, String) {
        let (mut send, mut receive) = self.connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        let mut decoder = FrameDecoder::default();
        let mut buffer = [0; 1024];
        let goodbye = async {
            while let Ok(Some(count)) = receive.read(&mut buffer).await {
                decoder.extend(&buffer[..count]);
                while let Ok(Some(frame)) = decoder.poll_frame() {
                    if let Frame::Goodbye(goodbye) = frame {
                        return goodbye;
                    }
                }
            }
            panic!("the link ended without a goodbye")
        };
        let goodbye = timeout(PATIENCE, goodbye).await.unwrap();
        let closed = timeout(PATIENCE, self.connection.closed()).await.unwrap();
        let ConnectionError::ApplicationClosed(close) = closed else { panic!("{closed:?}") };
        assert_eq!(close.error_code.into_inner(), u64::from(goodbye.reason.code()));
        (close.error_code.into_inner(), goodbye.text)
    }
}

fn hello(version: u16, service: &str) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    Frame::Hello(Hello {
        version,
        min_version: version,
        service: ServiceType::new(service).unwrap(),
        incarnation: 1,
        attempt: 1,
        gone: None,
        max_message_bytes: 1000,
        exchanges: vec![],
        remembers: None,
        introduced_by: None,
        tags: None,
        role: None,
    })
    .encode(&mut bytes);
    bytes.to_vec()
}

/// A host with a guest whom strangers must not disturb.
async fn hosts() -> (Host, Host) {
    Place::default().pair().await
}

async fn undisturbed(alice: &Host, bob: &mut Host) {
    alice.session.send(bob.id(), "still here").await.unwrap();
    assert_eq!(bob.message().await, "still here");
    assert_eq!(alice.session.peers().len(), 1);
}

fn code(reason: GoodbyeReason) -> u64 {
    reason.code().into()
}

#[tokio::test]
async fn a_newer_version_is_refused_with_both_versions_named() {
    let (alice, mut bob) = hosts().await;
    let stranger = Stranger::link_to(&alice).await;
    let (reason, text) = stranger.say(&hello(9, "test")).await;
    assert_eq!(reason, code(GoodbyeReason::Version));
    assert_eq!(text, "this side speaks version 1, the other side version 9");
    undisturbed(&alice, &mut bob).await;
}

#[tokio::test]
async fn another_service_is_refused() {
    let (alice, mut bob) = hosts().await;
    let stranger = Stranger::link_to(&alice).await;
    let (reason, text) = stranger.say(&hello(1, "other")).await;
    assert_eq!((reason, text.as_str()), (code(GoodbyeReason::Service), "this side runs test"));
    undisturbed(&alice, &mut bob).await;
}

#[tokio::test]
async fn malformed_oversized_unknown_and_early_frames_close_that_link_and_are_counted() {
    let (alice, mut bob) = hosts().await;
    let mut oversized = vec![0x02];
    oversized.put_u32(0x8000_0000 | (1 << 20));
    let early = vec![0x0a, 3, 0xa1, 0x00, 0x05];
    let twice = [hello(1, "test"), hello(1, "test")].concat();
    let cases: [(&[u8], &str); 5] = [
        (&[0x01, 2, 0xff, 0xff], "malformed"),
        (&oversized, "at most"),
        (&[0x7f, 0], "unknown frame type 0x7f"),
        (&early, "a frame came where it has no place"),
        (&twice, "a frame came where it has no place"),
    ];
    for (bytes, words) in cases {
        let stranger = Stranger::link_to(&alice).await;
        let (reason, text) = stranger.say(bytes).await;
        assert_eq!(reason, code(GoodbyeReason::Protocol), "{text}");
        assert!(text.contains(words), "{text} has no {words:?}");
    }
    undisturbed(&alice, &mut bob).await;
    assert_eq!(alice.session.statistics().protocol_errors, 5);
}

#[tokio::test]
async fn a_stranger_that_joins_without_an_invitation_is_turned_away() {
    let (alice, mut bob) = hosts().await;
    let stranger = Stranger::link_to(&alice).await;
    let mut rest = BytesMut::new();
    let name = DisplayName::new("Mallory").unwrap();
    let info = multipeer::DiscoveryInfo::default();
    Frame::Profile(Profile { name, info, lasting: None }).encode(&mut rest);
    let addresses = Vec::new();
    let join = Join { pairing: None, received: 0, addresses, host: false, relay_port: None };
    Frame::Join(join).encode(&mut rest);
    let (reason, _) = stranger.say(&[&hello(1, "test")[..], &rest].concat()).await;
    assert_eq!(reason, code(GoodbyeReason::NotInvited));
    undisturbed(&alice, &mut bob).await;
}

#[tokio::test]
async fn a_stranger_that_says_nothing_is_turned_away() {
    let (alice, mut bob) = hosts().await;
    let stranger = Stranger::link_to(&alice).await;
    timeout(PATIENCE, stranger.connection.closed()).await.unwrap();
    undisturbed(&alice, &mut bob).await;
}
