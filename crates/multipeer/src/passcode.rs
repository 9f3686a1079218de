//! Codes that people tell each other.

use std::fmt;

use multipeer_proto::trust::Secret;

/// Digits of a code: [`WRONG_PROOF_INTERVAL`](multipeer_proto::limits::WRONG_PROOF_INTERVAL) says
/// what that is worth.
const DIGITS: usize = 6;

/// A code that was made by this side: six digits, shown as `481-516`.
#[derive(Clone)]
pub struct Passcode(Secret);

impl Passcode {
    /// A fresh one.
    pub(crate) fn generate() -> Self {
        let mut code = Vec::with_capacity(DIGITS);
        while code.len() < DIGITS {
            let mut byte = [0];
            let Ok(()) = getrandom::fill(&mut byte) else {
                unreachable!("the endpoint made a key before, from the same randomness")
            };
            // Every digit is as likely as every other.
            if byte[0] < 250 {
                code.push(b'0' + byte[0] % 10);
            }
        }
        Self(Secret::new(code))
    }

    /// The code as people read it.
    pub fn to_text(&self) -> String {
        let digits = String::from_utf8_lossy(self.0.expose());
        let (first, second) = digits.split_at(DIGITS / 2);
        format!("{first}-{second}")
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
    use super::*;

    #[test]
    fn codes_are_six_digits_in_two_groups_and_differ() {
        let codes: Vec<String> = (0..50).map(|_| Passcode::generate().to_text()).collect();
        for code in &codes {
            let (first, second) = code.split_once('-').unwrap();
            for group in [first, second] {
                assert!(group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit()), "{code}");
            }
        }
        assert!(codes.iter().any(|code| *code != codes[0]));
        assert!(!format!("{:?}", Passcode::generate()).contains(|c: char| c.is_ascii_digit()));
    }
}
