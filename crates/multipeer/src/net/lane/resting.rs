//! Whether the application uses a link, and what it has to say when there is none because it rests.

use std::{
    collections::VecDeque,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use iroh::endpoint::Connection;
use multipeer_proto::LinkId;
use tokio::time::Instant;

use super::{Lane, State};
use crate::{
    net::{Request, endpoint::DATAGRAM_BUFFER_BYTES},
    stream::StreamError,
};

/// Time that a best-effort message is worth waiting for: a link is woken within milliseconds, if the peer is there.
const WORTH_SENDING: Duration = Duration::from_secs(1);

/// What a datagram that waits costs besides its bytes, about.
const WAITING_BYTES: usize = 64;

/// Held by everything that the application has under way on links to a peer, besides messages: none is given up to rest
/// while there is one.
#[derive(Debug, Clone)]
pub(crate) struct Hold(#[expect(dead_code, reason = "it is counted")] Arc<()>);

/// Whether the lane's link rests, as far as the session's task said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Rest {
    #[default]
    Awake,
    /// Nothing new begins on it.
    Paused,
    /// There is none.
    Resting {
        /// Whether the session was told that one is wanted.
        told: bool,
    },
}

/// What has come and gone: two that are equal mean nothing has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Traffic {
    sent: u64,
    received: u64,
    datagrams: u64,
}

/// Datagrams for which a link is woken, until it is there: as many bytes as the transport keeps, the latest of them.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    datagrams: VecDeque<(Instant, Bytes)>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn push(&mut self, now: Instant, datagram: Bytes) {
        self.bytes += datagram.len() + WAITING_BYTES;
        self.datagrams.push_back((now, datagram));
        while self.bytes > DATAGRAM_BUFFER_BYTES
            && let Some((_, oldest)) = self.datagrams.pop_front()
        {
            self.bytes -= oldest.len() + WAITING_BYTES;
        }
    }

    /// Those that came lately.
    pub(super) fn take(&mut self, now: Instant) -> impl Iterator<Item = Bytes> + use<> {
        let all = std::mem::take(self).datagrams.into_iter();
        let is_late =
            move |(since, _): &(Instant, Bytes)| now.duration_since(*since) > WORTH_SENDING;
        all.skip_while(is_late).map(|(_, datagram)| datagram)
    }
}

impl State {
    fn is_quiet(&self) -> bool {
        // One is the lane's own.
        let nothing_held = Arc::strong_count(&self.held) == 1;
        nothing_held && self.outbox.is_empty() && self.inbox.poll_timeout().is_none()
    }

    /// Whether the session is to be told that a link is wanted, which it is once.
    pub(super) fn wants_link(&mut self) -> bool {
        match &mut self.rest {
            Rest::Resting { told } => !std::mem::replace(told, true),
            Rest::Awake | Rest::Paused => false,
        }
    }
}

impl Lane {
    /// Notes that something of the application is under way.
    pub(crate) fn hold(&self) -> Hold {
        Hold(self.state().held.clone())
    }

    /// Whether there is no link because it rests, or is about to.
    pub(crate) fn is_resting(&self) -> bool {
        self.state().rest != Rest::Awake
    }

    /// Whether something of the application has come or gone since the last look, or is under way.
    pub(in crate::net) fn look(&self) -> bool {
        let mut state = self.state();
        let (sent, received) = (state.outbox.cursor(), state.inbox.received());
        let seen = Traffic { sent, received, datagrams: state.datagrams };
        std::mem::replace(&mut state.seen, seen) != seen || !state.is_quiet()
    }

    /// Begins nothing new on the link, if nothing is under way on it. Says whether that is so.
    pub(in crate::net) fn pause(&self, link: LinkId) -> bool {
        // What is not read yet has not come.
        let takes_all = !self.events.is_backlogged();
        let mut state = self.state();
        let quiet = takes_all && state.link == Some(link) && state.is_quiet();
        if quiet {
            state.rest = Rest::Paused;
        }
        quiet
    }

    /// The link is used as before.
    pub(in crate::net) fn resume(&self) {
        let mut state = self.state();
        if state.rest == Rest::Paused {
            state.rest = Rest::Awake;
        }
        drop(state);
        self.attached.notify_waiters();
    }

    /// A link on which something may begin, and what keeps it from resting. Waits while there is none, and asks for one
    /// where it rests.
    pub(crate) async fn connection(&self) -> Result<(Connection, Hold), StreamError> {
        loop {
            let mut attached = std::pin::pin!(self.attached.notified());
            attached.as_mut().enable();
            {
                let mut state = self.state();
                if state.closed {
                    return Err(StreamError::NotConnected(self.peer.id));
                }
                let is_usable = state.is_open && state.rest == Rest::Awake;
                if let Some(connection) = state.connection.as_ref().filter(|_| is_usable) {
                    return Ok((connection.clone(), Hold(state.held.clone())));
                }
                let wanted = state.rest == Rest::Paused || state.wants_link();
                self.want_link(state, wanted);
            }
            attached.await;
        }
    }

    /// Tells the session that a link is wanted, if that is so.
    pub(super) fn want_link(&self, state: MutexGuard<'_, State>, wanted: bool) {
        drop(state);
        if wanted && let Some(requests) = self.requests.upgrade() {
            // A session that is over ends the lane, too.
            _ = requests.send(Request::Wanted(self.peer.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_waits_for_a_link_the_latest_is_kept_while_it_is_worth_sending() {
        let start = Instant::now();
        let mut waiting = Waiting::default();
        for number in 0..=255_u8 {
            let now = start + Duration::from_millis(10) * u32::from(number);
            waiting.push(now, vec![number; 1984].into());
        }
        // 128 of them fit, the first of them from 1.28 s; a second before 2.6 s is 1.6 s.
        let sent: Vec<u8> =
            waiting.take(start + Duration::from_millis(2600)).map(|d| d[0]).collect();
        assert_eq!(sent, (160..=255).collect::<Vec<_>>());
        assert_eq!(waiting.take(start).count(), 0);
        waiting.push(start, vec![0; DATAGRAM_BUFFER_BYTES + 1].into());
        assert_eq!((waiting.bytes, waiting.take(start).count()), (0, 0));
        for number in 0..200 {
            waiting.push(start, vec![number; 1984].into());
        }
        assert_eq!(
            waiting.take(start).map(|d| d[0]).collect::<Vec<_>>(),
            (72..200).collect::<Vec<_>>()
        );
    }
}
