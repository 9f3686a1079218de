//! A peer in the background, and its links that rest.

use std::time::{Duration, Instant};

use multipeer::{Activity, Event, PeerId, PingMode, Session};
use tokio::time::sleep;

use crate::common::{Host, Place, until};

const REST_AFTER: Duration = Duration::from_secs(1);

/// Six that are together.
async fn together(place: &Place) -> Vec<Host> {
    let mut hosts = Vec::new();
    for name in ["Alice", "Bob", "Carol", "Dora", "Emil", "Fay"] {
        hosts.push(Host::start(place.builder(name).rest_after(REST_AFTER)).await);
    }
    until("all are together", || hosts.iter().all(|host| host.session.peers().len() == 5)).await;
    hosts.iter_mut().for_each(|host| _ = host.drain());
    hosts
}

fn resting(session: &Session) -> Vec<PeerId> {
    let peers = session.peers().into_iter().map(|peer| peer.id);
    peers.filter(|&peer| session.is_resting(peer)).collect()
}

/// Those who are together; the first is in the background, and its link to the second rests.
async fn at_rest(place: &Place) -> (Host, Host, Vec<Host>) {
    let mut hosts = together(place).await;
    let alice = hosts.remove(0);
    alice.session.set_activity(Activity::Background);
    until("two of five links rest", || resting(&alice.session).len() == 2).await;
    let other = resting(&alice.session)[0];
    let index = hosts.iter().position(|host| host.id() == other).unwrap();
    let bob = hosts.remove(index);
    both_rest(&alice, &bob).await;
    (alice, bob, hosts)
}

/// Waits until both ends of a link know that it rests.
async fn both_rest(alice: &Host, bob: &Host) {
    let (a, b) = (&alice.session, &bob.session);
    until("their link rests", || a.is_resting(bob.id()) && b.is_resting(alice.id())).await;
}

#[tokio::test]
async fn in_the_background_a_peer_keeps_three_links_and_loses_nobody() {
    let (mut alice, mut bob, mut others) = at_rest(&Place::default()).await;
    assert!(alice.session.path(bob.id()).is_none());
    // Longer than silence is put up with.
    sleep(Duration::from_secs(4)).await;
    // On a busy machine somebody may have been silent for a moment, and been asked.
    until("the two rest", || resting(&alice.session).len() == 2).await;
    for host in [&mut alice, &mut bob].into_iter().chain(&mut others) {
        let session = host.session.clone();
        assert_eq!(session.peers().len(), 5);
        until("all answer", || session.peers().iter().all(|peer| session.is_viable(peer))).await;
        let events = host.drain();
        let lost = |event: &Event| matches!(event, Event::PeerDisconnected { .. });
        assert!(!events.iter().any(lost), "{events:#?}");
    }
}

#[tokio::test]
async fn what_either_end_says_wakes_the_link_and_arrives_once() {
    let (mut alice, mut bob, _others) = at_rest(&Place::default()).await;
    for round in 0..3 {
        // Both at the same time in the last round.
        let (from_alice, from_bob) = (round != 1, round != 0);
        let start = Instant::now();
        if from_alice {
            alice.session.send(bob.id(), format!("{round}")).await.unwrap();
        }
        if from_bob {
            bob.session.send(alice.id(), format!("{round}")).await.unwrap();
        }
        if from_alice {
            assert_eq!(bob.message().await, format!("{round}"));
        }
        if from_bob {
            assert_eq!(alice.message().await, format!("{round}"));
        }
        println!("a link was woken and a message over it came within {:.1?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        both_rest(&alice, &bob).await;
    }
    for host in [&mut alice, &mut bob] {
        let again = |event: &Event| {
            matches!(
                event,
                Event::Message { .. } | Event::PeerDisconnected { .. } | Event::PeerConnected(_)
            )
        };
        assert!(!host.drain().iter().any(again));
    }
}

#[tokio::test]
async fn nudges_pings_and_streams_wake_the_link() {
    let (alice, mut bob, _others) = at_rest(&Place::default()).await;
    for mode in [PingMode::Reliable, PingMode::Unreliable] {
        alice.session.ping(bob.id(), 10, mode).await.unwrap();
        both_rest(&alice, &bob).await;
    }
    alice.session.nudge(bob.id(), "look").await.unwrap();
    bob.wait("a nudge", |event| matches!(event, Event::Nudged { .. }).then_some(())).await;
    both_rest(&alice, &bob).await;
    let mut writer = alice.session.open_one_way_stream(bob.id(), "tail").await.unwrap();
    writer.write_bytes("to the end".into()).await.unwrap();
    let mut stream = bob
        .wait("a stream", |event| match event {
            Event::Stream(stream) => Some(stream),
            _ => None,
        })
        .await;
    // A stream that is open keeps the link, however long nothing is written.
    sleep(3 * REST_AFTER).await;
    assert!(!alice.session.is_resting(bob.id()) && !bob.session.is_resting(alice.id()));
    assert_eq!(stream.reader.read_bytes(100).await.unwrap().unwrap(), "to the end");
    writer.finish().await.unwrap();
    assert_eq!(stream.reader.read_bytes(100).await.unwrap(), None);
    drop((writer, stream));
    both_rest(&alice, &bob).await;
}

#[tokio::test]
async fn best_effort_messages_that_wake_the_link_arrive() {
    let (alice, mut bob, _others) = at_rest(&Place::default()).await;
    for sample in 0..3 {
        alice.session.send_unreliable(bob.id(), format!("{sample}")).unwrap();
    }
    let mut arrived = [bob.message().await, bob.message().await, bob.message().await];
    arrived.sort();
    assert_eq!(arrived, ["0", "1", "2"]);
}

#[tokio::test]
async fn in_the_foreground_again_every_link_is_back() {
    let (alice, bob, _others) = at_rest(&Place::default()).await;
    alice.session.set_activity(Activity::Foreground);
    until("all links are back", || {
        alice.session.peers().iter().all(|peer| alice.session.path(peer).is_some())
    })
    .await;
    // The other end sees it a moment later.
    until("it is back for the other end", || resting(&bob.session).is_empty()).await;
}

#[tokio::test]
async fn who_leaves_is_heard_by_those_whose_links_to_it_rest() {
    let (alice, mut bob, mut others) = at_rest(&Place::default()).await;
    alice.session.send(bob.id(), "good night").await.unwrap();
    alice.session.leave().await;
    assert_eq!(bob.message().await, "good night");
    for host in others.iter_mut().chain([&mut bob]) {
        let (peer, reason) = host.disconnected().await;
        assert_eq!((peer.name.as_str(), reason.as_str()), ("Alice", "left"));
    }
    // And the other way round.
    let (mut alice, bob, _others) = at_rest(&Place::default()).await;
    bob.session.leave().await;
    let (peer, reason) = alice.disconnected().await;
    assert_eq!((peer.id, reason.as_str()), (bob.id(), "left"));
}

#[tokio::test]
async fn a_newcomer_meets_those_whose_links_rest() {
    let place = Place::default();
    let (mut alice, _bob, _others) = at_rest(&place).await;
    let mut newcomer = place.start("Gus").await;
    newcomer.connected_to(&alice).await;
    alice.connected_to(&newcomer).await;
}
