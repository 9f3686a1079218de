//! Chat on a terminal: messages, peers, and a line to write.

use crossterm::event::{Event as Key, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt;
use multipeer::Session;
use ratatui::{
    DefaultTerminal, Frame,
    layout::{Constraint, Layout, Position},
    style::{Color, Style, Stylize},
    text::Line as TextLine,
    widgets::{Block, Paragraph},
};
use unicode_width::UnicodeWidthStr;

use super::{
    Line,
    lines::{describe, how_verified},
    people::People,
    screen_state::ScreenState,
    tell,
};
use crate::{failure::Failure, output::printable};

/// Lines that one press of a page key moves the view.
const PAGE: isize = 10;

pub(super) async fn run(session: &Session, people: People) -> Result<(), Failure> {
    let mut terminal = ratatui::try_init()?;
    let result = show(session, people, &mut terminal).await;
    ratatui::try_restore()?;
    result
}

async fn show(
    session: &Session,
    mut people: People,
    terminal: &mut DefaultTerminal,
) -> Result<(), Failure> {
    let mut state = ScreenState::default();
    state.push("* write a line and press Enter; /help shows the commands".to_owned());
    if let Some(passcode) = session.passcode() {
        state.push(format!("* who wants to join must know the passcode {}", passcode.to_text()));
    }
    let mut events = session.events();
    let mut keys = EventStream::new();
    loop {
        terminal.draw(|frame| draw(frame, session, &mut state))?;
        tokio::select! {
            event = events.next() => match event {
                Some(event) => {
                    describe(session, &event).into_iter().for_each(|line| state.push(line));
                    people.note(session, event).into_iter().for_each(|line| state.push(line));
                }
                None => return Ok(()),
            },
            key = keys.next() => match key {
                Some(Ok(Key::Key(key))) if key.kind != KeyEventKind::Release => {
                    if !press(session, &mut people, &mut state, key).await {
                        return Ok(());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            },
        }
    }
}

/// Does what a key asks for; false to quit.
async fn press(
    session: &Session,
    people: &mut People,
    state: &mut ScreenState,
    key: KeyEvent,
) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'd') if control => return false,
        KeyCode::Char(character) if !control => state.insert(character),
        KeyCode::Backspace => state.delete_back(),
        KeyCode::Delete => state.delete(),
        KeyCode::Left => state.move_cursor(-1),
        KeyCode::Right => state.move_cursor(1),
        KeyCode::Home => state.move_cursor(isize::MIN),
        KeyCode::End => state.move_cursor(isize::MAX),
        KeyCode::Up => state.scroll(1),
        KeyCode::Down => state.scroll(-1),
        KeyCode::PageUp => state.scroll(PAGE),
        KeyCode::PageDown => state.scroll(-PAGE),
        KeyCode::Enter => return submit(session, people, state).await,
        _ => {}
    }
    true
}

async fn submit(session: &Session, people: &mut People, state: &mut ScreenState) -> bool {
    let line = state.submit();
    match Line::parse(&line) {
        Line::Say(text) => {
            state.push(format!("{}: {}", session.name(), printable(&text)));
            if let Err(error) = session.broadcast(text).await {
                state.push(format!("! {error}"));
            }
        }
        Line::Tell(name, text) => match tell(session, &name, &text).await {
            Ok(peer) => {
                state.push(format!("{} to {peer}: {}", session.name(), printable(&text)));
            }
            Err(problem) => state.push(format!("! {problem}")),
        },
        Line::Act(action, name, text) => {
            let done = people.act(session, action, &name, &text).await;
            state.push(done.unwrap_or_else(|problem| format!("! {problem}")));
        }
        Line::Peers => {
            for peer in session.peers() {
                let verified = how_verified(session, &peer);
                state.push(format!("* {peer} ({}){verified}", peer.id.short()));
            }
        }
        Line::Activity(activity) => session.set_activity(activity),
        Line::Quit => return false,
        Line::Nothing => {}
        Line::Unknown(help) => state.push(format!("! {help}")),
    }
    true
}

fn draw(frame: &mut Frame<'_>, session: &Session, state: &mut ScreenState) {
    let [upper, lower] =
        Layout::vertical([Constraint::Min(3), Constraint::Length(3)]).areas(frame.area());
    let [messages, peers] =
        Layout::horizontal([Constraint::Min(20), Constraint::Length(24)]).areas(upper);

    let [width, height] =
        [messages.width, messages.height].map(|s| usize::from(s.saturating_sub(2)));
    let rows = state.visible(width, height);
    let lines: Vec<TextLine<'_>> = rows.iter().map(|row| styled(row)).collect();
    let title = match state.scrolled_back() {
        0 => format!(" {} ", session.name()),
        newer => format!(" {} ({newer} newer) ", session.name()),
    };
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), messages);

    let members = session.peers();
    let title = format!(" {} here ", members.len());
    let names: Vec<TextLine<'_>> =
        members.iter().map(|peer| TextLine::from(peer.name.to_string())).collect();
    frame.render_widget(Paragraph::new(names).block(Block::bordered().title(title)), peers);

    // The end of a long line is what is being written.
    let width = lower.width.saturating_sub(3);
    let cursor = u16::try_from(state.before_cursor().width()).unwrap_or(u16::MAX);
    let hidden = cursor.saturating_sub(width);
    let input = Paragraph::new(state.input()).scroll((0, hidden)).block(Block::bordered());
    frame.render_widget(input, lower);
    frame.set_cursor_position(Position::new(lower.x + 1 + cursor - hidden, lower.y + 1));
}

fn styled(line: &str) -> TextLine<'_> {
    match line.as_bytes().first() {
        Some(b'*') => TextLine::from(line).dim(),
        Some(b'!') => TextLine::styled(line, Style::new().fg(Color::Red)),
        _ => TextLine::from(line),
    }
}
