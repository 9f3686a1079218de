//! A host that passes on what its clients say, who are linked with nobody else:
//! `cargo run -p multipeer --example host -- Alice host`, and `... -- Bob client` elsewhere.

use multipeer::{Event, Role, Session, Topology};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "someone".to_owned());
    let role = arguments.next().and_then(|word| Role::from_text(&word)).unwrap_or(Role::Client);
    let interfaces = std::env::var("MULTIPEER_INTERFACES").unwrap_or_default();
    let session = Session::builder("host-example", name)
        .interfaces(interfaces.split(',').filter(|name| !name.is_empty()))
        .topology(Topology::ClientServer { role })
        .start()
        .await?;
    let mut events = session.events();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => session.broadcast(line).await?,
                None => break,
            },
            event = events.next() => match event {
                Some(Event::PeerConnected(peer)) => println!("* {peer} is here"),
                Some(Event::Message { from, data, .. }) => {
                    let text = format!("{from}: {}", String::from_utf8_lossy(&data));
                    println!("{text:?}");
                    if role == Role::Host {
                        for client in session.peers().iter().filter(|peer| peer.id != from.id) {
                            // One who does not keep up misses a line, and holds up nobody else.
                            if let Err(error) = session.try_send(client, text.clone()) {
                                println!("! {client}: {error}");
                            }
                        }
                    }
                }
                Some(_) => {}
                None => break,
            },
        }
    }
    session.leave().await;
    Ok(())
}
