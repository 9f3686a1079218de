//! `multipeer browse`: who is near.

use std::{io::IsTerminal, time::Duration};

use crossterm::{
    cursor::MoveToPreviousLine,
    execute,
    terminal::{Clear, ClearType},
};
use multipeer::{Event, Joining, Session, discovery::Way};
use tokio::time::{Instant, sleep_until};
use unicode_width::UnicodeWidthStr;

use crate::{
    cli::{Browse, Common, seconds},
    failure::Failure,
    output::{self, JsonEvents},
};

pub(crate) async fn run(common: &Common, options: &Browse) -> Result<(), Failure> {
    // Only looks: it takes no invitation and sends none.
    let session = common.session()?.joining(Joining::Ask).start().await?;
    let mut events = session.events();
    let json = common.json.then(JsonEvents::new);
    let mut table = (!common.json && std::io::stdout().is_terminal()).then(Table::default);
    let forever = Instant::now() + Duration::from_hours(8760);
    let end = options.timeout.map_or(forever, |timeout| Instant::now() + seconds(timeout));
    if let Some(table) = &mut table {
        table.draw(&session)?;
    }
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = sleep_until(end) => None,
            _ = tokio::signal::ctrl_c() => None,
        };
        let Some(event) = event else { break };
        if let Some(json) = &json {
            json.print(&event);
        } else if let Some(table) = &mut table {
            if let Event::DiscoveryProblem(problem) = &event {
                table.problem = Some(problem.to_string());
            }
            table.draw(&session)?;
        } else {
            print(&event);
        }
        // An invitation that is dropped is declined.
    }
    session.leave().await;
    Ok(())
}

/// A line for an event, where the output is no terminal.
fn print(event: &Event) {
    let (word, peer) = match event {
        Event::PeerFound(peer) => ("found", peer),
        Event::PeerUpdated(peer) => ("updated", peer),
        Event::PeerLost(peer) => ("lost", peer),
        Event::DiscoveryProblem(problem) => return output::line(&format!("problem {problem}")),
        _ => return,
    };
    let info: String = peer.info.iter().map(|(key, value)| format!(" {key}={value}")).collect();
    let info = output::printable(&info);
    output::line(&format!("{word} {} {}{info}", peer.id.short(), peer.name));
}

/// The peers that are near, drawn over what was drawn before.
#[derive(Default)]
struct Table {
    lines: u16,
    problem: Option<String>,
}

impl Table {
    fn draw(&mut self, session: &Session) -> std::io::Result<()> {
        let nearby = session.nearby();
        let mut lines = vec![match nearby.len() {
            0 => "nobody is near yet".to_owned(),
            1 => "1 peer is near".to_owned(),
            count => format!("{count} peers are near"),
        }];
        let width = nearby.iter().map(|peer| peer.name.as_str().width()).max().unwrap_or(0);
        for peer in &nearby {
            let gap = " ".repeat(width - peer.name.as_str().width());
            let info: Vec<String> = peer.info.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let info = output::printable(&info.join(" "));
            let ways: Vec<&str> = peer.ways.iter().map(Way::as_str).collect();
            let ways = ways.join(", ");
            lines.push(format!("  {}{gap}  {}  {ways}  {info}", peer.name, peer.id.short()));
        }
        lines.extend(self.problem.iter().map(|problem| format!("problem: {problem}")));
        let mut screen = std::io::stdout();
        if self.lines > 0 {
            execute!(screen, MoveToPreviousLine(self.lines))?;
        }
        execute!(screen, Clear(ClearType::FromCursorDown))?;
        lines.iter().for_each(output::line);
        self.lines = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        Ok(())
    }
}
