//! Messages on the wire: the message stream, and datagrams.
//!
//! The message stream is one-way. It begins with its kind and the number of its first message;
//! then comes one record after another: the length as a variable-length integer, and the bytes.
//! Messages are numbered from zero in the order in which they were sent.

mod messages;

use bytes::{Buf, BufMut, Bytes, BytesMut};

pub use self::messages::Messages;
use crate::varint;

/// The first byte of a stream that carries messages.
pub const MESSAGE_STREAM: u8 = 0x01;

/// Appends what a message stream begins with.
pub fn encode_stream_header(first: u64, out: &mut BytesMut) {
    out.put_u8(MESSAGE_STREAM);
    varint::write(first, out);
}

/// Appends the length that stands before a message of `bytes` bytes.
#[inline]
pub fn encode_message_length(bytes: usize, out: &mut BytesMut) {
    varint::write(bytes as u64, out);
}

/// Reads a message's length from the front of `input`, or nothing, taking nothing, when it is not whole.
#[inline]
fn read_length(input: &mut &[u8]) -> Option<u64> {
    match **input {
        // Most messages are small, and most of their time would be spent here.
        [length @ 0..0x40, ..] => {
            *input = &input[1..];
            Some(length.into())
        }
        _ => varint::read(input),
    }
}

/// What is wrong with a message stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A message is larger than the receiver takes.
    #[error("a message here has at most {limit} bytes, and one was announced with {bytes}")]
    TooLong {
        /// The announced length.
        bytes: u64,
        /// What the receiver takes.
        limit: usize,
    },
}

/// Takes a message stream's bytes as they come, from behind its kind, and gives its messages.
#[derive(Debug)]
pub struct MessageDecoder {
    limit: usize,
    first: Option<u64>,
    /// What came and is not part of a whole message yet. Holds at most a header and, once the
    /// length is known, the rest of one message.
    partial: BytesMut,
}

impl MessageDecoder {
    /// A decoder for one stream, for messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, first: None, partial: BytesMut::new() }
    }

    /// The number of the stream's first message, once it is known.
    pub fn first(&self) -> Option<u64> {
        self.first
    }

    /// Bytes that wait for the rest of their message.
    pub fn buffered_bytes(&self) -> usize {
        self.partial.len()
    }

    /// Takes the next bytes and hands the messages that are now whole to `deliver`. Those that lie
    /// within one piece are not copied, and come together.
    pub fn decode(
        &mut self,
        mut piece: Bytes,
        mut deliver: impl FnMut(Messages),
    ) -> Result<(), MessageError> {
        while !self.partial.is_empty() && !piece.is_empty() {
            self.complete_partial(&mut piece, &mut deliver)?;
        }
        if self.first.is_none() && !self.read_header(&mut piece) {
            self.partial.extend_from_slice(&piece);
            return Ok(());
        }
        let (mut end, mut count, mut payload_bytes) = (0, 0, 0);
        let mut rest = &piece[..];
        let outcome = loop {
            match self.read_length(&mut rest) {
                Err(error) => break Err(error),
                Ok(None) => break Ok(()),
                Ok(Some(length)) => {
                    let Some(behind) = rest.get(length..) else {
                        self.partial.reserve(piece.len() - end - rest.len() + length);
                        break Ok(());
                    };
                    rest = behind;
                    end = piece.len() - rest.len();
                    count += 1;
                    payload_bytes += length;
                }
            }
        };
        if count > 0 {
            deliver(Messages::new(piece.split_to(end), count, payload_bytes));
        }
        outcome?;
        self.partial.extend_from_slice(&piece);
        Ok(())
    }

    /// Moves as much from `piece` as the header or message that has begun still lacks.
    fn complete_partial(
        &mut self,
        piece: &mut Bytes,
        deliver: &mut impl FnMut(Messages),
    ) -> Result<(), MessageError> {
        let mut rest = &self.partial[..];
        let wanted = if self.first.is_none() {
            1
        } else {
            match self.read_length(&mut rest)? {
                Some(length) => length - rest.len(),
                None => 1,
            }
        };
        self.partial.extend_from_slice(&piece.split_to(wanted.min(piece.len())));
        if self.first.is_none() {
            let mut header = self.partial.split().freeze();
            if !self.read_header(&mut header) {
                self.partial.extend_from_slice(&header);
            }
            return Ok(());
        }
        let mut rest = &self.partial[..];
        if let Some(length) = self.read_length(&mut rest)?
            && rest.len() == length
        {
            deliver(Messages::new(self.partial.split().freeze(), 1, length));
        }
        Ok(())
    }

    /// Reads the header off the front of `input`; false, taking nothing, when it is not whole.
    fn read_header(&mut self, input: &mut Bytes) -> bool {
        let mut rest = &input[..];
        let Some(first) = varint::read(&mut rest) else {
            return false;
        };
        self.first = Some(first);
        input.advance(input.len() - rest.len());
        true
    }

    fn read_length(&self, rest: &mut &[u8]) -> Result<Option<usize>, MessageError> {
        let Some(bytes) = read_length(rest) else {
            return Ok(None);
        };
        match usize::try_from(bytes) {
            Ok(length) if length <= self.limit => Ok(Some(length)),
            _ => Err(MessageError::TooLong { bytes, limit: self.limit }),
        }
    }
}

/// Best-effort traffic, one datagram each: one byte of kind, and what the kind says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datagram {
    /// A message of the application.
    Message(Bytes),
    /// Asks for a [`Datagram::Pong`] with the same token and padding.
    Ping {
        /// Tells one question from another: 8 bytes, big endian.
        token: u64,
        /// Whatever follows.
        padding: Bytes,
    },
    /// Answers a [`Datagram::Ping`].
    Pong {
        /// That of the question.
        token: u64,
        /// That of the question.
        padding: Bytes,
    },
}

/// Bytes that a datagram has at most beyond those of its message or padding.
pub const DATAGRAM_OVERHEAD_BYTES: usize = 1 + size_of::<u64>();

impl Datagram {
    /// The datagram as bytes.
    pub fn encode(&self) -> Bytes {
        let (kind, token, payload) = match self {
            Self::Message(payload) => (0, None, payload),
            Self::Ping { token, padding } => (1, Some(*token), padding),
            Self::Pong { token, padding } => (2, Some(*token), padding),
        };
        let mut bytes = BytesMut::with_capacity(DATAGRAM_OVERHEAD_BYTES + payload.len());
        bytes.put_u8(kind);
        if let Some(token) = token {
            bytes.put_u64(token);
        }
        bytes.extend_from_slice(payload);
        bytes.freeze()
    }

    /// The message, or the padding.
    pub fn payload(&self) -> &Bytes {
        match self {
            Self::Message(payload)
            | Self::Ping { padding: payload, .. }
            | Self::Pong { padding: payload, .. } => payload,
        }
    }

    /// Reads a datagram, or nothing when its kind is not known or it is too short: such a
    /// datagram is ignored.
    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        match bytes.try_get_u8().ok()? {
            0 => Some(Self::Message(bytes)),
            1 => Some(Self::Ping { token: bytes.try_get_u64().ok()?, padding: bytes }),
            2 => Some(Self::Pong { token: bytes.try_get_u64().ok()?, padding: bytes }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(first: u64, messages: &[Bytes]) -> Bytes {
        let mut out = BytesMut::new();
        encode_stream_header(first, &mut out);
        for message in messages {
            encode_message_length(message.len(), &mut out);
            out.extend_from_slice(message);
        }
        // The kind is read before it is known that these are messages.
        out.freeze().slice(1..)
    }

    proptest! {
        #[test]
        fn messages_read_back_however_their_bytes_are_cut(
            first in 0..1_u64 << 40,
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
            piece in 1..300_usize,
        ) {
            let messages: Vec<Bytes> = messages.into_iter().map(Bytes::from).collect();
            let bytes = stream(first, &messages);
            let mut decoder = MessageDecoder::new(200);
            let mut read = Vec::new();
            for piece in bytes.chunks(piece) {
                decoder.decode(Bytes::copy_from_slice(piece), |m| read.extend(m)).unwrap();
                prop_assert!(decoder.buffered_bytes() <= 200 + 9);
            }
            prop_assert_eq!(read, messages);
            prop_assert_eq!(decoder.first(), Some(first));
            prop_assert_eq!(decoder.buffered_bytes(), 0);
        }

        #[test]
        fn any_bytes_give_messages_or_an_error_and_never_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            piece in 1..50_usize,
        ) {
            let mut decoder = MessageDecoder::new(100);
            for piece in bytes.chunks(piece) {
                if decoder.decode(Bytes::copy_from_slice(piece), |_| ()).is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_message_over_the_limit_is_refused_before_its_bytes_come() {
        let mut out = BytesMut::new();
        encode_stream_header(0, &mut out);
        encode_message_length(101, &mut out);
        let error = MessageDecoder::new(100).decode(out.freeze().slice(1..), |_| ()).unwrap_err();
        assert_eq!(error, MessageError::TooLong { bytes: 101, limit: 100 });
    }

    #[test]
    fn a_datagram_of_an_unknown_kind_is_ignored() {
        assert_eq!(Datagram::decode(Bytes::from_static(&[9, 1, 2])), None);
        assert_eq!(Datagram::decode(Bytes::new()), None);
        assert_eq!(Datagram::decode(Bytes::from_static(&[1, 2, 3])), None);
    }

    #[test]
    fn datagrams_read_back() {
        let padding = Bytes::from_static(b"padding");
        for datagram in [
            Datagram::Message(padding.clone()),
            Datagram::Ping { token: 7, padding: padding.clone() },
            Datagram::Pong { token: 7, padding },
        ] {
            assert_eq!(Datagram::decode(datagram.encode()), Some(datagram));
        }
    }
}
