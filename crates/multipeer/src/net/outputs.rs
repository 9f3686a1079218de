//! Carrying out what the session asks for.

use std::{sync::Arc, time::Duration};

use iroh::{EndpointAddr, PublicKey, TransportAddr, endpoint::VarInt};
use multipeer_proto::{
    DialError, Event as ProtoEvent, GoodbyeReason, Input, LinkId, Output, PeerId, PeerInfo,
    delivery::DeliveryError, limits::MAX_STREAMS,
};
use tokio::time::timeout;
use tracing::trace;

use super::{
    driver::Driver,
    endpoint::{self, MEMBER_WINDOW_BYTES},
    lane::Lane,
    link::LinkInput,
    reader::ReadContext,
};
use crate::{
    certificate::PeerCertificate,
    event::Event,
    invitation::Invitation,
    path::{Ends, Path},
    peer::Peer,
};

/// Why a peer is not dialled of which no address is usable.
const NO_WAY: &str = "all that is known of it are link-local addresses, which lead somewhere only in a session on interfaces that \
                      are named (`interfaces`, `--interface`)";

impl Driver {
    /// Does everything that the session asks for, also what comes of doing it.
    pub(super) fn carry_out(&mut self) {
        let mut changed = false;
        while let Some(output) = self.session.poll() {
            changed |= self.note_change(&output);
            self.output(output);
        }
        if changed {
            self.tell();
        }
    }

    /// Publishes who is there, and then what happened: whoever learns of it and looks must see it.
    fn tell(&mut self) {
        self.publish_view();
        for event in self.happened.drain(..) {
            self.shared.events.push(event);
        }
    }

    fn output(&mut self, output: Output) {
        trace!(me = %self.session.id().short(), ?output, "session");
        match output {
            Output::Dial { peer, attempt, addresses, relays, timeout } => {
                let addresses = endpoint::usable(addresses, !self.interfaces.names().is_empty());
                let addresses = addresses.into_iter().map(TransportAddr::Ip);
                let ways = addresses.chain(self.through(&relays)).collect();
                self.dial(peer, attempt, ways, timeout);
            }
            Output::Serve => self.serve(),
            Output::UseRelays(relays) => self.use_relays(&relays),
            Output::SendFrame { link, frame } => {
                let kept_up = self.links.get(&link).is_none_or(|link| link.send(frame));
                if !kept_up && let Some(gone) = self.links.remove(&link) {
                    gone.connection.close(VarInt::from_u32(6), b"control frames are not read");
                    self.link_down(link);
                }
            }
            Output::CloseLink { link, reason, text } => {
                self.detach_link(link, reason == GoodbyeReason::Resting);
                if let Some(closed) = self.links.remove(&link) {
                    closed.close(reason, &text);
                }
            }
            Output::Attach { peer, link, received, max_message_bytes, .. } => {
                self.attach(peer, link, received, max_message_bytes);
            }
            Output::Confirmed { peer, received } => self.confirmed(peer, received),
            Output::Pause { peer, link } => {
                let quiet = self.shared.lane(peer).is_some_and(|lane| lane.pause(link));
                self.handle(Input::Paused { peer, link, quiet });
            }
            Output::Resume { peer } => {
                _ = self.shared.with_lane(peer, |lane| lane.resume());
            }
            Output::Drain { peer } => {
                if self.shared.lane(peer).is_some_and(|lane| lane.drain()) {
                    self.handle(Input::Drained { peer });
                }
            }
            Output::Detach { peer } => {
                self.lane_links.remove(&peer);
                self.routes.remove(&peer);
                if let Some(lane) = self.shared.remove_lane(peer) {
                    self.unconfirmed = lane.close();
                }
            }
            Output::Look(true) => self.discovery.look(),
            Output::Look(false) => self.discovery.stop(),
            Output::Browse(browse) => self.discovery.browse(browse),
            Output::Announce(announcement) => self.discovery.announce(&announcement),
            Output::Verify { peer } => self.discovery.verify(peer),
            Output::InviteAnswered { invitation, result } => {
                let Some(answer) = self.invitations.remove(&invitation) else {
                    return;
                };
                self.tell();
                // The application may have dropped its handle.
                _ = answer.send(result.map(Peer::from));
            }
            Output::Pong { peer, token } => self.handle_pong(peer, token),
            Output::Event(event) => {
                let event = self.event(event);
                self.happened.extend(event);
            }
            Output::Left => self.left = true,
        }
    }

    fn event(&mut self, event: ProtoEvent) -> Option<Event> {
        Some(match event {
            ProtoEvent::PeerFound(info) => Event::PeerFound(info.into()),
            ProtoEvent::PeerUpdated(info) => Event::PeerUpdated(info.into()),
            ProtoEvent::PeerLost(info) => Event::PeerLost(info.into()),
            ProtoEvent::Connecting(peer) => Event::Connecting(self.peer(peer)),
            ProtoEvent::Invitation { peer, invitation, context, verified } => {
                let shown = (verified, self.session.comparison(peer.id));
                let answer = (invitation, self.requests_sender.upgrade()?);
                Event::Invitation(Invitation::new(peer.into(), context, shown, answer))
            }
            ProtoEvent::InvitationWithdrawn { peer, .. } => {
                Event::InvitationWithdrawn { from: self.peer(peer) }
            }
            ProtoEvent::InvitationFailed { peer, error } => {
                Event::InvitationFailed { peer: peer.into(), error }
            }
            ProtoEvent::ProofsRefused { peer } => {
                let replaced_by = self.replace_passcode();
                Event::ProofsRefused { peer: self.peer(peer), replaced_by }
            }
            ProtoEvent::CertificateShown { peer, link, subject, chain } => {
                let requests = self.requests_sender.upgrade()?;
                let shown = PeerCertificate::new(self.peer(peer), subject, chain, link, requests);
                Event::CertificateShown(shown)
            }
            ProtoEvent::RemovalRefused { by, subject } => {
                Event::RemovalRefused { by: self.peer(by), subject: self.peer(subject) }
            }
            ProtoEvent::Connected(info) => {
                // Reported with the `Attach` that follows, when it can be sent to.
                self.connecting = Some(Peer::from(info));
                return None;
            }
            ProtoEvent::Nudged { peer, text } => Event::Nudged { from: self.peer(peer), text },
            ProtoEvent::ActivityChanged { peer, activity } => {
                Event::ActivityChanged { peer: self.peer(peer), activity }
            }
            ProtoEvent::ViabilityChanged { peer, viable } => {
                Event::ViabilityChanged { peer: self.peer(peer), viable }
            }
            ProtoEvent::Disconnected { peer, reason } => Event::PeerDisconnected {
                peer: peer.into(),
                reason,
                unconfirmed: std::mem::take(&mut self.unconfirmed),
            },
        })
    }

    /// The peer as it is known at the moment; one that is not is named by its id.
    pub(super) fn peer(&self, id: PeerId) -> Peer {
        let known = self.session.known(id);
        Peer::from(known.unwrap_or_else(|| PeerInfo::unnamed(id)))
    }

    fn dial(&mut self, peer: PeerId, attempt: u64, ways: Vec<TransportAddr>, time: Duration) {
        let (endpoint, inputs) = (self.endpoint.clone(), self.inputs_sender.clone());
        self.tasks.spawn(async move {
            let connect = async {
                let id = PublicKey::from_bytes(peer.as_bytes())
                    .map_err(|_| DialError::Failed("its id is not a public key".to_owned()))?;
                if ways.is_empty() {
                    return Err(DialError::Failed(NO_WAY.to_owned()));
                }
                let to = EndpointAddr::from_parts(id, ways);
                endpoint::connect(&endpoint, to).await
            };
            let result = timeout(time, connect).await.unwrap_or_else(|_| {
                Err(DialError::Failed(format!("no answer within {} s", time.as_secs_f32())))
            });
            let input = match result {
                Ok(connection) => LinkInput::Up {
                    connection,
                    direction: multipeer_proto::Direction::Dialled { attempt },
                },
                Err(error) => LinkInput::DialFailed { peer, attempt, error },
            };
            _ = inputs.send(input).await;
        });
    }

    fn attach(&mut self, peer: PeerId, id: LinkId, received: u64, max_message_bytes: usize) {
        let connected = self.connecting.take();
        if let Some(peer) = &connected {
            let events = self.shared.events.clone();
            let requests = self.requests_sender.clone();
            let lane = Lane::new(peer.clone(), max_message_bytes, events, requests);
            self.shared.insert_lane(peer.id, lane);
        }
        let attached = self.attach_lane(peer, id, received, max_message_bytes);
        if let Some(peer) = connected {
            // When it can be sent to, and before anything comes from it.
            self.happened.push(Event::PeerConnected(peer));
            self.tell();
        }
        match attached {
            Some(Ok(lane)) => {
                let context = ReadContext {
                    link: id,
                    max_message_bytes: self.max_message_bytes,
                    inputs: self.inputs_sender.clone(),
                    start: self.start,
                };
                if let Some(link) = self.links.get_mut(&id) {
                    link.attach((lane, context));
                }
                self.lane_links.insert(peer, id);
            }
            Some(Err(error)) => self.misbehaved(peer, error.to_string()),
            None => {}
        }
    }

    /// Has a peer's messages go out on a link from now on.
    fn attach_lane(
        &mut self,
        peer: PeerId,
        id: LinkId,
        received: u64,
        max_message_bytes: usize,
    ) -> Option<Result<Arc<Lane>, DeliveryError>> {
        let lane = self.shared.lane(peer)?;
        let connection = self.links.get(&id)?.connection.clone();
        // What it is from the beginning is no change.
        let relays = &self.shared.relays;
        if let (Some(ends), Some(path)) = (Ends::of(&connection), Path::of(&connection, relays)) {
            self.routes.entry(peer).or_insert((ends, path.route));
        }
        connection.set_receive_window(VarInt::from_u32(MEMBER_WINDOW_BYTES));
        connection.set_max_concurrent_bi_streams(VarInt::from_u32(1 + MAX_STREAMS));
        connection.set_max_concurrent_uni_streams(VarInt::from_u32(1 + MAX_STREAMS));
        let attached = lane.attach(id, connection, received, max_message_bytes);
        Some(attached.map(|()| lane))
    }

    fn confirmed(&mut self, peer: PeerId, received: u64) {
        let Some(lane) = self.shared.lane(peer) else { return };
        match lane.handle_confirmed(received) {
            Ok(true) => self.handle(Input::Drained { peer }),
            Ok(false) => {}
            Err(error) => self.misbehaved(peer, error.to_string()),
        }
    }

    /// The peer's messages break the protocol on whatever link carries them.
    fn misbehaved(&mut self, peer: PeerId, error: String) {
        if let Some(&link) = self.lane_links.get(&peer) {
            self.handle(Input::Misbehaved { link, error });
        }
    }
}
