//! Devices that this one knows from before.

use std::{cmp::Reverse, collections::BTreeMap, fmt::Write, path::PathBuf};

use multipeer_proto::{
    DisplayName, PeerId,
    trust::{Admission, Secret, Verified},
};

use crate::{config::since_1970, error::IdentityError, peer::Peer, private_file};

/// Devices that are kept, at most.
const MAX_DEVICES: usize = 1024;

/// A device that this one is paired with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairedDevice {
    /// Its id.
    pub id: PeerId,
    /// What it was called at the time.
    pub name: DisplayName,
    /// When that was, in seconds since 1970 (UTC).
    pub since: u64,
    /// How it was verified: [`Verified::as_str`].
    pub how: String,
}

/// The devices that this one is paired with, in a file that its owner alone may read.
///
/// Two devices are paired when each has verified the other once, say by a passcode, and both keep
/// their identities: from then on each takes the other by its id.
///
/// ```no_run
/// use multipeer::{Event, Identity, PairedDevices, Session};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut paired = PairedDevices::load("paired")?;
/// let session = Session::builder("notes", "Alice")
///     .identity(Identity::load_or_create("identity")?)
///     .admission(paired.admission())
///     .generated_passcode() // for those who are not paired yet
///     .start()
///     .await?;
/// while let Some(event) = session.events().next().await {
///     if let Event::PeerConnected(peer) = event
///         && let Some(verified) = session.verified(&peer)
///     {
///         paired.add(&peer, &verified)?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PairedDevices {
    path: PathBuf,
    devices: BTreeMap<PeerId, PairedDevice>,
}

impl PairedDevices {
    /// Reads the devices from a file; there are none if it is not there.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] when the file cannot be read, can be read by others, or holds something
    /// else.
    pub fn load(path: impl Into<PathBuf>) -> Result<Self, IdentityError> {
        let path = path.into();
        let text = private_file::read(&path)?.unwrap_or_default();
        let mut devices = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let Some(device) = PairedDevice::parse(line) else {
                let path = path.display().to_string();
                return Err(IdentityError::NotADevice { path, line: number });
            };
            devices.insert(device.id, device);
        }
        Ok(Self { path, devices })
    }

    /// The devices, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = &PairedDevice> {
        self.devices.values()
    }

    /// The devices, the one that was paired last first.
    pub(crate) fn latest(&self) -> impl Iterator<Item = &PairedDevice> {
        let mut devices: Vec<&PairedDevice> = self.devices.values().collect();
        devices.sort_by_key(|device| Reverse(device.since));
        devices.into_iter()
    }

    /// Keeps a peer, by its lasting id if it has one, that has proven that it may be in the session: by a passcode, a key, or its
    /// being kept already. Returns whether it is kept; who was let in without a proof of its own is
    /// not. Of more than 1024 devices those that were kept longest ago are forgotten.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] when the file cannot be written; then nothing is changed.
    pub fn add(&mut self, peer: &Peer, verified: &Verified) -> Result<bool, IdentityError> {
        let id = peer.known_id();
        let known = self.devices.get(&id);
        if let Some(known) = known
            && known.name == peer.name
        {
            return Ok(true);
        }
        if known.is_none() && matches!(verified, Verified::Open | Verified::Voucher { .. }) {
            return Ok(false);
        }
        let (since, how) = match known {
            Some(known) => (known.since, known.how.clone()),
            None => (since_1970().as_secs(), verified.as_str().to_owned()),
        };
        let device = PairedDevice { id, name: peer.name.clone(), since, how };
        let mut devices = self.devices.clone();
        devices.insert(device.id, device);
        while devices.len() > MAX_DEVICES {
            let oldest = devices.values().min_by_key(|device| device.since).map(|d| d.id);
            oldest.and_then(|oldest| devices.remove(&oldest));
        }
        self.keep(devices)?;
        Ok(true)
    }

    /// Forgets a device. Returns whether it was known.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] when the file cannot be written; then nothing is changed.
    pub fn forget(&mut self, id: PeerId) -> Result<bool, IdentityError> {
        let mut devices = self.devices.clone();
        let known = devices.remove(&id).is_some();
        if known {
            self.keep(devices)?;
        }
        Ok(known)
    }

    /// Takes these devices, and nobody else.
    pub fn admission(&self) -> Admission {
        Admission::allowlist(self.devices.keys().copied())
    }

    fn keep(&mut self, devices: BTreeMap<PeerId, PairedDevice>) -> Result<(), IdentityError> {
        let text: String = devices.values().map(PairedDevice::to_line).collect();
        private_file::replace(&self.path, &Secret::new(text))?;
        self.devices = devices;
        Ok(())
    }
}

impl PairedDevice {
    /// Id, time, how, name: with spaces between them, and the name, which may have some, last.
    fn to_line(&self) -> String {
        let mut line = String::new();
        // Writing to a string cannot fail.
        _ = writeln!(line, "{} {} {} {}", self.id, self.since, self.how, self.name);
        line
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        let mut next = || words.next();
        Some(Self {
            id: next()?.parse().ok()?,
            since: next()?.parse().ok()?,
            how: next().filter(|how| !how.is_empty())?.to_owned(),
            name: DisplayName::new(next()?).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_reads_back_from_its_line() {
        let device = PairedDevice {
            id: PeerId::from_bytes([7; 32]),
            name: DisplayName::new("Zoë's phone").unwrap(),
            since: 1_800_000_000,
            how: "passcode".to_owned(),
        };
        assert_eq!(PairedDevice::parse(device.to_line().trim_end_matches('\n')), Some(device));
        for wrong in ["", "abc", "0 0 0 0", &format!("{} x how name", "0".repeat(64))] {
            assert_eq!(PairedDevice::parse(wrong), None, "{wrong}");
        }
    }
}
