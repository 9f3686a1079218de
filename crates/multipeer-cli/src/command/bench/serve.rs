//! The other peer: sends back, counts and takes what comes.

use std::path::{Path, PathBuf};

use multipeer::{Event, IncomingStream, Session};
use tokio::io::{AsyncReadExt, stdin};

use super::{
    files::RECEIVED,
    raw,
    session::{BULK_STREAM, Kind, builder},
};
use crate::{failure::Failure, output};

/// Runs until standard input is closed.
pub(super) async fn run(service: &str, folder: &Path) -> Result<(), Failure> {
    let session = builder(service, "other").start().await?;
    output::line(&raw::serve().await?);
    // In a task of its own, as that of raw iroh is.
    let serving = tokio::spawn(serve(session.clone(), folder.to_owned()));
    let (mut input, mut byte) = (stdin(), [0]);
    tokio::select! {
        result = serving => result.unwrap_or(Ok(()))?,
        _ = input.read(&mut byte) => {}
    }
    session.leave().await;
    Ok(())
}

async fn serve(session: Session, folder: PathBuf) -> Result<(), Failure> {
    let mut events = session.events();
    while let Some(event) = events.next().await {
        match event {
            Event::Message { from, data, .. } if Kind::of(&data).wants_answer() => {
                session.send(&from, data).await?;
            }
            Event::Stream(stream) if stream.name.as_str() == BULK_STREAM => {
                tokio::spawn(swallow(stream));
            }
            Event::ResourceOffered(offer) => {
                offer.accept(folder.join(RECEIVED)).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads everything, and then ends the other way, too.
async fn swallow(stream: IncomingStream) {
    let mut reader = stream.reader;
    while let Ok(Some(_)) = reader.read_bytes(usize::MAX).await {}
    if let Some(mut writer) = stream.writer {
        // Whoever measures notices when this does not come.
        _ = writer.finish().await;
    }
}
