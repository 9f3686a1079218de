//! Hosts as network namespaces, joined by bridges: what a test of discovery and links needs of a
//! network, made by the test and gone with it.
//!
//! A lab lives in namespaces of its own, entered as root or through an unprivileged user
//! namespace. Nothing connects them to the machine's own interfaces, so nothing can leave.
//!
//! The processes of a lab have a namespace too: when the test ends, however it ends, the kernel
//! kills what is left of them, and the networks go with the last.

// This is a test's helper, and a test fails by panicking.
#![allow(clippy::panic)]

mod host;
mod lab;
mod terminal;

pub use host::{Host, Program};
pub use lab::{Error, Lab, Network, run_in_lab};
pub use terminal::Terminal;
