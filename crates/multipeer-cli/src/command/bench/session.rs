//! What is measured of a session.

use std::time::{Duration, Instant};

use bytes::Bytes;
use multipeer::{Event, Events, Peer, Session, SessionBuilder, StreamError};

use super::{BLOCK, files::Source};
use crate::{
    command::{loopback::LOOPBACK, peers},
    failure::Failure,
};

/// Time for the two to find each other.
const PATIENCE: Duration = Duration::from_secs(10);
/// The stream that is read to its end.
pub(super) const BULK_STREAM: &str = "bulk";

/// What the first byte of a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is counted by nobody.
    Swallow,
    /// It is to be sent back.
    Answer,
}

impl Kind {
    pub(super) fn of(message: &[u8]) -> Self {
        if message.first() == Some(&1) { Self::Answer } else { Self::Swallow }
    }

    pub(super) fn wants_answer(self) -> bool {
        self == Self::Answer
    }

    /// A message of this kind.
    fn message(self, bytes: usize) -> Bytes {
        let mut message = vec![7; bytes];
        message[0] = u8::from(self.wants_answer());
        message.into()
    }
}

pub(super) fn builder(service: &str, name: &str) -> SessionBuilder {
    Session::builder(service, name).interfaces([LOOPBACK])
}

/// A session that is connected with the other process.
pub(super) struct Link {
    session: Session,
    events: Events,
    peer: Peer,
}

impl Link {
    pub(super) async fn open(service: &str) -> Result<Self, Failure> {
        let session = builder(service, "this").start().await?;
        let mut events = session.events();
        let peer = peers::wait_for(&session, &mut events, "other", PATIENCE).await?;
        Ok(Self { session, events, peer })
    }

    pub(super) async fn leave(&self) {
        self.session.leave().await;
    }

    async fn answer(&mut self) -> Result<(), Failure> {
        loop {
            match self.events.next().await {
                Some(Event::Message { .. }) => return Ok(()),
                Some(Event::PeerDisconnected { .. }) | None => {
                    return Err(Failure::Check("the other peer is gone".to_owned()));
                }
                Some(_) => {}
            }
        }
    }

    pub(super) async fn round_trips(&mut self, count: usize) -> Result<Vec<Duration>, Failure> {
        let message = Kind::Answer.message(64);
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            self.session.send(&self.peer, message.clone()).await?;
            self.answer().await?;
            times.push(start.elapsed());
        }
        Ok(times)
    }

    /// Time from the first message until the other application had the last. So many are handed over with each call.
    pub(super) async fn messages(
        &mut self,
        bytes: usize,
        count: u64,
        batch: usize,
    ) -> Result<Duration, Failure> {
        let messages = vec![Kind::Swallow.message(bytes); batch];
        let start = Instant::now();
        let mut left = usize::try_from(count).unwrap_or(usize::MAX) - 1;
        while left > 0 {
            let size = left.min(batch);
            match &messages[..size] {
                [message] => self.session.send(&self.peer, message.clone()).await?,
                mut many => self.session.send_many(&self.peer, &mut many).await?,
            }
            left -= size;
        }
        self.session.send(&self.peer, Kind::Answer.message(bytes)).await?;
        self.answer().await?;
        Ok(start.elapsed())
    }

    /// Time from the first byte until the other application had the last.
    pub(super) async fn bulk(&mut self, total: u64) -> Result<Duration, Failure> {
        let block = Bytes::from(vec![7; BLOCK]);
        let start = Instant::now();
        let (mut writer, mut reader) = self.session.open_stream(&self.peer, BULK_STREAM).await?;
        let mut left = total;
        while left > 0 {
            let size = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
            writer.write_bytes(block.slice(..size)).await?;
            left -= size as u64;
        }
        writer.finish().await?;
        match reader.read_bytes(1).await? {
            None => Ok(start.elapsed()),
            Some(_) => Err(StreamError::Reset { code: 0 }.into()),
        }
    }

    /// Time from the offer until all is verified and in its place.
    pub(super) async fn resource(&mut self, source: &mut Source) -> Result<Duration, Failure> {
        source.clear_target()?;
        let start = Instant::now();
        let mut transfer = self.session.send_resource(&self.peer, source.source()).await?;
        transfer.finished().await?;
        Ok(start.elapsed())
    }

    /// Time from the offer until the receiver has said that it has verified something.
    pub(super) async fn first_block(&mut self, source: &mut Source) -> Result<Duration, Failure> {
        source.clear_target()?;
        let start = Instant::now();
        let mut transfer = self.session.send_resource(&self.peer, source.source()).await?;
        while let Some(progress) = transfer.progress().await {
            if progress.done > 0 {
                break;
            }
        }
        let time = start.elapsed();
        transfer.cancel();
        // It ends with the word that it was cancelled.
        _ = transfer.finished().await;
        Ok(time)
    }
}
