//! A host and its clients, and what peers say of themselves.

use multipeer::{Activity, Event, Role, SessionBuilder, Topology};

use crate::common::{Host, Place};

fn with_role(place: &Place, name: &str, role: Role) -> SessionBuilder {
    place.builder(name).topology(Topology::ClientServer { role })
}

#[tokio::test]
async fn a_host_passes_on_what_a_client_says_to_those_who_are_not_linked_with_it() {
    let place = Place::default();
    let mut host = Host::start(with_role(&place, "Host", Role::Host)).await;
    let [mut alice, mut bob] = [
        Host::start(with_role(&place, "Alice", Role::Client)).await,
        Host::start(with_role(&place, "Bob", Role::Client)).await,
    ];
    for client in [&mut alice, &mut bob] {
        client.connected_to(&host).await;
        host.connected_to(client).await;
    }
    alice.session.broadcast("hello").await.unwrap();
    let (from, data) = host
        .wait("a message", |event| match event {
            Event::Message { from, data, .. } => Some((from, data)),
            _ => None,
        })
        .await;
    for other in host.session.peers().into_iter().filter(|peer| peer.id != from.id) {
        let text = format!("{from}: {}", String::from_utf8_lossy(&data));
        host.session.send(&other, text).await.unwrap();
    }
    assert_eq!(bob.message().await, "Alice: hello");
    // They hear each other announced, and are not linked.
    assert!(alice.session.nearby().iter().any(|peer| peer.id == bob.id()));
    assert_eq!(alice.session.peers().len(), 1);
    assert!(alice.session.send(bob.id(), "directly").await.is_err());
}

#[tokio::test]
async fn a_nudge_and_what_a_peer_is_doing_reach_the_application() {
    let (alice, mut bob) = Place::default().pair().await;
    alice.session.set_activity(Activity::Background);
    let activity = bob.wait("an activity", |event| match event {
        Event::ActivityChanged { peer, activity } if peer.id == alice.id() => Some(activity),
        _ => None,
    });
    assert_eq!(activity.await, Activity::Background);
    assert_eq!(bob.session.activity(alice.id()), Some(Activity::Background));
    alice.session.nudge(bob.id(), "look at this").await.unwrap();
    let text = bob.wait("a nudge", |event| match event {
        Event::Nudged { from, text } if from.id == alice.id() => Some(text),
        _ => None,
    });
    assert_eq!(text.await, "look at this");
    assert!(bob.session.is_viable(alice.id()));
}
