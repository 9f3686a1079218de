//! What the chat's screen shows, apart from any terminal.

use std::collections::VecDeque;

/// Lines that can be scrolled back to.
const MAX_LINES: usize = 10_000;

/// The messages, the input line, and how far back the view is.
#[derive(Debug, Default)]
pub(super) struct ScreenState {
    lines: VecDeque<String>,
    /// The input, and the cursor in it, as a count of characters.
    input: Vec<char>,
    cursor: usize,
    /// Lines between the end and the bottom of the view.
    scrolled_back: usize,
}

impl ScreenState {
    pub(super) fn push(&mut self, line: String) {
        self.lines.push_back(line);
        if self.lines.len() > MAX_LINES {
            self.lines.pop_front();
        }
        // Who reads what was said before is not disturbed.
        if self.scrolled_back > 0 {
            self.scroll(1);
        }
    }

    /// The lines that a view of this height shows.
    pub(super) fn visible(&self, height: usize) -> impl Iterator<Item = &str> {
        let end = self.lines.len() - self.scrolled_back.min(self.lines.len());
        let start = end.saturating_sub(height);
        self.lines.range(start..end).map(String::as_str)
    }

    /// Moves the view so many lines back, or forward when it is negative.
    pub(super) fn scroll(&mut self, lines: isize) {
        let furthest = self.lines.len().saturating_sub(1);
        self.scrolled_back = self.scrolled_back.saturating_add_signed(lines).min(furthest);
    }

    pub(super) fn scrolled_back(&self) -> usize {
        self.scrolled_back
    }

    pub(super) fn input(&self) -> String {
        self.input.iter().collect()
    }

    /// What stands before the cursor.
    pub(super) fn before_cursor(&self) -> String {
        self.input[..self.cursor].iter().collect()
    }

    pub(super) fn insert(&mut self, character: char) {
        self.input.insert(self.cursor, character);
        self.cursor += 1;
    }

    pub(super) fn delete_back(&mut self) {
        if self.cursor > 0 {
            self.cursor -= 1;
            self.input.remove(self.cursor);
        }
    }

    pub(super) fn delete(&mut self) {
        if self.cursor < self.input.len() {
            self.input.remove(self.cursor);
        }
    }

    pub(super) fn move_cursor(&mut self, by: isize) {
        self.cursor = self.cursor.saturating_add_signed(by).min(self.input.len());
    }

    /// Takes the input, and shows the end again.
    pub(super) fn submit(&mut self) -> String {
        self.cursor = 0;
        self.scrolled_back = 0;
        self.input.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visible(state: &ScreenState) -> Vec<&str> {
        state.visible(3).collect()
    }

    #[test]
    fn the_view_stays_where_it_was_scrolled_to() {
        let mut state = ScreenState::default();
        (0..10).for_each(|number| state.push(number.to_string()));
        assert_eq!(visible(&state), ["7", "8", "9"]);
        state.scroll(4);
        assert_eq!(visible(&state), ["3", "4", "5"]);
        state.push("10".to_owned());
        assert_eq!(visible(&state), ["3", "4", "5"]);
        state.scroll(-100);
        assert_eq!(visible(&state), ["8", "9", "10"]);
        state.scroll(100);
        assert_eq!(visible(&state), ["0"]);
    }

    #[test]
    fn the_input_line_is_edited_at_the_cursor() {
        let mut state = ScreenState::default();
        "hällo".chars().for_each(|c| state.insert(c));
        state.move_cursor(-3);
        state.delete_back();
        state.insert('e');
        assert_eq!(state.before_cursor(), "he");
        state.delete();
        state.move_cursor(100);
        state.insert('!');
        assert_eq!(state.submit(), "helo!");
        assert_eq!(state.input(), "");
    }
}
