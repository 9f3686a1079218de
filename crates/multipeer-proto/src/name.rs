//! Names that keep their rules: once one of these exists it is valid.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use crate::limits::{
    MAX_DISPLAY_NAME_BYTES, MAX_INFO_BYTES, MAX_INFO_KEY_BYTES, MAX_INFO_PAIR_BYTES,
    MAX_SERVICE_TYPE_CHARS,
};

/// A name, a service type or discovery info that breaks a rule. The text names rule and value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The display name is empty.
    #[error("a display name must not be empty")]
    DisplayNameEmpty,
    /// The display name is too long.
    #[error("a display name has at most 63 bytes of UTF-8, and {name:?} has {bytes}")]
    DisplayNameTooLong {
        /// The name that was given, cut to 80 characters.
        name: String,
        /// Its length in bytes.
        bytes: usize,
    },
    /// The display name would move the cursor or forge a line on a terminal.
    #[error("a display name must not contain control characters, and {name:?} does")]
    DisplayNameControl {
        /// The name that was given.
        name: String,
    },
    /// The service type breaks RFC 6335, section 5.1.
    #[error(
        "a service type has 1 to 15 of a-z, 0-9 and '-', at least one letter, and no leading, \
         trailing or doubled hyphen (RFC 6335, section 5.1): {service_type:?} {problem}"
    )]
    ServiceType {
        /// The service type that was given, cut to 80 characters.
        service_type: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A key of the discovery info breaks RFC 6763, section 6.4, or is one of multipeer's own.
    #[error(
        "a key of discovery info has 1 to 32 printable ASCII characters, no '=' and no leading \
         '_' (RFC 6763, section 6.4): {key:?}"
    )]
    InfoKey {
        /// The key that was given, cut to 80 characters.
        key: String,
    },
    /// Two keys of the discovery info differ in case only, which DNS-SD does not tell apart.
    #[error("the discovery info has the key {key:?} twice (keys are compared without case)")]
    InfoKeyTwice {
        /// The second of the two.
        key: String,
    },
    /// A pair of the discovery info is too long.
    #[error("a pair of discovery info has at most 255 bytes, and that of {key:?} has {bytes}")]
    InfoPairTooLong {
        /// The pair's key.
        key: String,
        /// The length of `key=value` in bytes.
        bytes: usize,
    },
    /// The discovery info is too long.
    #[error("discovery info has at most 1300 bytes in all, and this has {bytes}")]
    InfoTooLong {
        /// The length in bytes, with a length byte for each pair.
        bytes: usize,
    },
}

fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The name that people see: 1 to 63 bytes of UTF-8 without control characters. Not unique.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DisplayName(Arc<str>);

impl DisplayName {
    /// Checks a name.
    pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
        let name = name.as_ref();
        if name.is_empty() {
            return Err(NameError::DisplayNameEmpty);
        }
        if name.len() > MAX_DISPLAY_NAME_BYTES {
            return Err(NameError::DisplayNameTooLong { name: excerpt(name), bytes: name.len() });
        }
        if name.chars().any(is_deceptive) {
            return Err(NameError::DisplayNameControl { name: excerpt(name) });
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters, and those that reorder or hide text on a screen.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for DisplayName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

/// What a session is about, such as `chat`: announced as `_chat._udp` (RFC 6335, section 5.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceType(Arc<str>);

impl ServiceType {
    /// Checks a service type.
    pub fn new(service_type: impl AsRef<str>) -> Result<Self, NameError> {
        let text = service_type.as_ref();
        let problem = if text.is_empty() {
            Some("is empty")
        } else if text.chars().count() > MAX_SERVICE_TYPE_CHARS {
            Some("is longer than 15 characters")
        } else if text.chars().any(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
            Some("has a character that is none of them")
        } else if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            Some("has no letter")
        } else if text.starts_with('-') || text.ends_with('-') || text.contains("--") {
            Some("has a leading, trailing or doubled hyphen")
        } else {
            None
        };
        match problem {
            Some(problem) => Err(NameError::ServiceType { service_type: excerpt(text), problem }),
            None => Ok(Self(text.into())),
        }
    }

    /// The service type as text, without the underscore of DNS-SD.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ServiceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for ServiceType {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

/// Small key/value pairs that a peer announces, such as `mood=happy`.
///
/// A pair has at most 255 bytes and all together 1300. Keys are printable ASCII without `=`, do
/// not start with `_`, and are compared without case.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct DiscoveryInfo(Arc<BTreeMap<String, String>>);

impl DiscoveryInfo {
    /// Checks the pairs.
    pub fn new<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, NameError>
    where
        K: Into<String>,
        V: Into<String>,
    {
        let mut checked = BTreeMap::new();
        let mut total = 0;
        for (key, value) in pairs {
            let (key, value) = (key.into(), value.into());
            let printable = key.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'=');
            if key.is_empty()
                || key.len() > MAX_INFO_KEY_BYTES
                || key.starts_with('_')
                || !printable
            {
                return Err(NameError::InfoKey { key: excerpt(&key) });
            }
            let bytes = key.len() + 1 + value.len();
            if bytes > MAX_INFO_PAIR_BYTES {
                return Err(NameError::InfoPairTooLong { key, bytes });
            }
            // One length byte stands before each pair in a TXT record.
            total += bytes + 1;
            if checked.keys().any(|known: &String| known.eq_ignore_ascii_case(&key)) {
                return Err(NameError::InfoKeyTwice { key });
            }
            checked.insert(key, value);
            if total > MAX_INFO_BYTES {
                return Err(NameError::InfoTooLong { bytes: total });
            }
        }
        Ok(Self(Arc::new(checked)))
    }

    /// The value of a key, found without regard to case.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    }

    /// All pairs, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for DiscoveryInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_name_has_1_to_63_bytes() {
        assert!(DisplayName::new("Zoë 🦊").is_ok());
        assert!(DisplayName::new("x".repeat(63)).is_ok());
        assert_eq!(DisplayName::new(""), Err(NameError::DisplayNameEmpty));
        let error = DisplayName::new("é".repeat(32)).unwrap_err().to_string();
        assert!(error.contains("at most 63 bytes") && error.contains("has 64"), "{error}");
    }

    #[test]
    fn a_display_name_cannot_forge_a_line_on_a_terminal() {
        for name in ["a\nb", "\u{1b}[2J", "a\u{202e}b", "a\0"] {
            assert!(matches!(DisplayName::new(name), Err(NameError::DisplayNameControl { .. })));
        }
    }

    #[test]
    fn a_service_type_follows_rfc_6335() {
        for right in ["chat", "a", "x-1-y", "123456789012a45"] {
            assert!(ServiceType::new(right).is_ok(), "{right}");
        }
        for (wrong, problem) in [
            ("", "is empty"),
            ("1234567890123456", "longer than 15"),
            ("Chat", "none of them"),
            ("chät", "none of them"),
            ("123", "no letter"),
            ("-a", "hyphen"),
            ("a-", "hyphen"),
            ("a--b", "hyphen"),
        ] {
            let error = ServiceType::new(wrong).unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains("RFC 6335"), "{wrong}: {error}");
        }
    }

    #[test]
    fn discovery_info_is_held_to_its_limits() {
        assert!(DiscoveryInfo::new([("mood", "happy"), ("level", "3")]).is_ok());
        assert!(matches!(
            DiscoveryInfo::new([("k", "v".repeat(254))]),
            Err(NameError::InfoPairTooLong { bytes: 256, .. })
        ));
        assert!(matches!(
            DiscoveryInfo::new((0..6).map(|i| (format!("k{i}"), "v".repeat(250)))),
            Err(NameError::InfoTooLong { .. })
        ));
        assert!(matches!(
            DiscoveryInfo::new([("a", "1"), ("A", "2")]),
            Err(NameError::InfoKeyTwice { .. })
        ));
        for key in ["", "_id", "a=b", "ä", "a\n", &"k".repeat(33)] {
            assert!(matches!(DiscoveryInfo::new([(key, "")]), Err(NameError::InfoKey { .. })));
        }
    }
}
