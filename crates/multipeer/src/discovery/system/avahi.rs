//! Avahi, over D-Bus: whether it is there, and its side of [`Discovery`]. The requests are made by a task of its own
//! (`client.rs`), as calls over D-Bus take their time.

mod client;

use std::{net::SocketAddr, time::Duration};

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
};
use multipeer_proto::{Announcement, PeerId, Way};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tracing::debug;
use zbus::{Connection, MatchRule, MessageStream, message::Type};

use self::client::Client;
use super::{
    super::{Discovery, DiscoveryEvent, DiscoveryProblem, Site},
    Change,
};

/// Avahi's name on the bus.
const AVAHI: &str = "org.freedesktop.Avahi";
/// Time for the bus to answer whether Avahi is there.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before the bus is looked for again.
const BUS_PAUSE: Duration = Duration::from_secs(10);
/// Events and wishes that wait.
const MAX_WAITING: usize = 1024;
/// Time to withdraw what was announced.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Watches whether Avahi is there.
pub(in super::super) struct Watch {
    site: Site,
    connections: mpsc::Receiver<Option<Connection>>,
    waits: bool,
    task: AbortHandle,
}

impl Watch {
    pub(in super::super) fn new(site: Site) -> Self {
        let (sender, connections) = mpsc::channel(4);
        let task = tokio::spawn(watch(sender)).abort_handle();
        Self { site, connections, waits: true, task }
    }

    /// This peer is reached at this port from now on.
    pub(in super::super) fn move_to(&mut self, port: u16) {
        self.site.port = port;
    }

    /// Whether it is not known yet if Avahi is there.
    pub(in super::super) fn is_waiting(&self) -> bool {
        self.waits
    }

    /// The next change. Cancel safe.
    pub(in super::super) async fn next(&mut self) -> Change {
        let Some(connection) = self.connections.recv().await else {
            return std::future::pending().await;
        };
        self.waits = false;
        match connection {
            Some(connection) => Change::Came(Box::new(Avahi::new(connection, self.site.clone()))),
            None => Change::Went,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells each time that Avahi comes and goes, with a connection to talk to it.
async fn watch(sender: mpsc::Sender<Option<Connection>>) {
    loop {
        if let Err(error) = watch_bus(&sender).await {
            debug!(%error, "no system bus");
        }
        if sender.send(None).await.is_err() {
            return;
        }
        sleep(BUS_PAUSE).await;
    }
}

async fn watch_bus(sender: &mpsc::Sender<Option<Connection>>) -> zbus::Result<()> {
    const BUS: &str = "org.freedesktop.DBus";
    let connection = Connection::system().await?;
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(BUS)
        .member("NameOwnerChanged")
        .arg(0, AVAHI)
        .build()?;
    let mut changes = MessageStream::for_match_rule(rule, &connection, None).await?;
    let path = "/org/freedesktop/DBus";
    let asked = connection.call_method(Some(BUS), path, Some(BUS), "NameHasOwner", &AVAHI);
    let Ok(answer) = timeout(ANSWER_TIMEOUT, asked).await else { return Ok(()) };
    let mut is_there: bool = answer?.body().deserialize()?;
    loop {
        if sender.send(is_there.then(|| connection.clone())).await.is_err() {
            return Ok(());
        }
        let Some(change) = changes.next().await else { return Ok(()) };
        let change = change?;
        let (_, _, owner): (String, String, String) = change.body().deserialize()?;
        is_there = !owner.is_empty();
    }
}

/// What Avahi is to do.
#[derive(Debug)]
enum Wish {
    Announce(Announcement),
    MoveTo(u16),
    Look,
    Browse(bool),
    Stop,
    End(oneshot::Sender<()>),
}

struct Avahi {
    wishes: mpsc::Sender<Wish>,
    events: mpsc::Receiver<DiscoveryEvent>,
    is_overrun: bool,
}

impl Avahi {
    fn new(connection: Connection, site: Site) -> Self {
        let (wishes, wished) = mpsc::channel(MAX_WAITING);
        let (sender, events) = mpsc::channel(MAX_WAITING);
        tokio::spawn(async move {
            let problems = sender.clone();
            if let Err(error) = Client::new(connection, site, sender).run(wished).await {
                let error = format!("Avahi: {error}");
                let problem = DiscoveryProblem::Responder { error };
                _ = problems.send(DiscoveryEvent::Problem(problem)).await;
            }
        });
        Self { wishes, events, is_overrun: false }
    }

    fn wish(&mut self, wish: Wish) {
        // Its task has ended, or the bus does not move.
        self.is_overrun |= self.wishes.try_send(wish).is_err();
    }
}

impl Discovery for Avahi {
    fn announce(&mut self, announcement: &Announcement) {
        self.wish(Wish::Announce(announcement.clone()));
    }

    fn move_to(&mut self, port: u16, _: Vec<SocketAddr>) {
        self.wish(Wish::MoveTo(port));
    }

    fn look(&mut self) {
        self.wish(Wish::Look);
    }

    fn browse(&mut self, browse: bool) {
        self.wish(Wish::Browse(browse));
    }

    fn stop(&mut self) {
        self.wish(Wish::Stop);
    }

    fn verify(&mut self, _: PeerId) {
        // Avahi has no way to doubt what it has in its cache.
    }

    fn next(&mut self) -> BoxFuture<'_, DiscoveryEvent> {
        async {
            if std::mem::take(&mut self.is_overrun) {
                let error = "Avahi does not do what it is asked".to_owned();
                return DiscoveryEvent::Problem(DiscoveryProblem::Responder { error });
            }
            match self.events.recv().await {
                Some(event) => event,
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn shutdown(&mut self) -> BoxFuture<'_, ()> {
        async {
            let (done, ended) = oneshot::channel();
            self.wish(Wish::End(done));
            _ = timeout(SHUTDOWN_TIMEOUT, ended).await;
        }
        .boxed()
    }
}

/// As what its peers are heard.
const WAY: Way = Way::SystemResponder;
