//! What the command line says about network interfaces.

use clap::{Args, ValueEnum};
use multipeer::{
    Interfaces, SessionBuilder,
    discovery::{LocalNetwork, Responder},
};

/// Which interfaces are used: every network, unless one of these is given.
#[derive(Clone, Args)]
pub(crate) struct Network {
    /// Use this network interface only, whatever kind it is of (repeatable)
    #[arg(
        long = "interface",
        global = true,
        value_name = "NAME",
        env = "MULTIPEER_INTERFACES",
        value_delimiter = ','
    )]
    pub(crate) interfaces: Vec<String>,

    /// Never use this network interface (repeatable)
    #[arg(long = "no-interface", global = true, value_name = "NAME")]
    excluded: Vec<String>,

    /// Use tunnels, too, such as those of a VPN
    #[arg(long, global = true)]
    tunnels: bool,

    /// Use the networks of containers and virtual machines, too
    #[arg(long, global = true)]
    containers: bool,

    /// Who speaks multicast DNS: this program, or the system's own responder (Avahi) [default: this program, unless the
    /// other leaves it no room]
    #[arg(long, global = true, value_enum)]
    responder: Option<ResponderArgument>,

    /// Do not ask for peers one by one where multicast finds nobody
    #[arg(long, global = true)]
    no_questions: bool,
}

/// As [`Responder`].
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ResponderArgument {
    Embedded,
    System,
}

impl Network {
    /// Tells a session which interfaces it may use.
    pub(crate) fn apply(&self, builder: SessionBuilder) -> SessionBuilder {
        builder.with_interfaces(self.interfaces()).discovery(self.discovery())
    }

    /// Which interfaces are used.
    pub(crate) fn interfaces(&self) -> Interfaces {
        Interfaces::only(self.interfaces.iter().filter(|name| !name.is_empty()))
            .without(&self.excluded)
            .tunnels(self.tunnels)
            .containers(self.containers)
    }

    /// How peers are found.
    pub(crate) fn discovery(&self) -> LocalNetwork {
        let responder = match self.responder {
            None => Responder::Automatic,
            Some(ResponderArgument::Embedded) => Responder::Embedded,
            Some(ResponderArgument::System) => Responder::System,
        };
        LocalNetwork::default().responder(responder).questions(!self.no_questions)
    }
}
