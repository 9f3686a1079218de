//! What Avahi is asked over D-Bus, and what it tells. Its interface is described in `avahi-daemon/*.xml` of its source:
//! an entry group announces, a service browser names who is there, and a resolver for each name tells what it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr, SocketAddrV6},
    num::NonZeroUsize,
    time::Duration,
};

use futures_util::StreamExt;
use multipeer_proto::{Announcement, PeerId};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::debug;
use zbus::{
    Connection, DynamicType, MatchRule, Message, MessageStream, ObjectPath, OwnedObjectPath, Type,
    message,
};

use super::{
    super::super::{DiscoveryEvent, DiscoveryProblem, Site},
    AVAHI, WAY, Wish,
};

const SERVER: &str = "org.freedesktop.Avahi.Server";
const GROUP: &str = "org.freedesktop.Avahi.EntryGroup";
const BROWSER: &str = "org.freedesktop.Avahi.ServiceBrowser";
const RESOLVER: &str = "org.freedesktop.Avahi.ServiceResolver";
/// Either address family.
const ANY_PROTOCOL: i32 = -1;
/// An entry group's state when somebody else has its name.
const COLLISION: i32 = 3;
/// Signals that wait to be read, in all.
const MAX_SIGNALS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// Names that are resolved, at most: Avahi has room for 1,024 objects of one program.
const MAX_RESOLVERS: usize = 1000;
/// Time for an answer. Without a limit it would wait for ever for one that has no room behind signals.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two looks at which interfaces there are.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// An instance on an interface: its numbers, protocol, and name.
type Instance = (i32, i32, String);
/// What a resolver found: where, what, and the strings of its TXT record.
type Resolved = (i32, i32, String, String, String, String, i32, String, u16, Vec<Vec<u8>>, u32);

/// The session's side of Avahi.
pub(super) struct Client {
    connection: Connection,
    site: Site,
    /// The service type, as DNS-SD writes it.
    service: String,
    events: mpsc::Sender<DiscoveryEvent>,
    announcement: Option<Announcement>,
    looking: bool,
    /// The numbers of the interfaces that are used, as of the last look.
    interfaces: BTreeSet<u32>,
    /// Announces, on these.
    group: Option<OwnedObjectPath>,
    /// Names that somebody else has had.
    collisions: u32,
    browser: Option<OwnedObjectPath>,
    resolvers: BTreeMap<Instance, OwnedObjectPath>,
    instances: BTreeMap<Instance, PeerId>,
}

impl Client {
    pub(super) fn new(
        connection: Connection,
        site: Site,
        events: mpsc::Sender<DiscoveryEvent>,
    ) -> Self {
        Self {
            connection,
            service: format!("_{}._udp", site.service),
            site,
            events,
            announcement: None,
            looking: false,
            interfaces: BTreeSet::new(),
            group: None,
            collisions: 0,
            browser: None,
            resolvers: BTreeMap::new(),
            instances: BTreeMap::new(),
        }
    }

    /// Does what is wished until the end is, or nobody wishes anything any more.
    pub(super) async fn run(mut self, mut wishes: mpsc::Receiver<Wish>) -> zbus::Result<()> {
        let rule = MatchRule::builder().msg_type(message::Type::Signal).sender(AVAHI).build()?;
        let mut signals =
            MessageStream::for_match_rule(rule, &self.connection, Some(MAX_SIGNALS)).await?;
        let mut check = interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                wish = wishes.recv() => match wish {
                    Some(Wish::End(done)) => {
                        self.stop().await;
                        _ = done.send(());
                        return Ok(());
                    }
                    Some(wish) => self.grant(wish).await?,
                    None => {
                        self.stop().await;
                        return Ok(());
                    }
                },
                signal = signals.next() => match signal {
                    Some(signal) => self.handle(&signal?).await?,
                    None => return Ok(()),
                },
                _ = check.tick(), if self.looking => {
                    if self.look_at_interfaces() {
                        self.publish().await?;
                    }
                }
            }
        }
    }

    async fn grant(&mut self, wish: Wish) -> zbus::Result<()> {
        match wish {
            Wish::Announce(announcement) => {
                self.announcement = Some(announcement);
                if self.looking {
                    self.publish().await?;
                }
            }
            Wish::MoveTo(port) => self.site.port = port,
            Wish::Look => {
                self.looking = true;
                self.look_at_interfaces();
                self.publish().await?;
                self.browse().await?;
            }
            Wish::Browse(true) => self.browse().await?,
            Wish::Browse(false) => self.stop_browsing().await,
            Wish::Stop | Wish::End(_) => self.stop().await,
        }
        Ok(())
    }

    async fn stop(&mut self) {
        self.looking = false;
        self.stop_browsing().await;
        if let Some(group) = self.group.take() {
            self.free(group, GROUP).await;
        }
    }

    /// Looks which interfaces are used. Returns whether they are others than before.
    fn look_at_interfaces(&mut self) -> bool {
        let networks = self.site.interfaces.networks().into_iter();
        let present = networks.map(|network| network.interface).collect();
        std::mem::replace(&mut self.interfaces, present) != self.interfaces
    }

    /// Announces on every interface that is used, anew.
    async fn publish(&mut self) -> zbus::Result<()> {
        let Some(announcement) = self.announcement.clone() else { return Ok(()) };
        let group = match self.group.take() {
            Some(group) => {
                () = self.call(&group, GROUP, "Reset", &()).await?;
                group
            }
            None => self.call(&root(), SERVER, "EntryGroupNew", &()).await?,
        };
        let mut name = announcement.instance_name();
        if self.collisions > 0 {
            // The record says who it is, whatever it is called.
            let suffix = format!(" ({})", self.collisions + 1);
            name.truncate(name.floor_char_boundary(63 - suffix.len()));
            name.push_str(&suffix);
        }
        let txt: Vec<Vec<u8>> = announcement
            .to_txt()
            .into_iter()
            .map(|(key, value)| format!("{key}={value}").into_bytes())
            .collect();
        for &interface in &self.interfaces {
            let interface = i32::try_from(interface).unwrap_or(ANY_PROTOCOL);
            let service = (
                interface,
                ANY_PROTOCOL,
                0_u32,
                &name,
                &self.service,
                "",
                "",
                self.site.port,
                &txt,
            );
            // An interface that Avahi does not use, such as one without multicast.
            if let Err(error) = self.call::<()>(&group, GROUP, "AddService", &service).await {
                debug!(interface, %error, "not announced there");
            }
        }
        if let Err(error) = self.call::<()>(&group, GROUP, "Commit", &()).await {
            debug!(%error, "nothing is announced");
        }
        self.group = Some(group);
        Ok(())
    }

    async fn browse(&mut self) -> zbus::Result<()> {
        self.stop_browsing().await;
        let all = (ANY_PROTOCOL, ANY_PROTOCOL, &self.service, "local", 0_u32);
        self.browser = Some(self.call(&root(), SERVER, "ServiceBrowserNew", &all).await?);
        Ok(())
    }

    async fn stop_browsing(&mut self) {
        self.instances.clear();
        for (_, resolver) in std::mem::take(&mut self.resolvers) {
            self.free(resolver, RESOLVER).await;
        }
        if let Some(browser) = self.browser.take() {
            self.free(browser, BROWSER).await;
        }
    }

    async fn handle(&mut self, signal: &Message) -> zbus::Result<()> {
        let header = signal.header();
        let (Some(interface), Some(member), Some(path)) =
            (header.interface(), header.member(), header.path())
        else {
            return Ok(());
        };
        match (interface.as_str(), member.as_str()) {
            (BROWSER, "ItemNew") => self.appeared(signal).await?,
            (BROWSER, "ItemRemove") => self.disappeared(signal).await?,
            (RESOLVER, "Found") if self.resolvers.values().any(|known| **known == *path) => {
                self.resolved(signal).await?;
            }
            (GROUP, "StateChanged") if self.group.as_ref().is_some_and(|own| **own == *path) => {
                let (state, _): (i32, String) = signal.body().deserialize()?;
                if state == COLLISION {
                    self.collisions += 1;
                    self.publish().await?;
                }
            }
            (BROWSER, "Failure") => {
                let error: String = signal.body().deserialize()?;
                let problem = DiscoveryProblem::Responder { error: format!("Avahi: {error}") };
                self.tell(DiscoveryEvent::Problem(problem)).await;
            }
            _ => {}
        }
        Ok(())
    }

    /// Signals may come before the answer that names the browser: what they are about tells whose they are.
    fn is_own(&self, instance: &Instance, service: &str) -> bool {
        let is_used = u32::try_from(instance.0).is_ok_and(|i| self.interfaces.contains(&i));
        self.looking && service == self.service && is_used
    }

    async fn appeared(&mut self, signal: &Message) -> zbus::Result<()> {
        let (interface, protocol, name, service, domain, _): (
            i32,
            i32,
            String,
            String,
            String,
            u32,
        ) = signal.body().deserialize()?;
        let instance = (interface, protocol, name);
        if !self.is_own(&instance, &service)
            || self.resolvers.contains_key(&instance)
            || self.resolvers.len() >= MAX_RESOLVERS
        {
            return Ok(());
        }
        let wanted = (interface, protocol, &instance.2, &service, &domain, ANY_PROTOCOL, 0_u32);
        match self.call(&root(), SERVER, "ServiceResolverNew", &wanted).await {
            Ok(resolver) => _ = self.resolvers.insert(instance, resolver),
            Err(error) => debug!(%error, "a peer is not resolved"),
        }
        Ok(())
    }

    async fn disappeared(&mut self, signal: &Message) -> zbus::Result<()> {
        let (interface, protocol, name, _, _, _): (i32, i32, String, String, String, u32) =
            signal.body().deserialize()?;
        let instance = (interface, protocol, name);
        if let Some(resolver) = self.resolvers.remove(&instance) {
            self.free(resolver, RESOLVER).await;
        }
        // It may still be there on another interface.
        if let Some(peer) = self.instances.remove(&instance)
            && !self.instances.values().any(|other| *other == peer)
        {
            self.tell(DiscoveryEvent::Gone { peer, way: WAY }).await;
        }
        Ok(())
    }

    async fn resolved(&mut self, signal: &Message) -> zbus::Result<()> {
        let (interface, protocol, name, service, _, _, _, address, port, txt, _): Resolved =
            signal.body().deserialize()?;
        let instance = (interface, protocol, name);
        let strings = txt.iter().filter_map(|string| {
            let mut parts = string.splitn(2, |&byte| byte == b'=');
            let key = std::str::from_utf8(parts.next()?).ok()?;
            Some((key, parts.next().unwrap_or_default()))
        });
        let (announcement, address) = match (Announcement::from_txt(strings), address.parse()) {
            (Ok(announcement), Ok(address)) if self.is_own(&instance, &service) => {
                (announcement, address)
            }
            _ => return Ok(()),
        };
        let address = match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                let scope = u32::try_from(interface).unwrap_or_default();
                SocketAddr::from(SocketAddrV6::new(v6, port, 0, scope))
            }
            address => SocketAddr::new(address, port),
        };
        self.instances.insert(instance, announcement.peer);
        let addresses = vec![address];
        self.tell(DiscoveryEvent::Found { announcement, addresses, way: WAY }).await;
        Ok(())
    }

    async fn tell(&self, event: DiscoveryEvent) {
        _ = self.events.send(event).await;
    }

    async fn free(&self, object: OwnedObjectPath, interface: &str) {
        if let Err(error) = self.call::<()>(&object, interface, "Free", &()).await {
            debug!(%error, "Avahi has forgotten it already");
        }
    }

    async fn call<T: DeserializeOwned + Type>(
        &self,
        object: &ObjectPath<'_>,
        interface: &str,
        method: &str,
        body: &(impl Serialize + DynamicType),
    ) -> zbus::Result<T> {
        let call = self.connection.call_method(Some(AVAHI), object, Some(interface), method, body);
        match timeout(CALL_TIMEOUT, call).await {
            Ok(answer) => answer?.body().deserialize(),
            Err(_) => Err(zbus::Error::Failure(format!("no answer to {method}"))),
        }
    }
}

fn root() -> ObjectPath<'static> {
    ObjectPath::from_static_str_unchecked("/")
}
