//! `multipeer demo`: three peers in one process, over the loopback interface.

use std::time::{Duration, Instant};

use futures_util::future::select_all;
use multipeer::{Event, Events, PingMode, Session, SessionBuilder};
use serde_json::json;
use tokio::time::timeout;

use super::{loopback::LOOPBACK, percentiles::Percentiles};
use crate::{
    cli::Common,
    failure::Failure,
    output::{self, JsonEvents, object},
};

const NAMES: [&str; 3] = ["Alice", "Bob", "Carol"];
/// Time for all of it to come about.
const PATIENCE: Duration = Duration::from_secs(12);
/// Round trips to measure.
const PINGS: usize = 1000;

struct Host {
    session: Session,
    events: Events,
    connected: usize,
    heard: Vec<String>,
}

/// Says what happens, with the milliseconds since the start.
struct Narrator {
    start: Instant,
    json: Option<JsonEvents>,
}

impl Narrator {
    fn tell(&self, who: &str, what: &str) {
        if self.json.is_none() {
            let at = self.start.elapsed().as_secs_f64() * 1e3;
            output::line(&format!("{at:>8.1} ms  {who:<5}  {what}"));
        }
    }
}

pub(crate) async fn run(common: &Common) -> Result<(), Failure> {
    let narrator = Narrator { start: Instant::now(), json: common.json.then(JsonEvents::new) };
    let mut hosts = Vec::new();
    for name in NAMES {
        let session = builder(name).start().await?;
        narrator.tell(name, &format!("starts as {}", session.id().short()));
        let events = session.events();
        hosts.push(Host { session, events, connected: 0, heard: Vec::new() });
    }
    let all = async {
        form_mesh(&mut hosts, &narrator).await;
        talk(&mut hosts, &narrator).await
    };
    let result = match timeout(PATIENCE, all).await {
        Ok(result) => result,
        Err(_) => Err(Failure::Check(format!(
            "the three did not come together within {} s: is multicast blocked on {LOOPBACK}?",
            PATIENCE.as_secs()
        ))),
    };
    let result = match result {
        Ok(()) => measure(&hosts, &narrator).await,
        failed => failed,
    };
    for host in &hosts {
        host.session.leave().await;
    }
    result?;
    narrator.tell("all", "left");
    Ok(())
}

fn builder(name: &str) -> SessionBuilder {
    // A service of its own for each run, so that two runs do not meet.
    let service = format!("demo-{}", std::process::id());
    Session::builder(service, name).interfaces([LOOPBACK])
}

/// Until everyone is connected with everyone.
async fn form_mesh(hosts: &mut [Host], narrator: &Narrator) {
    let others = hosts.len() - 1;
    while hosts.iter().any(|host| host.connected < others) {
        if !handle_next(hosts, narrator).await {
            return;
        }
    }
}

/// Waits until something happens to one of them. False when nothing can happen any more.
async fn handle_next(hosts: &mut [Host], narrator: &Narrator) -> bool {
    let next = hosts.iter_mut().map(|host| Box::pin(host.events.next()));
    let (event, index, _) = select_all(next).await;
    let Some(event) = event else { return false };
    hosts[index].handle(&event, narrator);
    true
}

/// Everyone says hello to all.
async fn talk(hosts: &mut [Host], narrator: &Narrator) -> Result<(), Failure> {
    for host in hosts.iter() {
        let name = host.session.name();
        host.session.broadcast(format!("hello from {name}")).await?;
    }
    let others = hosts.len() - 1;
    while hosts.iter().any(|host| host.heard.len() < others) {
        if !handle_next(hosts, narrator).await {
            break;
        }
    }
    Ok(())
}

impl Host {
    fn handle(&mut self, event: &Event, narrator: &Narrator) {
        if let Some(json) = &narrator.json {
            json.print(event);
        }
        let what = match event {
            Event::PeerFound(peer) => format!("finds {peer}"),
            Event::PeerConnected(peer) => {
                self.connected += 1;
                format!("is connected with {peer}")
            }
            Event::Message { from, data, .. } => {
                let text = output::printable(&String::from_utf8_lossy(data));
                self.heard.push(text.clone());
                format!("hears {from}: {text}")
            }
            Event::DiscoveryProblem(problem) => problem.to_string(),
            _ => return,
        };
        narrator.tell(self.session.name().as_str(), &what);
    }
}

async fn measure(hosts: &[Host], narrator: &Narrator) -> Result<(), Failure> {
    let [alice, bob, ..] = hosts else {
        return Ok(());
    };
    let mut round_trips = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let result = alice.session.ping(bob.session.id(), 64, PingMode::Reliable).await;
        round_trips.push(result.map_err(|error| Failure::Check(error.to_string()))?);
    }
    let percentiles = Percentiles::new(round_trips);
    narrator.tell("Alice", &format!("{PINGS} round trips of 64 bytes to Bob: {percentiles}"));
    if let Some(json) = &narrator.json {
        let round_trip = percentiles.to_json();
        json.print_object(object(
            json!({"event": "ping", "sent": PINGS, "round_trip": round_trip}),
        ));
    }
    Ok(())
}
