//! What the command line says about who may join.

use std::{
    fs,
    io::{BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use multipeer::{
    Admission, Announce, Certificate, Inviting, PairedDevices, PasscodeForm, PeerId, SessionBuilder,
};

use crate::failure::Failure;

/// What everyone who is near is told.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Announcing {
    #[default]
    Public,
    Private,
    Paired,
}

impl From<Announcing> for Announce {
    fn from(announcing: Announcing) -> Self {
        match announcing {
            Announcing::Public => Self::Public,
            Announcing::Private => Self::Private,
            Announcing::Paired => Self::Paired,
        }
    }
}

/// Whom a session takes: everyone, unless one of these is given. Not `Debug`: it holds secrets.
#[derive(Clone, Args)]
pub(crate) struct Trust {
    /// Take those who know the passcode; without one, make one and show it
    ///
    /// Others on this machine may see the command line: --passcode-file and the environment keep it
    /// from them.
    #[arg(
        long,
        global = true,
        value_name = "CODE",
        num_args = 0..=1,
        default_missing_value = "",
        env = "MULTIPEER_PASSCODE",
        hide_env_values = true,
        conflicts_with = "passcode_file"
    )]
    passcode: Option<String>,

    /// Make a passcode of so many English words, and show it
    #[arg(
        long,
        global = true,
        value_name = "COUNT",
        num_args = 0..=1,
        default_missing_value = "3",
        value_parser = clap::value_parser!(u8).range(2..=8),
        conflicts_with_all = ["passcode", "passcode_file"]
    )]
    passcode_words: Option<u8>,

    /// Read the passcode from this file; - asks for it
    #[arg(long, global = true, value_name = "FILE")]
    passcode_file: Option<PathBuf>,

    /// Take those who have the key in this file, of at least 16 bytes; its name is the key's
    /// (repeatable)
    #[arg(long = "psk-file", global = true, value_name = "FILE")]
    psk_files: Vec<PathBuf>,

    /// Show this certificate, in PEM, with those between it and the root; needs --key and --ca
    #[arg(long, global = true, value_name = "FILE", requires_all = ["key", "authorities"])]
    cert: Option<PathBuf>,

    /// The certificate's private key, in PEM
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// Take those whose certificate one of these authorities has issued, in PEM (repeatable)
    #[arg(long = "ca", id = "authorities", global = true, value_name = "FILE", requires = "cert")]
    authorities: Vec<PathBuf>,

    /// Of those take the ones with this DNS name only; *.example.org stands for one label more
    /// (repeatable)
    #[arg(long = "cert-name", global = true, value_name = "NAME", requires = "cert")]
    cert_names: Vec<String>,

    /// Take the peer with this id (repeatable)
    #[arg(long = "allow", global = true, value_name = "ID")]
    allowed: Vec<PeerId>,

    /// Take the devices that this one is paired with (`multipeer id paired`); needs --identity
    #[arg(long, global = true, requires = "identity")]
    paired: bool,

    /// What to tell everyone who is near: name and id, or neither (those who are let in are told), or
    /// neither but to paired devices (needs --identity)
    #[arg(long, global = true, value_enum, value_name = "WHAT", default_value_t)]
    announce: Announcing,

    /// Take another id after so many seconds without anyone linked, unless what is announced is public
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 900)]
    renewal_interval: u64,

    /// Be the host: nobody else in the session invites or removes
    #[arg(long, global = true)]
    host: bool,
}

impl Trust {
    /// The passcode that was given, to be passed on in a ticket.
    pub(crate) fn passcode(&self) -> Result<Option<String>, Failure> {
        let given = self.passcode.clone().filter(|code| !code.is_empty());
        match &self.passcode_file {
            Some(path) if path != Path::new("-") => {
                let code = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
                Ok(Some(code.trim_end_matches(['\r', '\n']).to_owned()))
            }
            _ => Ok(given),
        }
    }

    /// Tells a session whom to take.
    pub(crate) fn apply(
        &self,
        mut builder: SessionBuilder,
        identity: Option<&Path>,
    ) -> Result<SessionBuilder, Failure> {
        builder = builder
            .announce(self.announce.into())
            .renewal_interval(Duration::from_secs(self.renewal_interval));
        if self.host {
            builder = builder.inviting(Inviting::HostAlone);
        }
        let mut demands = Vec::new();
        if let Some(count) = self.passcode_words {
            builder = builder.generated_passcode_of(PasscodeForm::Words(count));
        }
        match (&self.passcode, &self.passcode_file) {
            (Some(code), _) if code.is_empty() => builder = builder.generated_passcode(),
            (Some(code), _) => demands.push(Admission::passcode(code)),
            (None, Some(path)) if path == Path::new("-") => {
                demands.push(Admission::passcode(ask_passcode()?));
            }
            (None, Some(path)) => {
                let code = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
                demands.push(Admission::passcode(code));
            }
            (None, None) => {}
        }
        for path in &self.psk_files {
            let key = fs::read(path).map_err(|error| unreadable(path, &error))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            demands.push(Admission::preshared_key(name, key.trim_ascii_end()));
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            let read = |path: &Path| fs::read(path).map_err(|error| unreadable(path, &error));
            let mut certificate = Certificate::from_pem(&read(cert)?, &read(key)?)?;
            for authority in &self.authorities {
                certificate = certificate.trust_roots(&read(authority)?)?;
            }
            demands.push(certificate.trust_names(self.cert_names.iter().cloned()).admission());
        }
        if !self.allowed.is_empty() {
            demands.push(Admission::allowlist(self.allowed.iter().copied()));
        }
        if let Some(identity) = identity {
            let devices = PairedDevices::load(paired_file(identity))?;
            builder = builder.paired(&devices);
            if self.paired {
                demands.push(devices.admission());
            }
        }
        Ok(match demands.into_iter().reduce(Admission::or) {
            Some(admission) => builder.admission(admission),
            None => builder,
        })
    }
}

/// Where the paired devices of an identity are kept: beside it.
pub(crate) fn paired_file(identity: &Path) -> PathBuf {
    let mut path = identity.as_os_str().to_owned();
    path.push(".paired");
    path.into()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Check(format!("could not read {}: {error}", path.display()))
}

fn ask_passcode() -> Result<String, Failure> {
    if std::io::stdin().is_terminal() {
        eprint!("passcode: ");
        std::io::stderr().flush()?;
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}
