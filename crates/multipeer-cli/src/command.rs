//! The commands, one file each.

mod browse;
mod chat;
mod demo;
mod id;
mod peers;
mod percentiles;
mod ping;

use crate::{
    cli::{Cli, Command},
    failure::Failure,
};

pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { command, common } = cli;
    match command {
        Command::Demo => demo::run(&common).await,
        Command::Chat(options) => chat::run(&common, &options).await,
        Command::Browse(options) => browse::run(&common, &options).await,
        Command::Ping(options) => ping::run(&common, &options).await,
        Command::Id => id::run(&common),
    }
}
