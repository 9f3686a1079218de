//! Codes that people tell each other.

mod words;

use std::fmt;

use multipeer_proto::trust::Secret;

use self::words::WORDS;

/// What a passcode that the session makes is to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasscodeForm {
    /// So many digits, 4 to 12, in groups: `481-516`. Each is worth 3.3 bits;
    /// [`WRONG_PROOF_INTERVAL`](multipeer_proto::limits::WRONG_PROOF_INTERVAL) says what that means.
    Digits(u8),
    /// So many English words, 2 to 8: `maple-otter-kite`. Each is worth 8 bits.
    Words(u8),
}

impl Default for PasscodeForm {
    fn default() -> Self {
        Self::Digits(6)
    }
}

impl PasscodeForm {
    /// What is wrong with it, if anything: the range, and what it has.
    pub(crate) fn problem(self) -> Option<(&'static str, u8)> {
        match self {
            Self::Digits(4..=12) | Self::Words(2..=8) => None,
            Self::Digits(count) => Some(("4 to 12 digits", count)),
            Self::Words(count) => Some(("2 to 8 words", count)),
        }
    }
}

/// A code that was made by this side, such as `481-516`.
#[derive(Clone)]
pub struct Passcode {
    text: Secret,
    form: PasscodeForm,
}

impl Passcode {
    /// A fresh one.
    pub(crate) fn generate(form: PasscodeForm) -> Self {
        let text = match form {
            PasscodeForm::Digits(count) => {
                let digits: Vec<u8> = (0..count).map(|_| random_digit()).collect();
                let group = if count % 3 == 0 { 3 } else { 4 };
                digits.chunks(group).collect::<Vec<_>>().join(&b'-')
            }
            PasscodeForm::Words(count) => {
                let words = (0..count).map(|_| WORDS[usize::from(random_byte())]);
                words.collect::<Vec<_>>().join("-").into_bytes()
            }
        };
        Self { text: Secret::new(text), form }
    }

    /// Another one of the same form.
    pub(crate) fn another(&self) -> Self {
        Self::generate(self.form)
    }

    /// The code as people read it.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(self.text.expose()).into_owned()
    }
}

fn random_byte() -> u8 {
    let mut byte = [0];
    let Ok(()) = getrandom::fill(&mut byte) else {
        unreachable!("the endpoint made a key before, from the same randomness")
    };
    byte[0]
}

/// Every digit is as likely as every other.
fn random_digit() -> u8 {
    loop {
        let byte = random_byte();
        if byte < 250 {
            return b'0' + byte % 10;
        }
    }
}

/// Without the code: logs are read by others.
impl fmt::Debug for Passcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passcode(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_have_the_form_that_is_asked_for_and_differ() {
        let lengths = |form| {
            let codes: Vec<String> = (0..50).map(|_| Passcode::generate(form).to_text()).collect();
            assert!(codes.iter().any(|code| *code != codes[0]));
            let groups = |code: &String| code.split('-').map(str::len).collect::<Vec<_>>();
            let first = groups(&codes[0]);
            let digits = |code: &String| code.bytes().all(|b| b.is_ascii_digit() || b == b'-');
            assert!(codes.iter().all(|code| digits(code) && groups(code) == first));
            first
        };
        assert_eq!(lengths(PasscodeForm::default()), [3, 3]);
        assert_eq!(lengths(PasscodeForm::Digits(4)), [4]);
        assert_eq!(lengths(PasscodeForm::Digits(10)), [4, 4, 2]);
        let words = Passcode::generate(PasscodeForm::Words(3)).to_text();
        assert_eq!(words.split('-').filter(|word| WORDS.contains(word)).count(), 3, "{words}");
        assert!(!format!("{:?}", Passcode::generate(PasscodeForm::Words(2))).contains('-'));
    }

    #[test]
    fn words_are_different_and_plain() {
        assert_eq!(WORDS.iter().collect::<BTreeSet<_>>().len(), 256);
        assert!(WORDS.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase())));
    }

    #[test]
    fn a_form_that_is_too_short_or_too_long_is_named() {
        assert_eq!(PasscodeForm::Digits(3).problem(), Some(("4 to 12 digits", 3)));
        assert_eq!(PasscodeForm::Words(9).problem(), Some(("2 to 8 words", 9)));
        assert_eq!(PasscodeForm::Words(8).problem(), None);
    }
}
