//! What tests of transfers share: folders, contents, and a receiver.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use multipeer_lab::{Host, Program};
use serde_json::Value;

use super::multipeer;

/// How long a whole transfer may take.
pub const LONG: Duration = Duration::from_secs(240);

/// A folder of the test's own, which goes with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("to")).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes bytes of which no two blocks are the same, and cheaply.
pub fn write_file(path: &Path, bytes: usize, seed: u64) {
    let mut file = File::create(path).unwrap();
    let mut block = vec![0_u8; bytes.min(1024 * 1024)];
    block.chunks_mut(8).enumerate().for_each(|(n, word)| {
        let value = (n as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        word.copy_from_slice(&value[..word.len()]);
    });
    let mut written = 0;
    while written < bytes {
        let count = block.len().min(bytes - written);
        block[..8.min(count)].copy_from_slice(&(written as u64).to_be_bytes()[..8.min(count)]);
        file.write_all(&block[..count]).unwrap();
        written += count;
    }
}

pub fn receive(host: &Host, folder: &Folder) -> Program {
    let identity = folder.path("identity");
    let to = folder.path("to");
    let arguments =
        ["receive", "--json", "--yes", "--name", "Bob", "--identity", &identity, "--dir", &to];
    host.spawn(&multipeer(), &arguments).unwrap()
}

pub fn wait_progress(program: &mut Program, what: &str, is_so: impl Fn(&Value) -> bool) -> u64 {
    program.wait_json(what, LONG, |value| {
        assert!(value["event"] != "error", "{value}");
        let so = value["event"] == "progress" && is_so(value);
        so.then(|| value["done"].as_u64().unwrap())
    })
}
