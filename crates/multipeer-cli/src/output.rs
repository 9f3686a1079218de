//! What the command prints: lines for people, or one JSON object a line.

use std::{
    fmt::Display,
    io::{IsTerminal, Write},
    time::Instant,
};

use multipeer::{Event, Passcode, Path, Peer, Route, Session, Verified};
use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// Says that a command failed.
pub(crate) fn failure(failure: &Failure, json: bool) {
    if json {
        line(&json!({"event": "error", "message": failure.to_string()}));
    } else {
        eprintln!("error: {failure}");
    }
}

/// Prints a line. A reader that went away wants no more.
pub(crate) fn line(text: &impl Display) {
    let mut output = std::io::stdout().lock();
    if writeln!(output, "{text}").and_then(|()| output.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Shows a passcode that this session made. Not on standard output, which may be data.
pub(crate) fn passcode(passcode: &Passcode, json: bool) {
    let text = passcode.to_text();
    if json {
        line(&json!({"event": "passcode", "passcode": text}));
    } else {
        eprintln!("passcode: {text}");
    }
}

/// Rings the terminal's bell, for whoever does not look.
pub(crate) fn ring() {
    if std::io::stderr().is_terminal() {
        eprint!("\u{7}");
    }
}

/// A peer as JSON.
pub(crate) fn peer_json(peer: &Peer) -> Value {
    let mut object = json!({"id": peer.id.to_string(), "name": peer.name.as_str()});
    if let Some(lasting) = peer.lasting_id {
        object["lasting_id"] = json!(lasting.to_string());
    }
    if let Some(hub) = peer.heard_through {
        object["heard_through"] = json!(hub.to_string());
    }
    if !peer.ways.is_empty() {
        object["ways"] = peer.ways.iter().map(multipeer::discovery::Way::as_str).collect();
    }
    object
}

/// Writes events as JSON, with the seconds since it was made.
pub(crate) struct JsonEvents {
    start: Instant,
}

impl JsonEvents {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Prints an event, if it is one that the output knows.
    pub(crate) fn print(&self, event: &Event) {
        if let Some(object) = event_json(event) {
            self.print_object(object);
        }
    }

    /// As [`print`](Self::print), and of a peer that is connected how it was verified and is reached.
    pub(crate) fn print_verified(&self, session: &Session, event: &Event) {
        let Some(mut object) = event_json(event) else { return };
        if let Event::PeerConnected(peer) = event {
            let verified = session.verified(peer);
            object.insert("verified".to_owned(), json!(verified.as_ref().map(Verified::as_str)));
            object.insert("comparison".to_owned(), json!(session.comparison(peer)));
            object.extend(session.path(peer).map(|path| path_json(&path)).unwrap_or_default());
        }
        self.print_object(object);
    }

    pub(crate) fn print_object(&self, mut object: Map<String, Value>) {
        let at = (self.start.elapsed().as_secs_f64() * 1e6).round() / 1e6;
        object.insert("at".to_owned(), json!(at));
        line(&Value::Object(object));
    }
}

/// An object, from what `json!` makes of one.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn event_json(event: &Event) -> Option<Map<String, Value>> {
    let value = match event {
        Event::PeerFound(peer) => with_info("peer_found", peer),
        Event::PeerUpdated(peer) => with_info("peer_updated", peer),
        Event::PeerLost(peer) => json!({"event": "peer_lost", "peer": peer_json(peer)}),
        Event::Connecting(peer) => json!({"event": "connecting", "peer": peer_json(peer)}),
        Event::PeerConnected(peer) => json!({"event": "connected", "peer": peer_json(peer)}),
        Event::Nudged { from, text } => {
            json!({"event": "nudged", "peer": peer_json(from), "text": text})
        }
        Event::ActivityChanged { peer, activity } => {
            json!({"event": "activity", "peer": peer_json(peer), "activity": activity.as_str()})
        }
        Event::ViabilityChanged { peer, viable } => {
            json!({"event": "viability", "peer": peer_json(peer), "viable": viable})
        }
        Event::PathChanged { peer, path } => {
            let mut value = object(json!({"event": "path", "peer": peer_json(peer)}));
            value.extend(path_json(path));
            Value::Object(value)
        }
        Event::PeerDisconnected { peer, reason, unconfirmed } => json!({
            "event": "disconnected",
            "peer": peer_json(peer),
            "reason": reason.as_str(),
            "text": reason.to_string(),
            "unconfirmed": unconfirmed.len(),
        }),
        Event::Invitation(invitation) => json!({
            "event": "invitation",
            "peer": peer_json(invitation.from()),
            "context": String::from_utf8_lossy(invitation.context()),
            "verified": invitation.verified().as_str(),
            "comparison": invitation.comparison(),
        }),
        Event::Message { from, data, reliable } => json!({
            "event": "message",
            "peer": peer_json(from),
            "text": String::from_utf8_lossy(data),
            "reliable": reliable,
        }),
        Event::InvitationFailed { peer, error } => json!({
            "event": "error",
            "peer": peer_json(peer),
            "message": error.to_string(),
        }),
        Event::InvitationWithdrawn { from } => {
            json!({"event": "invitation_withdrawn", "peer": peer_json(from)})
        }
        Event::RemovalRefused { by, subject } => json!({
            "event": "removal_refused",
            "peer": peer_json(by),
            "subject": peer_json(subject),
        }),
        Event::ProofsRefused { peer, replaced_by } => json!({
            "event": "proofs_refused",
            "peer": peer_json(peer),
            "passcode": replaced_by.as_ref().map(Passcode::to_text),
        }),
        Event::DiscoveryProblem(problem) => json!({
            "event": "error",
            "message": problem.to_string(),
        }),
        _ => return None,
    };
    Some(object(value))
}

/// A path as JSON: in words, through which hub if through one, and seconds there and back.
fn path_json(path: &Path) -> Map<String, Value> {
    let hub = match &path.route {
        Route::Hub { hub } => Some(hub.to_string()),
        _ => None,
    };
    let (route, round_trip) = (path.route.to_string(), path.round_trip.as_secs_f64());
    object(json!({"route": route, "hub": hub, "round_trip": round_trip}))
}

fn with_info(event: &str, peer: &Peer) -> Value {
    let info: Map<String, Value> =
        peer.info.iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
    json!({"event": event, "peer": peer_json(peer), "info": info})
}

/// What came over the network, without anything that would steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
