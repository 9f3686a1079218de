//! The streams of a link: opening them, and finding out what those are that the peer opens.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt};
use multipeer_proto::{
    LinkId, StreamName,
    stream::{MESSAGE_STREAM, NAMED_STREAM, RESOURCE_STREAM, code},
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use super::{Lane, link::LinkInput, reader::ReadContext};
use crate::{
    event::Event,
    stream::{IncomingStream, StreamError, StreamReader, StreamWriter},
};

/// Time for a stream to say what it is.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a stream turned out to be.
enum Opened {
    Messages(RecvStream),
    Named(StreamName, RecvStream, Option<SendStream>),
    Resource(RecvStream, SendStream),
    /// Refused already.
    Nothing,
}

/// Takes the streams that the peer opens until the link ends. Fails when they break the protocol.
async fn accept(
    lane: Arc<Lane>,
    connection: Connection,
    context: ReadContext,
    inputs: &mpsc::Sender<LinkInput>,
) -> Result<(), String> {
    let link = context.link;
    let mut context = Some(context);
    let mut opened = JoinSet::new();
    let mut messages = JoinSet::new();
    loop {
        // Streams that the application does not come for stay with the peer.
        lane.events.wait_for_room().await;
        tokio::select! {
            stream = connection.accept_uni() => {
                let Ok(reader) = stream else { return Ok(()) };
                opened.spawn(read_header(reader, None));
            }
            stream = connection.accept_bi() => {
                let Ok((writer, reader)) = stream else { return Ok(()) };
                opened.spawn(read_header(reader, Some(writer)));
            }
            Some(Ok(stream)) = opened.join_next() => match stream {
                Opened::Messages(reader) => match context.take() {
                    Some(context) => _ = messages.spawn(lane.clone().attend(context, reader)),
                    None => return Err("a link has one message stream".to_owned()),
                },
                Opened::Named(name, reader, writer) => {
                    let stream = IncomingStream::new(&lane, name, reader, writer);
                    lane.deliver(link, Event::Stream(stream));
                }
                Opened::Resource(reader, writer) => {
                    let lane = lane.clone();
                    let input = LinkInput::Resource { link, lane, writer, reader };
                    // A session that is over takes nothing.
                    _ = inputs.send(input).await;
                }
                Opened::Nothing => {}
            },
            Some(ended) = messages.join_next() => return ended.unwrap_or(Ok(())),
        }
    }
}

/// Finds out what a stream is. One that does not say so is refused, and its link lives on.
async fn read_header(mut reader: RecvStream, writer: Option<SendStream>) -> Opened {
    let header = timeout(HEADER_TIMEOUT, async {
        let mut kind = [0];
        reader.read_exact(&mut kind).await.map_err(|_| code::BAD_HEADER)?;
        match (kind[0], &writer) {
            (NAMED_STREAM, _) => read_name(&mut reader).await.map(Some),
            (MESSAGE_STREAM, None) | (RESOURCE_STREAM, Some(_)) => Ok(None),
            _ => Err(code::UNKNOWN_KIND),
        }
    });
    match (header.await.unwrap_or(Err(code::BAD_HEADER)), writer) {
        (Ok(Some(name)), writer) => Opened::Named(name, reader, writer),
        (Ok(None), None) => Opened::Messages(reader),
        (Ok(None), Some(writer)) => Opened::Resource(reader, writer),
        (Err(code), writer) => {
            let code = VarInt::from_u32(code);
            // Either may have ended by itself.
            _ = reader.stop(code);
            _ = writer.map(|mut writer| writer.reset(code));
            Opened::Nothing
        }
    }
}

async fn read_name(reader: &mut RecvStream) -> Result<StreamName, u32> {
    let mut length = [0];
    reader.read_exact(&mut length).await.map_err(|_| code::BAD_HEADER)?;
    let mut name = vec![0; usize::from(length[0])];
    reader.read_exact(&mut name).await.map_err(|_| code::BAD_HEADER)?;
    StreamName::decode(&name).map_err(|_| code::BAD_HEADER)
}

impl Lane {
    /// Opens a stream both ways. Waits while the link is being replaced, and while the peer has
    /// as many open as it takes.
    pub(crate) async fn open_stream(
        &self,
        name: &StreamName,
    ) -> Result<(StreamWriter, StreamReader), StreamError> {
        let (connection, hold) = self.connection().await?;
        let (mut writer, reader) = connection.open_bi().await.map_err(|_| StreamError::LinkLost)?;
        write_header(&mut writer, name).await?;
        Ok((StreamWriter::new(writer, hold.clone()), StreamReader::new(reader, hold)))
    }

    /// Opens a stream to the peer alone.
    pub(crate) async fn open_one_way_stream(
        &self,
        name: &StreamName,
    ) -> Result<StreamWriter, StreamError> {
        let (connection, hold) = self.connection().await?;
        let mut writer = connection.open_uni().await.map_err(|_| StreamError::LinkLost)?;
        write_header(&mut writer, name).await?;
        Ok(StreamWriter::new(writer, hold))
    }
}

async fn write_header(writer: &mut SendStream, name: &StreamName) -> Result<(), StreamError> {
    let mut header = BytesMut::new();
    name.encode_header(&mut header);
    Ok(writer.write_chunk(header.freeze()).await?)
}

/// Runs [`accept`], and reports what breaks the protocol.
pub(super) async fn serve(
    link: LinkId,
    lane: Arc<Lane>,
    connection: Connection,
    context: ReadContext,
    inputs: mpsc::Sender<LinkInput>,
) {
    if let Err(error) = accept(lane, connection, context, &inputs).await {
        _ = inputs.send(LinkInput::Misbehaved { link, error }).await;
    }
}
