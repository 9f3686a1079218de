//! Errors of the library as exceptions of the package, each with its words.

use multipeer::{
    AdmissionError, CertificateFileError, IdentityError, InviteError, NameError, NudgeError,
    ParsePeerIdError, PingError, RemoveError, SendError, StartError, StreamError, TransferError,
    UnreliableError,
};
use pyo3::{exceptions::PyRuntimeError, prelude::*, sync::PyOnceLock, types::PyType};

/// An exception to be: the class's name in `multipeer._errors`, and the words.
#[derive(Debug)]
pub(crate) struct Failure {
    class: &'static str,
    message: String,
}

impl Failure {
    pub(crate) fn new(class: &'static str, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }

    pub(crate) fn into_err(self, py: Python<'_>) -> PyErr {
        static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
        let module = MODULE
            .get_or_try_init(py, || py.import("multipeer._errors").map(Bound::unbind))
            .map(|module| module.bind(py).clone());
        let class = module.and_then(|module| module.getattr(self.class));
        match class.and_then(|class| class.cast_into::<PyType>().map_err(PyErr::from)) {
            Ok(class) => PyErr::from_type(class, self.message),
            // Not of a whole package.
            Err(_) => PyRuntimeError::new_err(self.message),
        }
    }
}

/// What an operation that an application has begun came to, for people.
pub(crate) type Outcome<T> = Result<T, Failure>;

macro_rules! failures {
    ($($error:ty => $class:literal),+ $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new($class, error.to_string())
            }
        })+
    };
}

failures! {
    AdmissionError => "StartError",
    CertificateFileError => "StartError",
    IdentityError => "StartError",
    InviteError => "InviteError",
    NameError => "StartError",
    NudgeError => "NudgeError",
    ParsePeerIdError => "UnknownPeerError",
    PingError => "PingError",
    RemoveError => "RemoveError",
    SendError => "SendError",
    StartError => "StartError",
    StreamError => "StreamError",
    TransferError => "TransferError",
    UnreliableError => "SendError",
}

/// The session is over.
pub(crate) fn over() -> Failure {
    Failure::new("SessionOverError", "the session is over")
}
