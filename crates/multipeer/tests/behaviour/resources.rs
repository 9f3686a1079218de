//! Files, folders and data between connected peers.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use multipeer::{
    Event, FailureReason, PingMode, RefusalReason, ResourceKind, Source, TransferError,
    TransferState,
};
use tokio::time::timeout;

use crate::common::{
    Host, PATIENCE, Place,
    transfers::{Folder, at_least, connect, content, failure, finished, offered},
};

#[tokio::test]
async fn a_file_arrives_as_it_was() {
    let folder = Folder::new("file");
    let path = folder.file("film.mkv", 5_000_000);
    let file = fs::File::options().write(true).open(&path).unwrap();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(1_234_567_890_123);
    file.set_modified(modified).unwrap();
    let (alice, mut bob) = Place::default().pair().await;
    let mut sending = alice.session.send_resource(bob.id(), path).await.unwrap();
    let offer = offered(&mut bob).await;
    assert_eq!((offer.name(), offer.kind()), ("film.mkv", ResourceKind::File));
    assert_eq!((offer.size(), offer.count()), (Some(5_000_000), 1));
    assert_eq!(offer.from().id, alice.id());
    let mut receiving = offer.accept(folder.to()).await.unwrap();
    let received = finished(&mut receiving).await.unwrap();
    let sent = finished(&mut sending).await.unwrap();
    let arrived = folder.to().join("film.mkv");
    assert_eq!(received.path.as_deref(), Some(arrived.as_path()));
    assert_eq!(fs::read(&arrived).unwrap(), content(5_000_000));
    assert_eq!(fs::metadata(&arrived).unwrap().modified().unwrap(), modified);
    assert_eq!((sent.bytes, sent.transmitted_bytes), (5_000_000, 5_000_000));
    assert_eq!((received.bytes, received.transmitted_bytes), (5_000_000, 5_000_000));
    assert_eq!(folder.arrived(), ["film.mkv"]);
    let ended = bob.wait("the end", |event| match event {
        Event::TransferEnded { transfer, result } => Some((transfer.id(), result)),
        _ => None,
    });
    assert_eq!(ended.await, (sending.id(), Ok(received)));
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_arrives_with_all_that_is_in_it() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::new("folder");
    let tree = folder.from("project");
    fs::create_dir_all(tree.join("src/deep/deeper")).unwrap();
    fs::create_dir(tree.join("empty")).unwrap();
    fs::write(tree.join("src/main.rs"), "fn main() {}").unwrap();
    fs::write(tree.join("src/deep/deeper/big"), content(3_000_000)).unwrap();
    fs::write(tree.join("nothing"), "").unwrap();
    fs::write(tree.join("run.sh"), "#!/bin/sh").unwrap();
    fs::set_permissions(tree.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("src/main.rs", tree.join("link")).unwrap();
    symlink("../nothing", tree.join("src/up")).unwrap();
    let (alice, mut bob) = Place::default().pair().await;
    let mut sending = alice.session.send_resource(bob.id(), tree.as_path()).await.unwrap();
    let offer = offered(&mut bob).await;
    assert_eq!((offer.name(), offer.kind()), ("project", ResourceKind::Folder));
    assert_eq!((offer.size(), offer.count()), (Some(3_000_000 + 12 + 9), 10));
    offer.accept(folder.to()).await.unwrap();
    finished(&mut sending).await.unwrap();
    let arrived = folder.to().join("project");
    assert_eq!(fs::read_to_string(arrived.join("src/main.rs")).unwrap(), "fn main() {}");
    assert_eq!(fs::read(arrived.join("src/deep/deeper/big")).unwrap(), content(3_000_000));
    assert_eq!(fs::read(arrived.join("nothing")).unwrap(), b"");
    assert!(fs::metadata(arrived.join("empty")).unwrap().is_dir());
    assert_eq!(fs::metadata(arrived.join("run.sh")).unwrap().permissions().mode() & 0o111, 0o111);
    assert_eq!(fs::metadata(arrived.join("nothing")).unwrap().permissions().mode() & 0o111, 0);
    assert_eq!(fs::read_link(arrived.join("link")).unwrap(), Path::new("src/main.rs"));
    assert_eq!(fs::read_link(arrived.join("src/up")).unwrap(), Path::new("../nothing"));
    let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let millis =
        |path: &Path| time(path).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    for inner in ["src", "src/main.rs", "empty"] {
        assert_eq!(millis(&arrived.join(inner)), millis(&tree.join(inner)), "{inner}");
    }
    assert_eq!(folder.arrived(), ["project"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_leads_out_of_the_folder_is_refused_by_its_name() {
    let folder = Folder::new("link");
    let tree = folder.from("project");
    fs::create_dir(&tree).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", tree.join("secrets")).unwrap();
    let (alice, bob) = Place::default().pair().await;
    let error = alice.session.send_resource(bob.id(), tree).await.unwrap_err().to_string();
    assert!(error.contains("secrets") && error.contains("absolute target"), "{error}");
}

#[tokio::test]
async fn what_is_not_there_or_has_no_receiver_is_an_error_at_once() {
    let (alice, bob) = Place::default().pair().await;
    let error = alice.session.send_resource(bob.id(), Path::new("/no/such/file")).await;
    assert!(error.unwrap_err().to_string().contains("/no/such/file"));
    let nobody = multipeer::PeerId::from_bytes([9; 32]);
    let error = alice.session.send_resource(nobody, Source::bytes("x", "y")).await.unwrap_err();
    assert_eq!(error, TransferError::NotConnected(nobody));
    let error = alice.session.send_resource(bob.id(), Source::bytes("../x", "y")).await;
    assert!(error.unwrap_err().to_string().contains("separator"));
}

#[tokio::test]
async fn bytes_and_readers_arrive_as_files() {
    let folder = Folder::new("data");
    let (alice, mut bob) = Place::default().pair().await;
    let sources = [
        Source::bytes("buffer", content(100)),
        Source::bytes("empty", ""),
        Source::reader("known", Some(3_000_000), std::io::Cursor::new(content(3_000_000))),
        Source::reader("unknown", None, std::io::Cursor::new(content(2_500_000))),
        Source::reader("whole blocks", None, std::io::Cursor::new(content(2 * 1024 * 1024))),
    ];
    for source in sources {
        let mut sending = alice.session.send_resource(bob.id(), source).await.unwrap();
        let offer = offered(&mut bob).await;
        assert_eq!(offer.kind(), ResourceKind::Data);
        offer.accept(folder.to()).await.unwrap();
        finished(&mut sending).await.unwrap();
    }
    let read = |name: &str| fs::read(folder.to().join(name)).unwrap();
    assert_eq!(read("buffer"), content(100));
    assert_eq!(read("empty"), b"");
    assert_eq!(read("known"), content(3_000_000));
    assert_eq!(read("unknown"), content(2_500_000));
    assert_eq!(read("whole blocks"), content(2 * 1024 * 1024));
}

#[tokio::test]
async fn an_offer_is_declined_with_words_or_by_being_dropped() {
    let (alice, mut bob) = Place::default().pair().await;
    let mut sending = alice.session.send_resource(bob.id(), Source::bytes("x", "y")).await.unwrap();
    offered(&mut bob).await.decline("not now");
    let refused = |text: &str| TransferError::Refused {
        reason: RefusalReason::Declined,
        text: text.to_owned(),
    };
    assert_eq!(finished(&mut sending).await, Err(refused("not now")));
    let mut sending = alice.session.send_resource(bob.id(), Source::bytes("x", "y")).await.unwrap();
    drop(offered(&mut bob).await);
    assert_eq!(finished(&mut sending).await, Err(refused("")));
}

#[tokio::test]
async fn an_offer_that_is_withdrawn_can_be_accepted_no_more() {
    let folder = Folder::new("withdrawn");
    let (alice, mut bob) = Place::default().pair().await;
    let mut sending = alice.session.send_resource(bob.id(), Source::bytes("x", "y")).await.unwrap();
    let offer = offered(&mut bob).await;
    sending.cancel();
    assert_eq!(failure(finished(&mut sending).await).0, FailureReason::Cancelled);
    assert!(offer.accept(folder.to()).await.is_err());
    assert!(folder.arrived().is_empty());
}

#[tokio::test]
async fn nothing_is_written_over_unless_asked() {
    let folder = Folder::new("over");
    let (alice, mut bob) = Place::default().pair().await;
    fs::write(folder.to().join("film.mkv"), "old").unwrap();
    fs::write(folder.to().join("film (1).mkv"), "old").unwrap();
    let source = || Source::bytes("film.mkv", "new");
    let mut sending = alice.session.send_resource(bob.id(), source()).await.unwrap();
    let mut receiving = offered(&mut bob).await.accept(folder.to()).await.unwrap();
    let path = finished(&mut receiving).await.unwrap().path.unwrap();
    assert_eq!(path, folder.to().join("film (2).mkv"));
    assert_eq!(fs::read_to_string(path).unwrap(), "new");
    finished(&mut sending).await.unwrap();
    assert_eq!(fs::read_to_string(folder.to().join("film.mkv")).unwrap(), "old");
    // Asked.
    let mut sending = alice.session.send_resource(bob.id(), source()).await.unwrap();
    let offer = offered(&mut bob).await;
    offer.accept_as(folder.to().join("film.mkv"), true).await.unwrap();
    finished(&mut sending).await.unwrap();
    assert_eq!(fs::read_to_string(folder.to().join("film.mkv")).unwrap(), "new");
    assert_eq!(folder.arrived(), ["film (1).mkv", "film (2).mkv", "film.mkv"]);
}

#[tokio::test]
async fn what_fits_is_accepted_without_asking_and_the_rest_is_offered() {
    let folder = Folder::new("auto");
    let place = Place::default();
    let mut alice = place.start("Alice").await;
    let mut bob = Host::start(place.builder("Bob").accept_resources(folder.to(), 1000)).await;
    connect(&mut alice, &mut bob).await;
    let send = |bytes: usize| {
        alice.session.send_resource(bob.session.id(), Source::bytes("x", content(bytes)))
    };
    finished(&mut send(1000).await.unwrap()).await.unwrap();
    assert_eq!(folder.arrived(), ["x"]);
    let _large = send(1001).await.unwrap();
    assert_eq!(offered(&mut bob).await.size(), Some(1001));
}

#[tokio::test]
async fn more_than_the_receiver_takes_is_refused() {
    let place = Place::default();
    let mut alice = place.start("Alice").await;
    let mut bob = Host::start(place.builder("Bob").max_resource(1000, 10)).await;
    connect(&mut alice, &mut bob).await;
    let source = Source::bytes("x", content(1001));
    let mut sending = alice.session.send_resource(bob.id(), source).await.unwrap();
    let text = String::new();
    let refused = TransferError::Refused { reason: RefusalReason::TooLarge, text };
    assert_eq!(finished(&mut sending).await, Err(refused));
}

#[tokio::test]
async fn more_than_there_is_room_for_is_refused_before_it_begins() {
    let folder = Folder::new("room");
    let (alice, mut bob) = Place::default().pair().await;
    let source = Source::reader("endless", Some(1 << 62), tokio::io::empty());
    let mut sending = alice.session.send_resource(bob.id(), source).await.unwrap();
    let error = offered(&mut bob).await.accept(folder.to()).await.unwrap_err();
    assert!(error.to_string().contains("endless has 4611686018427387904 bytes"), "{error}");
    assert!(matches!(
        finished(&mut sending).await,
        Err(TransferError::Refused { reason: RefusalReason::NoRoom, .. })
    ));
    assert!(folder.arrived().is_empty());
}

#[tokio::test]
async fn a_source_that_is_shorter_or_longer_than_it_said_fails_on_both_sides() {
    let folder = Folder::new("lies");
    let (alice, mut bob) = Place::default().pair().await;
    for bytes in [50, 150] {
        let source = Source::reader("liar", Some(100), std::io::Cursor::new(content(bytes)));
        let mut sending = alice.session.send_resource(bob.id(), source).await.unwrap();
        let mut receiving = offered(&mut bob).await.accept(folder.to()).await.unwrap();
        let (reason, text) = failure(finished(&mut sending).await);
        assert_eq!(reason, FailureReason::SourceChanged);
        assert!(text.contains("liar"), "{text}");
        let (reason, text) = failure(finished(&mut receiving).await);
        assert_eq!(reason, FailureReason::SourceChanged);
        assert!(text.contains("the other side says") && text.contains("liar"), "{text}");
        assert!(folder.arrived().is_empty());
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_written_fails_on_both_sides() {
    let folder = Folder::new("target");
    let (alice, mut bob) = Place::default().pair().await;
    let no_folder = folder.file("no-folder", 1);
    let mut sending = alice.session.send_resource(bob.id(), Source::bytes("x", "y")).await.unwrap();
    let mut receiving = offered(&mut bob).await.accept(&no_folder).await.unwrap();
    let (reason, text) = failure(finished(&mut receiving).await);
    assert_eq!(reason, FailureReason::NotWritable);
    assert!(text.contains("no-folder"), "{text}");
    match finished(&mut sending).await {
        Err(TransferError::Refused { reason: RefusalReason::NotWritable, text }) => {
            assert!(text.contains("no-folder"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn either_side_can_cancel_and_nothing_is_left() {
    let folder = Folder::new("cancel");
    let path = folder.file("film", 64 * 1024 * 1024);
    let (alice, mut bob) = Place::default().pair().await;
    for by_sender in [true, false] {
        let mut sending = alice.session.send_resource(bob.id(), path.as_path()).await.unwrap();
        let mut receiving = offered(&mut bob).await.accept(folder.to()).await.unwrap();
        at_least(&mut receiving, 1).await;
        if by_sender {
            sending.cancel();
        } else {
            receiving.cancel();
        }
        let (sent, received) = (finished(&mut sending).await, finished(&mut receiving).await);
        for (result, told) in [(sent, !by_sender), (received, by_sender)] {
            let (reason, text) = failure(result);
            assert_eq!(reason, FailureReason::Cancelled);
            assert_eq!(text.contains("the other side"), told, "{text}");
        }
        assert!(folder.arrived().is_empty(), "{:?}", folder.arrived());
    }
}

#[tokio::test]
async fn either_side_can_pause_and_the_other_is_told() {
    let folder = Folder::new("pause");
    let path = folder.file("film", 64 * 1024 * 1024);
    let (alice, mut bob) = Place::default().pair().await;
    for by_sender in [true, false] {
        let mut sending = alice.session.send_resource(bob.id(), path.as_path()).await.unwrap();
        let mut receiving = offered(&mut bob).await.accept(folder.to()).await.unwrap();
        at_least(&mut receiving, 1).await;
        let (pausing, told) =
            if by_sender { (&sending, &mut receiving) } else { (&receiving, &mut sending) };
        pausing.pause();
        let paused = async {
            while told.current_progress().state != TransferState::Paused {
                told.progress().await.unwrap();
            }
        };
        timeout(PATIENCE, paused).await.unwrap();
        pausing.resume();
        finished(&mut sending).await.unwrap();
        let report = finished(&mut receiving).await.unwrap();
        assert_eq!(report.transmitted_bytes, 64 * 1024 * 1024);
        assert_eq!(fs::read(report.path.as_ref().unwrap()).unwrap(), content(64 * 1024 * 1024));
    }
}

#[tokio::test]
async fn a_sender_can_pause_before_it_is_answered() {
    let folder = Folder::new("pause-early");
    let path = folder.file("film", 1024 * 1024);
    let (alice, mut bob) = Place::default().pair().await;
    for before_it_is_offered in [true, false] {
        let mut sending = alice.session.send_resource(bob.id(), path.as_path()).await.unwrap();
        if before_it_is_offered {
            sending.pause();
        }
        let offer = offered(&mut bob).await;
        sending.pause();
        // By then the other side has heard of it.
        for _ in 0..20 {
            alice.session.ping(bob.id(), 8, PingMode::Reliable).await.unwrap();
        }
        let mut receiving = offer.accept(folder.to()).await.unwrap();
        let paused = async {
            while receiving.current_progress().state != TransferState::Paused {
                receiving.progress().await.unwrap();
            }
        };
        timeout(PATIENCE, paused).await.unwrap();
        sending.resume();
        finished(&mut sending).await.unwrap();
        assert_eq!(finished(&mut receiving).await.unwrap().bytes, 1024 * 1024);
    }
}

#[tokio::test]
async fn a_source_that_changes_meanwhile_is_noticed() {
    let folder = Folder::new("changes");
    let path = folder.file("film", 64 * 1024 * 1024);
    let (alice, mut bob) = Place::default().pair().await;
    let mut sending = alice.session.send_resource(bob.id(), path.as_path()).await.unwrap();
    let mut receiving = offered(&mut bob).await.accept(folder.to()).await.unwrap();
    at_least(&mut receiving, 1).await;
    sending.pause();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(1000).unwrap();
    sending.resume();
    for transfer in [&mut sending, &mut receiving] {
        let (reason, text) = failure(finished(transfer).await);
        assert_eq!(reason, FailureReason::SourceChanged);
        assert!(text.contains("film"), "{text}");
    }
    assert!(folder.arrived().is_empty());
}

#[tokio::test]
async fn a_source_that_is_removed_meanwhile_fails_by_its_name_on_both_sides() {
    let folder = Folder::new("removed");
    let tree = folder.from("project");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("first"), content(64 * 1024 * 1024)).unwrap();
    fs::write(tree.join("second"), content(1000)).unwrap();
    let (alice, mut bob) = Place::default().pair().await;
    let mut sending = alice.session.send_resource(bob.id(), tree.as_path()).await.unwrap();
    let mut receiving = offered(&mut bob).await.accept(folder.to()).await.unwrap();
    at_least(&mut receiving, 1).await;
    fs::remove_file(tree.join("second")).unwrap();
    for transfer in [&mut sending, &mut receiving] {
        let (reason, text) = failure(finished(transfer).await);
        assert_eq!(reason, FailureReason::SourceUnreadable);
        assert!(text.contains("second"), "{text}");
    }
    assert!(folder.arrived().is_empty());
    // The session is unharmed.
    let mut sending =
        alice.session.send_resource(bob.id(), Source::bytes("note", "x")).await.unwrap();
    offered(&mut bob).await.accept(folder.to()).await.unwrap();
    finished(&mut sending).await.unwrap();
}

#[tokio::test]
async fn a_big_file_begins_at_once() {
    let folder = Folder::new("begins");
    let path = folder.from("film");
    fs::File::create(&path).unwrap().set_len(4 << 30).unwrap();
    let (alice, mut bob) = Place::default().pair().await;
    let sending = alice.session.send_resource(bob.id(), path).await.unwrap();
    let offer = offered(&mut bob).await;
    let start = std::time::Instant::now();
    let mut receiving = offer.accept(folder.to()).await.unwrap();
    at_least(&mut receiving, 1).await;
    let time = start.elapsed();
    sending.cancel();
    // To read it all takes seconds; `multipeer bench` shows what this takes on a quiet machine.
    assert!(time < Duration::from_millis(500), "{time:?}");
    finished(&mut receiving).await.unwrap_err();
}

#[tokio::test]
async fn files_are_counted_on_both_sides() {
    let folder = Folder::new("counted");
    let tree = folder.from("project");
    fs::create_dir_all(tree.join("inner")).unwrap();
    for number in 0..700 {
        fs::write(tree.join(format!("inner/{number}")), number.to_string()).unwrap();
    }
    let (alice, mut bob) = Place::default().pair().await;
    let mut sending = alice.session.send_resource(bob.id(), tree).await.unwrap();
    let mut receiving = offered(&mut bob).await.accept(folder.to()).await.unwrap();
    for transfer in [&mut sending, &mut receiving] {
        finished(transfer).await.unwrap();
        assert_eq!(transfer.current_progress().files, 700);
    }
    for number in 0..700 {
        let path = folder.to().join(format!("project/inner/{number}"));
        assert_eq!(fs::read_to_string(path).unwrap(), number.to_string());
    }
}

#[tokio::test]
async fn a_paused_receiver_hears_that_the_sender_gives_up() {
    let folder = Folder::new("gives-up");
    let path = folder.file("film", 64 * 1024 * 1024);
    let (alice, mut bob) = Place::default().pair().await;
    let sending = alice.session.send_resource(bob.id(), path).await.unwrap();
    let mut receiving = offered(&mut bob).await.accept(folder.to()).await.unwrap();
    at_least(&mut receiving, 1).await;
    receiving.pause();
    sending.cancel();
    assert_eq!(failure(finished(&mut receiving).await).0, FailureReason::Cancelled);
    assert!(folder.arrived().is_empty());
}

/// Counts how often its bytes are read.
struct Counting(Arc<AtomicUsize>, std::io::Cursor<Vec<u8>>);

impl tokio::io::AsyncRead for Counting {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = std::pin::Pin::new(&mut self.1).poll_read(context, buffer);
        self.0.fetch_add(buffer.filled().len() - before, Ordering::Relaxed);
        read
    }
}

#[tokio::test]
async fn a_source_is_read_once_for_many_receivers_and_a_slow_one_gets_all_of_it() {
    let folder = Folder::new("many");
    let place = Place::default();
    let mut alice = place.start("Alice").await;
    let mut others = Vec::new();
    for name in ["Bob", "Carol", "Dora"] {
        others.push(place.start(name).await);
    }
    for other in &mut others {
        alice.connected_to(other).await;
    }
    let (read, bytes) = (Arc::new(AtomicUsize::new(0)), 40 * 1024 * 1024);
    let source =
        Source::reader("film", None, Counting(read.clone(), std::io::Cursor::new(content(bytes))));
    let ids: Vec<_> = others.iter().map(Host::id).collect();
    let mut sending = alice.session.send_resource_to(ids, source).await.unwrap();
    let mut receiving = Vec::new();
    for (number, other) in others.iter_mut().enumerate() {
        let target = folder.to().join(number.to_string());
        receiving.push(offered(other).await.accept(target).await.unwrap());
    }
    // The others wait for it: what cannot be read again is not read too far ahead.
    receiving[0].pause();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(read.load(Ordering::Relaxed) < 24 * 1024 * 1024);
    receiving[0].resume();
    for transfer in sending.iter_mut().chain(&mut receiving) {
        finished(transfer).await.unwrap();
    }
    assert_eq!(read.load(Ordering::Relaxed), bytes);
    for number in 0..3 {
        let path = folder.to().join(number.to_string()).join("film");
        assert_eq!(fs::read(path).unwrap(), content(bytes));
    }
}

#[tokio::test]
async fn names_from_the_network_are_made_safe() {
    let folder = Folder::new("names");
    let (alice, mut bob) = Place::default().pair().await;
    for name in ["con.txt", "trailing.", "what?"] {
        let mut sending =
            alice.session.send_resource(bob.id(), Source::bytes(name, "y")).await.unwrap();
        offered(&mut bob).await.accept(folder.to()).await.unwrap();
        finished(&mut sending).await.unwrap();
    }
    assert_eq!(folder.arrived(), ["_con.txt", "trailing_", "what_"]);
}

#[tokio::test]
async fn a_thousand_empty_files_arrive() {
    let folder = Folder::new("thousand");
    let tree = folder.from("tree");
    fs::create_dir(&tree).unwrap();
    for number in 0..1000 {
        fs::write(tree.join(number.to_string()), "").unwrap();
    }
    let (alice, mut bob) = Place::default().pair().await;
    let mut sending = alice.session.send_resource(bob.id(), tree).await.unwrap();
    offered(&mut bob).await.accept(folder.to()).await.unwrap();
    finished(&mut sending).await.unwrap();
    assert_eq!(fs::read_dir(folder.to().join("tree")).unwrap().count(), 1000);
}

#[cfg(feature = "http")]
#[tokio::test]
async fn what_a_web_server_answers_arrives_as_a_file() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = Folder::new("http");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for (status, body) in [("200 OK", content(3_000_000)), ("404 Not Found", Vec::new())] {
            let (mut connection, _) = listener.accept().await.unwrap();
            _ = connection.read(&mut [0; 4096]).await.unwrap();
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            connection.write_all(head.as_bytes()).await.unwrap();
            connection.write_all(&body).await.unwrap();
        }
    });
    let (alice, mut bob) = Place::default().pair().await;
    let url = || Source::url(format!("http://{address}/films/film.mkv?quality=high"));
    let mut sending = alice.session.send_resource(bob.id(), url()).await.unwrap();
    let offer = offered(&mut bob).await;
    assert_eq!((offer.name(), offer.size()), ("film.mkv", Some(3_000_000)));
    offer.accept(folder.to()).await.unwrap();
    finished(&mut sending).await.unwrap();
    assert_eq!(fs::read(folder.to().join("film.mkv")).unwrap(), content(3_000_000));
    let error = alice.session.send_resource(bob.id(), url()).await.unwrap_err().to_string();
    assert!(error.contains("404"), "{error}");
}
