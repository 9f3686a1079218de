//! Chat in lines: what is read is sent, what comes is printed.

use multipeer::{Event, Peer, Session, Verified};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{Line, people::People, tell};
use crate::{
    failure::Failure,
    output::{self, JsonEvents, object, peer_json, printable},
};

pub(crate) async fn run(session: &Session, mut people: People, json: bool) -> Result<(), Failure> {
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
                Some(event) => {
                    print(session, &event, json.as_ref());
                    if let Some(text) = people.note(session, event) {
                        show(&text, json.as_ref());
                    }
                }
                None => return Ok(()),
            },
            line = next_line => match line? {
                Some(line) => {
                    if !handle(session, &mut people, &line, json.as_ref()).await {
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
async fn handle(
    session: &Session,
    people: &mut People,
    line: &str,
    json: Option<&JsonEvents>,
) -> bool {
    let problem = match Line::parse(line) {
        Line::Say(text) => session.broadcast(text).await.err().map(|error| error.to_string()),
        Line::Tell(name, text) => tell(session, &name, &text).await.err(),
        Line::Act(action, name, text) => match people.act(session, action, &name, &text).await {
            Ok(done) => {
                show(&done, json);
                None
            }
            Err(problem) => Some(problem),
        },
        Line::Peers => {
            list(session, json);
            None
        }
        Line::Activity(activity) => {
            session.set_activity(activity);
            None
        }
        Line::Quit => return false,
        Line::Nothing => None,
        Line::Unknown(help) => Some(help),
    };
    if let Some(problem) = problem {
        show(&format!("! {problem}"), json);
    }
    true
}

/// Shows what was done or not: a line for people, that begins with what kind it is.
fn show(text: &str, json: Option<&JsonEvents>) {
    let Some(json) = json else { return output::line(&text) };
    let value = match text.split_at_checked(2) {
        Some(("! ", problem)) => json!({"event": "error", "message": problem}),
        Some((_, done)) => json!({"event": "done", "text": done}),
        None => json!({"event": "done", "text": text}),
    };
    json.print_object(object(value));
}

fn list(session: &Session, json: Option<&JsonEvents>) {
    let peers = session.peers();
    if let Some(json) = json {
        let peers: Vec<_> = peers.iter().map(peer_json).collect();
        json.print_object(object(json!({"event": "peers", "peers": peers})));
        return;
    }
    for peer in &peers {
        let verified = how_verified(session, peer);
        output::line(&format!("* {peer} ({}){verified}", peer.id.short()));
    }
    if peers.is_empty() {
        output::line(&"* nobody is here yet");
    }
}

fn print(session: &Session, event: &Event, json: Option<&JsonEvents>) {
    if let Some(json) = json {
        return json.print_verified(session, event);
    }
    if let Some(text) = describe(session, event) {
        output::line(&text);
    }
}

/// How a peer was verified; nothing in an open session.
pub(super) fn how_verified(session: &Session, peer: &Peer) -> String {
    match session.verified(peer) {
        None | Some(Verified::Open) => String::new(),
        Some(verified) => format!(", {verified}"),
    }
}

/// An event as a line, if it is worth one.
pub(super) fn describe(session: &Session, event: &Event) -> Option<String> {
    Some(match event {
        Event::PeerConnected(peer) => format!("* {peer} is here{}", how_verified(session, peer)),
        Event::InvitationFailed { peer, error } if error.is_refused_admission() => {
            format!("! {peer}: {error}")
        }
        Event::Invitation(invitation) => {
            let from = invitation.from();
            let verified = match invitation.verified() {
                Verified::Open => String::new(),
                verified => format!(", {verified},"),
            };
            let context = printable(&String::from_utf8_lossy(invitation.context()));
            let says = if context.is_empty() { context } else { format!(" ({context})") };
            let digits = invitation.comparison().map(|digits| format!("; compare {digits}"));
            format!(
                "* {from} ({}){verified} asks you to join{says}: /accept or /decline{}",
                from.id.short(),
                digits.unwrap_or_default()
            )
        }
        Event::InvitationWithdrawn { from } => format!("* {from} does not ask any more"),
        Event::RemovalRefused { by, subject } => {
            format!("! {by} wanted to remove {subject}, and may not")
        }
        Event::ProofsRefused { peer, replaced_by } => {
            let new = replaced_by
                .as_ref()
                .map(|code| format!("; the new passcode is {}", code.to_text()));
            format!("! {peer} has tried three wrong secrets{}", new.unwrap_or_default())
        }
        Event::Nudged { from, text } => {
            output::ring();
            format!("* {from} wants you: {}", printable(text))
        }
        Event::ActivityChanged { peer, activity } => {
            format!("* {peer} is in the {}", activity.as_str())
        }
        Event::ViabilityChanged { peer, viable: false } => {
            format!("* {peer} does not answer; what is sent to it waits")
        }
        Event::ViabilityChanged { peer, viable: true } => format!("* {peer} answers again"),
        Event::PathChanged { peer, path } => format!("* {peer} is reached {}", path.route),
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
