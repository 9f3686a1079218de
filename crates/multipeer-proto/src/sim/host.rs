//! One simulated peer: the session, and what its driver would keep.

use std::collections::{BTreeMap, BTreeSet};

use super::{Run, Violation, network::ConnectionId};
use crate::{
    Config, DisplayName, Input, Joining, LinkId, Outbox, PeerId, ServiceType, Session, Timestamp,
    delivery::Inbox, limits::OUTBOX_BYTES, message::Messages,
};

/// Messages of one peer, in both directions.
#[derive(Debug)]
pub(super) struct Lane {
    /// Which start of the peer.
    pub(super) run: Run,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
    pub(super) link: Option<LinkId>,
    pub(super) draining: bool,
    /// Whether nothing new begins on the link.
    pub(super) paused: bool,
    /// Whether there is none until the application wants one.
    pub(super) resting: bool,
    /// What had come and gone at the last look.
    pub(super) seen: (u64, u64),
}

impl Lane {
    pub(super) fn new(run: Run, capacity: usize) -> Self {
        Self {
            run,
            outbox: Outbox::new(capacity),
            inbox: Inbox::default(),
            link: None,
            draining: false,
            paused: false,
            resting: false,
            seen: (0, 0),
        }
    }

    /// Whether something has come or gone since the last look, or is under way.
    pub(super) fn look(&mut self) -> bool {
        let seen = (self.outbox.cursor(), self.inbox.received());
        std::mem::replace(&mut self.seen, seen) != seen || !self.outbox.is_empty()
    }
}

/// What a run is before anything is set.
pub(super) fn config_of(run: Run) -> Config {
    let name = DisplayName::new(format!("host {}", run.id.short()));
    let service = ServiceType::new("sim");
    let (Ok(name), Ok(service)) = (name, service) else { unreachable!("these are names") };
    // As far apart as the microseconds that the library counts.
    Config::new(run.id, service, name, run.incarnation * 1_000_000)
}

/// One start of one host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) run: Run,
    pub(super) session: Session,
    pub(super) joining: Joining,
    pub(super) lanes: BTreeMap<PeerId, Lane>,
    pub(super) links: BTreeMap<LinkId, ConnectionId>,
    pub(super) next_link: u64,
    pub(super) next_invitation: u64,
    /// Whom each invitation was for.
    pub(super) invited: BTreeMap<u64, PeerId>,
    /// The wake-up that is scheduled, to tell it from those that are outdated.
    pub(super) wake_at: Option<Timestamp>,
    pub(super) announced: bool,
    /// The hubs whose relays it uses: at the first it waits for links, ...
    pub(super) relays: Vec<PeerId>,
    /// ... and at these it is besides, because it has dialled through them.
    pub(super) at_relays: BTreeSet<PeerId>,
    /// When something last came from each peer, or a link of it began to carry messages.
    pub(super) heard: BTreeMap<PeerId, Timestamp>,
    pub(super) over: bool,
    /// Bytes that an outbox takes: small, so that it is full at times.
    pub(super) outbox_bytes: usize,
}

impl Host {
    pub(super) fn new(run: Run, config: Config) -> Self {
        Self {
            run,
            joining: config.joining,
            session: Session::new(config),
            lanes: BTreeMap::new(),
            links: BTreeMap::new(),
            next_link: 0,
            next_invitation: 0,
            invited: BTreeMap::new(),
            wake_at: None,
            announced: false,
            relays: Vec::new(),
            at_relays: BTreeSet::new(),
            heard: BTreeMap::new(),
            over: false,
            outbox_bytes: OUTBOX_BYTES / 2048,
        }
    }

    pub(super) fn new_link(&mut self, connection: ConnectionId) -> LinkId {
        self.next_link += 1;
        let link = LinkId(self.next_link);
        self.links.insert(link, connection);
        link
    }

    /// Tells the session of confirmations that are due, as the driver's reader would.
    pub(super) fn confirm(&mut self, now: Timestamp) {
        for (&peer, lane) in &mut self.lanes {
            if let Some(received) = lane.inbox.poll_confirm(now) {
                self.session.handle(now, Input::Arrived { peer, received });
            }
        }
    }

    /// When the host must be woken at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let confirmations = self.lanes.values().filter_map(|lane| lane.inbox.poll_timeout());
        confirmations.chain(self.session.poll_timeout()).min()
    }

    /// Messages of the peer arrived on the link, the first with number `number`. Drops those that are known.
    pub(super) fn receive(
        &mut self,
        now: Timestamp,
        peer: PeerId,
        number: u64,
        messages: &mut Messages,
    ) -> Result<(), Violation> {
        let Some(lane) = self.lanes.get_mut(&peer) else {
            return Err(Violation::MessageFromStranger { at: self.run, from: peer });
        };
        let known = lane.inbox.handle_stream(number).map_err(|error| Violation::Gap {
            at: self.run,
            from: peer,
            error,
        })?;
        messages.discard(known);
        if messages.len() > 0 {
            lane.inbox.handle_messages(now, messages);
        }
        Ok(())
    }

    /// Everything that the host keeps stays within its bounds, and nobody misbehaved among the
    /// honest.
    pub(super) fn check_bounds(&self, among_forgers: bool) -> Result<(), Violation> {
        use crate::limits::{MAX_FORMER, MAX_INVITATIONS, MAX_NEARBY, MAX_PENDING_LINKS};
        let limits = [
            MAX_PENDING_LINKS + 64 * 4,
            crate::limits::DEFAULT_MAX_PEERS,
            crate::limits::DEFAULT_MAX_PEERS,
            MAX_FORMER,
            MAX_NEARBY,
            2 * MAX_INVITATIONS,
            MAX_NEARBY,
            crate::limits::MAX_WRONG_PROVERS,
            crate::limits::MAX_REMOVALS,
            crate::limits::MAX_REPEATED,
        ];
        let sizes = self.session.table_sizes();
        if sizes.iter().zip(limits).any(|(&size, limit)| size > limit) {
            return Err(Violation::Unbounded { at: self.run, sizes });
        }
        if self.session.statistics().protocol_errors > 0 && !among_forgers {
            return Err(Violation::HonestPeerMisbehaved { at: self.run });
        }
        Ok(())
    }
}
