//! A tone over a stream, 20 milliseconds at a time, as a microphone would give it; whoever hears it
//! measures how late each piece is. `cargo run -p multipeer --example audio_stream -- Alice tone`
//! plays, and without `tone` listens.

use std::time::Duration;

use multipeer::{Event, PeerId, Session, StreamError};
use tokio::{io::AsyncReadExt, time};

/// 20 ms of 48 kHz, 16 bits, one channel.
const SAMPLES: u16 = 960;
const PIECE: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "someone".to_owned());
    let plays = arguments.next().is_some();
    let interfaces = std::env::var("MULTIPEER_INTERFACES").unwrap_or_default();
    let interfaces = interfaces.split(',').filter(|name| !name.is_empty());
    let session = Session::builder("audio-example", name).interfaces(interfaces).start().await?;
    let mut events = session.events();
    while let Some(event) = events.next().await {
        match event {
            Event::PeerConnected(peer) if plays => {
                tokio::spawn(play(session.clone(), peer.id));
            }
            Event::Stream(mut stream) => {
                println!("{} plays {:?}", stream.from, stream.name.as_str());
                let (start, mut piece) = (time::Instant::now(), vec![0; usize::from(SAMPLES) * 2]);
                for number in 0_u32.. {
                    if stream.reader.read_exact(&mut piece).await.is_err() {
                        break;
                    }
                    println!("late by {:?}", start.elapsed().saturating_sub(PIECE * number));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

async fn play(session: Session, to: PeerId) -> Result<(), StreamError> {
    let mut writer = session.open_one_way_stream(to, "tone").await?;
    // Sound cannot wait: it goes before files.
    writer.set_priority(10);
    let mut clock = time::interval(PIECE);
    for _ in 0..250 {
        clock.tick().await;
        let wave = |n: u16| if n % 109 < 54 { i16::MAX / 8 } else { i16::MIN / 8 };
        let piece: Vec<u8> = (0..SAMPLES).flat_map(|n| wave(n).to_le_bytes()).collect();
        writer.write_bytes(piece.into()).await?;
    }
    writer.finish().await
}
