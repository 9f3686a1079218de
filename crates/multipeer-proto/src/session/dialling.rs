//! Whom to dial, and when.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use super::{Activity, DialError, Event, Output, Phase, Session, impostors::Places};
use crate::{
    id::PeerId,
    limits::{
        BACKGROUND_HEAD_START, DIAL_HEAD_START, DIAL_TIMEOUT, MAX_ADDRESSES, MAX_DIAL_BACKOFF,
        MAX_DIALS, MAX_FRESH_DIALS, MAX_REDIAL_BACKOFF, MIN_DIAL_BACKOFF, REDIAL_TIMEOUT,
        SLOW_DIAL,
    },
    time::Timestamp,
};

/// Attempts that take the place of one under way, at most: whoever says that a peer is elsewhere, again and again, brings
/// about so many more dials at a time.
const MAX_FOLLOWS: u32 = 3;

#[derive(Debug)]
pub(super) struct Dial {
    in_progress: Option<Attempt>,
    next_at: Timestamp,
    failures: u32,
    /// How many attempts in a row, the one under way among them, took the place of one that led elsewhere.
    follows: u32,
}

/// A dial that has begun.
#[derive(Debug)]
struct Attempt {
    number: u64,
    addresses: Vec<SocketAddr>,
    since: Timestamp,
    is_slow: bool,
    /// By now the peer is known to be elsewhere, too.
    is_outdated: bool,
}

impl Attempt {
    /// When another one is to take its place, if it has not succeeded by then.
    fn followed_at(&self) -> Option<Timestamp> {
        self.is_outdated.then(|| self.since + MIN_DIAL_BACKOFF)
    }
}

impl Dial {
    pub(super) fn is_in_progress(&self) -> bool {
        self.in_progress.is_some()
    }

    /// One that begins then, unless something comes between.
    fn at(next_at: Timestamp, failures: u32) -> Self {
        Self { in_progress: None, next_at, failures, follows: 0 }
    }

    fn is_attempt(&self, number: u64) -> bool {
        self.in_progress.as_ref().is_some_and(|attempt| attempt.number == number)
    }
}

impl Session {
    /// Begins every dial that is due: to members without a link, and to the invited.
    pub(super) fn start_dials(&mut self, now: Timestamp) {
        if self.phase == Phase::Over {
            return;
        }
        let under_way = self.dials.values_mut().filter_map(|dial| dial.in_progress.as_mut());
        under_way.for_each(|attempt| attempt.is_slow |= now.since(attempt.since) >= SLOW_DIAL);
        self.give_way_to_followers(now);
        let wanted = self.peers_to_dial();
        if wanted.is_empty() && self.dials.is_empty() {
            return;
        }
        // A dial is kept while there is a link that may come to nothing: its pauses go on growing.
        let is_wanted: BTreeSet<PeerId> = wanted.iter().copied().collect();
        self.dials.retain(|peer, dial| dial.in_progress.is_some() || is_wanted.contains(peer));
        let linked: BTreeSet<PeerId> = self.links.values().map(|link| link.peer).collect();
        let wanted_count = wanted.len();
        for peer in wanted {
            if linked.contains(&peer) {
                continue;
            }
            // When many meet at once, most of the others dial before it is this one's turn.
            if !self.may_dial() {
                break;
            }
            let head_start = self.head_start(peer, wanted_count);
            let dial = self.dials.entry(peer).or_insert(Dial::at(now + head_start, 0));
            if dial.in_progress.is_none() && dial.next_at <= now {
                self.dial(now, peer);
            }
        }
    }

    /// Time for the other side to dial this one first, when so many are to be dialled.
    fn head_start(&self, peer: PeerId, wanted: usize) -> Duration {
        // What the application asks for cannot wait for the other side, which may not want anything yet; what the
        // session does by itself need not, among a few.
        let hurries =
            self.is_asked_for(peer) || (self.has_outgoing(peer) && wanted <= MAX_DIALS / 2);
        if hurries || (!self.yields_to(peer) && self.activity == Activity::Foreground) {
            Duration::ZERO
        } else if self.activity == Activity::Background {
            BACKGROUND_HEAD_START
        } else {
            // The other one, too, has many to dial, and not all at a time.
            DIAL_HEAD_START * u32::try_from(wanted.div_ceil(MAX_DIALS).max(1)).unwrap_or(1)
        }
    }

    fn attempts_under_way(&self) -> impl Iterator<Item = &Attempt> {
        self.dials.values().filter_map(|dial| dial.in_progress.as_ref())
    }

    /// Whether another dial may begin. Those that take long, as to who is not there, do not hold up the others.
    fn may_dial(&self) -> bool {
        let fresh = self.attempts_under_way().filter(|attempt| !attempt.is_slow).count();
        fresh < MAX_FRESH_DIALS && self.attempts_under_way().count() < MAX_DIALS
    }

    /// Those that this peer is to dial come before those that are to dial it.
    fn peers_to_dial(&self) -> Vec<PeerId> {
        // Who leaves dials only those to whom it has something to say.
        let is_running = self.phase == Phase::Running;
        let members = self
            .members
            .iter()
            .filter(|(_, member)| !member.is_linked() && (is_running || member.draining));
        let invited = self.outgoing.values().map(|outgoing| outgoing.peer);
        let mut wanted: Vec<PeerId> = members.map(|(&peer, _)| peer).chain(invited).collect();
        wanted.sort_unstable_by_key(|&peer| (self.yields_to(peer), peer));
        wanted.dedup();
        wanted
    }

    fn dial(&mut self, now: Timestamp, peer: PeerId) {
        let failures = self.dials.get(&peer).map_or(0, |dial| dial.failures);
        let places = self.places_to_dial(peer, failures);
        if places.is_empty() {
            let error = if self.addresses_of(peer).is_empty() {
                DialError::Failed("no address of it is known".to_owned())
            } else {
                DialError::Impostor
            };
            self.note_unreached(now, peer, &error);
            self.back_off(now, peer);
            return;
        }
        self.attempts += 1;
        let Places { addresses, relays } = places;
        // The number of no attempt of an earlier incarnation, of which others may still know.
        let attempt = self.config.incarnation.saturating_add(self.attempts);
        if let Some(dial) = self.dials.get_mut(&peer) {
            dial.in_progress = Some(Attempt {
                number: attempt,
                addresses: addresses.clone(),
                since: now,
                is_slow: false,
                is_outdated: false,
            });
            let first = dial.failures == 0 && dial.follows == 0;
            if first && !self.members.get(&peer).is_some_and(|member| member.connected) {
                self.event(Event::Connecting(peer));
            }
        }
        let timeout = if self.is_connected(peer) { REDIAL_TIMEOUT } else { DIAL_TIMEOUT };
        self.outputs.push_back(Output::Dial { peer, attempt, addresses, relays, timeout });
    }

    /// Where the peer may be: what it announces, then what others and its links told.
    pub(super) fn addresses_of(&self, peer: PeerId) -> Vec<SocketAddr> {
        let announced =
            self.nearby.get(&peer).into_iter().flat_map(|near| near.addresses(self.own_networks()));
        let told = self.members.get(&peer).into_iter().flat_map(|m| m.addresses.iter().copied());
        let mut addresses = Vec::new();
        for address in announced.chain(told) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses.truncate(MAX_ADDRESSES);
        addresses
    }

    pub(super) fn dial_succeeded(&mut self, now: Timestamp, peer: PeerId, attempt: u64) {
        // Should the link come to nothing, because the other side refuses it, the next dial waits
        // as after a failure. One that comes to something is the last.
        if self.dials.get(&peer).is_some_and(|dial| dial.is_attempt(attempt)) {
            self.back_off(now, peer);
        }
    }

    pub(super) fn handle_dial_failed(
        &mut self,
        now: Timestamp,
        peer: PeerId,
        attempt: u64,
        error: &DialError,
    ) {
        let Some(dial) = self.dials.get_mut(&peer).filter(|dial| dial.is_attempt(attempt)) else {
            return;
        };
        let dialled = dial.in_progress.take().map(|attempt| attempt.addresses);
        self.back_off(now, peer);
        if *error == DialError::Impostor {
            self.doubt(now, peer, &dialled.unwrap_or_default());
        }
        if self.has_link(peer) {
            return;
        }
        self.note_unreached(now, peer, error);
        self.verify(peer);
    }

    fn back_off(&mut self, now: Timestamp, peer: PeerId) {
        let Some(failures) = self.dials.get(&peer).map(|dial| dial.failures) else {
            return;
        };
        // Who was here a moment ago will be back any moment.
        let longest = if self.is_connected(peer) { MAX_REDIAL_BACKOFF } else { MAX_DIAL_BACKOFF };
        let pause = backoff(failures, longest, self.spread(peer, self.attempts));
        if let Some(dial) = self.dials.get_mut(&peer) {
            *dial = Dial::at(now + pause, failures + 1);
        }
    }

    /// There is news of the peer: what kept it from being reached may be over, or it is elsewhere by now.
    pub(super) fn dial_soon(&mut self, now: Timestamp, peer: PeerId) {
        let head_start = self.head_start(peer, self.dials.len());
        let is_elsewhere = self.is_elsewhere(peer);
        let Some(dial) = self.dials.get_mut(&peer) else { return };
        match &mut dial.in_progress {
            Some(attempt) => attempt.is_outdated |= is_elsewhere && dial.follows < MAX_FOLLOWS,
            None => dial.next_at = dial.next_at.min(now + head_start),
        }
    }

    /// Whether the dial under way does not lead everywhere where the peer may be by now: a member, which had a link, or who
    /// is invited and was heard in part.
    fn is_elsewhere(&self, peer: PeerId) -> bool {
        let is_urgent = self.is_connected(peer) || self.has_outgoing(peer);
        let Some(dial) = self.dials.get(&peer).filter(|_| is_urgent) else { return false };
        let places = || self.places_to_dial(peer, dial.failures).addresses;
        (dial.in_progress.as_ref())
            .is_some_and(|attempt| places().iter().any(|to| !attempt.addresses.contains(to)))
    }

    /// Attempts that had their time to succeed, and do not lead where the peer is by now, are forgotten; they end by themselves.
    fn give_way_to_followers(&mut self, now: Timestamp) {
        for dial in self.dials.values_mut() {
            let attempt = dial.in_progress.as_ref();
            if attempt.and_then(Attempt::followed_at).is_some_and(|at| at <= now) {
                *dial = Dial { follows: dial.follows + 1, ..Dial::at(now, dial.failures) };
            }
        }
    }

    /// Dials a peer that has no reason to dial this one.
    pub(super) fn dial_at_once(&mut self, now: Timestamp, peer: PeerId) {
        if self.phase != Phase::Over {
            let dial = self.dials.entry(peer).or_insert(Dial::at(now, 0));
            dial.next_at = dial.next_at.min(now);
        }
    }

    /// The network is another one: what kept others from being reached may be over.
    pub(super) fn dial_all_soon(&mut self, now: Timestamp) {
        for peer in self.dials.keys().copied().collect::<Vec<_>>() {
            self.dial_soon(now, peer);
        }
    }

    pub(super) fn dials_timeout(&self) -> Option<Timestamp> {
        let followed_at = self.attempts_under_way().filter_map(Attempt::followed_at).min();
        self.next_dial_at().into_iter().chain(followed_at).min()
    }

    fn next_dial_at(&self) -> Option<Timestamp> {
        if self.attempts_under_way().count() >= MAX_DIALS {
            // One of them ends first.
            return None;
        }
        if !self.may_dial() {
            let fresh = self.attempts_under_way().filter(|attempt| !attempt.is_slow);
            return fresh.map(|attempt| attempt.since + SLOW_DIAL).min();
        }
        let waiting = self.dials.iter().filter(|(_, dial)| dial.in_progress.is_none());
        waiting.filter(|&(&peer, _)| !self.has_link(peer)).map(|(_, dial)| dial.next_at).min()
    }
}

/// A pause that doubles with each failure, and of which `spread` takes up to a half.
fn backoff(failures: u32, longest: Duration, spread: u64) -> Duration {
    let full = MIN_DIAL_BACKOFF.saturating_mul(1 << failures.min(16)).min(longest);
    let thousandths = u32::try_from(spread % 500).unwrap_or_default();
    full.saturating_sub(full * thousandths / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_lie_between_half_and_whole() {
        for failures in 0..100 {
            let whole = backoff(failures, MAX_DIAL_BACKOFF, 0);
            assert_eq!(whole, (MIN_DIAL_BACKOFF * (1 << failures.min(10))).min(MAX_DIAL_BACKOFF));
            let least = backoff(failures, MAX_DIAL_BACKOFF, 499);
            assert!(least > whole / 2 && least < whole, "{least:?} of {whole:?}");
        }
    }
}
