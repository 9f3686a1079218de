//! Every limit of the protocol, in one place: its unit, and why it is what it is.
//!
//! A limit that both sides must agree on is part of the wire protocol and stands in
//! docs/protocol.md too; the others are this implementation's own choice.

use std::time::Duration;

/// The newest version of the protocol that this crate speaks.
pub const VERSION: u16 = 1;
/// The oldest version of the protocol that this crate speaks.
pub const MIN_VERSION: u16 = 1;

/// Bytes in a display name. An instance name in DNS-SD is one label of at most 63 bytes
/// (RFC 6763, section 4.1.1); a display name is held to the same so that it always fits a screen.
pub const MAX_DISPLAY_NAME_BYTES: usize = 63;
/// Characters in a service type (RFC 6335, section 5.1).
pub const MAX_SERVICE_TYPE_CHARS: usize = 15;
/// Bytes in one pair of discovery info, `key=value`: a TXT string's length is one byte
/// (RFC 6763, section 6.1).
pub const MAX_INFO_PAIR_BYTES: usize = 255;
/// Bytes in a key of discovery info. RFC 6763, section 6.4 asks for 9 or fewer; 32 is lenient.
pub const MAX_INFO_KEY_BYTES: usize = 32;
/// Bytes in all discovery info, so that a record fits one Ethernet packet
/// (RFC 6763, section 6.2: at most 1300).
pub const MAX_INFO_BYTES: usize = 1300;

/// Bytes in the body of one control frame. The largest honest one is an invitation with its
/// whole context.
pub const MAX_FRAME_BYTES: usize = MAX_CONTEXT_BYTES + 1024;
/// Bytes of context in an invitation.
pub const MAX_CONTEXT_BYTES: usize = 64 * 1024;
/// Bytes in the human-readable text of a refusal or a goodbye.
pub const MAX_TEXT_BYTES: usize = 256;
/// Addresses of one peer that are told to others, or kept.
pub const MAX_ADDRESSES: usize = 16;
/// Members named in one `Members` frame; a longer list is sent in several.
pub const MAX_MEMBERS_PER_FRAME: usize = 32;

/// Peers named in one `Near` frame; more are told in several.
pub const MAX_NEAR_PER_FRAME: usize = 16;
/// Peers of whom one hub tells, at most: members first.
pub const MAX_REPEATED: usize = 256;

/// Bytes in one reliable message, unless the session is told otherwise.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that stand before a message on the wire at most: its length.
pub const MAX_MESSAGE_HEADER_BYTES: usize = 8;
/// Bytes that a message costs its queue beyond its own: the queue's entry and the allocation.
/// Without it a million empty messages would be free.
pub const MESSAGE_OVERHEAD_BYTES: usize = 64;
/// Bytes of reliable messages that may wait for confirmation by one peer. Several round trips
/// of a gigabit link, and small enough that 64 slow peers cost 256 MiB at the worst.
pub const OUTBOX_BYTES: usize = 4 * 1024 * 1024;
/// Received bytes after which a confirmation is due at once: an eighth of the outbox, so that a
/// fast sender never stands still for want of one.
pub const CONFIRM_BYTES: usize = OUTBOX_BYTES / 8;
/// Time after which a confirmation is due however little was received.
pub const CONFIRM_DELAY: Duration = Duration::from_millis(25);

/// Streams that one peer may have open towards another, of each kind: one way and both ways.
pub const MAX_STREAMS: u32 = 256;
/// Bytes in a stream's name: its length is one byte.
pub const MAX_STREAM_NAME_BYTES: usize = 255;

/// Bytes in a name on the disk; what most systems allow.
pub const MAX_NAME_BYTES: usize = 255;
/// Bytes in a path within a folder that is sent, with a byte between components.
pub const MAX_PATH_BYTES: usize = 4096;
/// Folders within each other in a folder that is sent.
pub const MAX_PATH_DEPTH: usize = 64;
/// Bytes in a block of a resource, unless the sender says otherwise: what is verified, and resumed,
/// as one. A power of two from 1 KiB ...
pub const DEFAULT_BLOCK_BYTES: u64 = 1024 * 1024;
/// ... to so many; a receiver holds a block whole.
pub const MAX_BLOCK_BYTES: u64 = 4 * 1024 * 1024;
/// Entries of a folder named in one frame; more are sent in several.
pub const MAX_ENTRIES_PER_FRAME: usize = 128;
/// Files, folders and links in one resource, unless the receiver is told otherwise. Each costs its
/// name, and some 200 bytes.
pub const DEFAULT_MAX_ENTRIES: u64 = 100_000;
/// Bytes of all names in one resource, of links' targets, and 64 for each entry: a receiver keeps them
/// in memory, twice. A hundred thousand entries with paths of 250 bytes.
pub const MAX_LISTING_BYTES: usize = 32 * 1024 * 1024;
/// Time that an interrupted transfer waits for the peer, unless the session is told otherwise.
pub const DEFAULT_RESUME_TIMEOUT: Duration = Duration::from_mins(5);
/// Block hashes in one frame.
pub const MAX_HASHES_PER_FRAME: usize = 1024;

/// Other peers in one session, unless the session is told otherwise.
pub const DEFAULT_MAX_PEERS: usize = 64;
/// Peers that are near, at most: what does not fit is not listed.
pub const MAX_NEARBY: usize = 1024;
/// Links that are not part of the session yet, at most, from whomever. A link costs about
/// 105 KiB in the transport.
pub const MAX_PENDING_LINKS: usize = 64;
/// Of those, and of handshakes, how many from one address: one host, however many ids it has, leaves
/// room for others. Addresses of this machine are not counted.
pub const MAX_PENDING_PER_ADDRESS: usize = 16;
/// Handshakes of incoming links at the same time; more are refused.
pub const MAX_HANDSHAKES: usize = 64;
/// Handshakes at the same time from which on everyone has to show first that it is where it says.
pub const MAX_UNVALIDATED_HANDSHAKES: usize = 16;
/// Attempts of one address in a row, ...
pub const ATTEMPT_BURST: u32 = 60;
/// ... and after that one for each of these: 60 a minute. A peer whose link died tries less often.
pub const ATTEMPT_INTERVAL: Duration = Duration::from_secs(1);
/// Addresses of which attempts are counted.
pub const MAX_NETWORKS: usize = 1024;
/// Invitations in either direction that wait for an answer, at most.
pub const MAX_INVITATIONS: usize = 64;
/// Peers that left or timed out and are remembered, so that late news of them is understood.
pub const MAX_FORMER: usize = 1024;

/// Time for a link from its start until the other side has said hello.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Time in which a member must vouch for a peer that has no proof of its own. Shorter than the other
/// side's patience, so that it learns why it is refused.
pub const VOUCHER_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for a link that said hello until it is used for something: an invitation, or a join.
pub const IDLE_LINK_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that an invited peer has to answer, unless the invitation says otherwise.
pub const DEFAULT_INVITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time that an invitation can ask for.
pub const MAX_INVITE_TIMEOUT: Duration = Duration::from_hours(1);
/// Time in which an invitation is not given up for a dial that failed: of a peer that was found a moment ago, the address
/// that leads to it may not have been heard yet.
pub const FOUND_IN_PART: Duration = Duration::from_secs(2);
/// Time for a member that was introduced to be reached; after it the attempt is given up until
/// the next introduction.
pub const INTRODUCTION_TIMEOUT: Duration = Duration::from_secs(15);
/// Time that the peer with the larger id leaves to the other before it dials too. Both dialling
/// at once costs a link that is thrown away.
pub const DIAL_HEAD_START: Duration = Duration::from_millis(500);
/// Time that a member whose link died has to come back, unless the session is told otherwise.
pub const DEFAULT_RECONNECT_WINDOW: Duration = Duration::from_secs(30);
/// The first pause between two attempts to dial; it doubles up to [`MAX_DIAL_BACKOFF`].
pub const MIN_DIAL_BACKOFF: Duration = Duration::from_millis(200);
/// The longest pause between two attempts to dial.
pub const MAX_DIAL_BACKOFF: Duration = Duration::from_secs(5);
/// Time for which an address counts as false at which another one answered than the peer that is said to be there.
pub const IMPOSTOR_PAUSE: Duration = Duration::from_mins(1);
/// Attempts to dial at a time, ...
pub const MAX_DIALS: usize = 8;
/// ... and of those that have not taken long yet. When many peers meet at once, each would otherwise begin as many
/// handshakes as there are peers, twice as many as are needed, and all of them would take longer than anybody waits.
pub const MAX_FRESH_DIALS: usize = 3;
/// Time after which an attempt has taken long: most likely nobody is there.
pub const SLOW_DIAL: Duration = Duration::from_secs(1);
/// The longest pause between two attempts to reach a member whose link died.
pub const MAX_REDIAL_BACKOFF: Duration = Duration::from_secs(1);
/// Time for one attempt to dial. The transport has its own, longer limit.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for one attempt to reach a member whose link died: the transport asks after ever longer pauses, so
/// that who has been away long is sooner found by a new attempt.
pub const REDIAL_TIMEOUT: Duration = Duration::from_millis(1500);
/// Time between a hint that a peer is gone and the report, in which it may be heard again.
pub const LOST_GRACE: Duration = Duration::from_secs(1);
/// Time after which who has left the session is invited again, if it is near all the same: a goodbye on a link is faster
/// than the news that it is not announced any more.
pub const LEFT_GRACE: Duration = Duration::from_secs(3);
/// Pause after a change of membership before it is compared with a neighbour's.
pub const DIGEST_DELAY: Duration = Duration::from_secs(1);
/// Pause between two comparisons of membership with a neighbour when nothing changes.
pub const DIGEST_INTERVAL: Duration = Duration::from_secs(10);
/// Time that a session which leaves waits for its messages to be confirmed.
pub const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Time after which who announces privately takes another id, if it is linked with nobody.
pub const RENEWAL_INTERVAL: Duration = Duration::from_mins(15);
/// Certificates in a chain.
pub const MAX_CHAIN: usize = 8;
/// Bytes of all certificates in a chain.
pub const MAX_CHAIN_BYTES: usize = 32 * 1024;
/// Time that an application has to say whether it trusts a certificate, and that the other side
/// waits for that.
pub const CERTIFICATE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for which a voucher holds; members renew what they pass on.
pub const VOUCHER_LIFETIME: Duration = Duration::from_mins(10);
/// How far the clocks of two peers may be apart. A voucher or a removal that is dated otherwise is
/// not believed; who has a proof of its own needs neither.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_mins(10);
/// Time for the others to dial a peer that is in the background, before it does so itself.
pub const BACKGROUND_HEAD_START: Duration = Duration::from_secs(3);
/// Links that a peer in the background keeps, and others at least, if there are as many: what happens to it is noticed
/// at three places.
pub const KEPT_LINKS: usize = 3;
/// Time in which nothing of the application comes or goes on a link, after which a peer in the background asks for its rest.
pub const DEFAULT_REST_AFTER: Duration = Duration::from_secs(10);
/// Time for the answer, after which the link is used again.
pub const REST_PATIENCE: Duration = Duration::from_secs(2);
/// After so many times that time a peer is dialled whose link rests: 5 minutes, so that little of what idle links cost
/// is spent on its being there.
pub const LONGEST_REST: u32 = 30;
/// Nudges of one peer in a row that are passed on, ...
pub const MAX_NUDGES: u32 = 4;
/// ... and after that one in so long.
pub const NUDGE_INTERVAL: Duration = Duration::from_secs(10);
/// Time without a sign of life after which a member is not viable.
pub const DEFAULT_UNVIABLE_AFTER: Duration = Duration::from_secs(2);
/// How often the session is told which links have brought something.
pub const LISTEN_INTERVAL: Duration = Duration::from_millis(250);

/// Time in which a removed peer cannot come back.
pub const REMOVAL_DURATION: Duration = Duration::from_hours(1);
/// Pause between two times that a hub tells who is near: what changes in between is told together.
pub const REPEAT_INTERVAL: Duration = Duration::from_millis(500);
/// Peers that are given by hand, at most; more are refused.
pub const MAX_GIVEN: usize = 64;
/// Peers in a ticket.
pub const MAX_TICKET_PEERS: usize = 4;
/// Bytes of the passcode in a ticket.
pub const MAX_TICKET_PASSCODE_BYTES: usize = 256;
/// Characters of a ticket: all that fits the limits of its parts.
pub const MAX_TICKET_CHARS: usize = 2048;
/// Time in which a hub still relays for who has left: others are to hear the goodbye, too.
pub const FAREWELL_TIME: Duration = Duration::from_secs(5);
/// Hubs through which one dial is tried, the preferred one first.
pub const MAX_RELAYS: usize = 2;

/// Removals that are remembered.
pub const MAX_REMOVALS: usize = 256;

/// Passcodes and keys of one session.
pub const MAX_SECRETS: usize = 8;
/// Bytes of a passcode, at least: four digits.
pub const MIN_PASSCODE_BYTES: usize = 4;
/// Bytes of a passcode, at most.
pub const MAX_PASSCODE_BYTES: usize = 128;
/// Bytes of a preshared key, at least.
pub const MIN_KEY_BYTES: usize = 16;
/// Bytes of the name of a preshared key.
pub const MAX_KEY_NAME_BYTES: usize = 63;
/// Wrong proofs after which a peer is not listened to any more.
pub const MAX_WRONG_PROOFS: u32 = 3;
/// Peers of which wrong proofs are remembered.
pub const MAX_WRONG_PROVERS: usize = 1024;
/// Wrong proofs that are put up with in a row, whoever shows them. People mistype, and two rooms with
/// different passcodes may be side by side; ...
pub const WRONG_PROOF_BURST: u32 = 32;
/// ... after that there is one for each of these, and nobody new is listened to in between. Someone
/// who guesses at six digits is right within an hour once in 2,500 times.
pub const WRONG_PROOF_INTERVAL: Duration = Duration::from_secs(10);

/// The UDP port on which questions are heard where multicast does not arrive. Below the ports that systems hand out, and
/// not assigned to anything else.
pub const PROBE_PORT: u16 = 19792;
/// Bytes of a question, at least: the usual answer fits.
pub const MIN_QUESTION_BYTES: usize = 512;
/// Bytes of a question or an answer, at most: with its headers it fits the smallest link of IPv6 (RFC 8200, section 5).
pub const MAX_PROBE_BYTES: usize = 1200;
/// Addresses of one network that are asked one by one. A larger network is left alone.
pub const MAX_SWEPT_ADDRESSES: u64 = 1024;
/// Of those, how many in a second.
pub const SWEPT_PER_SECOND: u32 = 200;
/// Time for multicast to find somebody, before everyone on the network is asked by broadcast, ...
pub const FIRST_BROADCAST: Duration = Duration::from_millis(500);
/// ... the longest pause between two broadcasts, ...
pub const MAX_BROADCAST_PAUSE: Duration = Duration::from_mins(1);
/// ... and time for either, before each address is asked.
pub const FIRST_SWEEP: Duration = Duration::from_millis(1500);
/// The longest pause between two times that each address is asked: who comes later asks by itself.
pub const MAX_SWEEP_PAUSE: Duration = Duration::from_mins(5);
/// Questions that are answered in a second, from whomever.
pub const ANSWERS_PER_SECOND: u32 = 200;
/// Peers found by questions, at most.
pub const MAX_PROBED: usize = 1024;
/// Time after which a peer that was found by a question is asked again; with many peers it is longer.
pub const PROBE_REFRESH: Duration = Duration::from_secs(15);
/// Time for one answer, ...
pub const PROBE_TIMEOUT: Duration = Duration::from_millis(700);
/// ... and how many questions in a row may stay without one.
pub const PROBE_TRIES: u32 = 3;
/// Hosts that are asked although they are on no own network, at most.
pub const MAX_PROBED_HOSTS: usize = 64;
