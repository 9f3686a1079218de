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
    /// Messages between the end and the bottom of the view.
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

    /// The rows that a view of this size shows: long lines are wrapped, and a view that is
    /// scrolled to the beginning is full.
    pub(super) fn visible(&mut self, width: usize, height: usize) -> VecDeque<String> {
        loop {
            let mut rows = VecDeque::new();
            for line in self.lines.iter().rev().skip(self.scrolled_back) {
                for row in textwrap::wrap(line, width.max(1)).into_iter().rev() {
                    rows.push_front(row.into_owned());
                }
                if rows.len() >= height {
                    rows.drain(..rows.len() - height);
                    return rows;
                }
            }
            if self.scrolled_back == 0 {
                return rows;
            }
            self.scrolled_back -= 1;
        }
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

    fn visible(state: &mut ScreenState) -> Vec<String> {
        state.visible(10, 3).into()
    }

    #[test]
    fn the_view_stays_where_it_was_scrolled_to() {
        let mut state = ScreenState::default();
        (0..10).for_each(|number| state.push(number.to_string()));
        assert_eq!(visible(&mut state), ["7", "8", "9"]);
        state.scroll(4);
        assert_eq!(visible(&mut state), ["3", "4", "5"]);
        state.push("10".to_owned());
        assert_eq!(visible(&mut state), ["3", "4", "5"]);
        state.scroll(-100);
        assert_eq!(visible(&mut state), ["8", "9", "10"]);
        state.scroll(100);
        assert_eq!(visible(&mut state), ["0", "1", "2"]);
    }

    #[test]
    fn a_long_line_is_wrapped_and_none_of_it_is_lost() {
        let mut state = ScreenState::default();
        state.push("first".to_owned());
        state.push("漢字 and words that are long".to_owned());
        assert_eq!(visible(&mut state), ["漢字 and", "words that", "are long"]);
        state.push("wwwwwwwwwwwwwww".to_owned());
        assert_eq!(visible(&mut state), ["are long", "wwwwwwwwww", "wwwww"]);
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
