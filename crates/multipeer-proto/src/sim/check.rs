//! What must hold, told from what the application would see.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::Run;
use crate::{PeerId, delivery::DeliveryError, message::MessageError};

/// An invariant that did not hold (ARCHITECTURE.md, "Invariants", has the numbers).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // `Display` says what each one means.
#[non_exhaustive]
pub enum Violation {
    ConnectedTwice { at: Run, peer: PeerId },
    DisconnectedWithoutConnected { at: Run, peer: PeerId },
    MessageFromStranger { at: Run, from: PeerId },
    Gap { at: Run, from: PeerId, error: DeliveryError },
    OutOfOrder { at: Run, from: PeerId, message: u64, after: u64 },
    DeliveredTwice { at: Run, from: PeerId, message: u64 },
    Lost { from: Run, to: Run, message: u64 },
    FoundTwice { at: Run, peer: PeerId },
    LostWithoutFound { at: Run, peer: PeerId },
    ReportedWhileNotLooking { at: Run, peer: PeerId },
    FoundItself { at: Run },
    Unbounded { at: Run, sizes: [usize; 10] },
    HonestPeerMisbehaved { at: Run },
    NotAdmitted { at: Run, peer: PeerId },
    ViabilityToldTwice { at: Run, peer: PeerId },
    ViabilityOfStranger { at: Run, peer: PeerId },
    Ghost { at: Run, peer: PeerId },
    BadConfirmation { at: Run, from: PeerId, error: DeliveryError },
    BadMessages { at: Run, from: PeerId, error: MessageError },
    NotHealed { missing: String },
    OtherMembers { at: Run, listed: Vec<PeerId>, expected: Vec<PeerId> },
    DifferentLinks { between: Run, and: Run },
    EndedInUse { at: Run, peer: PeerId },
    LeftInSilence { at: Run, who: Run },
    TooManyLinks { at: Run, links: usize },
    LastWordLost { at: Run, who: Run },
    Spins,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectedTwice { at, peer } => {
                write!(f, "2: {at} was told twice that {peer:?} is connected")
            }
            Self::DisconnectedWithoutConnected { at, peer } => {
                write!(f, "2: {at} was told that {peer:?} is gone, which was not connected")
            }
            Self::MessageFromStranger { at, from } => {
                write!(f, "2: {at} was handed a message of {from:?}, which is not connected")
            }
            Self::Gap { at, from, error } => {
                write!(f, "3: {at} misses messages of {from:?}: {error}")
            }
            Self::OutOfOrder { at, from, message, after } => {
                write!(f, "3: {at} got message {message} of {from:?} after {after}")
            }
            Self::DeliveredTwice { at, from, message } => {
                write!(f, "3: {at} got message {message} of {from:?} twice")
            }
            Self::Lost { from, to, message } => {
                write!(f, "3: message {message} of {from} to {to} is lost, and nobody was told")
            }
            Self::FoundTwice { at, peer } => write!(f, "{at} was told twice that {peer:?} is near"),
            Self::LostWithoutFound { at, peer } => {
                write!(f, "{at} was told that {peer:?} is lost, which was never found")
            }
            Self::ReportedWhileNotLooking { at, peer } => {
                write!(f, "{at} was told of {peer:?} while it was not looking")
            }
            Self::FoundItself { at } => write!(f, "{at} found itself"),
            Self::Unbounded { at, sizes } => {
                write!(f, "4: a table of {at} outgrew its bound: {sizes:?}")
            }
            Self::HonestPeerMisbehaved { at } => {
                write!(f, "{at} was told that an honest peer misbehaved")
            }
            Self::NotAdmitted { at, peer } => {
                write!(f, "6: {at} is connected with {peer:?}, which does not know its passcode")
            }
            Self::ViabilityToldTwice { at, peer } => {
                write!(f, "7: {at} was told twice whether {peer:?} answers")
            }
            Self::ViabilityOfStranger { at, peer } => {
                write!(f, "7: {at} was told whether {peer:?} answers, which is not connected")
            }
            Self::Ghost { at, peer } => {
                write!(f, "7: {at} takes {peer:?} for viable, of which it has long heard nothing")
            }
            Self::BadConfirmation { at, from, error } => {
                write!(f, "3: {at} got an impossible confirmation of {from:?}: {error}")
            }
            Self::BadMessages { at, from, error } => {
                write!(f, "3: {at} cannot read the messages of {from:?}: {error}")
            }
            Self::Spins => f.write_str("somebody wants to be woken over and over"),
            end => end.fmt_end(f),
        }
    }
}

impl Violation {
    /// What only the end of a run shows.
    fn fmt_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherMembers { at, listed, expected } => {
                write!(f, "5: after the network healed, {at} lists {listed:?} and not {expected:?}")
            }
            Self::NotHealed { missing } => write!(f, "5: after the network healed, {missing}"),
            Self::DifferentLinks { between, and } => {
                write!(f, "1: {between} and {and} do not use the same one link")
            }
            Self::EndedInUse { at, peer } => {
                write!(f, "1: {at} ended a link to {peer:?} that works and that both use")
            }
            Self::LeftInSilence { at, who } => {
                write!(f, "8: {at} was not told that {who} has left")
            }
            Self::TooManyLinks { at, links } => {
                write!(f, "9: {at} is in the background and keeps {links} links")
            }
            Self::LastWordLost { at, who } => {
                write!(f, "8: what {who} said before it left has not come to {at}")
            }
            _ => Ok(()),
        }
    }
}

/// What became of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Sent,
    Delivered,
    /// The sender was told that it was not confirmed.
    Returned,
}

/// Follows every message and every report.
#[derive(Debug, Default)]
pub(super) struct Checker {
    connected: BTreeSet<(Run, PeerId)>,
    near: BTreeSet<(Run, PeerId)>,
    /// By sender and receiver: what became of each message, by its number.
    fates: BTreeMap<(Run, Run), Vec<Fate>>,
    latest: BTreeMap<(Run, Run), u64>,
    /// Those who do not answer, as far as the application was told.
    silent: BTreeSet<(Run, PeerId)>,
}

impl Checker {
    pub(super) fn connected(&mut self, at: Run, peer: PeerId) -> Result<(), Violation> {
        if self.connected.insert((at, peer)) {
            Ok(())
        } else {
            Err(Violation::ConnectedTwice { at, peer })
        }
    }

    pub(super) fn disconnected(&mut self, at: Run, peer: PeerId) -> Result<(), Violation> {
        self.silent.remove(&(at, peer));
        if self.connected.remove(&(at, peer)) {
            Ok(())
        } else {
            Err(Violation::DisconnectedWithoutConnected { at, peer })
        }
    }

    pub(super) fn viability(
        &mut self,
        at: Run,
        peer: PeerId,
        viable: bool,
    ) -> Result<(), Violation> {
        if !self.is_connected(at, peer) {
            return Err(Violation::ViabilityOfStranger { at, peer });
        }
        let news =
            if viable { self.silent.remove(&(at, peer)) } else { self.silent.insert((at, peer)) };
        if news { Ok(()) } else { Err(Violation::ViabilityToldTwice { at, peer }) }
    }

    pub(super) fn is_connected(&self, at: Run, peer: PeerId) -> bool {
        self.connected.contains(&(at, peer))
    }

    pub(super) fn found(&mut self, at: Run, peer: PeerId, looking: bool) -> Result<(), Violation> {
        if peer == at.id {
            return Err(Violation::FoundItself { at });
        }
        if !looking {
            return Err(Violation::ReportedWhileNotLooking { at, peer });
        }
        if self.near.insert((at, peer)) { Ok(()) } else { Err(Violation::FoundTwice { at, peer }) }
    }

    pub(super) fn lost(&mut self, at: Run, peer: PeerId, looking: bool) -> Result<(), Violation> {
        if !looking {
            return Err(Violation::ReportedWhileNotLooking { at, peer });
        }
        if self.near.remove(&(at, peer)) {
            Ok(())
        } else {
            Err(Violation::LostWithoutFound { at, peer })
        }
    }

    /// Numbers a message that is sent.
    pub(super) fn sent(&mut self, from: Run, to: Run) -> u64 {
        let fates = self.fates.entry((from, to)).or_default();
        fates.push(Fate::Sent);
        fates.len() as u64 - 1
    }

    pub(super) fn delivered(&mut self, from: Run, at: Run, message: u64) -> Result<(), Violation> {
        if !self.is_connected(at, from.id) {
            return Err(Violation::MessageFromStranger { at, from: from.id });
        }
        if let Some(&after) = self.latest.get(&(from, at))
            && message <= after
        {
            let from = from.id;
            return Err(if message == after {
                Violation::DeliveredTwice { at, from, message }
            } else {
                Violation::OutOfOrder { at, from, message, after }
            });
        }
        self.latest.insert((from, at), message);
        if let Some(fate) = self.fate(from, at, message) {
            *fate = Fate::Delivered;
        }
        Ok(())
    }

    pub(super) fn returned(&mut self, from: Run, to: Run, message: u64) {
        // It may have been delivered all the same: only the confirmation is missing.
        if let Some(fate) = self.fate(from, to, message)
            && *fate == Fate::Sent
        {
            *fate = Fate::Returned;
        }
    }

    fn fate(&mut self, from: Run, to: Run, message: u64) -> Option<&mut Fate> {
        self.fates.get_mut(&(from, to))?.get_mut(usize::try_from(message).ok()?)
    }

    /// At the end: between two that are still there nothing is lost in silence.
    pub(super) fn check_fates(&self, alive: &[Run]) -> Result<(), Violation> {
        for (&(from, to), fates) in &self.fates {
            if alive.contains(&from)
                && alive.contains(&to)
                && let Some(message) = fates.iter().position(|&fate| fate == Fate::Sent)
            {
                return Err(Violation::Lost { from, to, message: message as u64 });
            }
        }
        Ok(())
    }

    /// Whether what somebody sent last before it left has arrived.
    pub(super) fn check_last(&self, who: Run, at: Run) -> Result<(), Violation> {
        let last = self.fates.get(&(who, at)).and_then(|fates| fates.last());
        let arrived = last.is_none_or(|fate| *fate == Fate::Delivered);
        if arrived { Ok(()) } else { Err(Violation::LastWordLost { at, who }) }
    }

    /// Whether messages are still under way between any of these.
    pub(super) fn is_settled(&self, alive: &[Run]) -> bool {
        self.check_fates(alive).is_ok()
    }
}
