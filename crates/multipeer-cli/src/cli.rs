//! What can be said on the command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use multipeer::{Identity, Joining, Role, Session, SessionBuilder, Ticket, Topology};

use crate::{
    failure::Failure,
    given::{self, Given},
    network::Network,
    output,
    trust::Trust,
};

/// What a session is about that is said to be about nothing else.
pub(crate) const DEFAULT_SERVICE: &str = "multipeer";

/// Nearby devices find each other and talk: no server, no internet.
#[derive(Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Three peers in this process find each other over the loopback interface and talk
    Demo,
    /// Talk with everyone who is near
    Chat(Chat),
    /// Show who is near
    Browse(Browse),
    /// Measure the round trip to a peer
    Ping(Ping),
    /// Send files, folders or web addresses to a peer
    Send(Send),
    /// Take what peers send
    Receive(Receive),
    /// Join standard input and output to a peer's
    Cat(Cat),
    /// Show a ticket to the session, as text and for a camera, and talk with those who come
    Invite(Invite),
    /// Talk in the session that a ticket leads to
    Join(Join),
    /// Tell those in a session who is near, and relay between those who cannot reach each other
    Hub(Hub),
    /// Find out why peers do not find each other; run it on both devices at the same time
    Doctor(Doctor),
    /// Measure speed, over the loopback interface, beside that of the transport alone
    Bench(Bench),
    /// The id of this device, and the devices that it is paired with
    Id(Id),
}

/// What every command takes.
#[derive(Clone, Args)]
pub(crate) struct Common {
    /// Print one JSON object a line, each with "event" and "at"
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// What the session is about; only peers that say the same find each other
    #[arg(long, global = true, default_value = DEFAULT_SERVICE, value_name = "TYPE")]
    pub(crate) service: String,

    /// The name that others see [default: the user's]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) name: Option<String>,

    #[command(flatten)]
    pub(crate) network: Network,

    /// Use this UDP port [default: one that is free]
    #[arg(long, global = true, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,

    /// Keep the same id: load it from this file, or make one there
    #[arg(long, global = true, value_name = "FILE", env = "MULTIPEER_IDENTITY")]
    pub(crate) identity: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) trust: Trust,

    /// Invite nobody by itself and ask about every invitation (in `chat`: /invite, /accept, /decline)
    #[arg(long, global = true)]
    pub(crate) ask: bool,

    /// Have clients linked with one host and with nobody else: what this one is [default: all with all]
    #[arg(long, global = true, value_enum)]
    pub(crate) role: Option<RoleArgument>,

    /// Try to reach a peer that cannot be heard: a ticket, or a host's name or address (repeatable)
    ///
    /// With an id, only that peer is taken. Without one, whoever is in the session there is asked, at UDP port 19792; a port
    /// says which session is meant, if there are several.
    #[arg(long = "peer", global = true, value_name = "TICKET|[ID@]HOST[:PORT]")]
    pub(crate) peers: Vec<Given>,

    /// Be a hub besides: see `multipeer hub`
    #[arg(long, global = true)]
    pub(crate) hub: bool,

    /// Seconds that a peer whose link died has to come back
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) reconnect_window: u64,
}

/// As [`Role`].
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleArgument {
    Host,
    Client,
}

impl From<RoleArgument> for Topology {
    fn from(argument: RoleArgument) -> Self {
        let role = match argument {
            RoleArgument::Host => Role::Host,
            RoleArgument::Client => Role::Client,
        };
        Self::ClientServer { role }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// Read lines and print lines, also on a terminal
    #[arg(long)]
    pub(crate) plain: bool,

    /// Pair with everyone who shows a passcode or a key; both sides need --identity
    #[arg(long)]
    pub(crate) pair: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Invite {
    #[command(flatten)]
    pub(crate) chat: Chat,

    /// Leave the passcode out of the ticket: who joins has to know it
    #[arg(long)]
    pub(crate) without_passcode: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// What `multipeer invite` shows
    ///
    /// Others on this machine may see the command line, and a ticket may have a passcode: the environment keeps it from
    /// them.
    #[arg(value_name = "TICKET", env = "MULTIPEER_TICKET", hide_env_values = true)]
    pub(crate) ticket: Ticket,

    #[command(flatten)]
    pub(crate) chat: Chat,
}

#[derive(Debug, Args)]
pub(crate) struct Browse {
    /// Stop after so many seconds [default: go on until interrupted]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct Id {
    #[command(subcommand)]
    pub(crate) what: Option<IdCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IdCommand {
    /// Show the id, and make one if there is none yet [default]
    Show,
    /// Make an id, in a file that must not be there yet
    New,
    /// Put a new id in the place of the one in the file; others have to be paired anew
    Rotate,
    /// Show the devices that this one is paired with
    Paired,
    /// Forget a paired device
    Forget {
        /// Its name, its id, or the beginning of its id
        #[arg(value_name = "NAME|ID")]
        device: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// The peer's name, its id, or the beginning of its id
    #[arg(value_name = "NAME|ID")]
    pub(crate) peer: String,

    /// How many
    #[arg(short = 'c', long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,

    /// Bytes each way
    #[arg(short = 's', long, default_value_t = 64)]
    pub(crate) size: usize,

    /// Seconds between two
    #[arg(short = 'i', long, default_value_t = 0.2)]
    pub(crate) interval: f64,

    /// In datagrams, which the network may lose
    #[arg(long)]
    pub(crate) unreliable: bool,

    /// Seconds to wait for the peer
    #[arg(long, default_value_t = 10)]
    pub(crate) wait: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Files, folders, or http and https addresses
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<String>,

    /// The peer's name, its id, or the beginning of its id [default: the first that is there]
    #[arg(long, value_name = "NAME|ID")]
    pub(crate) to: Option<String>,

    /// Seconds to wait for the peer
    #[arg(long, default_value_t = 60)]
    pub(crate) wait: u64,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Receive {
    /// The folder into which it goes
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(crate) dir: PathBuf,

    /// Take everything without asking
    #[arg(long)]
    pub(crate) yes: bool,

    /// End when one was taken and is there
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// What the stream is called; both sides say the same
    #[arg(value_name = "NAME")]
    pub(crate) stream: String,

    /// Wait until a peer opens the stream
    #[arg(long, conflicts_with = "to", required_unless_present = "to")]
    pub(crate) listen: bool,

    /// Open the stream to this peer: its name, its id, or the beginning of its id
    #[arg(long, value_name = "PEER")]
    pub(crate) to: Option<String>,

    /// Seconds to wait for the peer
    #[arg(long, default_value_t = 60)]
    pub(crate) wait: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Hub {
    /// Mebibytes that one peer may have relayed in a second
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=4095))]
    pub(crate) peer_rate: u32,

    /// Mebibytes that all together may have relayed in a second
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=4095))]
    pub(crate) rate: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Seconds that it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 12, value_parser = clap::value_parser!(u64).range(5..=60))]
    pub(crate) patience: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Mebibytes that each turn of a bulk measurement moves
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=65536))]
    pub(crate) size: u64,

    /// Files in the folder that is sent
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) files: u64,

    /// Turns that each side takes; medians are shown
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) turns: u16,

    /// Where the files are written [default: the system's folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,

    /// Measure only what has this in its name (repeatable)
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Vec<String>,

    /// Be the other side, in a process of its own
    #[arg(long, hide = true, value_name = "SERVICE", requires = "dir")]
    pub(crate) serve: Option<String>,
}

impl Common {
    /// Starts a session as the command line wants it, and tells the passcode if it made one.
    pub(crate) async fn start(&self) -> Result<Session, Failure> {
        self.start_as(self.session()?).await
    }

    /// Starts a session of these settings.
    pub(crate) async fn start_as(&self, settings: SessionBuilder) -> Result<Session, Failure> {
        let session = settings.start().await?;
        if let Some(passcode) = session.passcode() {
            output::passcode(&passcode, self.json);
        }
        Ok(session)
    }

    /// Settings for a session as the command line wants it.
    pub(crate) fn session(&self) -> Result<SessionBuilder, Failure> {
        let mut builder = given::apply(&self.peers, &self.service, self.display_name())?
            .reconnect_window(Duration::from_secs(self.reconnect_window))
            .topology(self.role.map_or(Topology::Mesh, Topology::from))
            .hub(self.hub);
        builder = self.network.apply(builder);
        builder = self.trust.apply(builder, self.identity.as_deref())?;
        if self.ask {
            builder = builder.joining(Joining::Ask);
        }
        if let Some(port) = self.port {
            builder = builder.port(port);
        }
        if let Some(path) = &self.identity {
            builder = builder.identity(Identity::load_or_create(path)?);
        }
        Ok(builder)
    }

    /// The name that was given, or who the system says the user is.
    pub(crate) fn display_name(&self) -> String {
        let user = || ["USER", "USERNAME", "HOSTNAME"].iter().find_map(|v| std::env::var(v).ok());
        self.name.clone().or_else(user).unwrap_or_else(|| "someone".to_owned())
    }
}

/// A number of seconds from the command line; what is none counts as zero.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
