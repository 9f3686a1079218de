//! What streams begin with: every stream but the control stream begins with one byte of kind.
//! docs/protocol.md, "Streams".

use std::{fmt, str::FromStr, sync::Arc};

use bytes::{BufMut, BytesMut};

use crate::limits::MAX_STREAM_NAME_BYTES;
pub use crate::message::MESSAGE_STREAM;

/// The first byte of a stream that the application opens. Its name follows: a byte of length, and
/// so many bytes of UTF-8.
pub const NAMED_STREAM: u8 = 0x02;
/// The first byte of a stream that carries a resource.
pub const RESOURCE_STREAM: u8 = 0x03;

/// Codes with which a stream is reset or stopped. The protocol's own are below 256; the
/// application's follow them.
pub mod code {
    /// Its handle was dropped before the stream was finished, or read to its end.
    pub const DROPPED: u32 = 0;
    /// The stream is of a kind that the receiver does not know.
    pub const UNKNOWN_KIND: u32 = 1;
    /// What the stream begins with breaks the protocol, or did not come in time.
    pub const BAD_HEADER: u32 = 2;
    /// The application's code 0.
    pub const FIRST_OF_APPLICATION: u32 = 256;
}

/// A name that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a stream's name has 1 to 255 bytes of UTF-8 without control characters: {name:?}")]
pub struct StreamNameError {
    /// The name that was given, cut to 80 characters.
    pub name: String,
}

/// What a stream is for: 1 to 255 bytes of UTF-8 without control characters. Not unique.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// Checks a name.
    pub fn new(name: impl AsRef<str>) -> Result<Self, StreamNameError> {
        let name = name.as_ref();
        let fits = (1..=MAX_STREAM_NAME_BYTES).contains(&name.len());
        if !fits || name.chars().any(char::is_control) {
            return Err(StreamNameError { name: name.chars().take(80).collect() });
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a stream of this name begins with.
    pub fn encode_header(&self, out: &mut BytesMut) {
        out.put_u8(NAMED_STREAM);
        // At most 255, by construction.
        out.put_u8(u8::try_from(self.0.len()).unwrap_or(u8::MAX));
        out.put_slice(self.0.as_bytes());
    }

    /// Reads the bytes of a name, as they follow the length.
    pub fn decode(bytes: &[u8]) -> Result<Self, StreamNameError> {
        let unreadable = || StreamNameError { name: String::from_utf8_lossy(bytes).into_owned() };
        Self::new(std::str::from_utf8(bytes).map_err(|_| unreadable())?)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for StreamName {
    type Err = StreamNameError;

    fn from_str(text: &str) -> Result<Self, StreamNameError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_from_its_header() {
        let name = StreamName::new("aüdio").unwrap();
        let mut header = BytesMut::new();
        name.encode_header(&mut header);
        assert_eq!(&header[..2], [NAMED_STREAM, 6]);
        assert_eq!(StreamName::decode(&header[2..]), Ok(name));
    }

    #[test]
    fn a_name_that_breaks_a_rule_is_refused_with_the_rule() {
        for wrong in ["", "a\nb", &"x".repeat(256)] {
            let error = StreamName::new(wrong).unwrap_err().to_string();
            assert!(error.contains("1 to 255 bytes"), "{error}");
        }
        assert!(StreamName::decode(&[0xff, 0xfe]).is_err());
        assert!(StreamName::new("x".repeat(255)).is_ok());
    }
}
