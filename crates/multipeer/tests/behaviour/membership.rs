//! Who vouches, who invites, who removes, and who is known again.

use std::{fs, path::Path, time::Duration};

use multipeer::{
    Admission, Announce, DeclineReason, DisconnectReason, DisplayName, Event, Identity,
    IdentityError, InviteError, Inviting, Joining, PairedDevices, Peer, PeerId, PeerInfo,
    RemoveError, StartError, Verified,
};

use crate::common::{Host, Place, transfers::Folder};

async fn start(place: &Place, name: &str, admission: Admission) -> Host {
    Host::start(place.builder(name).admission(admission)).await
}

fn key(number: u8) -> Admission {
    Admission::preshared_key(format!("key {number}"), [number; 32])
}

async fn gone(host: &mut Host, who: PeerId) -> DisconnectReason {
    host.wait("a disconnection", |event| match event {
        Event::PeerDisconnected { peer, reason, .. } if peer.id == who => Some(reason),
        _ => None,
    })
    .await
}

/// Three sessions that are connected with each other.
async fn three(place: &Place) -> [Host; 3] {
    let mut alice = place.start("Alice").await;
    let mut bob = place.start("Bob").await;
    alice.connected_to(&bob).await;
    bob.connected_to(&alice).await;
    let mut carol = place.start("Carol").await;
    all_connected(&mut [&mut alice, &mut bob], &mut carol).await;
    [alice, bob, carol]
}

/// Waits until the last is connected with each, in whatever order.
async fn all_connected(hosts: &mut [&mut Host], last: &mut Host) {
    let ids: Vec<PeerId> = hosts.iter().map(|host| host.id()).collect();
    for host in hosts {
        host.connected_to(last).await;
    }
    let session = last.session.clone();
    if ids.iter().all(|id| session.peers().iter().any(|peer| peer.id == *id)) {
        return;
    }
    last.wait("everyone", |_| {
        let peers = session.peers();
        ids.iter().all(|id| peers.iter().any(|peer| peer.id == *id)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whom_one_member_admitted_the_others_admit_on_its_word() {
    let place = Place::default();
    let mut alice = start(&place, "Alice", key(2).or(key(3))).await;
    let mut bob = start(&place, "Bob", key(2)).await;
    alice.connected_to(&bob).await;
    bob.connected_to(&alice).await;
    // Carol and Bob have no key in common.
    let mut carol = start(&place, "Carol", key(3)).await;
    all_connected(&mut [&mut alice, &mut bob], &mut carol).await;
    let by_alice = Some(Verified::Voucher { by: alice.id() });
    assert_eq!(bob.session.verified(carol.id()), by_alice);
    assert_eq!(carol.session.verified(bob.id()), by_alice);
}

#[tokio::test]
async fn both_ends_of_a_link_show_the_same_digits_and_other_links_others() {
    let [alice, bob, carol] = three(&Place::default()).await;
    let digits = |one: &Host, other: &Host| one.session.comparison(other.id()).unwrap();
    assert_eq!(digits(&alice, &bob), digits(&bob, &alice));
    assert_ne!(digits(&alice, &bob), digits(&alice, &carol));
    assert_eq!(digits(&alice, &bob).len(), 24, "twenty digits in groups of four");
}

#[tokio::test]
async fn an_invitation_tells_what_is_proven_of_its_sender() {
    let place = Place::default();
    let code = || Admission::passcode("481-516");
    let ask = |name: &str| place.builder(name).admission(code()).joining(Joining::Ask);
    let (mut alice, mut bob) = (Host::start(ask("Alice")).await, Host::start(ask("Bob")).await);
    alice.found(&bob).await;
    alice.session.invite(bob.id(), "join us").await.unwrap();
    let invitation = bob.wait("an invitation", |event| match event {
        Event::Invitation(invitation) => Some(invitation),
        _ => None,
    });
    let invitation = invitation.await;
    assert_eq!(invitation.from().id, alice.id());
    assert_eq!(invitation.verified(), &Verified::Passcode);
    let shown = invitation.comparison().unwrap().to_owned();
    invitation.accept();
    alice.connected_to(&bob).await;
    assert_eq!(alice.session.comparison(bob.id()), Some(shown));
}

#[tokio::test]
async fn a_removed_peer_is_told_why_and_is_gone_everywhere() {
    let [mut alice, mut bob, mut carol] = three(&Place::default()).await;
    alice.session.remove(carol.id(), "too loud").await.unwrap();
    let removed = DisconnectReason::Removed { by: alice.id(), text: "too loud".to_owned() };
    assert_eq!(gone(&mut alice, carol.id()).await, removed);
    assert_eq!(gone(&mut bob, carol.id()).await, removed);
    let expelled = DisconnectReason::Expelled { text: "too loud".to_owned() };
    assert_eq!(gone(&mut carol, alice.id()).await, expelled);
    assert_eq!(expelled.to_string(), "this side was removed from the session (too loud)");
    let error = bob.session.invite(carol.id(), "").await.unwrap_err();
    assert_eq!(error, InviteError::Removed { text: "too loud".to_owned() });
    let again = alice.session.remove(carol.id(), "").await;
    assert_eq!(again, Err(RemoveError::NotConnected(carol.id())));
}

#[tokio::test]
async fn with_a_host_nobody_else_invites_or_removes() {
    let place = Place::default();
    let host = place.builder("Alice").inviting(Inviting::HostAlone);
    let mut alice = Host::start(host).await;
    let mut bob = place.start("Bob").await;
    bob.connected_to(&alice).await;
    alice.connected_to(&bob).await;
    assert_eq!(bob.session.host(), Some(alice.id()));
    let mut carol = place.start("Carol").await;
    all_connected(&mut [&mut alice, &mut bob], &mut carol).await;
    assert_eq!(bob.session.remove(carol.id(), "").await, Err(RemoveError::NotHost));

    let dora = Host::start(place.builder("Dora").looking(true).joining(Joining::Ask)).await;
    bob.found(&dora).await;
    let error = bob.session.invite(dora.id(), "").await.unwrap_err();
    assert_eq!(error, InviteError::NotHost);
    let mut eve = Host::start(place.builder("Eve").joining(Joining::Ask)).await;
    eve.found(&bob).await;
    let mut invitation = eve.session.invite(bob.id(), "").await.unwrap();
    let declined = invitation.answer().await.unwrap_err();
    assert!(matches!(declined, InviteError::Declined { reason: DeclineReason::NotHost, .. }));
    alice.session.remove(carol.id(), "bye").await.unwrap();
    assert!(matches!(gone(&mut bob, carol.id()).await, DisconnectReason::Removed { .. }));
}

async fn pair_with(host: &mut Host, other: &Host, file: &Path) {
    let peer = host.connected_to(other).await;
    let mut paired = PairedDevices::load(file).unwrap();
    assert!(paired.add(&peer, &host.session.verified(&peer).unwrap()).unwrap());
}

#[tokio::test]
async fn paired_devices_know_each_other_without_the_passcode() {
    let (place, folder) = (Place::default(), Folder::new("paired"));
    let identities = [Identity::generate(), Identity::generate()];
    let builder = |number: usize, name: &str| {
        place.builder(name).identity(identities[number].clone()).admission(Admission::open())
    };
    let code = || Admission::passcode("481-516");
    let mut alice = Host::start(builder(0, "Alice").admission(code())).await;
    let mut bob = Host::start(builder(1, "Bob").admission(code())).await;
    let files = [folder.from("alice"), folder.from("bob")];
    pair_with(&mut alice, &bob, &files[0]).await;
    pair_with(&mut bob, &alice, &files[1]).await;
    alice.session.leave().await;
    bob.session.leave().await;

    let paired = |file| PairedDevices::load(file).unwrap();
    let mut alice = Host::start(builder(0, "Alice").admission(paired(&files[0]).admission())).await;
    let bob = Host::start(builder(1, "Bob").admission(paired(&files[1]).admission())).await;
    alice.connected_to(&bob).await;
    assert_eq!(alice.session.verified(bob.id()), Some(Verified::Allowlist));
    let mut mallory = place.start("Bob").await;
    let error = mallory.wait("a refusal", |event| match event {
        Event::InvitationFailed { error, .. } => Some(error.to_string()),
        _ => None,
    });
    assert!(error.await.contains("it asks for an id on its list"));

    // What is forgotten is not taken; and what others could read is not believed.
    let mut devices = paired(&files[0]);
    assert_eq!(devices.iter().next().unwrap().how, "passcode");
    assert!(devices.forget(bob.id()).unwrap());
    assert!(!devices.forget(bob.id()).unwrap());
    assert_eq!(paired(&files[0]).iter().count(), 0);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&files[1], fs::Permissions::from_mode(0o644)).unwrap();
        let error = PairedDevices::load(&files[1]).unwrap_err();
        assert!(matches!(error, IdentityError::Readable { mode: 0o644, .. }), "{error}");
    }
}

#[tokio::test]
async fn who_was_only_vouched_for_is_not_paired() {
    let folder = Folder::new("vouched");
    let (alice, bob) = Place::default().pair().await;
    let mut paired = PairedDevices::load(folder.from("paired")).unwrap();
    let peer = alice.session.peers().remove(0);
    assert!(!paired.add(&peer, &Verified::Open).unwrap());
    assert!(!paired.add(&peer, &Verified::Voucher { by: bob.id() }).unwrap());
    assert!(!folder.from("paired").exists());
}

#[test]
fn an_identity_is_rotated_exported_and_imported() {
    let folder = Folder::new("identity");
    let path = folder.from("identity");
    let first = Identity::load_or_create(&path).unwrap();
    let second = Identity::rotate(&path).unwrap();
    assert_ne!(first.peer_id(), second.peer_id());
    assert_eq!(Identity::load_or_create(&path).unwrap().peer_id(), second.peer_id());
    let digits = String::from_utf8(second.export().expose().to_vec()).unwrap();
    assert_eq!(Identity::import(&digits).unwrap().peer_id(), second.peer_id());
    assert_eq!(Identity::import("abc").unwrap_err(), IdentityError::NotDigits);
    let shown = format!("{second:?} {:?}", second.export());
    assert!(!shown.contains(&digits[..16]), "{shown}");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside");
    // What is no identity is not replaced.
    fs::write(&path, "something else\n").unwrap();
    assert!(matches!(Identity::rotate(&path), Err(IdentityError::NotAKey { .. })));
}

#[tokio::test]
async fn who_announces_privately_is_known_to_those_whom_it_has_admitted_only() {
    let place = Place::default();
    let identity = Identity::generate();
    let code = || Admission::passcode("481-516");
    let mut observer = Host::start(place.builder("Observer").joining(Joining::Ask)).await;
    let alice = place.builder("Alice").discovery_info([("mood", "happy")]);
    let alice = alice.announce(Announce::Private).identity(identity.clone()).admission(code());
    let mut alice = Host::start(alice).await;
    let seen = observer.found(&alice).await;
    assert_eq!(seen.name.as_str(), alice.id().short());
    assert_eq!(seen.info.iter().count(), 0);
    assert_ne!(alice.id(), identity.peer_id());

    let mut bob = start(&place, "Bob", code()).await;
    let known = bob.connected_to(&alice).await;
    alice.connected_to(&bob).await;
    assert_eq!((known.name.as_str(), known.info.iter().next()), ("Alice", Some(("mood", "happy"))));
    assert_eq!(known.lasting_id, Some(identity.peer_id()));
    assert_eq!(alice.session.peers()[0].lasting_id, None, "Bob has but one id");

    // Another start has another id, and the same lasting one.
    alice.session.leave().await;
    let again = place.builder("Alice").announce(Announce::Private).identity(identity.clone());
    let again = Host::start(again.admission(code())).await;
    assert_ne!(again.id(), alice.id());
    assert_eq!(bob.connected_to(&again).await.lasting_id, Some(identity.peer_id()));
}

#[tokio::test]
async fn paired_devices_know_each_other_behind_ids_made_for_the_occasion() {
    let folder = Folder::new("pairing");
    let place = Place::default();
    let identities = ["Alice", "Bob"].map(|name| (name, Identity::generate()));
    let session = |own: usize| {
        let ((name, identity), (other, theirs)) = (&identities[own], &identities[1 - own]);
        let name_of_other = DisplayName::new(*other).unwrap();
        let other = PeerInfo { name: name_of_other, ..PeerInfo::unnamed(theirs.peer_id()) };
        let mut paired = PairedDevices::load(folder.from(name)).unwrap();
        assert!(paired.add(&other.into(), &Verified::Passcode).unwrap());
        let builder = place.builder(name).admission(paired.admission()).paired(&paired);
        builder.announce(Announce::Paired).identity(identity.clone())
    };
    let mut bob = Host::start(session(1).joining(Joining::Ask)).await;
    let alice = Host::start(session(0)).await;
    let stranger = Host::start(place.builder("Mallory")).await;
    let found = bob.found(&alice).await;
    assert_eq!(found.name.as_str(), "Alice", "before there is any link");
    assert_eq!(found.lasting_id, Some(identities[0].1.peer_id()));
    assert_ne!(found.id, found.known_id());
    let invitation = bob.wait("an invitation", |event| match event {
        Event::Invitation(invitation) => Some(invitation),
        _ => None,
    });
    let invitation = invitation.await;
    assert_eq!(invitation.verified(), &Verified::Allowlist);
    invitation.accept();
    bob.connected_to(&alice).await;
    assert_eq!(alice.session.verified(bob.id()), Some(Verified::Allowlist));
    let unnamed: Vec<Peer> = stranger.session.nearby();
    assert!(unnamed.iter().all(|peer| peer.name.as_str() == peer.id.short()), "{unnamed:?}");
    assert!(unnamed.iter().all(|peer| peer.lasting_id.is_none()), "{unnamed:?}");

    let nobody = place.builder("Carol").announce(Announce::Paired).start().await;
    assert_eq!(nobody.unwrap_err(), StartError::NoIdentity);
}

#[tokio::test]
async fn a_private_session_takes_another_id_while_nobody_is_linked_with_it() {
    let place = Place::default();
    let every = Duration::from_secs(1);
    let ask = |name: &str| place.builder(name).joining(Joining::Ask);
    let private = ask("Alice").announce(Announce::Private).renewal_interval(every);
    let mut alice = Host::start(private).await;
    let mut bob = Host::start(ask("Bob")).await;
    let (id, port) = (alice.id(), alice.session.port());
    bob.found(&alice).await;
    let renewed = bob.wait("another id", |event| match event {
        Event::PeerFound(peer) if peer.id != id => Some(peer),
        _ => None,
    });
    let renewed = renewed.await;
    assert_ne!(alice.session.port(), port);
    let lost = bob.wait("the former one to go", |event| match event {
        Event::PeerLost(peer) => Some(peer.id),
        _ => None,
    });
    assert_eq!(lost.await, id);
    // It can be reached under the new one, and keeps it from then on.
    let known = bob.session.nearby().remove(0);
    assert!(known.id == renewed.id || known.id == alice.id());
    let connected = loop {
        // It may take another one while it is being asked.
        let peer = bob.session.nearby().remove(0);
        let Ok(mut invitation) = bob.session.invite(&peer, "").await else { continue };
        let accept = alice.wait("an invitation", |event| match event {
            Event::Invitation(invitation) => Some(invitation),
            _ => None,
        });
        let accepted = tokio::time::timeout(Duration::from_secs(3), accept).await;
        if let Ok(incoming) = accepted {
            incoming.accept();
            break invitation.answer().await.unwrap();
        }
    };
    assert_eq!(connected.id, alice.id());
    tokio::time::sleep(every * 3).await;
    assert_eq!(connected.id, alice.id(), "it was renewed while somebody was linked with it");
    assert_eq!(bob.session.peers().len(), 1);
}
