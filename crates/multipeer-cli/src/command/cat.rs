//! `multipeer cat`: standard input and output over a stream.

use std::time::Duration;

use multipeer::{Event, Session, StreamReader, StreamWriter};
use tokio::io::{AsyncWriteExt, copy, stdin, stdout};

use super::peers;
use crate::{
    cli::{Cat, Common},
    failure::Failure,
};

pub(crate) async fn run(common: &Common, options: &Cat) -> Result<(), Failure> {
    let session = common.start().await?;
    let result = join(&session, options).await;
    session.leave().await;
    result
}

async fn join(session: &Session, options: &Cat) -> Result<(), Failure> {
    let mut events = session.events();
    let (writer, reader) = match &options.to {
        Some(text) => {
            let patience = Duration::from_secs(options.wait);
            let peer = peers::wait_for(session, &mut events, text, patience).await?;
            session.open_stream(&peer, &options.stream).await?
        }
        None => loop {
            match events.next().await {
                Some(Event::Stream(stream)) if stream.name.as_str() == options.stream => {
                    if let Some(writer) = stream.writer {
                        break (writer, stream.reader);
                    }
                }
                // Others are refused by being dropped.
                Some(_) => {}
                None => return Ok(()),
            }
        },
    };
    // The session's events must be taken, or it stops.
    let drain = async { while events.next().await.is_some() {} };
    tokio::select! {
        result = both_ways(writer, reader) => Ok(result?),
        () = drain => Ok(()),
    }
}

/// Each way ends on its own; all is over when both have.
async fn both_ways(mut writer: StreamWriter, mut reader: StreamReader) -> std::io::Result<()> {
    let there = async {
        copy(&mut stdin(), &mut writer).await?;
        writer.shutdown().await
    };
    let back = async {
        let mut output = stdout();
        copy(&mut reader, &mut output).await?;
        output.flush().await
    };
    tokio::try_join!(there, back).map(drop)
}
