//! Messages between connected peers.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use multipeer::{Event, PingMode, SendError, UnreliableError};
use tokio::{sync::Barrier, time::timeout};

use crate::common::Place;

#[tokio::test]
async fn peers_find_each_other_and_talk() {
    let (mut alice, mut bob) = Place::default().pair().await;
    alice.session.send(bob.id(), "hello").await.unwrap();
    assert_eq!(bob.message().await, "hello");
    bob.session.broadcast("hello yourself").await.unwrap();
    assert_eq!(alice.message().await, "hello yourself");
    assert_eq!(alice.session.peers().len(), 1);
    assert_eq!(alice.session.nearby()[0].name.as_str(), "Bob");
}

#[tokio::test]
async fn many_messages_arrive_in_order_and_once() {
    let (alice, mut bob) = Place::default().pair().await;
    let count = 20_000_u32;
    let to = bob.id();
    let sender = tokio::spawn(async move {
        for number in 0..count {
            // Of every size, so that records are cut in all ways.
            let mut message = number.to_be_bytes().to_vec();
            message.resize(4 + (number as usize * 37) % 3000, 0);
            alice.session.send(to, message).await.unwrap();
        }
        alice
    });
    for number in 0..count {
        assert_eq!(bob.data().await[..4], number.to_be_bytes());
    }
    sender.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_several_that_send_at_once_none_waits_for_another_message() {
    const SENDERS: u8 = 3;
    const ROUNDS: u32 = 3000;
    let (alice, mut bob) = Place::default().pair().await;
    let begin = Arc::new(Barrier::new(usize::from(SENDERS) + 1));
    for sender in 0..SENDERS {
        let (session, to, begin) = (alice.session.clone(), bob.id(), begin.clone());
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                begin.wait().await;
                // At other moments each time: while the link is idle, is written to, and comes to rest.
                (0..round * 7 * u32::from(sender) % 1000).for_each(|_| std::hint::spin_loop());
                let mut message = vec![sender];
                message.extend(round.to_be_bytes());
                // Some are kept apart from the small ones.
                message.resize(if round % 10 == 0 { 5000 } else { 5 }, 0);
                session.send(to, message).await.unwrap();
            }
        });
    }
    for round in 0..ROUNDS {
        begin.wait().await;
        let mut missing: BTreeSet<u8> = (0..SENDERS).collect();
        while !missing.is_empty() {
            let data = bob.data().await;
            assert_eq!(data[1..5], round.to_be_bytes());
            assert!(missing.remove(&data[0]), "twice");
        }
    }
}

#[tokio::test]
async fn of_many_that_are_given_up_those_that_are_left_were_not_sent() {
    const COUNT: usize = 40_000;
    let (alice, mut bob) = Place::default().pair().await;
    let messages: Vec<Bytes> =
        (0..COUNT).map(|number| [number.to_be_bytes(); 128].concat().into()).collect();
    // Bob does not read, so there is no room for all.
    let mut left = &messages[..];
    let sends = alice.session.send_many(bob.id(), &mut left);
    assert!(timeout(Duration::from_millis(500), sends).await.is_err());
    assert!(!left.is_empty() && left.len() < COUNT, "{} are left", left.len());
    let (to, left) = (bob.id(), left.to_vec());
    let rest = tokio::spawn(async move {
        let mut left = &left[..];
        alice.session.send_many(to, &mut left).await.unwrap();
        assert!(left.is_empty());
        alice
    });
    for number in 0..COUNT {
        assert_eq!(bob.data().await[..8], number.to_be_bytes());
    }
    rest.await.unwrap();
}

#[tokio::test]
async fn of_many_the_one_that_cannot_be_sent_is_the_first_that_is_left() {
    let (alice, mut bob) = Place::default().pair().await;
    let too_large = Bytes::from(vec![0; 16 * 1024 * 1024 + 1]);
    let messages = ["a".into(), too_large, "b".into()];
    let mut left = &messages[..];
    let error = alice.session.send_many(bob.id(), &mut left).await.unwrap_err();
    assert!(matches!(error, SendError::TooLarge { .. }), "{error:?}");
    assert_eq!(left, &messages[1..]);
    left = &messages[2..];
    let nobody = alice.id();
    let error = alice.session.send_many(nobody, &mut left).await.unwrap_err();
    assert_eq!((error, left.len()), (SendError::NotConnected(nobody), 1));
    alice.session.send_many(bob.id(), &mut left).await.unwrap();
    assert!(left.is_empty());
    assert_eq!(bob.message().await, "a");
    assert_eq!(bob.message().await, "b");
}

#[tokio::test]
async fn what_a_reader_leaves_is_for_the_next() {
    let (alice, mut bob) = Place::default().pair().await;
    let count = 5000_u32;
    for number in 0..count {
        alice.session.send(bob.id(), number.to_be_bytes().to_vec()).await.unwrap();
    }
    for number in 0..count {
        bob.events = bob.session.events();
        assert_eq!(bob.data().await[..], number.to_be_bytes());
    }
}

#[tokio::test]
async fn a_reader_that_stopped_waiting_keeps_nothing_from_others() {
    let (alice, mut bob) = Place::default().pair().await;
    let (session, to) = (bob.session.clone(), bob.id());
    let waiting = tokio::spawn(async move { bob.message().await });
    tokio::task::yield_now().await;
    let mut other = session.events();
    while timeout(Duration::ZERO, other.next()).await.is_ok() {}
    alice.session.send(to, "hello").await.unwrap();
    assert_eq!(waiting.await.unwrap(), "hello");
}

#[tokio::test]
async fn a_message_of_16_mib_arrives_and_a_larger_one_is_refused() {
    let (alice, mut bob) = Place::default().pair().await;
    let message = Bytes::from(vec![7; 16 * 1024 * 1024]);
    alice.session.send(bob.id(), message.clone()).await.unwrap();
    assert!(bob.data().await == message);
    let error = alice.session.send(bob.id(), vec![0; 16 * 1024 * 1024 + 1]).await.unwrap_err();
    assert_eq!(error, SendError::TooLarge { bytes: 16 * 1024 * 1024 + 1, limit: 16 * 1024 * 1024 });
}

#[tokio::test]
async fn an_empty_message_arrives() {
    let (alice, mut bob) = Place::default().pair().await;
    alice.session.send(bob.id(), "").await.unwrap();
    assert_eq!(bob.message().await, "");
}

#[tokio::test]
async fn a_best_effort_message_arrives_on_a_network_that_loses_nothing() {
    let (alice, mut bob) = Place::default().pair().await;
    let size = alice.session.max_unreliable_size(bob.id()).unwrap();
    assert!(size > 1000, "{size}");
    alice.session.send_unreliable(bob.id(), vec![1; size]).unwrap();
    let reliable = bob.wait("the message", |event| match event {
        Event::Message { data, reliable, .. } if data.len() == size => Some(reliable),
        _ => None,
    });
    assert!(!reliable.await);
    let error = alice.session.send_unreliable(bob.id(), vec![1; 100_000]).unwrap_err();
    assert!(matches!(error, UnreliableError::TooLarge { bytes: 100_000, .. }), "{error:?}");
}

#[tokio::test]
async fn a_peer_that_is_not_there_cannot_be_sent_to() {
    let place = Place::default();
    let alice = place.start("Alice").await;
    let nobody = alice.id();
    assert_eq!(alice.session.send(nobody, "x").await, Err(SendError::NotConnected(nobody)));
    assert_eq!(
        alice.session.send_unreliable(nobody, "x"),
        Err(UnreliableError::NotConnected(nobody))
    );
}

#[tokio::test]
async fn a_slow_peer_slows_its_sender_and_nobody_else() {
    let place = Place::default();
    let (mut alice, bob) = place.pair().await;
    let mut carol = place.start("Carol").await;
    alice.connected_to(&carol).await;
    carol.connected_to(&alice).await;

    // Bob does not read: sooner or later his queue is full.
    let block = Bytes::from(vec![0; 64 * 1024]);
    let mut queued = 0_usize;
    let full = loop {
        match alice.session.try_send(bob.id(), block.clone()) {
            Ok(()) => queued += block.len(),
            Err(error) => {
                // Full for good, and not only until the next confirmation?
                let wait = alice.session.send(bob.id(), block.clone());
                if timeout(Duration::from_millis(700), wait).await.is_err() {
                    break error;
                }
                queued += block.len();
            }
        }
        assert!(queued < 64 << 20, "nothing slowed the sender");
    };
    assert_eq!(full, SendError::QueueFull(bob.id()));

    // Carol hears everything at once.
    let start = Instant::now();
    for number in 0..100 {
        alice.session.send(carol.id(), number.to_string()).await.unwrap();
        assert_eq!(carol.message().await, number.to_string());
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());

    // A control round trip to Bob is not behind his messages.
    alice.session.ping(bob.id(), 0, PingMode::Reliable).await.unwrap();

    // Bob wakes up and misses nothing.
    let mut bob = bob;
    let mut received = 0;
    while received < queued {
        received += bob.data().await.len();
    }
    alice.session.send(bob.id(), "the end").await.unwrap();
    assert_eq!(bob.message().await, "the end");
}

#[tokio::test]
async fn pings_come_back_reliably_and_best_effort() {
    let (alice, bob) = Place::default().pair().await;
    for mode in [PingMode::Reliable, PingMode::Unreliable] {
        for bytes in [0, 64, 1000] {
            let round_trip = alice.session.ping(bob.id(), bytes, mode).await.unwrap();
            assert!(round_trip < Duration::from_secs(2), "{round_trip:?}");
        }
    }
}

#[tokio::test]
async fn a_message_to_some_goes_to_those() {
    let place = Place::default();
    let (mut alice, mut bob) = place.pair().await;
    let mut carol = place.start("Carol").await;
    alice.connected_to(&carol).await;
    bob.connected_to(&carol).await;
    alice.session.send_to([bob.id()], "for Bob").await.unwrap();
    alice.session.send_to([bob.id(), carol.id()], "for both").await.unwrap();
    assert_eq!(bob.message().await, "for Bob");
    assert_eq!(bob.message().await, "for both");
    assert_eq!(carol.message().await, "for both");
}
