//! Invitations, and how a session grows.

use std::time::Duration;

use multipeer::{DeclineReason, Event, Invitation, InviteError, Joining};
use tokio::time::timeout;

use crate::common::{Host, PATIENCE, Place, until};

async fn asking(place: &Place, name: &str) -> Host {
    Host::start(place.builder(name).joining(Joining::Ask)).await
}

async fn invitation(host: &mut Host) -> Invitation {
    host.wait("an invitation", |event| match event {
        Event::Invitation(invitation) => Some(invitation),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn an_invitation_is_accepted_with_its_context() {
    let place = Place::default();
    let (mut alice, mut bob) = (asking(&place, "Alice").await, asking(&place, "Bob").await);
    alice.found(&bob).await;
    let context = vec![7; 64 * 1024];
    let mut outgoing = alice.session.invite(bob.id(), context.clone()).await.unwrap();
    let incoming = invitation(&mut bob).await;
    assert_eq!(incoming.from().name.as_str(), "Alice");
    assert_eq!(incoming.context()[..], context[..]);
    incoming.accept();
    let peer = timeout(PATIENCE, outgoing.answer()).await.unwrap().unwrap();
    assert_eq!(peer.id, bob.id());
    bob.connected_to(&alice).await;
    alice.connected_to(&bob).await;
}

#[tokio::test]
async fn an_invitation_is_declined_with_words_or_by_being_dropped() {
    let place = Place::default();
    let (mut alice, mut bob) = (asking(&place, "Alice").await, asking(&place, "Bob").await);
    alice.found(&bob).await;
    for text in ["not today", ""] {
        let mut outgoing = alice.session.invite(bob.id(), "").await.unwrap();
        let incoming = invitation(&mut bob).await;
        if text.is_empty() {
            drop(incoming);
        } else {
            incoming.decline(text);
        }
        let error = timeout(PATIENCE, outgoing.answer()).await.unwrap().unwrap_err();
        let reason = DeclineReason::Declined;
        assert_eq!(error, InviteError::Declined { reason, text: text.to_owned() });
        alice
            .wait("the failure", |event| {
                matches!(event, Event::InvitationFailed { .. }).then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn an_invitation_that_nobody_answers_times_out_on_both_sides() {
    let place = Place::default();
    let (mut alice, mut bob) = (asking(&place, "Alice").await, asking(&place, "Bob").await);
    alice.found(&bob).await;
    let time = Duration::from_millis(300);
    let mut outgoing = alice.session.invite_within(bob.id(), "", time).await.unwrap();
    let unanswered = invitation(&mut bob).await;
    let error = timeout(PATIENCE, outgoing.answer()).await.unwrap().unwrap_err();
    let timed_out = InviteError::Declined { reason: DeclineReason::TimedOut, text: String::new() };
    assert!(error == InviteError::TimedOut || error == timed_out, "{error:?}");
    bob.wait("the withdrawal", |event| {
        matches!(event, Event::InvitationWithdrawn { .. }).then_some(())
    })
    .await;
    unanswered.accept();
    assert!(alice.session.peers().is_empty());
}

#[tokio::test]
async fn an_invitation_can_be_withdrawn() {
    let place = Place::default();
    let (mut alice, mut bob) = (asking(&place, "Alice").await, asking(&place, "Bob").await);
    alice.found(&bob).await;
    let outgoing = alice.session.invite(bob.id(), "").await.unwrap();
    let incoming = invitation(&mut bob).await;
    outgoing.cancel();
    let from = bob
        .wait("the withdrawal", |event| match event {
            Event::InvitationWithdrawn { from } => Some(from),
            _ => None,
        })
        .await;
    assert_eq!(from.id, incoming.from().id);
}

#[tokio::test]
async fn invitations_that_cross_are_both_accepted() {
    let place = Place::default();
    let (mut alice, mut bob) = (asking(&place, "Alice").await, asking(&place, "Bob").await);
    alice.found(&bob).await;
    bob.found(&alice).await;
    let (mut first, mut second) = (
        alice.session.invite(bob.id(), "").await.unwrap(),
        bob.session.invite(alice.id(), "").await.unwrap(),
    );
    assert_eq!(timeout(PATIENCE, first.answer()).await.unwrap().unwrap().id, bob.id());
    assert_eq!(timeout(PATIENCE, second.answer()).await.unwrap().unwrap().id, alice.id());
}

#[tokio::test]
async fn what_cannot_begin_is_refused_at_once_with_the_reason() {
    let place = Place::default();
    let (mut alice, mut bob) = (asking(&place, "Alice").await, asking(&place, "Bob").await);
    alice.found(&bob).await;
    let refused = async |peer, context: Vec<u8>| alice.session.invite(peer, context).await.err();
    assert_eq!(refused(alice.id(), Vec::new()).await, Some(InviteError::Myself));
    let bytes = 64 * 1024 + 1;
    let too_long = InviteError::ContextTooLong { bytes };
    assert_eq!(refused(bob.id(), vec![0; bytes]).await, Some(too_long));
    alice.session.invite(bob.id(), "").await.unwrap();
    assert_eq!(refused(bob.id(), Vec::new()).await, Some(InviteError::AlreadyInvited));
    invitation(&mut bob).await.accept();
    alice.connected_to(&bob).await;
    let error = alice.session.invite(bob.id(), "").await.err();
    assert_eq!(error, Some(InviteError::AlreadyConnected));
}

#[tokio::test]
async fn who_is_full_declines() {
    let place = Place::default();
    let mut alice = asking(&place, "Alice").await;
    let mut full = Host::start(place.builder("Full").max_peers(1)).await;
    alice.found(&full).await;
    alice.session.invite(full.id(), "").await.unwrap();
    full.connected_to(&alice).await;
    let mut carol = asking(&place, "Carol").await;
    carol.found(&full).await;
    let mut outgoing = carol.session.invite(full.id(), "").await.unwrap();
    let error = timeout(PATIENCE, outgoing.answer()).await.unwrap().unwrap_err();
    let declined = |reason| InviteError::Declined { reason, text: String::new() };
    assert_eq!(error, declined(DeclineReason::Full));
}

#[tokio::test]
async fn a_mesh_closes_itself_when_one_member_brings_another() {
    let place = Place::default();
    let mut hosts = Vec::new();
    for name in ["Alice", "Bob", "Carol", "Dave"] {
        hosts.push(asking(&place, name).await);
    }
    let [alice, bob, carol, dave] = &mut hosts[..] else { unreachable!() };
    // Two groups of two.
    for (inviting, invited) in [(&mut *alice, &mut *bob), (&mut *carol, &mut *dave)] {
        inviting.found(invited).await;
        inviting.session.invite(invited.id(), "").await.unwrap();
        invitation(invited).await.accept();
        inviting.connected_to(invited).await;
        invited.connected_to(inviting).await;
    }
    // One invitation makes them one.
    bob.session.invite(carol.id(), "").await.unwrap();
    invitation(carol).await.accept();
    for host in [&*alice, bob, carol, dave] {
        until("everyone is connected", || host.session.peers().len() == 3).await;
    }
    alice.session.broadcast("all of us").await.unwrap();
    for host in [bob, carol, dave] {
        assert_eq!(host.message().await, "all of us");
    }
}

#[tokio::test]
async fn a_member_that_restarts_is_one_peer_and_no_ghost() {
    let place = Place::default();
    let path = std::env::temp_dir().join(format!("multipeer-test-{}", std::process::id()));
    let identity = multipeer::Identity::load_or_create(&path).unwrap();
    let mut alice = place.start("Alice").await;
    let bob = Host::start(place.builder("Bob").identity(identity)).await;
    alice.connected_to(&bob).await;
    bob.session.leave().await;
    assert_eq!(alice.disconnected().await.1, "left");
    let identity = multipeer::Identity::load_or_create(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let again = Host::start(place.builder("Bob").identity(identity)).await;
    assert_eq!(again.id(), bob.id());
    alice.connected_to(&again).await;
    assert_eq!(alice.session.peers().len(), 1);
}
