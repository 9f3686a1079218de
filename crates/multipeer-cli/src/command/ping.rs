//! `multipeer ping`: the round trip to a peer.

use std::time::Duration;

use multipeer::PingMode;
use serde_json::json;
use tokio::time::sleep;

use super::{peers, percentiles::Percentiles};
use crate::{
    cli::{Common, Ping, seconds},
    failure::Failure,
    output::{self, JsonEvents, object, peer_json},
};

pub(crate) async fn run(common: &Common, options: &Ping) -> Result<(), Failure> {
    let session = common.start().await?;
    let mut events = session.events();
    let json = JsonEvents::new();
    let patience = Duration::from_secs(options.wait);
    let peer = peers::wait_for(&session, &mut events, &options.peer, patience).await;
    let peer = match peer {
        Ok(peer) => peer,
        Err(failure) => {
            session.leave().await;
            return Err(failure);
        }
    };
    let mode = if options.unreliable { PingMode::Unreliable } else { PingMode::Reliable };
    let mut round_trips = Vec::new();
    for number in 1..=options.count {
        let result = session.ping(&peer, options.size, mode).await;
        if common.json {
            let micros = result.as_ref().ok().map(|time| time.as_secs_f64() * 1e6);
            json.print_object(object(json!({
                "event": "pong",
                "peer": peer_json(&peer),
                "number": number,
                "round_trip_us": micros,
                "problem": result.as_ref().err().map(ToString::to_string),
            })));
        } else {
            let outcome = match &result {
                Ok(time) => format!("{time:.1?}"),
                Err(error) => error.to_string(),
            };
            output::line(&format!("{} bytes, {}: {number} {outcome}", options.size, peer.name));
        }
        round_trips.extend(result.ok());
        if number < options.count {
            sleep(seconds(options.interval)).await;
        }
    }
    session.leave().await;
    let (sent, received) = (options.count, round_trips.len());
    let percentiles = Percentiles::new(round_trips);
    if common.json {
        json.print_object(object(json!({
            "event": "ping",
            "peer": peer_json(&peer),
            "sent": sent,
            "received": received,
            "round_trip": percentiles.to_json(),
        })));
    } else {
        output::line(&format!("{sent} sent, {received} received, {percentiles}"));
    }
    if received == 0 {
        return Err(Failure::Check(format!("none of {sent} pings came back")));
    }
    Ok(())
}
