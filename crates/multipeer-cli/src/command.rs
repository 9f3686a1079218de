//! The commands, one file each.

mod bench;
mod browse;
mod cat;
mod chat;
mod demo;
mod doctor;
mod hub;
mod id;
mod invite;
mod loopback;
mod peers;
mod percentiles;
mod ping;
mod receive;
mod send;
mod transfers;

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
        Command::Send(options) => send::run(&common, &options).await,
        Command::Receive(options) => receive::run(&common, &options).await,
        Command::Cat(options) => cat::run(&common, &options).await,
        Command::Invite(options) => invite::run(&common, &options).await,
        Command::Join(options) => invite::join(common, options).await,
        Command::Doctor(options) => doctor::run(&common, &options).await,
        Command::Hub(options) => hub::run(&common, &options).await,
        Command::Bench(options) => bench::run(&common, &options).await,
        Command::Id(options) => id::run(&common, &options),
    }
}
