//! What is asked and answered where multicast does not arrive, as datagrams.

use std::net::SocketAddr;

use minicbor::{Decode, Encode};

use crate::{
    announcement::Announcement,
    frame::{NearRecord, codec},
    id::PeerId,
    limits::{MAX_PROBE_BYTES, MIN_QUESTION_BYTES},
    name::{DiscoveryInfo, ServiceType},
};

/// What every datagram begins with: whose it is, and the version of its format.
const MAGIC: [u8; 4] = *b"mpp\x01";

/// Bytes that a question takes more when it is handed on.
const OVERHEARD_BYTES: usize = 128;

/// A datagram.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) enum ProbeMessage {
    /// Who is there?
    #[n(0)]
    Question(#[n(0)] Question),
    /// I am.
    #[n(1)]
    Answer(#[n(0)] Answer),
    /// I was.
    #[n(2)]
    Farewell(#[n(0)] Farewell),
    /// Somebody asked this machine: for the other programs on it.
    #[n(3)]
    Overheard(#[n(0)] Overheard),
}

/// Who is there, of those who are in a session about this? Padded, so that no answer has to be longer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Question {
    /// What the asker's session is about.
    #[n(0)]
    pub(crate) service: ServiceType,
    /// What the answer has to repeat.
    #[n(1)]
    pub(crate) token: u64,
    /// Whether it was sent to one address: of the programs there, the system hands it to one only.
    #[n(2)]
    pub(crate) is_direct: bool,
    /// Who asks, if that may be known.
    #[n(3)]
    pub(crate) asker: Option<Presence>,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Answer {
    /// That of the question.
    #[n(0)]
    pub(crate) token: u64,
    /// Who answers.
    #[n(1)]
    pub(crate) presence: Presence,
}

/// A peer is not there any more.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Farewell {
    #[n(0)]
    pub(crate) peer: PeerId,
}

/// A question, as another program on the same machine received it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Overheard {
    /// Who asked.
    #[n(0)]
    #[cbor(with = "codec::addresses")]
    pub(crate) from: Vec<SocketAddr>,
    /// Bytes in the question's datagram.
    #[n(1)]
    pub(crate) size: u16,
    #[n(2)]
    pub(crate) question: Question,
}

/// A peer and its port, at the address from which this came.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Presence {
    #[n(0)]
    pub(crate) port: u16,
    /// What it announces; without addresses.
    #[n(1)]
    pub(crate) record: NearRecord,
}

impl Presence {
    pub(crate) fn new(announcement: Announcement, port: u16) -> Self {
        Self { port, record: NearRecord::new(announcement, Vec::new()) }
    }

    /// Without what the link tells anyway.
    fn shortened(mut self, step: u8) -> Self {
        self.record.info = DiscoveryInfo::default();
        if step > 1 {
            self.record.tags = None;
        }
        self
    }
}

impl ProbeMessage {
    /// The datagram, at least so long.
    fn padded(&self, len: usize) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&codec::to_cbor(self));
        if bytes.len() < len {
            bytes.resize(len, 0);
        }
        bytes
    }

    /// A question, long enough for every usual answer.
    pub(crate) fn question(
        service: &ServiceType,
        token: u64,
        is_direct: bool,
        asker: Option<&Presence>,
    ) -> Vec<u8> {
        let question = |asker| {
            let service = service.clone();
            Self::Question(Question { service, token, is_direct, asker })
        };
        let all = question(asker.cloned()).padded(MIN_QUESTION_BYTES);
        if all.len() <= MAX_PROBE_BYTES {
            return all;
        }
        question(asker.map(|asker| asker.clone().shortened(1))).padded(MIN_QUESTION_BYTES)
    }

    /// The answer to a question of so many bytes: as much as fits, if anything does.
    pub(crate) fn answer(token: u64, presence: &Presence, room: usize) -> Option<Vec<u8>> {
        let whole = Self::Answer(Answer { token, presence: presence.clone() }).padded(0);
        if whole.len() <= room {
            return Some(whole);
        }
        (1..=2).find_map(|step| {
            let presence = presence.clone().shortened(step);
            let answer = Self::Answer(Answer { token, presence }).padded(0);
            (answer.len() <= room).then_some(answer)
        })
    }

    pub(crate) fn farewell(peer: PeerId) -> Vec<u8> {
        Self::Farewell(Farewell { peer }).padded(0)
    }

    pub(crate) fn overheard(from: SocketAddr, size: usize, question: Question) -> Vec<u8> {
        let size = u16::try_from(size).unwrap_or(u16::MAX);
        Self::Overheard(Overheard { from: vec![from], size, question }).padded(0)
    }

    /// Reads a datagram. Nothing, if it is none of these.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        if bytes.len() > MAX_PROBE_BYTES + OVERHEARD_BYTES {
            return None;
        }
        let message = minicbor::decode(rest).ok()?;
        let has_size = bytes.len() <= MAX_PROBE_BYTES || matches!(message, Self::Overheard(_));
        has_size.then_some(message)
    }
}
