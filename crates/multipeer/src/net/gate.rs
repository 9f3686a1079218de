//! Whom the session takes at the moment.

use iroh::endpoint::Connection;
use multipeer_proto::{
    Command, Input,
    trust::{Admission, LinkKeys},
};

use super::driver::Driver;
use crate::passcode::Passcode;

/// The label under which TLS exports what binds proofs to a link (RFC 8446, section 7.5).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-multipeer-admission";

/// What the application asks for, and the passcode that the session made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate {
    pub(crate) given: Option<Admission>,
    pub(crate) passcode: Option<Passcode>,
}

impl Gate {
    /// All of it together; everyone when nothing is asked for.
    pub(crate) fn admission(&self) -> Admission {
        let made = self.passcode.as_ref().map(|passcode| Admission::passcode(passcode.to_text()));
        match (self.given.clone(), made) {
            (Some(given), Some(made)) => made.or(given),
            (one, other) => one.or(other).unwrap_or_default(),
        }
    }
}

impl Driver {
    pub(super) fn set_admission(&mut self, admission: Admission) {
        self.gate.given = Some(admission);
        self.handle(Input::Command(Command::SetAdmission(self.gate.admission())));
    }

    /// Makes another passcode, if the present one was made here. The session learns of it before it
    /// listens to anyone again.
    pub(super) fn replace_passcode(&mut self) -> Option<Passcode> {
        let passcode = self.gate.passcode.as_ref()?.another();
        self.gate.passcode = Some(passcode.clone());
        self.session
            .handle(self.now(), Input::Command(Command::SetAdmission(self.gate.admission())));
        Some(passcode)
    }
}

/// What binds proofs to a connection. Fails when the connection, or the system, cannot say.
pub(super) fn link_keys(connection: &Connection) -> Option<LinkKeys> {
    let (mut exporter, mut random) = ([0; 32], [0; 32]);
    connection.export_keying_material(&mut exporter, EXPORTER_LABEL, b"").ok()?;
    getrandom::fill(&mut random).ok()?;
    Some(LinkKeys::new(exporter, random))
}
