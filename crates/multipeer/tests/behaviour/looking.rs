//! Starting and stopping to look, and what of the neighbourhood is reported.

use std::time::Duration;

use multipeer::{
    DiscoveryInfo, DisplayName, Event, Identity, Joining, PeerId, ServiceType, Session, Ticket,
    discovery::Announcement,
};
use tokio::time::timeout;

use crate::common::{Host, PATIENCE, Place};

fn service() -> ServiceType {
    ServiceType::new("test").unwrap()
}

fn announcement(byte: u8, name: &str) -> Announcement {
    Announcement {
        peer: PeerId::from_bytes([byte; 32]),
        name: Some(DisplayName::new(name).unwrap()),
        info: DiscoveryInfo::default(),
        tags: None,
        role: None,
    }
}

/// A session that only looks.
async fn observer(place: &Place) -> Host {
    Host::start(place.builder("Observer").joining(Joining::Ask)).await
}

fn names(events: Vec<Event>) -> Vec<String> {
    events
        .into_iter()
        .filter_map(|event| match event {
            Event::PeerFound(peer) => Some(format!("found {peer}")),
            Event::PeerUpdated(peer) => Some(format!("updated {peer}")),
            Event::PeerLost(peer) => Some(format!("lost {peer}")),
            _ => None,
        })
        .collect()
}

/// Waits until everything asked before has taken effect: commands take effect in order, and this
/// one has a reply.
async fn settle(host: &Host) {
    let nobody = PeerId::from_bytes([0xff; 32]);
    assert!(host.session.invite(nobody, "").await.is_err());
}

#[tokio::test]
async fn looking_starts_and_stops_any_number_of_times_without_a_doubled_event() {
    let place = Place::default();
    let mut host = observer(&place).await;
    place.neighbourhood.forge(&service(), announcement(1, "Ann"), Vec::new());
    host.wait("Ann", |event| matches!(event, Event::PeerFound(_)).then_some(())).await;
    for step in 0..50 {
        match step % 7 {
            0 | 3 | 4 => host.session.stop_looking(),
            _ => host.session.start_looking(),
        }
        if step % 5 == 0 {
            settle(&host).await;
        }
    }
    host.session.start_looking();
    settle(&host).await;
    // Whatever was to come has come when a second peer is found.
    place.neighbourhood.forge(&service(), announcement(2, "Ben"), Vec::new());
    let mut seen = Vec::new();
    host.wait("Ben", |event| {
        let found = matches!(&event, Event::PeerFound(peer) if peer.name.as_str() == "Ben");
        seen.push(event);
        found.then_some(())
    })
    .await;
    assert_eq!(names(seen), ["found Ben"]);
}

#[tokio::test]
async fn nothing_is_reported_before_the_first_start_or_after_the_last_stop() {
    let place = Place::default();
    let builder = place.builder("Observer").joining(Joining::Ask).looking(false);
    let mut host = Host::start(builder).await;
    place.neighbourhood.forge(&service(), announcement(1, "Ann"), Vec::new());
    settle(&host).await;
    assert!(host.drain().is_empty());
    assert!(host.session.nearby().is_empty());

    host.session.start_looking();
    host.wait("Ann", |event| matches!(event, Event::PeerFound(_)).then_some(())).await;
    host.session.stop_looking();
    settle(&host).await;
    place.neighbourhood.forge(&service(), announcement(2, "Ben"), Vec::new());
    place.neighbourhood.withdraw(&service(), PeerId::from_bytes([1; 32]));
    settle(&host).await;
    assert!(host.drain().is_empty());

    // Back again: what changed meanwhile, and nothing else.
    host.session.start_looking();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(names(vec![host.next().await]));
    }
    seen.sort();
    assert_eq!(seen, ["found Ben", "lost Ann"]);
}

#[tokio::test]
async fn an_announcement_of_ones_own_is_never_reported_however_late_it_comes() {
    let place = Place::default();
    let mut host = observer(&place).await;
    let own = Announcement {
        peer: host.id(),
        name: Some(DisplayName::new("Observer").unwrap()),
        info: DiscoveryInfo::default(),
        tags: None,
        role: None,
    };
    for _ in 0..5 {
        host.session.stop_looking();
        host.session.start_looking();
        settle(&host).await;
        place.neighbourhood.forge(&service(), own.clone(), Vec::new());
    }
    place.neighbourhood.forge(&service(), announcement(1, "Ann"), Vec::new());
    let first = host.wait("Ann", |event| names(vec![event]).pop()).await;
    assert_eq!(first, "found Ann");
}

#[tokio::test]
async fn after_leaving_and_starting_again_the_id_is_fresh_and_the_former_one_is_ignored() {
    let place = Place::default();
    let host = observer(&place).await;
    let former = host.id();
    host.session.leave().await;
    let mut host = observer(&place).await;
    assert_ne!(host.id(), former);
    let late = Announcement { peer: former, ..announcement(0, "Observer") };
    place.neighbourhood.forge(&service(), late, Vec::new());
    place.neighbourhood.forge(&service(), announcement(1, "Ann"), Vec::new());
    let first = host.wait("Ann", |event| names(vec![event]).pop()).await;
    assert_eq!(first, "found Ann");
}

#[tokio::test]
async fn a_peer_that_is_found_lost_and_found_at_once_does_not_flap() {
    let place = Place::default();
    let mut host = observer(&place).await;
    let ann = announcement(1, "Ann");
    for _ in 0..5 {
        place.neighbourhood.forge(&service(), ann.clone(), Vec::new());
        place.neighbourhood.withdraw(&service(), ann.peer);
    }
    place.neighbourhood.forge(&service(), ann.clone(), Vec::new());
    host.wait("Ann", |event| matches!(event, Event::PeerFound(_)).then_some(())).await;
    // A real loss is reported, once.
    place.neighbourhood.withdraw(&service(), ann.peer);
    let mut seen = Vec::new();
    host.wait("the loss", |event| {
        let lost = matches!(event, Event::PeerLost(_));
        seen.push(event);
        lost.then_some(())
    })
    .await;
    assert_eq!(names(seen), ["lost Ann"]);
}

#[tokio::test]
async fn new_discovery_info_reaches_the_others_and_disturbs_no_message() {
    let place = Place::default();
    let (alice, mut bob) = place.pair().await;
    let (session, to) = (alice.session.clone(), bob.id());
    let sender = tokio::spawn(async move {
        for number in 0..5000_u32 {
            session.send(to, number.to_be_bytes().to_vec()).await.unwrap();
        }
    });
    for mood in 0..20 {
        alice.session.set_discovery_info([("mood", mood.to_string())]).unwrap();
    }
    let (mut next, mut mood) = (0, String::new());
    while next < 5000 || mood != "19" {
        match bob.next().await {
            Event::Message { data, .. } => {
                assert_eq!(data[..], u32::to_be_bytes(next));
                next += 1;
            }
            Event::PeerUpdated(peer) => peer.info.value("mood").unwrap().clone_into(&mut mood),
            Event::PeerDisconnected { reason, .. } => panic!("{reason}"),
            _ => {}
        }
    }
    sender.await.unwrap();
}

#[tokio::test]
async fn info_that_breaks_a_rule_is_refused_with_the_rule_and_the_value() {
    let alice = Place::default().start("Alice").await;
    let error = alice.session.set_discovery_info([("_id", "x")]).unwrap_err().to_string();
    assert!(error.contains("RFC 6763") && error.contains("\"_id\""), "{error}");
}

#[tokio::test]
async fn a_slow_reader_loses_no_event_and_stays_bounded() {
    let place = Place::default();
    let mut host = observer(&place).await;
    // More than the queue holds: the rest waits until the reader has caught up.
    let count = 1000_u32;
    for round in 0..2 {
        for number in 0..count {
            let mut id = [round + 1; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            let peer = PeerId::from_bytes(id);
            let announcement = Announcement { peer, ..announcement(0, &format!("peer {number}")) };
            let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
            place.neighbourhood.forge(&service(), announcement, vec![nobody]);
            if round == 1 {
                place.neighbourhood.withdraw(&service(), peer);
            }
        }
    }
    let mut found = 0;
    while found < 1000 {
        if matches!(host.next().await, Event::PeerFound(_)) {
            found += 1;
        }
    }
    assert!(host.session.nearby().len() <= multipeer::limits::MAX_NEARBY);
}

#[tokio::test]
async fn a_dial_to_a_peer_that_vanished_fails_with_a_reason_and_it_can_come_back() {
    let place = Place::default();
    let mut alice = observer(&place).await;
    let bob = Host::start(place.builder("Bob").joining(Joining::Ask)).await;
    let there = alice.found(&bob).await;
    // It is gone, but its announcement is still in a cache.
    let announcement = Announcement {
        peer: there.id,
        name: Some(there.name.clone()),
        info: there.info.clone(),
        tags: None,
        role: None,
    };
    let port = bob.session.port();
    bob.session.leave().await;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    place.neighbourhood.forge(&service(), Announcement { ..announcement.clone() }, vec![address]);
    // This process knows that the id is not in use any more, so another stands for it.
    let ghost = Announcement { peer: PeerId::from_bytes([9; 32]), ..announcement };
    place.neighbourhood.forge(&service(), ghost.clone(), vec![address]);
    alice
        .wait("the ghost", |event| match event {
            Event::PeerFound(peer) if peer.id == ghost.peer => Some(()),
            _ => None,
        })
        .await;
    let mut invitation = alice.session.invite(ghost.peer, "").await.unwrap();
    let error = timeout(PATIENCE, invitation.answer()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("could not be reached"), "{error}");
    place.neighbourhood.withdraw(&service(), ghost.peer);
    alice.wait("the loss", |event| matches!(event, Event::PeerLost(_)).then_some(())).await;

    let bob = Host::start(place.builder("Bob").joining(Joining::Ask)).await;
    alice.found(&bob).await;
}

/// Local discovery cannot be signed: who says that a peer is at its own address gains nothing by it
/// (as with Syncthing's).
#[tokio::test]
async fn a_forged_address_leads_nobody_to_the_forger() {
    let place = Place::default();
    let ask = |name| place.builder(name).joining(Joining::Ask);
    let [mut bob, alice, mallory] = [
        Host::start(ask("Bob")).await,
        Host::start(ask("Alice")).await,
        Host::start(ask("Mallory")).await,
    ];
    let there = bob.found(&alice).await;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], mallory.session.port()));
    let forged = |peer| Announcement {
        peer,
        name: Some(there.name.clone()),
        info: there.info.clone(),
        tags: None,
        role: None,
    };
    // Beside the right address, and for one who is not there at all.
    place.neighbourhood.forge(&service(), forged(alice.id()), vec![address]);
    let absent = PeerId::from_bytes([9; 32]);
    place.neighbourhood.forge(&service(), forged(absent), vec![address]);
    let found = |event| matches!(event, Event::PeerFound(peer) if peer.id == absent).then_some(());
    bob.wait("the absent one", found).await;
    let mut to_nobody = bob.session.invite(absent, "").await.unwrap();
    let error = timeout(PATIENCE, to_nobody.answer()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("could not be reached"), "{error}");
    // Both are dialled at once, and when the forger is quicker it is found out, and has won nothing but time.
    let mut events = alice.session.events();
    let accepting = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Event::Invitation(invitation) = event {
                invitation.accept();
            }
        }
    });
    let mut tries = 0;
    loop {
        tries += 1;
        assert!(tries < 100, "the forger is quicker always");
        let mut to_alice = bob.session.invite(alice.id(), "").await.unwrap();
        if timeout(PATIENCE, to_alice.answer()).await.unwrap().is_ok() {
            break;
        }
    }
    accepting.abort();
    assert_eq!((bob.session.peers().len(), mallory.session.peers().len()), (1, 0));
}

#[tokio::test]
async fn a_session_cannot_start_on_an_interface_or_port_that_is_not_there() {
    let error =
        Session::builder("test", "Alice").interfaces(["nosuch0"]).start().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("\"nosuch0\"") && text.contains("lo"), "{text}");

    let place = Place::default();
    let alice = place.start("Alice").await;
    let port = alice.session.port();
    let error = place.builder("Bob").port(port).start().await.unwrap_err().to_string();
    assert!(error.contains(&format!("UDP port {port} is taken")), "{error}");
    let error = place.builder("Bob").max_peers(0).start().await.unwrap_err().to_string();
    assert!(error.contains("max_peers must be 1 to 1024, and is 0"), "{error}");
    let error = Session::builder("Test", "Bob").start().await.unwrap_err().to_string();
    assert!(error.contains("RFC 6335") && error.contains("\"Test\""), "{error}");
    let error = Session::builder("test", "").start().await.unwrap_err().to_string();
    assert!(error.contains("must not be empty"), "{error}");
}

#[tokio::test]
async fn leaving_ends_the_events_and_is_quick() {
    let (mut alice, mut bob) = Place::default().pair().await;
    let start = std::time::Instant::now();
    alice.session.leave().await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    while alice.events.next().await.is_some() {}
    let (peer, reason) = bob.disconnected().await;
    assert_eq!((peer.id, reason.as_str()), (alice.id(), "left"));
    assert!(bob.session.peers().is_empty());
}

#[tokio::test]
async fn a_ticket_leads_to_who_cannot_be_heard_with_its_passcode_and_not_to_who_took_its_place() {
    let mut alice = Host::start(Place::default().builder("Alice").generated_passcode()).await;
    let mut ticket = alice.session.ticket().await.unwrap();
    ticket.passcode = alice.session.passcode().map(|passcode| passcode.to_text());
    let text = ticket.to_string();
    let at = |ticket: &Ticket, name: &str| {
        let builder = Session::builder_for(ticket, name).interfaces(["lo"]);
        // Each is in a place of its own.
        builder.discovery(Place::default().neighbourhood)
    };
    let mut bob = Host::start(at(&text.parse().unwrap(), "Bob")).await;
    bob.connected_to(&alice).await;
    let bob_peer = alice.connected_to(&bob).await;
    assert_eq!(bob_peer.name.as_str(), "Bob");
    alice.session.send(bob.id(), "welcome").await.unwrap();
    assert_eq!(bob.message().await, "welcome");
    // The addresses lead to Alice, and the id is somebody else's.
    ticket.peers[0].id = Identity::generate().peer_id();
    let mut carol = Host::start(at(&ticket, "Carol")).await;
    let failed = carol.wait("a failure", |event| match event {
        Event::InvitationFailed { peer, error } => Some((peer.id, error)),
        _ => None,
    });
    let (who, error) = failed.await;
    assert_eq!(who, ticket.peers[0].id, "{error}");
    assert!(error.to_string().contains("another device answers"), "{error}");
    assert_eq!(carol.session.peers(), []);
}
