//! What the receiver's disk is asked to do, done in order and many at once, on a thread that may
//! wait.

use multipeer_proto::resource::{Block, BlockHash, Entry, TransferFailure};
use tokio::task::JoinHandle;

use super::{channel::Interrupted, store::Store};

/// Jobs that wait, and bytes in them, after which no more are taken.
const MAX_JOBS: usize = 512;
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Something for the disk to do.
pub(super) enum Job {
    /// Make the folders, and hash what is there.
    Prepare(Vec<Entry>),
    /// Write a block that is verified.
    Write { block: Block, data: Vec<u8> },
    /// A file is whole.
    FinishFile { entry: usize, described: Entry, size: u64 },
}

/// What is there from before, by entry, once it was looked for.
pub(super) type Prepared = Vec<(usize, Vec<BlockHash>)>;

type Worked = Result<Option<Prepared>, TransferFailure>;

/// The disk, and what it has to do.
pub(super) struct Disk {
    /// Not here while it works.
    store: Option<Store>,
    working: Option<JoinHandle<(Store, Worked)>>,
    jobs: Vec<Job>,
    bytes: usize,
}

impl Disk {
    pub(super) fn new(store: Store) -> Self {
        Self { store: Some(store), working: None, jobs: Vec::new(), bytes: 0 }
    }

    pub(super) fn has_room(&self) -> bool {
        self.jobs.len() < MAX_JOBS && self.bytes < MAX_BYTES
    }

    pub(super) fn push(&mut self, job: Job) {
        if let Job::Write { data, .. } = &job {
            self.bytes += data.len();
        }
        self.jobs.push(job);
    }

    /// Whether everything was done.
    pub(super) fn is_idle(&self) -> bool {
        self.working.is_none() && self.jobs.is_empty()
    }

    /// Lets it begin with what it has to do, unless it is busy.
    pub(super) fn start(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        if let Some(mut store) = self.store.take() {
            let jobs = std::mem::take(&mut self.jobs);
            self.bytes = 0;
            self.working = Some(tokio::task::spawn_blocking(move || {
                let mut jobs = jobs.into_iter();
                let worked =
                    jobs.try_fold(None, |prepared, job| Ok(job.run(&mut store)?.or(prepared)));
                (store, worked)
            }));
        }
    }

    /// Waits for what it is busy with; for ever when it is not. Cancel safe.
    pub(super) async fn finished(&mut self) -> Result<Worked, Interrupted> {
        let Some(working) = &mut self.working else { return std::future::pending().await };
        // A runtime that shuts down gives up what it is doing.
        let (store, worked) = working.await.map_err(|_| Interrupted)?;
        self.working = None;
        self.store = Some(store);
        Ok(worked)
    }

    /// Gives the store back, once all is written that came: it need not come again.
    pub(super) async fn into_store(mut self) -> Option<Store> {
        while !self.is_idle() {
            self.start();
            // What fails now has failed before, or will again when it is resumed.
            self.finished().await.ok()?.ok();
        }
        self.store
    }
}

impl Job {
    fn run(self, store: &mut Store) -> Worked {
        match self {
            Self::Prepare(entries) => store.prepare(&entries).map(Some),
            Self::Write { block, data } => store.write(&block, &data).map(|()| None),
            Self::FinishFile { entry, described, size } => {
                store.finish_file(entry, &described, size).map(|()| None)
            }
        }
    }
}
