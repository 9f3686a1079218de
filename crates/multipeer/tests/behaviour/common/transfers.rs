//! What tests of transfers share: folders, contents, and the two ends of a transfer.

use std::{fs, path::PathBuf};

use multipeer::{Event, FailureReason, ResourceOffer, Transfer, TransferError, TransferReport};
use tokio::time::timeout;

use super::{Host, PATIENCE};

/// A folder of the test's own, which goes with it.
pub(crate) struct Folder(pub PathBuf);

impl Folder {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("multipeer-{test}-{}", std::process::id()));
        _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("from")).unwrap();
        fs::create_dir_all(path.join("to")).unwrap();
        Self(path)
    }

    pub(crate) fn from(&self, name: &str) -> PathBuf {
        self.0.join("from").join(name)
    }

    pub(crate) fn to(&self) -> PathBuf {
        self.0.join("to")
    }

    pub(crate) fn file(&self, name: &str, bytes: usize) -> PathBuf {
        let path = self.from(name);
        fs::write(&path, content(bytes)).unwrap();
        path
    }

    /// What is in the target, hidden files included.
    pub(crate) fn arrived(&self) -> Vec<String> {
        let names = fs::read_dir(self.to()).unwrap();
        let names = names.map(|item| item.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes of which no two blocks are the same.
pub(crate) fn content(bytes: usize) -> Vec<u8> {
    let words = (0..=bytes / 8).map(|n| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut content: Vec<u8> = words.flat_map(u64::to_be_bytes).collect();
    content.truncate(bytes);
    content
}

pub(crate) async fn connect(a: &mut Host, b: &mut Host) {
    a.connected_to(b).await;
    b.connected_to(a).await;
}

pub(crate) async fn offered(host: &mut Host) -> ResourceOffer {
    host.wait("an offer", |event| match event {
        Event::ResourceOffered(offer) => Some(offer),
        _ => None,
    })
    .await
}

pub(crate) async fn finished(transfer: &mut Transfer) -> Result<TransferReport, TransferError> {
    timeout(PATIENCE, transfer.finished()).await.unwrap_or_else(|_| panic!("{transfer:?} hangs"))
}

/// Waits until so many bytes are there.
pub(crate) async fn at_least(transfer: &mut Transfer, bytes: u64) {
    let reached = async {
        while transfer.current_progress().done < bytes {
            transfer.progress().await.unwrap_or_else(|| panic!("{transfer:?} has ended"));
        }
    };
    timeout(PATIENCE, reached).await.unwrap();
}

pub(crate) fn failure(result: Result<TransferReport, TransferError>) -> (FailureReason, String) {
    match result {
        Err(TransferError::Failed(failure)) => (failure.reason, failure.to_string()),
        other => panic!("{other:?} is no failure"),
    }
}
