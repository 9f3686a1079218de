//! What only those can read who are paired: keys that two devices share without ever having exchanged one,
//! and the tags by which they know each other under ids made for the occasion.
//!
//! The key of a pair is what X25519 (RFC 7748) makes of the two lasting keys, each end from its own secret
//! half and the other's id. (That a key signs and agrees at once is sound: "On using the same key pair for
//! Ed25519 and an X25519 based KEM", Thormarker, 2021.) A tag is a MAC under it: to everyone else it is
//! noise, and so are those that fill up the place, so that their number tells nothing.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, Mac};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode, encode::Write};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::{LinkKeys, LinkRole, exchange::link_message, keys::Keys};
use crate::{id::PeerId, name::DisplayName};

/// Tags in an announcement and in a hello, always: so many devices can be told, the first ones.
const TAGS: usize = 32;
/// Bytes of a tag in an announcement, which has little room. A stranger's is taken for one in a billion times,
/// and then nothing is lost but a dial.
const ANNOUNCED_TAG_BYTES: usize = 5;
/// Bytes of a tag in a hello, which proves who is there.
const SHOWN_TAG_BYTES: usize = 16;

/// What an announcement says to paired devices, and to nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct AnnouncedTags(Box<[[u8; ANNOUNCED_TAG_BYTES]; TAGS]>);

/// The devices with which this one is paired.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pairing {
    /// Makes the tags that are none.
    filler: Option<PairKey>,
    devices: Vec<Device>,
    /// How many of them, from the first, are told who this is.
    told: usize,
}

#[derive(Debug, Clone)]
struct Device {
    id: PeerId,
    name: Option<DisplayName>,
    key: PairKey,
}

/// A key that two devices share.
#[derive(Debug, Clone)]
struct PairKey(super::Secret);

impl AnnouncedTags {
    /// Base64 for URLs, without padding (RFC 4648, section 5): 214 characters.
    pub(crate) fn to_text(&self) -> String {
        BASE64URL_NOPAD.encode(self.0.as_flattened())
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        Self::from_bytes(&bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tags, []) = bytes.as_chunks() else { return None };
        Some(Self(Box::new(tags.try_into().ok()?)))
    }
}

impl<C> Encode<C> for AnnouncedTags {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(self.0.as_flattened())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for AnnouncedTags {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Self::from_bytes(d.bytes()?)
            .ok_or_else(|| decode::Error::message("tags are 32 of 5 bytes each"))
    }
}

impl fmt::Debug for AnnouncedTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnnouncedTags(..)")
    }
}

impl Pairing {
    /// The devices with these ids and names are told who this is, and known again; those on the list are
    /// known.
    pub(crate) fn new<'a>(
        keys: &Keys,
        paired: &[(PeerId, DisplayName)],
        listed: impl IntoIterator<Item = &'a PeerId>,
    ) -> Self {
        let device = |id: PeerId, name| {
            let key = PairKey(super::Secret::new(keys.shared_with(id)?.to_vec()));
            Some(Device { id, name, key })
        };
        let mut devices: Vec<Device> =
            paired.iter().filter_map(|(id, name)| device(*id, Some(name.clone()))).collect();
        let told = devices.len().min(TAGS);
        let others = listed.into_iter().filter(|&&id| paired.iter().all(|(known, _)| *known != id));
        devices.extend(others.filter_map(|&id| device(id, None)));
        let filler = device(keys.id(), None).map(|own| own.key);
        Self { filler, devices, told }
    }

    /// What an announcement under this id says to those who are told.
    pub(crate) fn announced(&self, id: PeerId) -> AnnouncedTags {
        AnnouncedTags(Box::new(self.tags(&announcement_message(id))))
    }

    /// What the end of a link with this role shows to those who are told; nothing if nobody is.
    pub(crate) fn shown(
        &self,
        role: LinkRole,
        ends: [PeerId; 2],
        link: &LinkKeys,
    ) -> Option<Vec<u8>> {
        let message = link_message("pairing", role, &[], ends, link);
        (self.told > 0).then(|| self.tags::<SHOWN_TAG_BYTES>(&message).concat())
    }

    /// Who announces itself under this id, with these tags.
    pub(crate) fn recognise(
        &self,
        id: PeerId,
        tags: &AnnouncedTags,
    ) -> Option<(PeerId, Option<&DisplayName>)> {
        let device = self.find(&announcement_message(id), &*tags.0)?;
        Some((device.id, device.name.as_ref()))
    }

    /// Who is at the end of the link that has this role and shows these tags.
    pub(crate) fn check(
        &self,
        tags: &[u8],
        role: LinkRole,
        ends: [PeerId; 2],
        link: &LinkKeys,
    ) -> Option<PeerId> {
        let (tags, rest) = tags.as_chunks::<SHOWN_TAG_BYTES>();
        if tags.len() != TAGS || !rest.is_empty() {
            return None;
        }
        Some(self.find(&link_message("pairing", role, &[], ends, link), tags)?.id)
    }

    /// In no order that tells whose is whose.
    fn tags<const BYTES: usize>(&self, message: &[u8]) -> [[u8; BYTES]; TAGS] {
        let mut tags = [[0; BYTES]; TAGS];
        for (number, tag) in (0..).zip(&mut tags) {
            if let Some(device) = self.devices[..self.told].get(usize::from(number)) {
                *tag = device.key.tag(message);
            } else if let Some(filler) = &self.filler {
                *tag = filler.tag(&[message, &[number]].concat());
            }
        }
        tags.sort_unstable();
        tags
    }

    fn find<const BYTES: usize>(&self, message: &[u8], tags: &[[u8; BYTES]]) -> Option<&Device> {
        self.devices.iter().find(|device| {
            let expected = device.key.tag::<BYTES>(message);
            let equal = |any: Choice, tag: &[u8; BYTES]| any | tag.ct_eq(&expected);
            tags.iter().fold(Choice::from(0), equal).into()
        })
    }
}

impl PairKey {
    fn tag<const BYTES: usize>(&self, message: &[u8]) -> [u8; BYTES] {
        let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(self.0.expose()) else {
            unreachable!("HMAC takes keys of every length")
        };
        mac.update(message);
        let whole = Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()));
        std::array::from_fn(|at| whole[at])
    }
}

/// The id changes with every announcement, and so serves as the salt. And whoever repeats the tags under an id
/// of its own is nobody.
fn announcement_message(id: PeerId) -> Vec<u8> {
    [b"multipeer announcement\0".as_slice(), id.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(byte: u8) -> Keys {
        Keys::from_secret(&[byte; 32])
    }

    fn pairing(own: u8, others: impl IntoIterator<Item = u8>) -> Pairing {
        let device = |byte| (keys(byte).id(), DisplayName::new(format!("device {byte}")).unwrap());
        let paired: Vec<_> = others.into_iter().map(device).collect();
        Pairing::new(&keys(own), &paired, [])
    }

    const OCCASION: PeerId = PeerId::from_bytes([99; 32]);

    #[test]
    fn a_paired_device_is_recognised_under_an_id_made_for_the_occasion() {
        let alice = pairing(1, [2, 3]);
        let tags = alice.announced(OCCASION);
        let name = DisplayName::new("device 1").unwrap();
        assert_eq!(
            pairing(2, [7, 1]).recognise(OCCASION, &tags),
            Some((keys(1).id(), Some(&name)))
        );
        assert!(pairing(3, [1]).recognise(OCCASION, &tags).is_some());
        assert_eq!(pairing(4, [1]).recognise(OCCASION, &tags), None, "not paired with it");
        assert_eq!(pairing(2, [4]).recognise(OCCASION, &tags), None, "it does not know Alice");
        let another = PeerId::from_bytes([98; 32]);
        assert_eq!(pairing(2, [1]).recognise(another, &tags), None, "repeated by somebody else");
    }

    #[test]
    fn who_is_on_the_list_is_known_and_not_told() {
        let listed = [keys(1).id()];
        let bob = Pairing::new(&keys(2), &[], &listed);
        let (id, name) = bob.recognise(OCCASION, &pairing(1, [2]).announced(OCCASION)).unwrap();
        assert_eq!((id, name), (keys(1).id(), None));
        let own = bob.announced(OCCASION);
        assert_eq!(pairing(1, [2]).recognise(OCCASION, &own), None);
        let link = LinkKeys::new([9; 32], [0; 32]);
        assert_eq!(bob.shown(LinkRole::Dialler, [OCCASION; 2], &link), None);
    }

    #[test]
    fn announcements_have_nothing_in_common_and_do_not_tell_how_many_are_paired() {
        let [few, many] = [pairing(1, [2]), pairing(1, 2..50)];
        let (once, again) = (few.announced(OCCASION), few.announced(PeerId::from_bytes([98; 32])));
        let different: std::collections::BTreeSet<_> = once.0.iter().chain(&*again.0).collect();
        assert_eq!(different.len(), 2 * TAGS, "no tag is there twice");
        assert!(once.0.is_sorted() && many.announced(OCCASION).0.is_sorted());
        assert_eq!(once, few.announced(OCCASION), "asked again, it is the same");
        let tags = many.announced(OCCASION);
        let told = |byte| pairing(byte, [1]).recognise(OCCASION, &tags).is_some();
        assert!(told(33) && !told(34), "the first 32 are told");
    }

    #[test]
    fn tags_read_back_from_their_text_and_others_do_not() {
        let tags = pairing(1, [2]).announced(OCCASION);
        let text = tags.to_text();
        assert_eq!(text.len(), 214);
        assert_eq!(AnnouncedTags::from_text(&text), Some(tags));
        for wrong in ["", &text[4..], &format!("{text}AAAA"), &text.replace(&text[..1], "+")] {
            assert_eq!(AnnouncedTags::from_text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_on_a_link_is_for_its_other_end_only() {
        let [alice, bob] = [pairing(1, [2]), pairing(2, [1])];
        let ends = [OCCASION, PeerId::from_bytes([98; 32])];
        let [link, other] = [9, 10].map(|exporter| LinkKeys::new([exporter; 32], [0; 32]));
        let tags = alice.shown(LinkRole::Dialler, ends, &link).unwrap();
        assert_eq!(bob.check(&tags, LinkRole::Dialler, ends, &link), Some(keys(1).id()));
        assert_eq!(alice.check(&tags, LinkRole::Acceptor, ends, &link), None, "sent back");
        assert_eq!(bob.check(&tags, LinkRole::Dialler, ends, &other), None, "from another link");
        assert_eq!(
            bob.check(&tags, LinkRole::Dialler, [ends[0]; 2], &link),
            None,
            "between others"
        );
        for wrong in [&tags[1..], &tags[..16], b""] {
            assert_eq!(bob.check(wrong, LinkRole::Dialler, ends, &link), None);
        }
    }
}
