//! A terminal in which a program runs, its keyboard and its screen.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::lab::{Error, run};

/// Time between two looks at the screen.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A terminal on a host. The program in it ends with the lab.
#[derive(Debug)]
pub struct Terminal {
    pub(crate) socket: String,
}

impl Terminal {
    fn tmux(&self, arguments: &[&str]) -> Result<String, Error> {
        let output = run("tmux", &[&["-S", &self.socket][..], arguments].concat())?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Types text as it is.
    pub fn type_text(&self, text: &str) -> Result<(), Error> {
        self.tmux(&["send-keys", "-l", "--", text]).map(drop)
    }

    /// Presses a key by its name, such as `Enter` or `PageUp`.
    pub fn press(&self, key: &str) -> Result<(), Error> {
        self.tmux(&["send-keys", key]).map(drop)
    }

    /// What is on the screen, or an error when the program has ended.
    pub fn screen(&self) -> Result<String, Error> {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as it should be, and returns it.
    ///
    /// # Panics
    ///
    /// When it is not in time; with what is on it.
    pub fn wait_for(&self, what: &str, patience: Duration, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + patience;
        loop {
            match self.screen() {
                Ok(screen) if is_so(&screen) => return screen,
                Ok(screen) => {
                    assert!(Instant::now() < deadline, "waited for {what} and saw\n{screen}");
                }
                Err(error) => panic!("waited for {what}, and the program ended: {error}"),
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until the program has ended.
    ///
    /// # Panics
    ///
    /// When it has not in time; with what is on the screen.
    pub fn wait_for_end(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while let Ok(screen) = self.screen() {
            assert!(Instant::now() < deadline, "the program has not ended:\n{screen}");
            thread::sleep(LOOK_EVERY);
        }
    }
}
