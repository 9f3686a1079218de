//! One link: its control stream, its datagrams, and its end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use iroh::{
    TransportAddr,
    endpoint::{Connection, RecvStream, SendStream, VarInt},
};
use multipeer_proto::{
    DialError, Direction, Frame, FrameDecoder, GoodbyeReason, LinkId, Origin, PeerId,
    frame::Goodbye, message::Datagram,
};
use tokio::{
    sync::{
        Notify,
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    task::JoinSet,
    time::timeout,
};

use super::{lane::Lane, reader::ReadContext, streams};

/// Control frames that wait to be written. A peer that lets more wait does not read, and its
/// link is closed.
const MAX_WAITING_FRAMES: usize = 1024;
/// Bytes read from the control stream at once.
const READ_BYTES: usize = 16 * 1024;
/// The application's streams have priorities of 16 bits.
const CONTROL_PRIORITY: i32 = i32::MAX;
pub(super) const MESSAGE_PRIORITY: i32 = CONTROL_PRIORITY - 1;
/// Time for the dialler to open the control stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Time in which those who wait for a stream to arrive see that it has, before the connection is
/// closed under them.
const FAREWELL: Duration = Duration::from_millis(20);
/// Time for the other end to take note of a goodbye.
const LINGER: Duration = Duration::from_millis(800);

/// What links and their pumps report to the task that owns the session.
#[derive(Debug)]
pub(super) enum LinkInput {
    /// An incoming connection has proven itself, or failed to.
    HandshakeOver {
        origin: Origin,
    },
    Up {
        connection: Connection,
        direction: Direction,
    },
    DialFailed {
        peer: PeerId,
        attempt: u64,
        error: DialError,
    },
    Frame {
        link: LinkId,
        frame: Frame,
    },
    Misbehaved {
        link: LinkId,
        error: String,
    },
    Arrived {
        peer: PeerId,
        received: u64,
    },
    Pong {
        peer: PeerId,
        token: u64,
    },
    /// A stream on which a peer offers a resource.
    Resource {
        link: LinkId,
        lane: Arc<Lane>,
        writer: SendStream,
        reader: RecvStream,
    },
    Down {
        link: LinkId,
    },
}

/// What the session task keeps of a link.
pub(super) struct Link {
    pub(super) connection: Connection,
    /// What it had brought at the last look.
    pub(super) received: u64,
    frames: mpsc::Sender<Frame>,
    /// Tells the link's task whose messages it carries.
    attach: Option<oneshot::Sender<Attachment>>,
}

pub(super) type Attachment = (Arc<Lane>, ReadContext);

impl Link {
    /// Queues a frame. False when so many wait that the other end cannot be reading. A link that
    /// is at its end takes none, and reports its end by itself.
    pub(super) fn send(&self, frame: Frame) -> bool {
        !matches!(self.frames.try_send(frame), Err(TrySendError::Full(_)))
    }

    /// Makes the link carry a peer's messages.
    pub(super) fn attach(&mut self, attachment: Attachment) {
        if let Some(attach) = self.attach.take() {
            _ = attach.send(attachment);
        }
    }

    /// Says goodbye behind everything queued, and closes the connection; at once if it is not said, as iroh tries no other
    /// way to a peer while there is a connection.
    pub(super) fn close(self, reason: GoodbyeReason, text: &str) {
        let goodbye = Frame::Goodbye(Goodbye { reason, text: text.to_owned() });
        if !reason.is_said() || !self.send(goodbye) {
            self.connection.close(VarInt::from_u32(reason.code()), text.as_bytes());
        }
    }
}

/// Where the other end is.
pub(super) fn remote_address(connection: &Connection) -> Option<SocketAddr> {
    let paths = connection.paths();
    let selected = paths.iter().find(iroh::endpoint::Path::is_selected);
    let address = selected.or_else(|| paths.iter().next())?.remote_addr().clone();
    match address {
        TransportAddr::Ip(address) => Some(address),
        _ => None,
    }
}

/// Begins to serve a link. Everything that it spawns ends when the connection does, and belongs
/// to `tasks`.
pub(super) fn spawn(
    tasks: &mut JoinSet<()>,
    link: LinkId,
    connection: Connection,
    direction: Direction,
    inputs: mpsc::Sender<LinkInput>,
) -> Link {
    let (frames, queued) = mpsc::channel(MAX_WAITING_FRAMES);
    let (attach, attached) = oneshot::channel::<Attachment>();
    let served = connection.clone();
    tasks.spawn(async move {
        // Tasks of their own: a message must not wake up all that the link does besides.
        let mut pumps = JoinSet::new();
        let serve = async {
            let Some((writer, reader)) = open_control(&served, direction).await else { return };
            let joined = Notify::new();
            let messages = async {
                if let Ok((lane, context)) = attached.await {
                    joined.notified().await;
                    lane.open(link);
                    carry(&mut pumps, link, &served, &lane, context, &inputs);
                }
                // A link that carries nothing still says goodbye in its own time.
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = write_control(&served, writer, queued, &joined) => {}
                () = read_control(link, reader, &inputs) => {}
                () = messages => {}
            }
        };
        tokio::select! {
            () = serve => tokio::time::sleep(FAREWELL).await,
            _ = served.closed() => {}
        }
        served.close(VarInt::from_u32(GoodbyeReason::Unneeded.code()), b"");
        pumps.shutdown().await;
        _ = inputs.send(LinkInput::Down { link }).await;
    });
    Link { connection, received: 0, frames, attach: Some(attach) }
}

async fn open_control(
    connection: &Connection,
    direction: Direction,
) -> Option<(SendStream, RecvStream)> {
    let open = async {
        match direction {
            Direction::Dialled { .. } => connection.open_bi().await,
            Direction::Accepted => connection.accept_bi().await,
        }
    };
    let (writer, reader) = timeout(OPEN_TIMEOUT, open).await.ok()?.ok()?;
    // Control goes before messages, and messages before the application's streams.
    writer.set_priority(CONTROL_PRIORITY).ok()?;
    Some((writer, reader))
}

/// Writes frames until a goodbye, or until nobody has any more to write. Tells when this side has said that it joins.
async fn write_control(
    connection: &Connection,
    mut stream: SendStream,
    mut queued: mpsc::Receiver<Frame>,
    joined: &Notify,
) {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    while queued.recv_many(&mut frames, 64).await > 0 {
        let goodbye = frames.iter().find_map(|frame| match frame {
            Frame::Goodbye(goodbye) => Some(goodbye.clone()),
            _ => None,
        });
        let joins = frames.iter().any(|frame| matches!(frame, Frame::Join(_)));
        frames.drain(..).for_each(|frame| frame.encode(&mut buffer));
        if stream.write_all(&buffer.split()).await.is_err() {
            return;
        }
        if joins {
            joined.notify_one();
        }
        if let Some(goodbye) = goodbye {
            _ = stream.finish();
            // The other end closes when it has read the goodbye; if it does not, this one does.
            _ = timeout(LINGER, connection.closed()).await;
            let code = VarInt::from_u32(goodbye.reason.code());
            connection.close(code, goodbye.text.as_bytes());
            return;
        }
    }
}

/// Reads frames until the other end says goodbye.
async fn read_control(link: LinkId, mut stream: RecvStream, inputs: &mpsc::Sender<LinkInput>) {
    let mut decoder = FrameDecoder::default();
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(Some(count)) = stream.read(&mut buffer).await {
        decoder.extend(&buffer[..count]);
        loop {
            let (input, last) = match decoder.poll_frame() {
                Ok(None) => break,
                Ok(Some(frame @ Frame::Goodbye(_))) => (LinkInput::Frame { link, frame }, true),
                Ok(Some(frame)) => (LinkInput::Frame { link, frame }, false),
                Err(error) => {
                    let error = error.to_string();
                    _ = inputs.send(LinkInput::Misbehaved { link, error }).await;
                    // The session closes the link, and says why.
                    return std::future::pending().await;
                }
            };
            if inputs.send(input).await.is_err() {
                // The session is over; its goodbye is still to be written.
                return std::future::pending().await;
            }
            if last {
                return;
            }
        }
    }
    // The other end has nothing more to say. Its goodbye, or the link's death, tells the rest.
    std::future::pending::<()>().await;
}

/// Begins to carry a peer's messages and datagrams, for as long as the link lives.
fn carry(
    pumps: &mut JoinSet<()>,
    link: LinkId,
    connection: &Connection,
    lane: &Arc<Lane>,
    context: ReadContext,
    inputs: &mpsc::Sender<LinkInput>,
) {
    pumps.spawn(streams::serve(link, lane.clone(), connection.clone(), context, inputs.clone()));
    pumps.spawn(lane.clone().write(link, connection.clone()));
    let (datagrams, lane, inputs) = (connection.clone(), lane.clone(), inputs.clone());
    pumps.spawn(async move { read_datagrams(link, &datagrams, &lane, &inputs).await });
}

async fn read_datagrams(
    link: LinkId,
    connection: &Connection,
    lane: &Lane,
    inputs: &mpsc::Sender<LinkInput>,
) {
    while let Ok(bytes) = connection.read_datagram().await {
        match Datagram::decode(bytes) {
            Some(Datagram::Message(message)) => {
                lane.deliver_unreliable(link, message);
            }
            Some(Datagram::Ping { token, padding }) => {
                // As large as the question; what does not fit is lost like any datagram.
                _ = connection.send_datagram(Datagram::Pong { token, padding }.encode());
            }
            Some(Datagram::Pong { token, .. }) => {
                _ = inputs.send(LinkInput::Pong { peer: lane.id(), token }).await;
            }
            None => {}
        }
    }
}
