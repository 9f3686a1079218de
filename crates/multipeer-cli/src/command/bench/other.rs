//! The process of the other peer.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::raw::RawAddress;
use crate::failure::Failure;

/// Time for it to start, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Another process of this program, which serves until its standard input is closed.
pub(super) struct Other {
    child: Child,
    pub(super) raw: RawAddress,
}

impl Other {
    pub(super) async fn start(service: &str, folder: &Path) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "--serve", service, "--dir"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let silent = || Failure::Check("the other process did not start".to_owned());
        let output = child.stdout.take().ok_or_else(silent)?;
        let mut lines = BufReader::new(output).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.map_err(|_| silent())??;
        let raw = line.and_then(|line| line.parse().ok()).ok_or_else(silent)?;
        Ok(Self { child, raw })
    }

    pub(super) async fn stop(mut self) {
        drop(self.child.stdin.take());
        // What does not end in time is killed when it is dropped.
        _ = timeout(PATIENCE, self.child.wait()).await;
    }
}
