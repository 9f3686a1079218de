//! Who may join, in the public API.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use multipeer::{
    Admission, Event, GoodbyeReason, Identity, InviteError, PasscodeForm, StartError, Verified,
};

use crate::common::{Host, Place};

async fn start(place: &Place, name: &str, admission: Admission) -> Host {
    Host::start(place.builder(name).admission(admission)).await
}

/// Waits until an invitation to the other came to nothing.
async fn refused(host: &mut Host) -> InviteError {
    host.wait("a refusal", |event| match event {
        Event::InvitationFailed { error, .. } => Some(error),
        Event::PeerConnected(peer) => panic!("{peer:?} was admitted"),
        _ => None,
    })
    .await
}

async fn connect(one: &mut Host, other: &mut Host) {
    one.connected_to(other).await;
    other.connected_to(one).await;
}

#[tokio::test]
async fn who_knows_the_passcode_is_in_and_verified() {
    let place = Place::default();
    let mut alice = start(&place, "Alice", Admission::passcode("481-516")).await;
    let mut bob = start(&place, "Bob", Admission::passcode("481 516")).await;
    connect(&mut alice, &mut bob).await;
    assert_eq!(alice.session.verified(bob.id()), Some(Verified::Passcode));
    assert_eq!(bob.session.verified(alice.id()), Some(Verified::Passcode));
    bob.session.send(alice.id(), "hello").await.unwrap();
    let data = alice.wait("a message", |event| match event {
        Event::Message { data, .. } => Some(data),
        _ => None,
    });
    assert_eq!(data.await, "hello");
}

#[tokio::test]
async fn a_wrong_passcode_is_refused_on_both_sides_with_words() {
    let place = Place::default();
    let mut alice = start(&place, "Alice", Admission::passcode("481-516")).await;
    let mut bob = start(&place, "Bob", Admission::passcode("481-517")).await;
    for host in [&mut alice, &mut bob] {
        let error = refused(host).await;
        assert!(error.is_refused_admission(), "{error:?}");
        assert!(error.to_string().contains("the passcodes of the two sides differ"));
    }
    assert!(alice.session.peers().is_empty() && bob.session.peers().is_empty());
}

#[tokio::test]
async fn who_has_no_passcode_is_told_what_is_asked_for() {
    let place = Place::default();
    let _alice = start(&place, "Alice", Admission::passcode("481-516")).await;
    let mut bob = place.start("Bob").await;
    let error = refused(&mut bob).await;
    assert!(matches!(&error, InviteError::Refused { reason: GoodbyeReason::NotAdmitted, .. }));
    assert_eq!(
        error.to_string(),
        "the peer closed the link: not admitted (it asks for its passcode)"
    );
}

#[tokio::test]
async fn keys_are_known_by_their_names_and_can_be_changed_one_after_the_other() {
    let place = Place::default();
    let key = |name: &str, byte| Admission::preshared_key(name, [byte; 32]);
    let mut alice = start(&place, "Alice", key("2027", 2).or(key("2026", 1))).await;
    let mut bob = start(&place, "Bob", key("2026", 1)).await;
    connect(&mut alice, &mut bob).await;
    let verified = Verified::PresharedKey { name: "2026".to_owned() };
    assert_eq!(alice.session.verified(bob.id()), Some(verified));
}

#[tokio::test]
async fn only_the_ids_on_the_list_are_taken() {
    let place = Place::default();
    let (bob, mallory) = (Identity::generate(), Identity::generate());
    let mut alice = start(&place, "Alice", Admission::allowlist([bob.peer_id()])).await;
    let mut bob = Host::start(place.builder("Bob").identity(bob)).await;
    connect(&mut alice, &mut bob).await;
    assert_eq!(alice.session.verified(bob.id()), Some(Verified::Allowlist));
    let mut mallory = Host::start(place.builder("Mallory").identity(mallory)).await;
    // Bob takes everyone, and does not bring her in.
    let (mut refusal, mut with_bob) = (None, false);
    mallory
        .wait("Alice's refusal and Bob", |event| {
            match event {
                Event::InvitationFailed { peer, error } if peer.id == alice.id() => {
                    refusal = Some(error.to_string());
                }
                Event::PeerConnected(peer) => with_bob |= peer.id == bob.id(),
                _ => {}
            }
            (refusal.is_some() && with_bob).then_some(())
        })
        .await;
    let refusal = refusal.unwrap();
    assert!(refusal.contains("it asks for an id on its list"), "{refusal}");
    assert!(alice.session.peers().iter().all(|peer| peer.id != mallory.id()));
}

#[tokio::test]
async fn a_mesh_of_those_who_know_the_code_closes_itself() {
    let place = Place::default();
    let mut hosts = Vec::new();
    for name in ["Alice", "Bob", "Carol", "Dora"] {
        hosts.push(start(&place, name, Admission::passcode("481-516")).await);
    }
    let ids: Vec<_> = hosts.iter().map(Host::id).collect();
    for host in &mut hosts {
        let own = host.id();
        for &id in ids.iter().filter(|id| **id != own) {
            while host.session.verified(id) != Some(Verified::Passcode) {
                host.next().await;
            }
        }
    }
}

#[tokio::test]
async fn a_passcode_that_was_made_here_is_told_and_replaced_when_it_is_guessed_at() {
    let place = Place::default();
    let mut alice = Host::start(place.builder("Alice").generated_passcode()).await;
    let first = alice.session.passcode().unwrap().to_text();
    let mut bob = start(&place, "Bob", Admission::passcode(&first)).await;
    connect(&mut alice, &mut bob).await;
    // Mallory has another one, and tries it again and again.
    let mallory = start(&place, "Mallory", Admission::passcode("wrong")).await;
    let (id, tries) = (alice.id(), mallory.session.clone());
    let trying = tokio::spawn(async move {
        loop {
            if let Ok(mut invitation) = tries.invite(id, "").await {
                _ = invitation.answer().await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            // Her own side would stop after three, too.
            _ = tries.set_admission(Admission::passcode("wrong again"));
        }
    });
    let replaced = alice.wait("the report", |event| match event {
        Event::ProofsRefused { peer, replaced_by } => Some((peer.id, replaced_by)),
        _ => None,
    });
    let (peer, replaced_by) = replaced.await;
    trying.abort();
    assert_eq!(peer, mallory.id());
    let second = replaced_by.unwrap().to_text();
    assert_ne!(second, first);
    assert_eq!(alice.session.passcode().unwrap().to_text(), second);
    // Who was in stays in, and the new one opens.
    assert_eq!(alice.session.peers().len(), 1);
    let mut carol = start(&place, "Carol", Admission::passcode(&second)).await;
    carol.connected_to(&alice).await;
}

#[tokio::test]
async fn a_passcode_that_was_mistyped_can_be_corrected() {
    let place = Place::default();
    let mut alice = start(&place, "Alice", Admission::passcode("481-516")).await;
    let mut bob = start(&place, "Bob", Admission::passcode("481-615")).await;
    refused(&mut bob).await;
    bob.session.set_admission(Admission::passcode("481-516")).unwrap();
    connect(&mut alice, &mut bob).await;
    let error = bob.session.set_admission(Admission::passcode("1")).unwrap_err();
    assert!(error.to_string().contains("and this has 1"), "{error}");
}

#[tokio::test]
async fn a_passcode_beside_one_that_was_made_here_is_refused() {
    let place = Place::default();
    let builder = || place.builder("Alice").generated_passcode();
    let start = builder().admission(Admission::passcode("481-516")).start().await;
    assert!(matches!(start, Err(StartError::Admission(_))));
    let session = builder().start().await.unwrap();
    let error = session.set_admission(Admission::passcode("481-516")).unwrap_err();
    assert!(error.to_string().contains("two passcodes"), "{error}");
    let key = Admission::preshared_key("fleet", [1; 16]);
    session.set_admission(key).unwrap();
}

#[tokio::test]
async fn a_weak_secret_is_refused_at_the_start() {
    let place = Place::default();
    let error = place.builder("Alice").admission(Admission::passcode("12")).start().await;
    assert!(matches!(error, Err(StartError::Admission(_))));
}

#[tokio::test]
async fn a_link_that_died_is_proven_again() {
    let place = Place::default();
    let identity = Identity::generate();
    let mut alice = start(&place, "Alice", Admission::passcode("481-516")).await;
    let builder = place.builder("Bob").identity(identity.clone());
    let mut bob = Host::start(builder.admission(Admission::passcode("481-516"))).await;
    connect(&mut alice, &mut bob).await;
    bob.session.leave().await;
    // The same id without the code: the id alone opens nothing.
    let mut bob = Host::start(place.builder("Bob").identity(identity)).await;
    let error = refused(&mut bob).await;
    assert!(error.is_refused_admission(), "{error:?}");
}

/// Time from the second session's start until the two are connected.
async fn time_to_connect(admission: Admission) -> Duration {
    let place = Place::default();
    let mut alice = start(&place, "Alice", admission.clone()).await;
    let mut bob = start(&place, "Bob", admission).await;
    let begin = Instant::now();
    connect(&mut alice, &mut bob).await;
    let time = begin.elapsed();
    tokio::join!(alice.session.leave(), bob.session.leave());
    time
}

#[tokio::test]
async fn a_passcode_adds_a_few_milliseconds() {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..7 {
        times[0].push(time_to_connect(Admission::open()).await);
        times[1].push(time_to_connect(Admission::passcode("481-516")).await);
    }
    let [open, closed] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    println!("connected after {open:?} in the open and {closed:?} with a passcode");
    // Without optimisation the curve's arithmetic takes a hundred times as long.
    if !cfg!(debug_assertions) {
        assert!(closed < open + Duration::from_millis(10), "{closed:?} and {open:?}");
    }
}

#[tokio::test]
async fn a_passcode_of_words_lets_in_however_it_is_written() {
    let place = Place::default();
    let words = |count| place.builder("Alice").generated_passcode_of(PasscodeForm::Words(count));
    let mut alice = Host::start(words(3)).await;
    let code = alice.session.passcode().unwrap().to_text();
    assert_eq!(code.split('-').count(), 3);
    let said = code.replace('-', " ").to_uppercase();
    let mut bob = start(&place, "Bob", Admission::passcode(said)).await;
    connect(&mut alice, &mut bob).await;
    let error = words(1).start().await.unwrap_err();
    assert_eq!(error.to_string(), "a generated passcode must be 2 to 8 words, and is 1");
}

/// What is logged, all of it, in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_in_the_log_whatever_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // Everything runs on this thread, so everything that it logs is seen. The tasks of the runtime end after this
    // function, in spans of this subscriber, which must be the thread's until then.
    std::mem::forget(tracing::subscriber::set_default(subscriber));
    let place = Place::default();
    let code = "rabbit-hole-481516";
    let key = *b"a fleet key of enough bytes";
    let identity = Identity::generate();
    let demand = || Admission::passcode(code).or(Admission::preshared_key("fleet", key));
    let alice = place.builder("Alice").identity(identity.clone()).admission(demand());
    let mut alice = Host::start(alice).await;
    let mut bob = start(&place, "Bob", demand()).await;
    connect(&mut alice, &mut bob).await;
    alice.session.set_admission(demand()).unwrap();
    alice.session.send(bob.id(), "nobody else is to read this").await.unwrap();
    bob.message().await;
    alice.session.leave().await;
    let log = log.0.lock().unwrap();
    let has = |bytes: &[u8]| log.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(b"Proof(..)"), "the log does not tell what the session did");
    let in_numbers =
        |bytes: &[u8]| format!("{:?}", &bytes[..8]).trim_matches(['[', ']']).to_owned();
    let secret = identity.export();
    for secret in [code.replace('-', "").as_bytes(), &key, secret.expose()] {
        assert!(!has(secret), "a secret is in the log");
        assert!(!has(in_numbers(secret).as_bytes()), "a secret is in the log, in numbers");
    }
}
