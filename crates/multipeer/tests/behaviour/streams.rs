//! Streams between connected peers.

use std::time::Duration;

use bytes::Bytes;
use multipeer::{Event, IncomingStream, StreamError, StreamReader};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::common::{Host, PATIENCE, Place};

async fn incoming(host: &mut Host) -> IncomingStream {
    host.wait("a stream", |event| match event {
        Event::Stream(stream) => Some(stream),
        _ => None,
    })
    .await
}

async fn read_all(reader: &mut StreamReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    timeout(PATIENCE, reader.read_to_end(&mut bytes)).await.unwrap().unwrap();
    bytes
}

fn stream_error(error: &std::io::Error) -> StreamError {
    error.get_ref().unwrap().downcast_ref::<StreamError>().unwrap().clone()
}

#[tokio::test]
async fn bytes_go_both_ways_and_each_way_ends_on_its_own() {
    let (alice, mut bob) = Place::default().pair().await;
    let (mut writer, mut reader) = alice.session.open_stream(bob.id(), "audio").await.unwrap();
    writer.write_all(b"question").await.unwrap();
    let mut stream = incoming(&mut bob).await;
    assert_eq!((stream.from.id, stream.name.as_str()), (alice.id(), "audio"));
    let asked = tokio::spawn(async move { read_all(&mut stream.reader).await });
    writer.finish().await.unwrap();
    assert_eq!(asked.await.unwrap(), b"question");
    // The way back is open still.
    let mut answer = stream.writer.unwrap();
    answer.write_all(b"answer").await.unwrap();
    let answered = tokio::spawn(async move { answer.shutdown().await });
    assert_eq!(read_all(&mut reader).await, b"answer");
    answered.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_one_way_stream_has_no_way_back() {
    let (alice, mut bob) = Place::default().pair().await;
    let mut writer = alice.session.open_one_way_stream(bob.id(), "log").await.unwrap();
    writer.write_bytes(Bytes::from_static(b"line")).await.unwrap();
    let mut stream = incoming(&mut bob).await;
    assert!(stream.writer.is_none());
    let read = tokio::spawn(async move { read_all(&mut stream.reader).await });
    writer.finish().await.unwrap();
    assert_eq!(read.await.unwrap(), b"line");
    assert_eq!(writer.write_bytes(Bytes::from_static(b"x")).await, Err(StreamError::Closed));
}

#[tokio::test]
async fn two_hundred_streams_at_once_keep_their_bytes_apart() {
    let (alice, mut bob) = Place::default().pair().await;
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..200_u32 {
        let (session, to) = (alice.session.clone(), bob.id());
        writers.spawn(async move {
            let mut writer = session.open_one_way_stream(to, number.to_string()).await.unwrap();
            for _ in 0..50 {
                writer.write_all(&[number.to_be_bytes(); 100].concat()).await.unwrap();
            }
            writer.finish().await.unwrap();
        });
    }
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let mut stream = incoming(&mut bob).await;
        readers.spawn(async move {
            let number: u32 = stream.name.as_str().parse().unwrap();
            assert_eq!(read_all(&mut stream.reader).await, number.to_be_bytes().repeat(5000));
            number
        });
    }
    let mut numbers = readers.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    writers.join_all().await;
}

#[tokio::test]
async fn a_reset_reaches_the_reader_with_its_code() {
    let (alice, mut bob) = Place::default().pair().await;
    let mut writer = alice.session.open_one_way_stream(bob.id(), "x").await.unwrap();
    writer.write_all(b"half").await.unwrap();
    let mut stream = incoming(&mut bob).await;
    writer.reset(7);
    let error = stream.reader.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(stream_error(&error), StreamError::Reset { code: 7 });
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_stop_reaches_the_writer_with_its_code() {
    let (alice, mut bob) = Place::default().pair().await;
    let mut writer = alice.session.open_one_way_stream(bob.id(), "x").await.unwrap();
    writer.write_all(b"half").await.unwrap();
    incoming(&mut bob).await.reader.stop(9);
    let stopped = timeout(PATIENCE, writer.stopped()).await.unwrap();
    assert_eq!(stopped, Some(StreamError::Stopped { code: 9 }));
    assert_eq!(writer.finish().await, Err(StreamError::Stopped { code: 9 }));
}

#[tokio::test]
async fn a_handle_that_is_dropped_fails_the_other_end() {
    let (alice, mut bob) = Place::default().pair().await;
    let mut writer = alice.session.open_one_way_stream(bob.id(), "x").await.unwrap();
    writer.write_all(b"half").await.unwrap();
    drop(incoming(&mut bob).await);
    let stopped = timeout(PATIENCE, writer.stopped()).await.unwrap();
    assert_eq!(stopped, Some(StreamError::Dropped));

    let mut writer = alice.session.open_one_way_stream(bob.id(), "y").await.unwrap();
    writer.write_all(b"half").await.unwrap();
    let mut stream = incoming(&mut bob).await;
    drop(writer);
    let error = stream.reader.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(stream_error(&error), StreamError::Dropped);
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_its_writer_back_and_nobody_else() {
    let (alice, mut bob) = Place::default().pair().await;
    let mut slow = alice.session.open_one_way_stream(bob.id(), "slow").await.unwrap();
    let mut written = 0;
    let block = Bytes::from(vec![0; 64 * 1024]);
    // What is written and not read is bounded by the stream's window and the sender's buffer.
    while let Ok(result) =
        timeout(Duration::from_millis(500), slow.write_bytes(block.clone())).await
    {
        result.unwrap();
        written += block.len();
        assert!(written < 32 * 1024 * 1024, "{written} bytes were taken");
    }
    let mut unread = incoming(&mut bob).await;
    let mut other = alice.session.open_one_way_stream(bob.id(), "other").await.unwrap();
    other.write_all(b"goes through").await.unwrap();
    let mut stream = incoming(&mut bob).await;
    let read = tokio::spawn(async move { read_all(&mut stream.reader).await });
    other.finish().await.unwrap();
    assert_eq!(read.await.unwrap(), b"goes through");
    alice.session.send(bob.id(), "and so do messages").await.unwrap();
    assert_eq!(bob.message().await, "and so do messages");
    // Once it is read, it goes on.
    let drained = tokio::spawn(async move { read_all(&mut unread.reader).await });
    slow.write_bytes(block.clone()).await.unwrap();
    slow.finish().await.unwrap();
    // A write that was given up may have written a part of its block.
    let total = drained.await.unwrap().len();
    assert!((written + block.len()..=written + 2 * block.len()).contains(&total), "{total}");
}

#[tokio::test]
async fn a_stream_with_a_higher_priority_goes_first() {
    let (alice, mut bob) = Place::default().pair().await;
    let mut low = alice.session.open_one_way_stream(bob.id(), "low").await.unwrap();
    let mut high = alice.session.open_one_way_stream(bob.id(), "high").await.unwrap();
    high.set_priority(1);
    let bytes = Bytes::from(vec![0; 1_200_000]);
    low.write_bytes(bytes.clone()).await.unwrap();
    high.write_bytes(bytes).await.unwrap();
    let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..2 {
        let (mut stream, done) = (incoming(&mut bob).await, done.clone());
        tokio::spawn(async move {
            read_all(&mut stream.reader).await;
            done.send(stream.name.to_string()).unwrap();
        });
    }
    let (low, high) = tokio::join!(low.finish(), high.finish());
    low.unwrap();
    high.unwrap();
    assert_eq!(order.recv().await.unwrap(), "high");
    assert_eq!(order.recv().await.unwrap(), "low");
}

#[tokio::test]
async fn a_stream_ends_with_its_link_and_says_so() {
    let (alice, mut bob) = Place::default().pair().await;
    let (mut writer, mut reader) = alice.session.open_stream(bob.id(), "x").await.unwrap();
    writer.write_all(b"half").await.unwrap();
    let _held = incoming(&mut bob).await;
    bob.session.leave().await;
    let error = reader.read_bytes(10).await.unwrap_err();
    assert_eq!(error, StreamError::LinkLost);
    assert_eq!(writer.finish().await, Err(StreamError::LinkLost));
}

#[tokio::test]
async fn a_stream_that_cannot_be_opened_says_why() {
    let (alice, bob) = Place::default().pair().await;
    let error = alice.session.open_stream(bob.id(), "a\nb").await.unwrap_err();
    assert!(error.to_string().contains("1 to 255 bytes"), "{error}");
    let nobody = multipeer::PeerId::from_bytes([9; 32]);
    let error = alice.session.open_stream(nobody, "x").await.unwrap_err();
    assert_eq!(error, StreamError::NotConnected(nobody));
    alice.session.leave().await;
    let error = alice.session.open_stream(bob.id(), "x").await.unwrap_err();
    assert_eq!(error, StreamError::SessionOver);
}
