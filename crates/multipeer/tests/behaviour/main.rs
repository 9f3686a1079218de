//! How sessions behave, over loopback, in the public API only. One program, for each one that holds
//! all of iroh takes the linker half a minute.

// Clippy takes a helper for something else than a test.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

mod admission;
mod certificates;
mod invitations;
mod looking;
mod membership;
mod messages;
mod misbehaviour;
mod resources;
mod resting;
mod resumption;
mod streams;
mod topology;
