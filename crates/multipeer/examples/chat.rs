//! A chat in lines: `cargo run -p multipeer --example chat -- Alice`.

use multipeer::{Event, Session};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "someone".to_owned());
    let interfaces = std::env::var("MULTIPEER_INTERFACES").unwrap_or_default();
    let interfaces = interfaces.split(',').filter(|name| !name.is_empty());
    let session = Session::builder("chat-example", name).interfaces(interfaces).start().await?;
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
                Some(Event::PeerDisconnected { peer, reason, .. }) => {
                    println!("* {peer} is gone: {reason}");
                }
                Some(Event::Message { from, data, .. }) => {
                    println!("{from}: {:?}", String::from_utf8_lossy(&data));
                }
                Some(_) => {}
                None => break,
            },
        }
    }
    session.leave().await;
    Ok(())
}
