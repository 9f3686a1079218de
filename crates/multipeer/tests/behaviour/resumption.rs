//! Transfers that outlive links and sessions.

use std::{fs, time::Duration};

use multipeer::{Identity, TransferError};

use crate::common::{
    Host, Place,
    transfers::{Folder, at_least, connect, content, finished, offered},
};

#[tokio::test]
async fn a_transfer_goes_on_after_its_receiver_was_started_anew() {
    let folder = Folder::new("receiver");
    let bytes = 64 * 1024 * 1024;
    let path = folder.file("film", bytes);
    let place = Place::default();
    let mut alice = place.start("Alice").await;
    let identity = Identity::generate();
    let bob = || place.builder("Bob").identity(identity.clone());
    let mut first = Host::start(bob()).await;
    connect(&mut alice, &mut first).await;
    let mut sending = alice.session.send_resource(first.id(), path).await.unwrap();
    let mut receiving = offered(&mut first).await.accept(folder.to()).await.unwrap();
    at_least(&mut receiving, 20 * 1024 * 1024).await;
    first.session.leave().await;
    assert_eq!(finished(&mut receiving).await, Err(TransferError::SessionOver));
    assert_eq!(folder.arrived().len(), 1, "what arrived is kept");

    let mut second = Host::start(bob()).await;
    let mut receiving = offered(&mut second).await.accept(folder.to()).await.unwrap();
    let report = finished(&mut receiving).await.unwrap();
    assert_eq!(fs::read(report.path.as_ref().unwrap()).unwrap(), content(bytes));
    assert!(report.transmitted_bytes <= 44 * 1024 * 1024, "{report:?}");
    let sent = finished(&mut sending).await.unwrap();
    // Twice went what was under way.
    assert!(sent.transmitted_bytes < bytes as u64 + 16 * 1024 * 1024, "{sent:?}");
    assert_eq!(folder.arrived(), ["film"]);
}

#[tokio::test]
async fn a_transfer_goes_on_after_its_sender_was_started_anew() {
    let folder = Folder::new("sender");
    let bytes = 64 * 1024 * 1024;
    let path = folder.file("film", bytes);
    let place = Place::default();
    let identity = Identity::generate();
    let alice = || place.builder("Alice").identity(identity.clone());
    let mut first = Host::start(alice()).await;
    let mut bob = place.start("Bob").await;
    connect(&mut first, &mut bob).await;
    first.session.send_resource(bob.id(), path.as_path()).await.unwrap();
    let mut receiving = offered(&mut bob).await.accept(folder.to()).await.unwrap();
    at_least(&mut receiving, 20 * 1024 * 1024).await;
    first.session.leave().await;

    let mut second = Host::start(alice()).await;
    connect(&mut second, &mut bob).await;
    // Nobody asks again: it was accepted.
    let mut sending = second.session.send_resource(bob.id(), path).await.unwrap();
    let report = finished(&mut receiving).await.unwrap();
    assert_eq!(fs::read(report.path.as_ref().unwrap()).unwrap(), content(bytes));
    let sent = finished(&mut sending).await.unwrap();
    assert!(sent.transmitted_bytes <= 44 * 1024 * 1024, "{sent:?}");
    assert_eq!(folder.arrived(), ["film"]);
}

#[tokio::test]
async fn a_transfer_whose_peer_does_not_come_back_in_time_says_so() {
    let folder = Folder::new("lost");
    let path = folder.file("film", 64 * 1024 * 1024);
    let place = Place::default();
    let short = Duration::from_millis(300);
    let mut alice = Host::start(place.builder("Alice").resume_timeout(short)).await;
    let mut bob = place.start("Bob").await;
    connect(&mut alice, &mut bob).await;
    let mut sending = alice.session.send_resource(bob.id(), path).await.unwrap();
    let mut receiving = offered(&mut bob).await.accept(folder.to()).await.unwrap();
    at_least(&mut receiving, 1).await;
    receiving.pause();
    bob.session.leave().await;
    assert_eq!(finished(&mut sending).await, Err(TransferError::Lost));
}
