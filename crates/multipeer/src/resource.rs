//! Resources: files, folders and data, sent whole, verified, and resumed.
//!
//! The protocol's side of it is [`multipeer_proto::resource`]; here are the disk, the streams, and
//! the tasks that join them.

mod blocks;
mod channel;
mod disk;
mod kept;
mod offer;
mod receive;
mod registry;
mod send;
mod source;
mod store;
mod sync;
mod transfer;

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use multipeer_proto::{
    limits,
    resource::{Offer, TransferId},
};
use tokio::sync::Mutex;

pub(crate) use self::offer::handle_stream;
pub(crate) use self::registry::{Registry, Settings};
use self::{
    blocks::{Blocks, Origin},
    send::Outgoing,
    source::{Inner, Listing},
    transfer::Reporter,
};
pub use self::{
    offer::ResourceOffer,
    source::Source,
    transfer::{
        Progress, Transfer, TransferDirection, TransferError, TransferReport, TransferState,
    },
};
use crate::{event::Event, net::Shared, peer::Peer};

/// What is to be received without asking.
#[derive(Debug, Clone)]
pub(crate) struct AutoAccept {
    pub(crate) folder: PathBuf,
    pub(crate) max_bytes: u64,
}

/// Prepares a source for these peers. Returns the transfers, and the tasks that carry them out.
pub(crate) async fn send(
    shared: &Arc<Shared>,
    peers: Vec<Peer>,
    source: Source,
    resume_timeout: Duration,
) -> Result<Vec<(Transfer, BoxFuture<'static, ()>)>, TransferError> {
    let block_bytes = limits::DEFAULT_BLOCK_BYTES;
    let (listing, origin) = prepare(source).await?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| source::error(&listing.name, error))?;
    let offer = Offer {
        transfer: TransferId(random),
        kind: listing.kind,
        name: listing.name,
        size: listing.size,
        entries: listing.entries.len() as u64,
        block_bytes,
    };
    let entries = Arc::new(listing.entries);
    let blocks = Blocks::new(origin, offer.name.clone(), entries.clone(), block_bytes);
    // All follow from the start, so that a source that is read once waits for each of them.
    let tasks = peers.into_iter().map(|peer| {
        let (mut reporter, transfer) = Reporter::new(
            peer.clone(),
            offer.name.clone(),
            offer.transfer,
            TransferDirection::Sending,
            offer.size,
        );
        let outgoing = Outgoing {
            shared: shared.clone(),
            peer,
            offer: offer.clone(),
            entries: entries.clone(),
            follower: Arc::new(blocks.follow()),
            resume_timeout,
        };
        let (shared, ended) = (shared.clone(), transfer.clone());
        let task = async move {
            let result = outgoing.run(&mut reporter).await;
            reporter.end(result.clone());
            shared.events.push(Event::TransferEnded { transfer: ended, result });
        };
        (transfer, task.boxed())
    });
    Ok(tasks.collect())
}

/// Finds out what a source is made of, and where its bytes come from.
async fn prepare(source: Source) -> Result<(Listing, Origin), TransferError> {
    let shown = format!("{source:?}");
    let from_reader =
        |name, size, reader| Ok((source::data(name, size)?, Origin::Reader(Mutex::new(reader))));
    match source.0 {
        Inner::Path(path) => {
            let listed = tokio::task::spawn_blocking(move || {
                let listing = source::list(&path)?;
                Ok((listing, Origin::Files(path.canonicalize().unwrap_or(path))))
            });
            listed.await.map_err(|error| source::error(shown, error))?
        }
        Inner::Bytes { name, bytes } => {
            let listing = source::data(name, Some(bytes.len() as u64))?;
            Ok((listing, Origin::Bytes(bytes)))
        }
        Inner::Reader { name, size, reader } => from_reader(name, size, reader),
        #[cfg(feature = "http")]
        Inner::Url(url) => {
            let (name, size, reader) = source::fetch(&url).await?;
            from_reader(name, size, reader)
        }
    }
}
