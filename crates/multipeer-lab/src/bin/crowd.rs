//! A crowd on one machine: `crowd peers 100 chat` announces so many peers of a session, which take no invitation;
//! `crowd noise 100 other` as many services that are not of this project. Prints "ready" and stays until it is killed.

use std::time::Duration;

use mdns_sd::{ServiceDaemon, ServiceInfo};
use multipeer::{Joining, Session, discovery::LocalNetwork};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Bound on its life, should everything else fail.
const LIFETIME: Duration = Duration::from_secs(900);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [what, count, service] = words.as_slice() else {
        return Err("usage: crowd peers|noise COUNT SERVICE".into());
    };
    let count: u32 = count.parse()?;
    if what == "noise" {
        let _noise = announce(count, service)?;
        println!("ready");
        tokio::time::sleep(LIFETIME).await;
        return Ok(());
    }
    let mut sessions = Vec::new();
    for number in 0..count {
        let builder = Session::builder(service, format!("Peer {number}"));
        let quiet = builder.joining(Joining::Ask).discovery(LocalNetwork::default());
        sessions.push(quiet.start().await?);
    }
    println!("ready");
    tokio::time::sleep(LIFETIME).await;
    Ok(())
}

fn announce(count: u32, service: &str) -> Result<ServiceDaemon> {
    let daemon = ServiceDaemon::new()?;
    for number in 0..count {
        let kind = format!("_{service}{}._tcp.local.", number % 10);
        let (name, host) = (format!("service {number}"), format!("host{number}.local."));
        let text = [("number", number.to_string()), ("text", "x".repeat(100))];
        let info = ServiceInfo::new(&kind, &name, &host, "", 9, &text[..])?.enable_addr_auto();
        daemon.register(info)?;
    }
    Ok(daemon)
}
