//! rsync over its daemon's protocol, where it is installed.

use std::{
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};

use crate::failure::Failure;

/// Time for the daemon to listen.
const PATIENCE: Duration = Duration::from_secs(5);

/// As root the daemon would read as somebody who may not; as anyone else it cannot choose.
#[cfg(unix)]
fn whose(folder: &Path) -> io::Result<&'static str> {
    use std::os::unix::fs::MetadataExt;
    Ok(if fs::metadata(folder)?.uid() == 0 { "uid = 0\ngid = 0\n" } else { "" })
}

#[cfg(not(unix))]
fn whose(_: &Path) -> io::Result<&'static str> {
    Ok("")
}

/// A daemon that serves a folder.
pub(super) struct Rsync {
    _daemon: Child,
    port: u16,
    /// Each copy goes to a place of its own, and stays until the end.
    target: PathBuf,
    copies: u32,
}

impl Rsync {
    /// Starts the daemon; nothing when there is no rsync.
    pub(super) async fn start(source: &Path, folder: &Path) -> Result<Option<Self>, Failure> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let settings = folder.join("rsyncd.conf");
        let text = format!(
            "use chroot = no\n{}[source]\npath = {}\nread only = yes\n",
            whose(folder)?,
            source.display()
        );
        fs::write(&settings, text)?;
        let daemon = Command::new("rsync")
            .args(["--daemon", "--no-detach", "--address=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--config={}", settings.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let daemon = match daemon {
            Ok(daemon) => daemon,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if start.elapsed() > PATIENCE {
                return Err(Failure::Check("rsync's daemon does not listen".to_owned()));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Some(Self { _daemon: daemon, port, target: folder.join("copied"), copies: 0 }))
    }

    /// Time to copy everything into an empty folder.
    pub(super) async fn copy(&mut self) -> Result<Duration, Failure> {
        self.copies += 1;
        let start = Instant::now();
        let status = Command::new("rsync")
            .arg("-a")
            .arg(format!("rsync://127.0.0.1:{}/source/", self.port))
            .arg(self.target.with_extension(self.copies.to_string()))
            .status()
            .await?;
        let time = start.elapsed();
        if !status.success() {
            return Err(Failure::Check(format!("rsync failed: {status}")));
        }
        Ok(time)
    }
}
