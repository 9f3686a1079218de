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

pub(crate) use self::offer::handle_stream;
pub(crate) use self::registry::{Registry, Settings};
use self::{
    blocks::Blocks,
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
    let (listing, blocks) = prepare(source, block_bytes).await?;
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

async fn prepare(
    source: Source,
    block_bytes: u64,
) -> Result<(Listing, Arc<Blocks>), TransferError> {
    let shown = format!("{source:?}");
    match source.0 {
        Inner::Path(path) => {
            let listed = path.clone();
            let listing = tokio::task::spawn_blocking(move || source::list(&listed));
            let listing = listing.await.map_err(|error| source::error(shown, error))??;
            let (name, entries) = (listing.name.clone(), listing.entries.clone());
            let path = tokio::task::spawn_blocking(move || path.canonicalize().unwrap_or(path));
            let path = path.await.map_err(|error| source::error(&name, error))?;
            Ok((listing, Blocks::of_files(path, name, entries, block_bytes)))
        }
        Inner::Bytes { name, bytes } => {
            let listing = source::data(name.clone(), Some(bytes.len() as u64))?;
            let entries = listing.entries.clone();
            Ok((listing, Blocks::of_bytes(bytes, name, entries, block_bytes)))
        }
        Inner::Reader { name, size, reader } => {
            let listing = source::data(name.clone(), size)?;
            let entries = listing.entries.clone();
            Ok((listing, Blocks::of_reader(reader, name, entries, block_bytes)))
        }
        #[cfg(feature = "http")]
        Inner::Url(url) => {
            let (name, size, reader) = source::fetch(&url).await?;
            let listing = source::data(name.clone(), size)?;
            let entries = listing.entries.clone();
            Ok((listing, Blocks::of_reader(reader, name, entries, block_bytes)))
        }
    }
}
