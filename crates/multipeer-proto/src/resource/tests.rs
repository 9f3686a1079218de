//! Both sides of a transfer joined in memory: cut at any point, disks that rot, sources that
//! change, and senders that lie.

// Lengths in these tests are small.
#![allow(clippy::cast_possible_truncation)]

use std::collections::{BTreeMap, VecDeque};

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

const BLOCK: u64 = 1024;

/// A little generator, so that a case is one number.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides.max(1)
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = match self.roll(4) {
            0 => 0,
            1 => BLOCK * self.roll(most / BLOCK + 1),
            _ => self.roll(most),
        };
        (0..length).map(|_| self.roll(256) as u8).collect()
    }
}

fn path(text: &str) -> EntryPath {
    EntryPath::new(text.split('/').filter(|c| !c.is_empty()).map(str::to_owned).collect()).unwrap()
}

fn file(at: &str, size: Option<u64>) -> Entry {
    Entry {
        path: path(at),
        kind: EntryKind::File,
        size,
        executable: false,
        modified_millis: None,
        target: None,
    }
}

fn folder(at: &str) -> Entry {
    Entry { kind: EntryKind::Folder, ..file(at, None) }
}

fn link(at: &str, target: &str) -> Entry {
    Entry { kind: EntryKind::Link, target: Some(target.to_owned()), ..file(at, None) }
}

/// What is sent: entries, and the content of those that are files.
#[derive(Clone)]
struct Source {
    entries: Vec<Entry>,
    contents: BTreeMap<usize, Vec<u8>>,
    kind: ResourceKind,
    /// Whether sizes are known before everything was read.
    sized: bool,
}

impl Source {
    fn random(dice: &mut Dice) -> Self {
        let (mut entries, mut contents) = (Vec::new(), BTreeMap::new());
        let sized = dice.roll(3) > 0;
        if dice.roll(2) == 0 {
            contents.insert(0, dice.bytes(20 * BLOCK));
            entries.push(file("", None));
        } else {
            entries.push(folder("sub"));
            for number in 0..dice.roll(12) {
                let at = if dice.roll(2) == 0 { "sub/" } else { "" };
                contents.insert(entries.len(), dice.bytes(5 * BLOCK));
                entries.push(file(&format!("{at}file {number}"), None));
            }
            entries.push(link("sub/link", "../file 1"));
        }
        let kind = if entries.len() == 1 { ResourceKind::Data } else { ResourceKind::Folder };
        let mut source = Self { entries, contents, kind, sized };
        source.measure();
        source
    }

    fn measure(&mut self) {
        for (entry, content) in &self.contents {
            self.entries[*entry].size = self.sized.then_some(content.len() as u64);
        }
    }

    fn total(&self) -> u64 {
        self.contents.values().map(|content| content.len() as u64).sum()
    }

    fn offer(&self) -> Offer {
        Offer {
            transfer: TransferId([1; 16]),
            kind: self.kind,
            name: "thing".to_owned(),
            size: self.sized.then(|| self.total()),
            entries: self.entries.len() as u64,
            block_bytes: BLOCK,
        }
    }

    fn block(&self, entry: usize, index: u64) -> &[u8] {
        let content = &self.contents[&entry];
        let start = (index * BLOCK).min(content.len() as u64) as usize;
        &content[start..content.len().min(start + BLOCK as usize)]
    }
}

/// The receiver's disk, which stays when a stream is cut.
#[derive(Default, Clone, PartialEq, Debug)]
struct Disk {
    files: BTreeMap<usize, Vec<u8>>,
    finished: bool,
}

/// One stream between the two.
struct Run<'a> {
    source: &'a Source,
    disk: &'a mut Disk,
    sending: Sending,
    receiving: Option<Receiving>,
    /// Bytes under way: to the receiver, and back.
    there: ResourceDecoder,
    back: ResourceDecoder,
    at_hand: Vec<u8>,
    /// A block whose bytes come.
    block: Option<Block>,
    sent: u64,
}

impl<'a> Run<'a> {
    fn new(source: &'a Source, disk: &'a mut Disk) -> Self {
        Self {
            sending: Sending::new(source.offer(), source.entries.clone()),
            source,
            disk,
            receiving: None,
            there: ResourceDecoder::default(),
            back: ResourceDecoder::default(),
            at_hand: Vec::new(),
            block: None,
            sent: 0,
        }
    }

    fn step_sender(&mut self) -> Result<bool, TransferFailure> {
        let mut moved = false;
        while let Some(frame) = self.back.poll_frame().unwrap() {
            self.sending.handle(frame)?;
            moved = true;
        }
        let Some(step) = self.sending.poll() else { return Ok(moved) };
        let mut out = BytesMut::new();
        match step {
            SendStep::Frame(frame) => frame.encode(&mut out),
            SendStep::Read { entry, index } => {
                let data = self.source.block(entry, index).to_vec();
                if data.is_empty() {
                    self.sending.handle_end_of_file()?;
                } else {
                    self.sending.handle_block(&hash_block(index, BLOCK, &data))?;
                }
                self.at_hand = data;
            }
            SendStep::Block(block) => {
                ResourceFrame::Block(block).encode(&mut out);
                out.extend_from_slice(&self.at_hand);
                self.sent += block.bytes;
            }
        }
        self.there.extend(&out);
        Ok(true)
    }

    fn step_receiver(&mut self) -> Result<bool, TransferFailure> {
        if let Some(block) = self.block.take() {
            let data = self.there.take_bytes(block.bytes as usize);
            assert_eq!(data.len() as u64, block.bytes, "a block is sent whole here");
            let receiving = self.receiving.as_mut().unwrap();
            receiving.handle_block(&hash_block(block.index, BLOCK, &data))?;
            let file = self.disk.files.entry(block.entry as usize).or_default();
            let start = (block.index * BLOCK) as usize;
            file.resize(file.len().max(start + data.len()), 0);
            file[start..start + data.len()].copy_from_slice(&data);
            return Ok(true);
        }
        let step = self.receiving.as_mut().and_then(Receiving::poll);
        if let Some(step) = step {
            self.receive_step(step);
            return Ok(true);
        }
        let Some(frame) = self.there.poll_frame().unwrap() else { return Ok(false) };
        match (&mut self.receiving, frame) {
            (none @ None, ResourceFrame::Offer(offer)) => {
                let mut receiving = Receiving::new(offer, ReceiveLimits::default()).unwrap();
                receiving.accept();
                *none = Some(receiving);
            }
            (Some(receiving), frame) => receiving.handle(frame)?,
            (None, frame) => panic!("{frame:?} before an offer"),
        }
        Ok(true)
    }

    fn receive_step(&mut self, step: ReceiveStep) {
        let receiving = self.receiving.as_mut().unwrap();
        match step {
            ReceiveStep::Frame(frame) => {
                let mut out = BytesMut::new();
                frame.encode(&mut out);
                self.back.extend(&out);
            }
            ReceiveStep::Prepare => {
                for (&entry, content) in &self.disk.files {
                    let blocks = content.chunks(BLOCK as usize).enumerate();
                    let hashes = blocks.map(|(index, data)| hash_block(index as u64, BLOCK, data));
                    receiving.handle_existing(entry, hashes.collect());
                }
                receiving.handle_prepared();
            }
            ReceiveStep::ReadBlock(block) => self.block = Some(block),
            ReceiveStep::FinishFile { entry, size } => {
                self.disk.files.entry(entry).or_default().truncate(size as usize);
            }
            ReceiveStep::Complete => {
                self.disk.finished = true;
                receiving.handle_completed();
            }
        }
    }

    /// Runs until it is done or cut after so many steps. Whether it is done.
    fn run(&mut self, dice: &mut Dice, mut steps: u64) -> Result<bool, TransferFailure> {
        while !self.sending.is_done() {
            if steps == 0 {
                return Ok(false);
            }
            steps -= 1;
            // A frame and a block belong together, and are taken out before more is put in.
            let moved = if dice.roll(2) == 0 { self.step_sender()? } else { self.step_receiver()? };
            let moved = moved || self.step_sender()? || self.step_receiver()?;
            assert!(moved, "both wait for each other: {:?}", self.sending);
        }
        Ok(true)
    }
}

fn contents(disk: &Disk) -> BTreeMap<usize, Vec<u8>> {
    disk.files.clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_transfer_that_is_cut_goes_on_where_it_stopped(seed in 1..u64::MAX) {
        let mut dice = Dice(seed);
        let source = Source::random(&mut dice);
        let (mut disk, mut sent, mut cuts) = (Disk::default(), 0, 0);
        loop {
            let steps = if cuts < 8 { dice.roll(120) } else { u64::MAX };
            let mut run = Run::new(&source, &mut disk);
            let done = run.run(&mut dice, steps).unwrap();
            sent += run.sent;
            if done {
                break;
            }
            cuts += 1;
        }
        prop_assert!(disk.finished);
        prop_assert_eq!(contents(&disk), source.contents.clone());
        // Lost is what was under way, and the short end of a file whose size nobody knew.
        let files = source.contents.len() as u64;
        let unknown = if source.sized { 0 } else { cuts * files * BLOCK };
        let under_way = cuts * 120 * BLOCK;
        prop_assert!(sent <= source.total() + unknown + under_way);
        // With nothing under way, nothing is sent twice.
        let mut run = Run::new(&source, &mut disk);
        prop_assert!(run.run(&mut dice, u64::MAX).unwrap());
        let short_ends = if source.sized { 0 } else { files * BLOCK };
        prop_assert!(run.sent <= short_ends);
    }

    #[test]
    fn what_rots_on_the_disk_or_changes_at_the_source_is_sent_again(seed in 1..u64::MAX) {
        let mut dice = Dice(seed);
        let mut source = Source::random(&mut dice);
        let mut disk = Disk::default();
        for _ in 0..dice.roll(6) {
            let steps = dice.roll(200);
            Run::new(&source, &mut disk).run(&mut dice, steps).unwrap();
            let files: Vec<usize> = source.contents.keys().copied().collect();
            let Some(&entry) = files.get(dice.roll(files.len() as u64) as usize) else { break };
            match dice.roll(3) {
                0 => {
                    if let Some(content) = disk.files.get_mut(&entry) {
                        let at = dice.roll(content.len() as u64) as usize;
                        content.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
                    }
                }
                1 => {
                    source.contents.insert(entry, dice.bytes(5 * BLOCK));
                    source.measure();
                }
                _ => {
                    let content = source.contents.get_mut(&entry).unwrap();
                    let at = dice.roll(content.len() as u64) as usize;
                    content.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
                }
            }
        }
        prop_assert!(Run::new(&source, &mut disk).run(&mut dice, u64::MAX).unwrap());
        for (entry, content) in &source.contents {
            prop_assert_eq!(disk.files.get(entry).map_or(&[][..], |kept| kept), &content[..]);
        }
    }

    #[test]
    fn a_receiver_survives_whatever_frames_come(
        frames in prop::collection::vec(any_frame(), 0..40),
    ) {
        let source = Source { sized: true, ..Source::random(&mut Dice(7)) };
        let mut receiving = Receiving::new(source.offer(), ReceiveLimits::default()).unwrap();
        receiving.accept();
        for frame in frames {
            if receiving.handle(frame).is_err() {
                break;
            }
            while let Some(step) = receiving.poll() {
                match step {
                    ReceiveStep::Prepare => receiving.handle_prepared(),
                    ReceiveStep::ReadBlock(block) => {
                        let data = vec![0; block.bytes as usize];
                        _ = receiving.handle_block(&hash_block(0, BLOCK, &data));
                    }
                    ReceiveStep::Complete => prop_assert!(false, "nothing true was sent"),
                    _ => {}
                }
            }
        }
    }
}

fn any_frame() -> impl Strategy<Value = ResourceFrame> {
    let hash = Hash([3; 32]);
    prop_oneof![
        Just(ResourceFrame::EntriesEnd),
        Just(ResourceFrame::End),
        Just(ResourceFrame::Done),
        (0..4_u64, 0..3_u64, 1..2000_u64).prop_map(move |(entry, index, bytes)| {
            ResourceFrame::Block(Block { entry, index, hash, bytes })
        }),
        (0..4_u64, any::<u64>()).prop_map(move |(entry, size)| {
            ResourceFrame::FileEnd(FileEnd { entry, size, hash })
        }),
        prop::collection::vec("[a-c]{1,2}", 1..4).prop_map(|names| {
            let entries = names.iter().map(|name| file(name, Some(u64::MAX))).collect();
            ResourceFrame::Entries(Entries { entries })
        }),
    ]
}

/// A receiver of a folder that was told of these entries.
fn listed(offer: Offer, entries: Vec<Entry>) -> Result<(), TransferFailure> {
    let mut receiving = Receiving::new(offer, ReceiveLimits::default()).unwrap();
    receiving.accept();
    receiving.handle(ResourceFrame::Entries(Entries { entries }))?;
    receiving.handle(ResourceFrame::EntriesEnd)
}

fn offer(entries: u64, size: u64) -> Offer {
    Offer {
        transfer: TransferId([1; 16]),
        kind: ResourceKind::Folder,
        name: "thing".to_owned(),
        size: Some(size),
        entries,
        block_bytes: BLOCK,
    }
}

#[test]
fn an_offer_over_the_limits_is_refused() {
    let limits = ReceiveLimits { max_bytes: 1000, max_entries: 10 };
    for (entries, size) in [(1, 1001), (1, 1 << 63), (11, 0), (u64::MAX, 0)] {
        let refused = Receiving::new(offer(entries, size), limits).unwrap_err();
        assert_eq!(refused, RefusalReason::TooLarge);
    }
    assert!(Receiving::new(offer(10, 1000), limits).is_ok());
}

#[test]
fn names_that_come_to_too_much_are_an_error() {
    let long = "n".repeat(250);
    let entries = |count: usize| -> Vec<Entry> {
        let files = (0..count).map(|n| file(&format!("{long}/{n:06}{}", &long[6..]), Some(0)));
        std::iter::once(folder(&long)).chain(files).collect()
    };
    let list = |count: usize| listed(offer(count as u64 + 1, 0), entries(count));
    assert_eq!(list(50_000), Ok(()));
    assert_eq!(list(70_000).unwrap_err().reason, FailureReason::Name);
}

#[test]
fn more_or_fewer_entries_or_bytes_than_were_offered_are_an_error() {
    let reason = |result: Result<(), TransferFailure>| result.unwrap_err().reason;
    let files = || vec![file("a", Some(5)), file("b", Some(6))];
    assert_eq!(listed(offer(2, 11), files()), Ok(()));
    assert_eq!(reason(listed(offer(1, 11), files())), FailureReason::NotAsOffered);
    assert_eq!(reason(listed(offer(3, 11), files())), FailureReason::NotAsOffered);
    assert_eq!(reason(listed(offer(2, 12), files())), FailureReason::NotAsOffered);
    let huge = vec![file("a", Some(u64::MAX)), file("b", Some(u64::MAX))];
    assert_eq!(reason(listed(offer(2, 11), huge)), FailureReason::NotAsOffered);
}

#[test]
fn entries_that_collide_or_lie_nowhere_are_an_error() {
    let reason =
        |entries: Vec<Entry>| listed(offer(entries.len() as u64, 0), entries).unwrap_err().reason;
    let empty = |at| file(at, Some(0));
    assert_eq!(reason(vec![empty("a"), empty("a")]), FailureReason::Name);
    assert_eq!(reason(vec![empty("folder/a")]), FailureReason::Name);
    // Nothing is ever written through a link.
    assert_eq!(reason(vec![link("l", "x"), empty("l/a")]), FailureReason::Name);
    assert_eq!(reason(vec![empty("f"), empty("f/a")]), FailureReason::Name);
    assert_eq!(reason(vec![link("l", "../x")]), FailureReason::Name);
    assert_eq!(reason(vec![empty("")]), FailureReason::Name);
    assert_eq!(listed(offer(2, 0), vec![folder("f"), empty("f/a")]), Ok(()));
}

#[test]
fn a_wrong_hash_is_noticed_before_anything_is_written() {
    let source = Source {
        entries: vec![file("", Some(5))],
        contents: BTreeMap::from([(0, b"hello".to_vec())]),
        kind: ResourceKind::File,
        sized: true,
    };
    let mut disk = Disk::default();
    let mut run = Run::new(&source, &mut disk);
    let mut lies = VecDeque::new();
    let failure = loop {
        if run.step_sender().unwrap() {
            run.at_hand = run.at_hand.iter().map(|byte| byte ^ 1).collect();
            lies.push_back(());
        }
        if let Err(failure) = run.step_receiver() {
            break failure;
        }
    };
    assert_eq!(failure.reason, FailureReason::Corrupt);
    assert!(failure.to_string().contains("thing"), "{failure}");
    assert!(disk.files.is_empty());
}

#[test]
fn a_source_that_shrinks_or_grows_while_it_is_sent_is_an_error_that_names_it() {
    for length in [3, 9] {
        let mut source = Source {
            entries: vec![file("", Some(5))],
            contents: BTreeMap::from([(0, b"hello".to_vec())]),
            kind: ResourceKind::File,
            sized: true,
        };
        source.contents.insert(0, vec![0; length]);
        source.entries[0].size = Some(5);
        let mut disk = Disk::default();
        let mut run = Run {
            sending: Sending::new(
                Offer { size: Some(5), ..source.offer() },
                source.entries.clone(),
            ),
            ..Run::new(&source, &mut disk)
        };
        let failure = run.run(&mut Dice(3), 1000).unwrap_err();
        assert_eq!(failure.reason, FailureReason::SourceChanged);
        assert!(failure.to_string().contains("thing"), "{failure}");
    }
}
