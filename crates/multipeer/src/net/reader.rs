//! Reading a peer's messages: by the application's own task when it waits for an event, which
//! saves the wake-up of another one; by a task of the link when the application does not come, and
//! when so much comes that two tasks do better than one.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use iroh::endpoint::RecvStream;
use multipeer_proto::{
    LinkId, Timestamp,
    message::{MessageDecoder, Messages},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{Lane, link::LinkInput};

/// Chunks that are read from the stream at once.
const READ_CHUNKS: usize = 32;
/// A message of at least so many bytes stays in the packet in which it came. Smaller ones are copied out of it: while
/// they wait for the application they would keep it, and those that came with it from the network.
const SHARE_FROM_BYTES: usize = 1024;
/// Pause between two rounds of the link's task while messages come. So long the application has to
/// come for them before that task reads them, so that they are confirmed in any case.
const ROUND: Duration = Duration::from_millis(10);

/// What reading messages needs beside the stream.
#[derive(Debug)]
pub(super) struct ReadContext {
    pub(super) link: LinkId,
    pub(super) max_message_bytes: usize,
    pub(super) inputs: mpsc::Sender<LinkInput>,
    pub(super) start: Instant,
}

impl ReadContext {
    fn now(&self) -> Timestamp {
        Timestamp::after_start(self.start.elapsed())
    }
}

/// One link's message stream, and how far it is decoded.
#[derive(Debug)]
pub(super) struct Reader {
    context: ReadContext,
    stream: RecvStream,
    decoder: MessageDecoder,
    chunks: [Bytes; READ_CHUNKS],
    /// How many messages are known from the link before; not known before the stream begins.
    skip: Option<u64>,
    arrived: VecDeque<Messages>,
    /// What is wrong with the stream.
    failure: Option<String>,
}

impl Reader {
    pub(super) fn new(context: ReadContext, stream: RecvStream) -> Self {
        Self {
            decoder: MessageDecoder::new(context.max_message_bytes),
            context,
            stream,
            chunks: Default::default(),
            skip: None,
            arrived: VecDeque::new(),
            failure: None,
        }
    }

    /// Reads once, and says whether there may be more. While the application is behind, the
    /// stream is not read, and the sender waits.
    fn read(&mut self, lane: &Lane) -> bool {
        if self.failure.is_some() || !lane.doorbell.gauge.has_room() {
            return false;
        }
        let waker = Waker::from(lane.doorbell.clone());
        let mut context = Context::from_waker(&waker);
        let read = pin!(self.stream.read_many_chunks(&mut self.chunks)).poll(&mut context);
        // The end of the stream is the end of the link, which the link's task sees.
        let Poll::Ready(Ok(Some(count))) = read else { return false };
        match self.decode(lane, count) {
            Ok(()) => self.deliver(lane),
            Err(error) => self.failure = Some(error),
        }
        true
    }

    fn decode(&mut self, lane: &Lane, count: usize) -> Result<(), String> {
        lane.doorbell.note_read(self.chunks[..count].iter().map(Bytes::len).sum());
        for chunk in &mut self.chunks[..count] {
            let deliver = |messages: Messages| {
                let is_large = messages.len() == 1 && messages.wire_bytes() >= SHARE_FROM_BYTES;
                self.arrived.push_back(if is_large { messages } else { messages.unshared() });
            };
            self.decoder
                .decode(std::mem::take(chunk), deliver)
                .map_err(|error| error.to_string())?;
        }
        if self.skip.is_none()
            && let Some(first) = self.decoder.first()
        {
            let known = lane.state().inbox.handle_stream(first);
            self.skip = Some(known.map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    /// Drops what came over the link before.
    fn skip_known(&mut self) {
        while let Some(left @ 1..) = &mut self.skip
            && let Some(messages) = self.arrived.front_mut()
        {
            *left -= messages.discard(*left);
            if messages.len() == 0 {
                self.arrived.pop_front();
            }
        }
    }

    fn deliver(&mut self, lane: &Lane) {
        self.skip_known();
        if self.arrived.is_empty() {
            return;
        }
        let now = self.context.now();
        let mut state = lane.state();
        if state.link != Some(self.context.link) {
            self.arrived.clear();
            return;
        }
        for messages in &self.arrived {
            state.inbox.handle_messages(now, messages);
        }
        // Under the lock, so that nothing is delivered after the lane was closed.
        lane.events.push_messages(&lane.peer, &mut self.arrived, &lane.doorbell);
        // What cannot be confirmed at once, the link's task confirms.
        if state.inbox.poll_timeout().is_some_and(|due| due <= now)
            && let Ok(permit) = self.context.inputs.try_reserve()
            && let Some(received) = state.inbox.poll_confirm(now)
        {
            permit.send(LinkInput::Arrived { peer: lane.peer.id, received });
        }
    }
}

impl Lane {
    /// Reads what there is, up to some 32 packets, and says whether there may be more.
    pub(super) fn read(&self) -> bool {
        self.reader().as_mut().is_some_and(|reader| reader.read(self))
    }

    /// Sees to it that a link's messages are read, and confirmed in time, until another link
    /// takes over. Fails when they break the protocol.
    pub(super) async fn attend(
        self: Arc<Self>,
        context: ReadContext,
        stream: RecvStream,
    ) -> Result<(), String> {
        let (link, start, inputs) = (context.link, context.start, context.inputs.clone());
        if self.state().link != Some(link) {
            return Ok(());
        }
        *self.reader() = Some(Reader::new(context, stream));
        // The link before may have been left in the middle of anything.
        self.doorbell.ring();
        self.doorbell.attention.notify_one();
        // Set once for many messages: setting a timer costs as much as handling a message.
        let round = sleep(ROUND);
        tokio::pin!(round);
        loop {
            let rests = self.comes_to_rest();
            tokio::select! {
                biased;
                () = round.as_mut(), if !rests => {}
                () = self.doorbell.attention.notified() => {}
            }
            if self.state().link != Some(link) {
                // The call may have been for whoever attends now.
                self.doorbell.attention.notify_one();
                return Ok(());
            }
            let round_is_over = round.is_elapsed();
            if round_is_over || rests {
                round.as_mut().reset(Instant::now() + ROUND);
            }
            let mut mine = self.doorbell.is_bulk();
            if round_is_over {
                // Whoever rang while this task was to read, rang for this task alone: it reads
                // once more before it leaves that to the application.
                mine |= self.doorbell.begin_round() || self.events.claim(&self.doorbell);
            }
            while mine && self.read() {}
            self.failure()?;
            // What is due before the next round is over is confirmed now.
            let now = Timestamp::after_start(start.elapsed()) + ROUND;
            let due = self.state().inbox.poll_confirm(now);
            if let Some(received) = due {
                let peer = self.peer.id;
                _ = inputs.send(LinkInput::Arrived { peer, received }).await;
            }
        }
    }

    /// Whether nothing is left to do before the doorbell rings again.
    fn comes_to_rest(&self) -> bool {
        self.doorbell.set_attended(false);
        // Who rings from here on calls again.
        let busy = self.doorbell.is_bulk()
            || self.events.is_readable(&self.doorbell)
            || self.state().inbox.poll_timeout().is_some();
        if busy {
            self.doorbell.set_attended(true);
        }
        !busy
    }

    fn failure(&self) -> Result<(), String> {
        let failure = self.reader().as_mut().and_then(|reader| reader.failure.clone());
        failure.map_or(Ok(()), Err)
    }
}
