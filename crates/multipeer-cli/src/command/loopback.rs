//! The interface of those commands that talk with nobody but themselves.

/// What the loopback interface is called, by operating system.
pub(super) const LOOPBACK: &str = if cfg!(any(target_vendor = "apple", target_os = "freebsd")) {
    "lo0"
} else if cfg!(windows) {
    "Loopback Pseudo-Interface 1"
} else {
    "lo"
};
