//! What a peer announces on the network: the strings of its TXT record (RFC 6763, section 6).

use crate::{
    id::PeerId,
    limits::MAX_DISPLAY_NAME_BYTES,
    name::{DiscoveryInfo, DisplayName, NameError},
    session::Role,
    trust::AnnouncedTags,
};

/// The version of the record's format, the value of `_v`.
const FORMAT: &str = "1";
/// Characters of the id in an instance name: 50 bits, so that no two peers on one network are
/// ever given the same name.
const SUFFIX_CHARS: usize = 10;

/// Who is near, as it says itself. Nothing of it is proven until a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The peer's id: what it is known by.
    pub peer: PeerId,
    /// Its name, unless it keeps that to itself.
    pub name: Option<DisplayName>,
    /// What else it says.
    pub info: DiscoveryInfo,
    /// What it says to those with whom it is paired.
    pub tags: Option<AnnouncedTags>,
    /// What it is in a session of clients and a host; nothing in a mesh.
    pub role: Option<Role>,
}

/// Why a TXT record is not an announcement of ours. Such records are ignored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnouncementError {
    /// A key that must be there is not.
    #[error("the record has no {0:?}")]
    Missing(&'static str),
    /// The record's format is of another version.
    #[error("the record's format is version {0:?}, and ours is {FORMAT:?}")]
    Format(String),
    /// The id is none.
    #[error("the record's id is not a peer id")]
    Id,
    /// The tags are none.
    #[error("the record's tags are not 32 of 5 bytes each")]
    Tags,
    /// The role is none.
    #[error("the record's role is neither \"host\" nor \"client\"")]
    Role,
    /// The name or the info breaks a rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A value is not UTF-8.
    #[error("the value of {0:?} is not UTF-8")]
    NotUtf8(String),
}

impl Announcement {
    /// The strings of the TXT record, as keys and values.
    pub fn to_txt(&self) -> Vec<(String, String)> {
        let own = [("_v", FORMAT.to_owned()), ("_id", self.peer.to_string())];
        let name = self.name.as_ref().map(|name| ("_name", name.as_str().to_owned()));
        let tags = self.tags.as_ref().map(|tags| ("_tags", tags.to_text()));
        let role = self.role.map(|role| ("_role", role.as_str().to_owned()));
        own.into_iter()
            .chain(name)
            .chain(tags)
            .chain(role)
            .map(|(key, value)| (key.to_owned(), value))
            .chain(self.info.iter().map(|(key, value)| (key.to_owned(), value.to_owned())))
            .collect()
    }

    /// Reads the strings of a TXT record. Keys are compared without case, and of two equal keys
    /// the first counts (RFC 6763, section 6.4). A key without a value has the empty one.
    pub fn from_txt<'a>(
        strings: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, AnnouncementError> {
        let (mut format, mut id, mut name, mut tags, mut role) = (None, None, None, None, None);
        let mut info: Vec<(&str, &str)> = Vec::new();
        for (key, value) in strings {
            let value = std::str::from_utf8(value)
                .map_err(|_| AnnouncementError::NotUtf8(key.chars().take(80).collect()))?;
            match key.to_ascii_lowercase().as_str() {
                "_v" => _ = format.get_or_insert(value),
                "_id" => _ = id.get_or_insert(value),
                "_name" => _ = name.get_or_insert(value),
                "_tags" => _ = tags.get_or_insert(value),
                "_role" => _ = role.get_or_insert(value),
                // Kept for later versions.
                reserved if reserved.starts_with('_') => {}
                _ if info.iter().any(|(known, _)| known.eq_ignore_ascii_case(key)) => {}
                _ => info.push((key, value)),
            }
        }
        let format = format.ok_or(AnnouncementError::Missing("_v"))?;
        if format != FORMAT {
            return Err(AnnouncementError::Format(format.chars().take(80).collect()));
        }
        let id = id.ok_or(AnnouncementError::Missing("_id"))?;
        Ok(Self {
            peer: id.parse().map_err(|_| AnnouncementError::Id)?,
            name: name.map(DisplayName::new).transpose()?,
            info: DiscoveryInfo::new(info)?,
            tags: tags
                .map(|text| AnnouncedTags::from_text(text).ok_or(AnnouncementError::Tags))
                .transpose()?,
            role: role
                .map(|text| Role::from_text(text).ok_or(AnnouncementError::Role))
                .transpose()?,
        })
    }

    /// The DNS-SD instance name: the display name if it is told, cut at a character, and a suffix from
    /// the id that makes it unique. At most 63 bytes (RFC 6763, section 4.1.1).
    pub fn instance_name(&self) -> String {
        let suffix = &self.peer.to_string()[..SUFFIX_CHARS];
        let room = MAX_DISPLAY_NAME_BYTES - SUFFIX_CHARS - 1;
        match self.name.as_ref().map(DisplayName::as_str) {
            Some(name) => format!("{} {suffix}", &name[..name.floor_char_boundary(room)]),
            None => suffix.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn announcement(name: &str) -> Announcement {
        Announcement {
            peer: PeerId::from_bytes([0xab; 32]),
            name: Some(DisplayName::new(name).unwrap()),
            info: DiscoveryInfo::new([("mood", "happy"), ("flag", "")]).unwrap(),
            tags: None,
            role: None,
        }
    }

    fn parse(strings: &[(String, String)]) -> Result<Announcement, AnnouncementError> {
        Announcement::from_txt(strings.iter().map(|(key, value)| (&**key, value.as_bytes())))
    }

    #[test]
    fn an_announcement_reads_back_from_its_record() {
        let announcement = announcement("Zoë");
        assert_eq!(parse(&announcement.to_txt()), Ok(announcement));
    }

    #[test]
    fn a_private_announcement_has_neither_name_nor_info() {
        let private =
            Announcement { name: None, info: DiscoveryInfo::default(), ..announcement("Zoë") };
        assert_eq!(private.to_txt().len(), 2);
        assert_eq!(private.instance_name(), "ababababab");
        assert_eq!(parse(&private.to_txt()), Ok(private.clone()));
        let paired = Announcement { tags: AnnouncedTags::from_text(&"A".repeat(214)), ..private };
        assert!(paired.tags.is_some());
        assert!(paired.to_txt().iter().all(|(key, value)| key.len() + 1 + value.len() <= 255));
        assert_eq!(parse(&paired.to_txt()), Ok(paired));
    }

    #[test]
    fn a_role_is_announced_and_one_that_is_none_is_refused() {
        let host = Announcement { role: Some(Role::Host), ..announcement("a") };
        let mut strings = host.to_txt();
        assert_eq!(parse(&strings), Ok(host));
        strings.iter_mut().filter(|(key, _)| key == "_role").for_each(|(_, role)| role.push('s'));
        assert_eq!(parse(&strings), Err(AnnouncementError::Role));
    }

    #[test]
    fn the_largest_record_has_room_for_the_largest_info() {
        let pairs = (0..5).map(|i| (format!("k{i}"), "v".repeat(252)));
        let announcement = Announcement {
            info: DiscoveryInfo::new(pairs).unwrap(),
            ..announcement(&"x".repeat(63))
        };
        assert!(announcement.to_txt().iter().all(|(k, v)| k.len() + 1 + v.len() <= 255));
        assert_eq!(parse(&announcement.to_txt()), Ok(announcement));
    }

    #[test]
    fn rubbish_is_refused_with_its_reason() {
        let right = announcement("a").to_txt();
        let with = |key: &str, value: &str| {
            let mut strings = right.clone();
            strings.iter_mut().filter(|(k, _)| k == key).for_each(|(_, v)| *v = value.to_owned());
            parse(&strings).unwrap_err()
        };
        assert_eq!(parse(&[]), Err(AnnouncementError::Missing("_v")));
        assert_eq!(with("_v", "2"), AnnouncementError::Format("2".to_owned()));
        assert_eq!(with("_id", "abc"), AnnouncementError::Id);
        let tags = AnnouncedTags::from_text(&"A".repeat(214));
        let mut short = Announcement { tags, ..announcement("a") }.to_txt();
        short.iter_mut().filter(|(key, _)| key == "_tags").for_each(|(_, text)| text.truncate(210));
        assert_eq!(parse(&short), Err(AnnouncementError::Tags));
        assert!(matches!(with("_name", ""), AnnouncementError::Name(_)));
        assert!(matches!(with("_name", "a\u{7}"), AnnouncementError::Name(_)));
        let error = Announcement::from_txt([("mood", &[0xff][..])]).unwrap_err();
        assert_eq!(error, AnnouncementError::NotUtf8("mood".to_owned()));
    }

    #[test]
    fn keys_of_a_later_version_are_ignored_and_the_first_of_equal_keys_counts() {
        let mut strings = announcement("a").to_txt();
        strings.push(("_later".to_owned(), "x".to_owned()));
        strings.push(("MOOD".to_owned(), "sad".to_owned()));
        assert_eq!(parse(&strings), Ok(announcement("a")));
    }

    proptest! {
        #[test]
        fn an_instance_name_is_one_dns_label(name in "[a-zé漢🦊 ]{1,20}") {
            let name: String = name.chars().scan(0, |bytes, c| {
                *bytes += c.len_utf8();
                (*bytes <= 63).then_some(c)
            }).collect();
            prop_assert!(announcement(&name).instance_name().len() <= 63);
        }
    }
}
