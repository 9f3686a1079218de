//! Chat in lines: what is read is sent, what comes is printed.

use multipeer::{Event, Session};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{Line, tell};
use crate::{
    failure::Failure,
    output::{self, JsonEvents, object, peer_json, printable},
};

pub(super) async fn run(session: &Session, json: bool) -> Result<(), Failure> {
    let json = json.then(JsonEvents::new);
    let mut events = session.events();
    let mut input = Some(BufReader::new(tokio::io::stdin()).lines());
    loop {
        let next_line = async {
            match &mut input {
                Some(lines) => lines.next_line().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = events.next() => match event {
                Some(event) => print(&event, json.as_ref()),
                None => return Ok(()),
            },
            line = next_line => match line? {
                Some(line) => {
                    if !handle(session, &line, json.as_ref()).await {
                        return Ok(());
                    }
                }
                // The input is at its end: there is nothing left to say, but more to hear, until
                // somebody interrupts.
                None => input = None,
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// Does what a line asks for; false to quit.
async fn handle(session: &Session, line: &str, json: Option<&JsonEvents>) -> bool {
    let problem = match Line::parse(line) {
        Line::Say(text) => session.broadcast(text).await.err().map(|error| error.to_string()),
        Line::Tell(name, text) => tell(session, &name, &text).await.err(),
        Line::Peers => {
            list(session, json);
            None
        }
        Line::Quit => return false,
        Line::Nothing => None,
        Line::Unknown(help) => Some(help),
    };
    match (problem, json) {
        (Some(message), Some(json)) => {
            json.print_object(object(json!({"event": "error", "message": message})));
        }
        (Some(message), None) => output::line(&format!("! {message}")),
        (None, _) => {}
    }
    true
}

fn list(session: &Session, json: Option<&JsonEvents>) {
    let peers = session.peers();
    if let Some(json) = json {
        let peers: Vec<_> = peers.iter().map(peer_json).collect();
        json.print_object(object(json!({"event": "peers", "peers": peers})));
        return;
    }
    for peer in &peers {
        output::line(&format!("* {peer} ({})", peer.id.short()));
    }
    if peers.is_empty() {
        output::line(&"* nobody is here yet");
    }
}

fn print(event: &Event, json: Option<&JsonEvents>) {
    if let Some(json) = json {
        return json.print(event);
    }
    if let Some(text) = describe(event) {
        output::line(&text);
    }
}

/// An event as a line, if it is worth one.
pub(super) fn describe(event: &Event) -> Option<String> {
    Some(match event {
        Event::PeerConnected(peer) => format!("* {peer} is here"),
        Event::PeerDisconnected { peer, reason, unconfirmed } => {
            let lost = match unconfirmed.len() {
                0 => String::new(),
                count => format!("; {count} of your messages may not have arrived"),
            };
            format!("* {peer} is gone: {reason}{lost}")
        }
        Event::Message { from, data, .. } => {
            format!("{from}: {}", printable(&String::from_utf8_lossy(data)))
        }
        Event::DiscoveryProblem(problem) => format!("! {problem}"),
        _ => return None,
    })
}
