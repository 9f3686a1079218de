//! `multipeer receive`: takes what peers send.

use std::{
    io::{BufRead, IsTerminal},
    sync::Arc,
};

use multipeer::{Event, ResourceOffer};
use serde_json::json;
use tokio::{sync::Mutex, task::JoinSet};

use super::transfers::{Display, follow};
use crate::{
    cli::{Common, Receive},
    failure::Failure,
    output::{self, JsonEvents, object, peer_json, printable},
};

pub(crate) async fn run(common: &Common, options: &Receive) -> Result<(), Failure> {
    let session = common.start().await?;
    let mut events = session.events();
    let json = common.json.then(JsonEvents::new);
    let mut running = JoinSet::new();
    // One question at a time.
    let turn = Arc::new(Mutex::new(()));
    if !common.json {
        let name = session.name();
        output::line(&format!("waiting as {name} ({}); Ctrl-C ends", session.id().short()));
    }
    let result = loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::ResourceOffered(offer)) => {
                    if let Some(json) = &json {
                        json.print_object(object(describe(&offer)));
                    }
                    let (json, options, turn) = (common.json, options.clone(), turn.clone());
                    running.spawn(async move { take(offer, &options, json, &turn).await });
                }
                Some(event) => if let Some(json) = &json { json.print(&event) },
                None => break Ok(()),
            },
            Some(ended) = running.join_next() => {
                let ended = ended.unwrap_or(Ok(false));
                match (options.once, ended) {
                    // What was declined does not count.
                    (true, Ok(true)) => break Ok(()),
                    (true, Err(failure)) => break Err(failure),
                    (false, Err(failure)) => output::failure(&failure, common.json),
                    (_, Ok(_)) => {}
                }
            }
            _ = tokio::signal::ctrl_c() => break Ok(()),
        }
    };
    session.leave().await;
    result
}

fn describe(offer: &ResourceOffer) -> serde_json::Value {
    json!({
        "event": "resource_offered",
        "peer": peer_json(offer.from()),
        "name": offer.name(),
        "kind": format!("{:?}", offer.kind()).to_lowercase(),
        "size": offer.size(),
        "count": offer.count(),
    })
}

/// Whether it was taken.
async fn take(
    offer: ResourceOffer,
    options: &Receive,
    json: bool,
    turn: &Mutex<()>,
) -> Result<bool, Failure> {
    if !options.yes && !ask(&offer, json, turn).await {
        offer.decline("declined");
        return Ok(false);
    }
    let mut transfer = offer.accept(&options.dir).await?;
    follow(&mut transfer, &Display::new(json, 1)).await?;
    Ok(true)
}

/// Asks the person, if there is one.
async fn ask(offer: &ResourceOffer, json: bool, turn: &Mutex<()>) -> bool {
    if json || !std::io::stdin().is_terminal() {
        output::failure(&Failure::Check("declined an offer: --yes takes all".to_owned()), json);
        return false;
    }
    let _turn = turn.lock().await;
    let size = offer.size().map_or_else(String::new, |size| format!(", {size} bytes"));
    let what = format!("{} from {}{size}", printable(offer.name()), offer.from());
    let answer = tokio::task::spawn_blocking(move || {
        output::line(&format!("take {what}? [y/N]"));
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).is_ok()
            && line.trim().eq_ignore_ascii_case("y")
    });
    answer.await.unwrap_or(false)
}
