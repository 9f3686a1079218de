//! A string that both ends of a link can show, for people to compare.

use hkdf::Hkdf;
use sha2::Sha256;

use super::LinkKeys;

/// Digits of the string: 66 bits. Somebody between the two has a link to each, and would have to find
/// keys for which both strings are the same while the handshakes wait.
const DIGITS: u32 = 20;
/// Digits in one group.
const GROUP: usize = 4;

/// Twenty digits in groups of four, the same at both ends of a link and at no other link.
pub(crate) fn comparison(keys: &LinkKeys) -> String {
    let mut bytes = [0; 16];
    let derive = Hkdf::<Sha256>::new(None, keys.exporter());
    let Ok(()) = derive.expand(b"multipeer comparison", &mut bytes) else {
        unreachable!("sixteen bytes are within what HKDF gives")
    };
    let number = u128::from_be_bytes(bytes) % 10_u128.pow(DIGITS);
    let digits = format!("{number:0width$}", width = DIGITS as usize);
    let mut text = String::with_capacity(digits.len() + digits.len() / GROUP);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % GROUP == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_link_have_the_same_and_other_links_another() {
        let of = |exporter, random| comparison(&LinkKeys::new([exporter; 32], [random; 32]));
        assert_eq!(of(1, 7), of(1, 8));
        assert_ne!(of(1, 7), of(2, 7));
        let text = of(1, 7);
        let groups: Vec<&str> = text.split(' ').collect();
        assert_eq!(groups.len(), 5);
        let four_digits =
            |group: &&str| group.len() == 4 && group.bytes().all(|b| b.is_ascii_digit());
        assert!(groups.iter().all(four_digits), "{text}");
    }
}
