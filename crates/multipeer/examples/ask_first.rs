//! Invites only who says the right thing, and asks before it takes an invitation:
//! `cargo run -p multipeer --example ask_first -- Alice red`.

use multipeer::{Event, Joining, Session};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "someone".to_owned());
    let team = arguments.next().unwrap_or_else(|| "red".to_owned());
    let interfaces = std::env::var("MULTIPEER_INTERFACES").unwrap_or_default();
    let session = Session::builder("teams", name)
        .interfaces(interfaces.split(',').filter(|name| !name.is_empty()))
        .discovery_info([("team", &team)])
        .joining(Joining::Ask)
        .start()
        .await?;
    let mut events = session.events();
    while let Some(event) = events.next().await {
        match event {
            Event::PeerFound(peer) if peer.info.value("team") == Some(&team) => {
                match session.invite(&peer, team.clone()).await {
                    Ok(_) => println!("invited {peer}"),
                    // It was faster, for instance.
                    Err(error) => println!("did not invite {peer}: {error}"),
                }
            }
            Event::Invitation(invitation) if invitation.context()[..] == *team.as_bytes() => {
                println!("{} is of the {team} team too", invitation.from());
                invitation.accept();
            }
            Event::Invitation(invitation) => invitation.decline("another team"),
            Event::PeerConnected(peer) => println!("{peer} is in"),
            _ => {}
        }
    }
    Ok(())
}
