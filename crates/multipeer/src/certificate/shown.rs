//! A certificate that the application is to judge.

use std::fmt;

use bytes::Bytes;
use multipeer_proto::{Command, LinkId};
use tokio::sync::mpsc;

use crate::{net::Request, peer::Peer};

/// The certificate of a peer that has its key.
///
/// Dropped without a word, it is rejected; so is one on which nothing is said for 30 seconds.
#[derive(Debug)]
pub struct PeerCertificate {
    from: Peer,
    subject: String,
    chain: Vec<Bytes>,
    answer: Option<Answer>,
}

struct Answer {
    link: LinkId,
    requests: mpsc::UnboundedSender<Request>,
}

impl PeerCertificate {
    pub(crate) fn new(
        from: Peer,
        subject: String,
        chain: Vec<Bytes>,
        link: LinkId,
        requests: mpsc::UnboundedSender<Request>,
    ) -> Self {
        Self { from, subject, chain, answer: Some(Answer { link, requests }) }
    }

    /// Who has shown it. The name is what the peer announces, if it does.
    pub fn from(&self) -> &Peer {
        &self.from
    }

    /// Whose it says that it is: its first DNS name. Nobody has confirmed that.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The certificates in DER (X.509), the peer's own first.
    pub fn chain(&self) -> &[Bytes] {
        &self.chain
    }

    /// Trusts it: the peer has shown what this session asks for.
    pub fn trust(mut self) {
        self.answer(None);
    }

    /// Does not, with words of at most 200 bytes for the other side.
    pub fn reject(mut self, text: impl Into<String>) {
        self.answer(Some(text.into()));
    }

    fn answer(&mut self, rejected: Option<String>) {
        if let Some(Answer { link, requests }) = self.answer.take() {
            // A session that is over has nobody left to answer.
            _ = requests.send(Request::Command(Command::JudgeCertificate { link, rejected }));
        }
    }
}

impl Drop for PeerCertificate {
    fn drop(&mut self) {
        self.answer(Some("the application did not look at it".to_owned()));
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.link)
    }
}
