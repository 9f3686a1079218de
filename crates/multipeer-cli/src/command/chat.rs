//! `multipeer chat`: talk with everyone who is near.

mod lines;
mod people;
mod screen;
mod screen_state;

use std::io::IsTerminal;

use multipeer::{Activity, PairedDevices, Peer, SendError, Session};

use self::people::{Action, People};
use super::peers;
use crate::{
    cli::{Chat, Common},
    failure::Failure,
    trust::paired_file,
};

pub(crate) use self::lines::run as in_lines;

/// Those whom the user decides about.
pub(crate) fn people(common: &Common, options: &Chat) -> Result<People, Failure> {
    Ok(People::new(match (&common.identity, options.pair) {
        (Some(identity), true) => Some(PairedDevices::load(paired_file(identity))?),
        (None, true) => {
            return Err(Failure::Check("--pair needs an id to keep: --identity FILE".to_owned()));
        }
        (_, false) => None,
    }))
}

pub(crate) async fn run(common: &Common, options: &Chat) -> Result<(), Failure> {
    let people = people(common, options)?;
    let session = common.start().await?;
    let on_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let result = if on_terminal && !options.plain && !common.json {
        screen::run(&session, people).await
    } else {
        lines::run(&session, people, common.json).await
    };
    session.leave().await;
    result
}

/// What a line can begin with.
const HELP: &str = "/peers, /msg NAME TEXT, /check NAME, /invite NAME, /accept NAME, /decline NAME, \
                    /remove NAME [REASON], /nudge NAME [TEXT], /away, /back, /quit";

/// What a line of input asks for.
#[derive(Debug, PartialEq)]
enum Line {
    Say(String),
    /// A name, and what to tell it alone.
    Tell(String, String),
    /// What to do, about whom, and words for it.
    Act(Action, String, String),
    Peers,
    Activity(Activity),
    Quit,
    Nothing,
    Unknown(String),
}

impl Line {
    fn parse(line: &str) -> Self {
        let line = line.trim_end_matches(['\r', '\n']);
        let Some(command) = line.strip_prefix('/') else {
            return if line.is_empty() { Self::Nothing } else { Self::Say(line.to_owned()) };
        };
        let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
        match (word, rest.trim_start()) {
            ("help", "") => Self::Unknown(HELP.to_owned()),
            ("peers", "") => Self::Peers,
            ("away", "") => Self::Activity(Activity::Background),
            ("back", "") => Self::Activity(Activity::Foreground),
            ("quit", "") => Self::Quit,
            ("msg", rest) => match split_name(rest) {
                Some((name, text)) => Self::Tell(name.to_owned(), text.to_owned()),
                None => Self::Unknown("/msg NAME TEXT; a name with spaces stands in quotes".into()),
            },
            (word, rest) => match (Action::parse(word), first_name(rest)) {
                (Some(action), Some((name, text))) => {
                    Self::Act(action, name.to_owned(), text.to_owned())
                }
                (Some(_), None) => Self::Unknown(format!("/{word} NAME [TEXT]")),
                (None, _) => Self::Unknown(format!("/{word} is none of {HELP}")),
            },
        }
    }
}

/// A name, in quotes if it has spaces, and the text behind it.
fn split_name(text: &str) -> Option<(&str, &str)> {
    first_name(text).filter(|(_, rest)| !rest.is_empty())
}

/// A name, in quotes if it has spaces, and the text behind it, if there is any.
fn first_name(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => text.split_once(' ').unwrap_or((text, "")),
    };
    (!name.is_empty()).then_some((name, rest.trim_start()))
}

/// Sends a line to one peer, who is returned.
async fn tell(session: &Session, name: &str, text: &str) -> Result<Peer, String> {
    let peer = peers::choose(&session.peers(), name).map_err(|failure| failure.to_string())?;
    let peer = peer.ok_or_else(|| format!("nobody here is called {name:?}"))?;
    let sent = session.send(&peer, text.to_owned()).await;
    sent.map_err(|error: SendError| error.to_string())?;
    Ok(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_said_and_commands_are_done() {
        assert_eq!(Line::parse("hello\n"), Line::Say("hello".into()));
        assert_eq!(Line::parse(""), Line::Nothing);
        assert_eq!(Line::parse("/peers"), Line::Peers);
        assert_eq!(Line::parse("/quit\r\n"), Line::Quit);
        assert_eq!(Line::parse("/msg Bob hi there"), Line::Tell("Bob".into(), "hi there".into()));
        assert_eq!(Line::parse("/msg \"Bob B\" hi"), Line::Tell("Bob B".into(), "hi".into()));
        let act = |action, name: &str, text: &str| Line::Act(action, name.into(), text.into());
        assert_eq!(Line::parse("/accept Bob"), act(Action::Accept, "Bob", ""));
        let remove = Line::parse("/remove \"Bob B\" too loud");
        assert_eq!(remove, act(Action::Remove, "Bob B", "too loud"));
        for wrong in
            ["/msg Bob", "/accept", "/remove \"\"", "/msg", "/dance", "/peers x", "/msg \"\" x"]
        {
            assert!(matches!(Line::parse(wrong), Line::Unknown(_)), "{wrong}");
        }
    }
}
