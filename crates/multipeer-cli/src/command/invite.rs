//! `multipeer invite` and `multipeer join`: by ticket into a session that cannot be heard.

use std::{io::IsTerminal, time::Duration};

use multipeer::{Session, Ticket};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::chat;
use crate::{
    cli::{Common, Invite, Join},
    failure::Failure,
    given::Given,
    output,
};

/// Time for the system to say which addresses this device has ...
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(5);
/// ... and the pause between two looks.
const ADDRESS_PAUSE: Duration = Duration::from_millis(50);

pub(crate) async fn run(common: &Common, options: &Invite) -> Result<(), Failure> {
    let people = chat::people(common, &options.chat)?;
    let session = common.start().await?;
    let result = async {
        let ticket = ticket(&session, common, options).await?;
        show(&ticket, common.json);
        // The ticket stays in sight.
        chat::in_lines(&session, people, common.json).await
    };
    let result = result.await;
    session.leave().await;
    result
}

pub(crate) async fn join(mut common: Common, options: Join) -> Result<(), Failure> {
    common.peers.push(Given::Ticket(options.ticket));
    chat::run(&common, &options.chat).await
}

async fn ticket(session: &Session, common: &Common, options: &Invite) -> Result<Ticket, Failure> {
    let mut ticket = with_addresses(session).await?;
    if !options.without_passcode {
        ticket.passcode = match session.passcode() {
            Some(passcode) => Some(passcode.to_text()),
            None => common.trust.passcode()?,
        };
    }
    Ok(ticket)
}

/// A ticket that leads somewhere: right after the start the addresses may not be known yet.
async fn with_addresses(session: &Session) -> Result<Ticket, Failure> {
    let deadline = Instant::now() + ADDRESS_TIMEOUT;
    loop {
        let over = || Failure::Check("the session is over".to_owned());
        let ticket = session.ticket().await.ok_or_else(over)?;
        if ticket.peers.iter().any(|peer| !peer.addresses.is_empty()) {
            return Ok(ticket);
        }
        if Instant::now() >= deadline {
            let text =
                "this device has no address that others could reach: connect to a network first";
            return Err(Failure::Check(text.to_owned()));
        }
        sleep(ADDRESS_PAUSE).await;
    }
}

/// Shows a ticket; on a terminal also for cameras.
fn show(ticket: &Ticket, json: bool) {
    let text = ticket.to_string();
    if json {
        return output::line(&json!({"event": "ticket", "ticket": text}));
    }
    if std::io::stdout().is_terminal()
        && let Some(picture) = picture(&text)
    {
        output::line(&picture);
    }
    output::line(&text);
    let secret = if ticket.passcode.is_some() { "; whoever has it gets in" } else { "" };
    output::line(&format!("* elsewhere: multipeer join and this ticket{secret}"));
}

/// A QR code, dark on light whatever the terminal's colours; nothing if the text is too long for one.
fn picture(text: &str) -> Option<String> {
    // Capital letters take two thirds of the room.
    let code = QrCode::with_error_correction_level(text.to_ascii_uppercase(), EcLevel::L).ok()?;
    // Terminals are light on dark: what is printed is light.
    let (dark, light) = (Dense1x2::Light, Dense1x2::Dark);
    Some(code.render::<Dense1x2>().dark_color(dark).light_color(light).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_a_square_with_a_light_margin_that_fits_a_terminal() {
        let text = format!("multipeer://{}", "a2".repeat(90));
        let picture = picture(&text).unwrap();
        let lines: Vec<&str> = picture.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert!(lines.len() * 2 >= width && lines.len() * 2 <= width + 1, "two rows in a line");
        assert!(width <= 80, "{width} columns");
        assert!(lines[0].chars().all(|cell| cell == '█'), "the margin is light");
    }
}
