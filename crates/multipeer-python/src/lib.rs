//! The native part of the Python package `multipeer`: sessions of the Rust library, as objects whose operations are begun
//! from Python and end in a mailbox that Python empties. The package's Python part (`python/multipeer`) makes of it what
//! its users see.
//!
//! No thread of the library ever runs Python code or waits for the interpreter's lock: what it has to tell it puts into a
//! [`Mailbox`](pending::Mailbox) and rings.

mod errors;
mod events;
mod pending;
mod resources;
mod runtime;
mod session;
mod settings;
mod streams;

use pyo3::prelude::*;

/// The native part of `multipeer`. Not for applications.
#[pymodule]
mod _multipeer {
    #[pymodule_export]
    use crate::{
        events::Invitation,
        pending::{Mailbox, Pending},
        resources::{Offer, Transfer},
        session::Session,
        settings::start,
        streams::{Reader, Writer},
    };
    use pyo3::{
        Bound, PyResult,
        types::{PyModule, PyModuleMethods},
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
