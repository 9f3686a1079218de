//! Many peers on one machine. A program of its own: what others measure must not run beside it.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use multipeer::{Session, SessionBuilder, discovery::Neighbourhood};
use tokio::time::timeout;

/// Peers in the mesh: 2,016 links.
const PEERS: usize = 64;

/// DESIGN.md, section 8: formed within 6 s of discovery. That is a figure of a machine that has nothing else
/// to do; here it may take some times as long.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_peers_form_a_mesh() {
    // Nothing of it leaves the loopback interface.
    let place = Neighbourhood::default();
    let builders = (0..PEERS).map(|number| {
        let builder = Session::builder("test", format!("peer {number}")).interfaces(["lo"]);
        builder.discovery(place.clone()).looking(false)
    });
    let sessions: Vec<_> =
        join_all(builders.map(SessionBuilder::start)).await.into_iter().collect();
    let sessions: Vec<_> = sessions.into_iter().map(Result::unwrap).collect();
    let start = Instant::now();
    sessions.iter().for_each(Session::start_looking);
    let mut events: Vec<_> = sessions.iter().map(Session::events).collect();
    let whole = join_all(sessions.iter().zip(&mut events).map(|(session, events)| async move {
        while session.peers().len() < PEERS - 1 {
            if matches!(timeout(Duration::from_millis(200), events.next()).await, Ok(None)) {
                break;
            }
        }
    }));
    let formed = timeout(Duration::from_secs(120), whole).await;
    let counts: Vec<usize> = sessions.iter().map(|session| session.peers().len()).collect();
    assert!(formed.is_ok(), "after two minutes these have so many: {counts:?}");
    println!("{PEERS} peers are linked with each other after {:.1?}", start.elapsed());
    assert!(sessions.iter().all(|session| session.statistics().protocol_errors == 0));
    join_all(sessions.iter().map(Session::leave)).await;
}
