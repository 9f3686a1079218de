//! Devices that this one knows from before.

use std::{cmp::Reverse, collections::BTreeMap, fmt::Write, net::IpAddr, path::PathBuf};

use multipeer_proto::{
    DisplayName, PeerId,
    trust::{Admission, Secret, Verified},
};

use crate::{
    config::since_1970,
    error::IdentityError,
    path::{Path, Route},
    peer::Peer,
    private_file,
};

/// Devices that are kept, at most.
const MAX_DEVICES: usize = 1024;
/// Addresses of one device that are kept, at most.
const MAX_PLACES: usize = 4;

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
    /// Addresses at which it was reached, the latest first; at most 4.
    pub addresses: Vec<IpAddr>,
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
        let name = peer.name.clone();
        let device = match known.cloned() {
            Some(known) => PairedDevice { name, ..known },
            None => PairedDevice {
                id,
                name,
                since: since_1970().as_secs(),
                how: verified.as_str().to_owned(),
                addresses: Vec::new(),
            },
        };
        let mut devices = self.devices.clone();
        devices.insert(device.id, device);
        while devices.len() > MAX_DEVICES {
            let oldest = devices.values().min_by_key(|device| device.since).map(|d| d.id);
            oldest.and_then(|oldest| devices.remove(&oldest));
        }
        self.keep(devices)?;
        Ok(true)
    }

    /// Remembers where a device is that is kept: a session that is told of the [devices](crate::SessionBuilder::paired)
    /// asks for it there, also where multicast does not arrive. Returns whether that is news.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] when the file cannot be written; then nothing is changed.
    pub fn note_path(&mut self, peer: &Peer, path: &Path) -> Result<bool, IdentityError> {
        let Route::Direct { remote, .. } = path.route else { return Ok(false) };
        let address = remote.ip().to_canonical();
        let mut devices = self.devices.clone();
        let Some(device) = devices.get_mut(&peer.known_id()) else { return Ok(false) };
        if device.addresses.first() == Some(&address) {
            return Ok(false);
        }
        device.addresses.retain(|&known| known != address);
        device.addresses.insert(0, address);
        device.addresses.truncate(MAX_PLACES);
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
    /// Id, time, how, addresses with commas between them or a dash, name: with spaces between them, and the name, which
    /// may have some, last.
    fn to_line(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
        let addresses = if addresses.is_empty() { NOWHERE.to_owned() } else { addresses.join(",") };
        let mut line = String::new();
        // Writing to a string cannot fail.
        _ = writeln!(line, "{} {} {} {addresses} {}", self.id, self.since, self.how, self.name);
        line
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(5, ' ');
        let mut next = || words.next();
        Some(Self {
            id: next()?.parse().ok()?,
            since: next()?.parse().ok()?,
            how: next().filter(|how| !how.is_empty())?.to_owned(),
            addresses: match next()? {
                NOWHERE => Vec::new(),
                list => {
                    list.split(',').map(|address| address.parse().ok()).collect::<Option<_>>()?
                }
            },
            name: DisplayName::new(next()?).ok()?,
        })
    }
}

/// What stands for no address.
const NOWHERE: &str = "-";

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
            addresses: Vec::new(),
        };
        let addresses = vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        for device in [device.clone(), PairedDevice { addresses, ..device }] {
            assert_eq!(PairedDevice::parse(device.to_line().trim_end_matches('\n')), Some(device));
        }
        let id = "0".repeat(64);
        for wrong in
            ["", "abc", "0 0 0 - 0", &format!("{id} x how - name"), &format!("{id} 0 how x name")]
        {
            assert_eq!(PairedDevice::parse(wrong), None, "{wrong}");
        }
    }
}
