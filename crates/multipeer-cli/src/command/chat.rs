//! `multipeer chat`: talk with everyone who is near.

mod lines;
mod screen;
mod screen_state;

use std::io::IsTerminal;

use multipeer::{Peer, SendError, Session};

use super::peers;
use crate::{
    cli::{Chat, Common},
    failure::Failure,
};

pub(crate) async fn run(common: &Common, options: &Chat) -> Result<(), Failure> {
    let session = common.start().await?;
    let on_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let result = if on_terminal && !options.plain && !common.json {
        screen::run(&session).await
    } else {
        lines::run(&session, common.json).await
    };
    session.leave().await;
    result
}

/// What a line of input asks for.
#[derive(Debug, PartialEq)]
enum Line {
    Say(String),
    /// A name, and what to tell it alone.
    Tell(String, String),
    Peers,
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
            ("peers", "") => Self::Peers,
            ("quit", "") => Self::Quit,
            ("msg", rest) => match split_name(rest) {
                Some((name, text)) => Self::Tell(name.to_owned(), text.to_owned()),
                None => Self::Unknown("/msg NAME TEXT; a name with spaces stands in quotes".into()),
            },
            _ => Self::Unknown(format!("/{word} is none of /peers, /msg NAME TEXT, /quit")),
        }
    }
}

/// A name, in quotes if it has spaces, and the text behind it.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => text.split_once(' ')?,
    };
    let rest = rest.trim_start();
    (!name.is_empty() && !rest.is_empty()).then_some((name, rest))
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
        for wrong in ["/msg Bob", "/msg", "/dance", "/peers x", "/msg \"\" x"] {
            assert!(matches!(Line::parse(wrong), Line::Unknown(_)), "{wrong}");
        }
    }
}
