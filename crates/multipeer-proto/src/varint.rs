//! Variable-length integers as in QUIC (RFC 9000, section 16): 1, 2, 4 or 8 bytes, of which the
//! first two bits tell the length.

use bytes::{Buf, BufMut};

/// The largest number that fits.
pub(crate) const MAX: u64 = (1 << 62) - 1;

/// Appends `value`, which is at most [`MAX`]; what is larger is written as that.
#[inline]
pub(crate) fn write(value: u64, out: &mut impl BufMut) {
    match value {
        0..=0x3f => out.put_u8(u8::try_from(value).unwrap_or_default()),
        0x40..=0x3fff => out.put_u16(0x4000 | u16::try_from(value).unwrap_or_default()),
        0x4000..=0x3fff_ffff => {
            out.put_u32(0x8000_0000 | u32::try_from(value).unwrap_or_default());
        }
        _ => out.put_u64(0xc000_0000_0000_0000 | value.min(MAX)),
    }
}

/// Reads a number from the front of `input`, or nothing, taking nothing, when it is not whole.
pub(crate) fn read(input: &mut impl Buf) -> Option<u64> {
    let first = *input.chunk().first()?;
    let length = 1 << (first >> 6);
    if input.remaining() < length {
        return None;
    }
    Some(match length {
        1 => u64::from(input.get_u8()),
        2 => u64::from(input.get_u16() & 0x3fff),
        4 => u64::from(input.get_u32() & 0x3fff_ffff),
        _ => input.get_u64() & MAX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_9000_appendix_a_1() {
        for (value, bytes) in [
            (151_288_809_941_952_652_u64, "c2197c5eff14e88c"),
            (494_878_333, "9d7f3e7d"),
            (15_293, "7bbd"),
            (37, "25"),
        ] {
            let mut out = Vec::new();
            write(value, &mut out);
            let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, bytes);
            assert_eq!(read(&mut out.as_slice()), Some(value));
            assert_eq!(read(&mut &out[..out.len() - 1]), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn every_number_reads_back(value in 0..=MAX) {
            let mut out = Vec::new();
            write(value, &mut out);
            proptest::prop_assert_eq!(read(&mut out.as_slice()), Some(value));
        }
    }
}
