//! How the parts of a frame are written in CBOR, and the limits that they are held to when read.

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, Bytes, BytesMut};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode, encode::Write};

use super::{Frame, FrameError};
use crate::{
    id::PeerId,
    limits::{
        KEPT_LINKS, MAX_ADDRESSES, MAX_CHAIN, MAX_CHAIN_BYTES, MAX_CONTEXT_BYTES, MAX_FRAME_BYTES,
        MAX_MEMBERS_PER_FRAME, MAX_NEAR_PER_FRAME, MAX_REPEATED, MAX_SECRETS, MAX_TEXT_BYTES,
    },
    name::{DiscoveryInfo, DisplayName, ServiceType},
    varint,
};

pub(crate) fn to_cbor(body: &impl Encode<()>) -> Vec<u8> {
    match minicbor::to_vec(body) {
        Ok(bytes) => bytes,
        // Writing into a vector has no way to fail, and no `Encode` here makes an error.
        Err(never) => unreachable!("{never}"),
    }
}

pub(crate) fn from_cbor<'b, T: Decode<'b, ()>>(body: &'b [u8]) -> Result<T, String> {
    let mut decoder = Decoder::new(body);
    let value = decoder.decode().map_err(|error| error.to_string())?;
    if decoder.position() == body.len() {
        Ok(value)
    } else {
        Err(format!("{} bytes too many", body.len() - decoder.position()))
    }
}

/// Appends a frame: its type, the length of its body, and the body.
pub(crate) fn write_frame(kind: u8, body: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(&[kind]);
    varint::write(body.len() as u64, out);
    out.extend_from_slice(body);
}

/// Takes the next whole frame off a buffer, if there is one.
pub(crate) fn poll_frame<T>(
    buffer: &mut BytesMut,
    decode: impl FnOnce(u8, &[u8]) -> Result<T, FrameError>,
) -> Result<Option<T>, FrameError> {
    let mut rest = &buffer[..];
    if rest.is_empty() {
        return Ok(None);
    }
    let kind = rest.get_u8();
    let Some(bytes) = varint::read(&mut rest) else {
        return Ok(None);
    };
    let length = match usize::try_from(bytes) {
        Ok(length) if length <= MAX_FRAME_BYTES => length,
        _ => return Err(FrameError::TooLong { bytes }),
    };
    if rest.len() < length {
        return Ok(None);
    }
    let head = buffer.len() - rest.len();
    let frame = decode(kind, &rest[..length]);
    buffer.advance(head + length);
    frame.map(Some)
}

/// What the shape of the frame does not limit by itself.
pub(super) fn check_lengths(frame: &Frame) -> Result<(), &'static str> {
    let addresses_fit = |addresses: &[SocketAddr]| addresses.len() <= MAX_ADDRESSES;
    let fits = match frame {
        Frame::Hello(hello) => {
            check_versions(hello.min_version, hello.version)?;
            // One for a certificate.
            hello.exchanges.len() <= MAX_SECRETS + 1
        }
        Frame::Invite(invite) => invite.context.len() <= MAX_CONTEXT_BYTES,
        Frame::Decline(decline) => decline.text.len() <= MAX_TEXT_BYTES,
        Frame::Nudge(nudge) => nudge.text.len() <= MAX_TEXT_BYTES,
        Frame::Goodbye(goodbye) => goodbye.text.len() <= MAX_TEXT_BYTES,
        Frame::Certificate(certificate) => {
            let bytes: usize = certificate.chain.iter().map(|der| der.len()).sum();
            (1..=MAX_CHAIN).contains(&certificate.chain.len()) && bytes <= MAX_CHAIN_BYTES
        }
        Frame::Remove(remove) => remove.removal.text.len() <= MAX_TEXT_BYTES,
        Frame::Join(join) => addresses_fit(&join.addresses),
        Frame::Introduce(introduce) => addresses_fit(&introduce.member.addresses),
        Frame::Members(list) => {
            list.members.len() <= MAX_MEMBERS_PER_FRAME
                && list.members.iter().all(|member| addresses_fit(&member.addresses))
        }
        Frame::Rest(rest) => rest.witnesses.len() <= KEPT_LINKS,
        Frame::Near(near) => {
            near.peers.len() <= MAX_NEAR_PER_FRAME
                && near.gone.len() <= MAX_REPEATED
                && near.peers.iter().all(|peer| addresses_fit(&peer.addresses))
        }
        Frame::Accept(_)
        | Frame::Cancel(_)
        | Frame::Digest(_)
        | Frame::Confirm(_)
        | Frame::Ping(_)
        | Frame::Pong(_)
        | Frame::Proof(_)
        | Frame::Profile(_)
        | Frame::Attention(_)
        | Frame::Listen(_)
        | Frame::Missing(_)
        | Frame::Enquire(_) => true,
    };
    if fits { Ok(()) } else { Err("a field is longer than it may be") }
}

fn check_versions(oldest: u16, newest: u16) -> Result<(), &'static str> {
    if oldest <= newest { Ok(()) } else { Err("the oldest version is newer than the newest") }
}

/// Bytes of any length as a CBOR byte string.
pub(super) mod blob {
    use minicbor::{decode::Error as DecodeError, encode::Error as EncodeError};

    use super::{Bytes, Decoder, Encoder, Write};

    pub(in crate::frame) fn encode<C, W: Write>(
        bytes: &Bytes,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.bytes(bytes)?.ok()
    }

    pub(in crate::frame) fn decode<C>(
        d: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<Bytes, DecodeError> {
        d.bytes().map(Bytes::copy_from_slice)
    }
}

/// Socket addresses as byte strings: 4 or 16 bytes of address, then 2 of port, all big endian.
pub(crate) mod addresses {
    use minicbor::{decode::Error as DecodeError, encode::Error as EncodeError};

    use super::{Decoder, Encoder, IpAddr, SocketAddr, Write};

    pub(crate) fn encode<C, W: Write>(
        addresses: &[SocketAddr],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(addresses.len() as u64)?;
        for address in addresses {
            let mut bytes = match address.ip() {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            bytes.extend_from_slice(&address.port().to_be_bytes());
            e.bytes(&bytes)?;
        }
        Ok(())
    }

    pub(crate) fn decode<C>(
        d: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<Vec<SocketAddr>, DecodeError> {
        let mut addresses = Vec::new();
        for bytes in d.array_iter::<&minicbor::bytes::ByteSlice>()? {
            let bytes: &[u8] = bytes?;
            let (ip, port) = bytes.split_last_chunk::<2>().unwrap_or((&[], &[0, 0]));
            let ip = if let Ok(octets) = <[u8; 4]>::try_from(ip) {
                IpAddr::from(octets)
            } else if let Ok(octets) = <[u8; 16]>::try_from(ip) {
                IpAddr::from(octets)
            } else {
                return Err(DecodeError::message("an address has 6 or 18 bytes"));
            };
            addresses.push(SocketAddr::new(ip, u16::from_be_bytes(*port)));
        }
        Ok(addresses)
    }
}

/// Peer ids, one after the other in one byte string of 32 bytes each.
pub(super) mod ids {
    use minicbor::{decode::Error as DecodeError, encode::Error as EncodeError};

    use super::{Decoder, Encoder, PeerId, Write};

    pub(in crate::frame) fn encode<C, W: Write>(
        ids: &[PeerId],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
        e.bytes(&bytes)?.ok()
    }

    pub(in crate::frame) fn decode<C>(
        d: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<Vec<PeerId>, DecodeError> {
        match d.bytes()?.as_chunks() {
            (ids, []) => Ok(ids.iter().map(|&id| PeerId::from_bytes(id)).collect()),
            _ => Err(DecodeError::message("an id has 32 bytes")),
        }
    }
}

/// A checked name as a CBOR text string.
macro_rules! checked_text {
    ($type:ty) => {
        impl<C> Encode<C> for $type {
            fn encode<W: Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                e.str(self.as_str())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $type {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                Self::new(d.str()?).map_err(|error| decode::Error::message(error))
            }
        }
    };
}

checked_text!(DisplayName);
checked_text!(ServiceType);

impl<C> Encode<C> for DiscoveryInfo {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.map(self.iter().count() as u64)?;
        for (key, value) in self.iter() {
            e.str(key)?.str(value)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for DiscoveryInfo {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let pairs: Vec<(&str, &str)> = d.map_iter()?.collect::<Result<_, _>>()?;
        Self::new(pairs).map_err(decode::Error::message)
    }
}
