//! Drops files on whoever is near: `cargo run -p multipeer --example file_drop -- Alice film.mkv`
//! sends, and without a file takes what comes into `downloads`.

use multipeer::{Event, Session, Source};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "someone".to_owned());
    let file = arguments.next();
    let interfaces = std::env::var("MULTIPEER_INTERFACES").unwrap_or_default();
    let interfaces = interfaces.split(',').filter(|name| !name.is_empty());
    let session = Session::builder("file-drop", name).interfaces(interfaces).start().await?;
    let mut events = session.events();
    while let Some(event) = events.next().await {
        match event {
            Event::PeerConnected(peer) => {
                if let Some(file) = &file {
                    let mut transfer = session.send_resource(&peer, Source::path(file)).await?;
                    tokio::spawn(async move {
                        while let Some(progress) = transfer.progress().await {
                            println!("{} of {:?} bytes", progress.done, progress.total);
                        }
                    });
                }
            }
            Event::ResourceOffered(offer) => {
                println!("{} offers {:?}", offer.from(), offer.name());
                offer.accept("downloads").await?;
            }
            Event::TransferEnded { transfer, result } => match result {
                Ok(report) => println!("{:?} is there: {report:?}", transfer.name()),
                Err(error) => println!("{:?}: {error}", transfer.name()),
            },
            _ => {}
        }
    }
    Ok(())
}
