//! The system's own responder: Avahi on Linux. On Apple systems and Windows it would be Bonjour's `dns_sd` and
//! `DnsService`, one file each beside `avahi.rs`.

#[cfg(all(target_os = "linux", feature = "avahi"))]
mod avahi;

#[cfg(not(all(target_os = "linux", feature = "avahi")))]
pub(super) use self::absent::Watch;
#[cfg(all(target_os = "linux", feature = "avahi"))]
pub(super) use self::avahi::Watch;

use super::Discovery;

/// What became of the system's responder. Where none is known, nothing ever does.
#[cfg_attr(not(all(target_os = "linux", feature = "avahi")), expect(dead_code))]
pub(super) enum Change {
    /// It is there, and speaks for the session from now on if it is wanted.
    Came(Box<dyn Discovery>),
    /// It is not there, or not any more.
    Went,
}

/// Where none is known.
#[cfg(not(all(target_os = "linux", feature = "avahi")))]
mod absent {
    use super::{super::Site, Change};

    pub(in super::super) struct Watch;

    impl Watch {
        pub(in super::super) fn new(_: Site) -> Self {
            Self
        }

        pub(in super::super) fn move_to(&mut self, _: u16) {}

        pub(in super::super) fn is_waiting(&self) -> bool {
            false
        }

        pub(in super::super) async fn next(&mut self) -> Change {
            std::future::pending().await
        }
    }
}
