//! `multipeer bench`: two peers in two processes on the loopback interface, beside raw iroh in the
//! same two processes. Both sides take turns, so that a machine that changes its speed changes it
//! for both.

mod files;
mod other;
mod raw;
mod rsync;
mod serve;
mod session;
mod table;

use std::time::Duration;

use self::{
    files::{Source, folder, one_file},
    other::Other,
    raw::RawLink,
    rsync::Rsync,
    session::Link,
    table::{Row, Table, Unit},
};
use crate::{
    cli::{Bench, Common},
    failure::Failure,
    output,
};

/// Bytes in a write of bulk.
const BLOCK: usize = 64 * 1024;
/// Round trips in one turn.
const ROUND_TRIPS: usize = 2000;
/// Messages in one turn at most.
const MAX_MESSAGES: u64 = 1_000_000;
/// Messages in one call, where many are handed over at a time.
const BATCH: usize = 64;
const MIB: u64 = 1 << 20;

pub(crate) async fn run(common: &Common, options: &Bench) -> Result<(), Failure> {
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    if let Some(service) = &options.serve {
        return serve::run(service, &dir).await;
    }
    let folder = tempfile::Builder::new().prefix("multipeer-bench-").tempdir_in(dir)?;
    // A service of its own for each run, so that two runs do not meet.
    let service = format!("bench-{}", std::process::id());
    let other = Other::start(&service, folder.path()).await?;
    let raw = RawLink::open(&other.raw).await?;
    let link = Link::open(&service).await?;
    let json = common.json;
    let mut bench = Run { options, json, table: Table::new(json), link, raw, folder };
    let result = bench.all().await;
    bench.link.leave().await;
    other.stop().await;
    result
}

/// One run of everything.
struct Run<'a> {
    options: &'a Bench,
    json: bool,
    table: Table,
    link: Link,
    raw: RawLink,
    folder: tempfile::TempDir,
}

impl Run<'_> {
    async fn all(&mut self) -> Result<(), Failure> {
        self.round_trips().await?;
        for bytes in [64, 1024, BLOCK] {
            self.messages(bytes, 1).await?;
        }
        self.messages(64, BATCH).await?;
        self.bulk().await?;
        self.file().await?;
        self.first_block().await?;
        self.files().await
    }

    /// Whether a measurement is wanted.
    fn is_wanted(&self, what: &str) -> bool {
        self.options.only.is_empty() || self.options.only.iter().any(|text| what.contains(text))
    }

    async fn round_trips(&mut self) -> Result<(), Failure> {
        let what = "round trip, 64 bytes";
        if !self.is_wanted(what) {
            return Ok(());
        }
        let mut row = Row::new(what, Unit::Micros).at_most(1.15);
        for _ in 0..self.options.turns {
            row.theirs.push(median(self.raw.round_trips(ROUND_TRIPS).await?));
            row.ours.push(median(self.link.round_trips(ROUND_TRIPS).await?));
        }
        self.table.print(&row);
        Ok(())
    }

    /// Messages of so many bytes, and so many in each call.
    async fn messages(&mut self, bytes: usize, batch: usize) -> Result<(), Failure> {
        let many = if batch > 1 { ", many at a time" } else { "" };
        let what = format!("messages, {bytes} bytes{many}");
        if !self.is_wanted(&what) {
            return Ok(());
        }
        let count = (self.options.size * MIB / bytes as u64).clamp(1, MAX_MESSAGES);
        let total = count * bytes as u64;
        let mut row = Row::new(&what, Unit::PerSecond { bytes: bytes as u64 });
        if bytes == BLOCK {
            row = row.at_least(0.85);
        }
        for _ in 0..self.options.turns {
            row.theirs.push(rate(count, self.raw.bulk(total).await?));
            row.ours.push(rate(count, self.link.messages(bytes, count, batch).await?));
        }
        self.table.print(&row);
        Ok(())
    }

    async fn bulk(&mut self) -> Result<(), Failure> {
        let what = "stream, bulk";
        if !self.is_wanted(what) {
            return Ok(());
        }
        let total = self.options.size * MIB;
        let mut row = Row::new(what, Unit::BytesPerSecond).at_least(0.95);
        for _ in 0..self.options.turns {
            row.theirs.push(rate(total, self.raw.bulk(total).await?));
            row.ours.push(rate(total, self.link.bulk(total).await?));
        }
        self.table.print(&row);
        Ok(())
    }

    /// A file to a file, verified and synced, beside raw iroh from memory to memory.
    async fn file(&mut self) -> Result<(), Failure> {
        let what = format!("file to file, {} MiB", self.options.size);
        if !self.is_wanted(&what) {
            return Ok(());
        }
        let total = self.options.size * MIB;
        let mut source = one_file(self.folder.path(), total)?;
        let mut row = Row::new(&what, Unit::BytesPerSecond).at_least(0.6);
        for _ in 0..self.options.turns {
            row.theirs.push(rate(total, self.raw.bulk(total).await?));
            row.ours.push(rate(total, self.link.resource(&mut source).await?));
        }
        source.remove()?;
        self.table.print(&row);
        Ok(())
    }

    async fn first_block(&mut self) -> Result<(), Failure> {
        let what = "first verified bytes of a 4 GiB file";
        if !self.is_wanted(what) {
            return Ok(());
        }
        let mut source = Source::sparse(self.folder.path(), 4096 * MIB)?;
        let mut row = Row::new(what, Unit::Micros);
        for _ in 0..self.options.turns {
            row.ours.push(self.link.first_block(&mut source).await?.as_secs_f64());
        }
        source.remove()?;
        self.table.print(&row);
        Ok(())
    }

    /// Many small files, beside rsync over its daemon's protocol where there is one.
    async fn files(&mut self) -> Result<(), Failure> {
        let count = self.options.files;
        let what = format!("{count} files of 4 KiB");
        if !self.is_wanted(&what) {
            return Ok(());
        }
        let mut source = folder(self.folder.path(), count)?;
        let mut rsync = Rsync::start(source.path(), self.folder.path()).await?;
        let mut row = Row::new(&what, Unit::PerSecond { bytes: files::SMALL }).at_least(0.5);
        for _ in 0..self.options.turns {
            match rsync.as_mut() {
                Some(daemon) => match daemon.copy().await {
                    Ok(time) => row.theirs.push(rate(count, time)),
                    // Then there is nothing to compare with.
                    Err(failure) => {
                        output::failure(&failure, self.json);
                        rsync = None;
                    }
                },
                None => row.theirs.clear(),
            }
            row.ours.push(rate(count, self.link.resource(&mut source).await?));
        }
        source.remove()?;
        row.beside = "rsync -a";
        self.table.print(&row);
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of what is sent in some seconds are small")]
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// The middle one, in seconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default().as_secs_f64()
}
