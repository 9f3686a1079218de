"""What happens in a session, each a class of its own that works in ``match``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Generic, List, Optional, TypeVar, Union

from . import _multipeer, _payload
from ._types import Peer


@dataclass(frozen=True)
class PeerFound:
    """A peer is near."""

    peer: Peer


@dataclass(frozen=True)
class PeerUpdated:
    """A peer that is near says something else about itself."""

    peer: Peer


@dataclass(frozen=True)
class PeerLost:
    """A peer is not near any more. That does not end a connection with it."""

    peer: Peer


@dataclass(frozen=True)
class Connecting:
    """A link to a peer is being opened."""

    peer: Peer


@dataclass(frozen=True)
class PeerConnected:
    """A peer is in the session: it can be sent to, and hears what is sent to all."""

    peer: Peer


@dataclass(frozen=True)
class PeerDisconnected:
    """A peer is not in the session any more. Everything that it delivered was told before."""

    peer: Peer
    #: One word: ``left``, ``timed_out``, ``restarted``, ``forgotten``, ``refused``, ``protocol_error``, ``removed``,
    #: ``expelled`` or ``local``.
    reason: str
    #: The same for people, with what the peer said.
    text: str
    #: Reliable messages to it that were not confirmed, oldest first. Some may have arrived.
    unconfirmed: List[Any]


@dataclass(frozen=True)
class Message:
    """A message: bytes, or the JSON value that was sent."""

    peer: Peer
    data: Any
    #: Whether it was sent reliably.
    reliable: bool = True


@dataclass(frozen=True)
class InvitationReceived:
    """A peer invites this one. Only with ``joining="ask"``. Forgotten without an answer, it is declined."""

    peer: Peer
    #: What it says.
    context: bytes
    #: How it was verified: ``open``, ``passcode``, ``preshared_key``, ``certificate``, ``allowlist`` or ``voucher``.
    verified: str
    _invitation: _multipeer.Invitation

    def accept(self) -> None:
        """Says yes. Raises :class:`InviteError` if it was answered already."""
        self._invitation.accept()

    def decline(self, text: str = "") -> None:
        """Says no, with words of at most 256 bytes. Raises :class:`InviteError` if it was answered already."""
        self._invitation.decline(text)


@dataclass(frozen=True)
class InvitationWithdrawn:
    """An invitation that was told of can be answered no more."""

    peer: Peer


@dataclass(frozen=True)
class InvitationFailed:
    """An invitation that this peer sent came to nothing."""

    peer: Peer
    #: Why, for people.
    error: str


@dataclass(frozen=True)
class Nudged:
    """A peer asks the person behind this one to look."""

    peer: Peer
    #: Why, for people. It may hold anything.
    text: str


@dataclass(frozen=True)
class ActivityChanged:
    """A peer is in the ``foreground`` now, or in the ``background``, as it says."""

    peer: Peer
    activity: str


@dataclass(frozen=True)
class ViabilityChanged:
    """Nothing has come from a peer for a while, or something comes again. It is in the session all the same."""

    peer: Peer
    viable: bool


@dataclass(frozen=True)
class PathChanged:
    """Packets to a peer take another way than before."""

    peer: Peer
    #: Which, for people.
    route: str
    #: The time there and back, in seconds.
    round_trip: float


@dataclass(frozen=True)
class ProofsRefused:
    """A peer has shown three wrong proofs, and is not listened to any more."""

    peer: Peer
    #: The passcode that newcomers must know from now on, if the session made the old one.
    passcode: Optional[str]


@dataclass(frozen=True)
class RemovalRefused:
    """A member wanted to remove another one, and may not."""

    by: Peer
    subject: Peer


@dataclass(frozen=True)
class DiscoveryProblem:
    """Something keeps peers from being found."""

    #: What, and what to do.
    text: str


OfferKind = TypeVar("OfferKind")
TransferKind = TypeVar("TransferKind")


@dataclass(frozen=True)
class ResourceOffered(Generic[OfferKind]):
    """A peer wants to send something."""

    peer: Peer
    offer: OfferKind


@dataclass(frozen=True)
class TransferEnded(Generic[TransferKind]):
    """A transfer, in either direction, has ended."""

    peer: Peer
    transfer: TransferKind
    #: Where it is, if it arrived here.
    path: Optional[str]
    #: What went wrong, for people; nothing if it arrived.
    error: Optional[str]


#: The events that are the same whether their user waits or awaits.
PlainEvent = Union[
    PeerFound,
    PeerUpdated,
    PeerLost,
    Connecting,
    PeerConnected,
    PeerDisconnected,
    Message,
    InvitationReceived,
    InvitationWithdrawn,
    InvitationFailed,
    Nudged,
    ActivityChanged,
    ViabilityChanged,
    PathChanged,
    ProofsRefused,
    RemovalRefused,
    DiscoveryProblem,
]


def _message(peer: Peer, data: bytes, reliable: bool) -> Message:
    return Message(peer, _payload.decode(data), reliable)


def _disconnected(peer: Peer, reason: str, text: str, unconfirmed: List[bytes]) -> PeerDisconnected:
    return PeerDisconnected(peer, reason, text, [_payload.decode(data) for data in unconfirmed])


#: What makes each of them, by the name that the native part has for it.
MAKERS: Dict[str, Callable[..., PlainEvent]] = {
    "PeerFound": PeerFound,
    "PeerUpdated": PeerUpdated,
    "PeerLost": PeerLost,
    "Connecting": Connecting,
    "PeerConnected": PeerConnected,
    "PeerDisconnected": _disconnected,
    "Message": _message,
    "InvitationReceived": InvitationReceived,
    "InvitationWithdrawn": InvitationWithdrawn,
    "InvitationFailed": InvitationFailed,
    "Nudged": Nudged,
    "ActivityChanged": ActivityChanged,
    "ViabilityChanged": ViabilityChanged,
    "PathChanged": PathChanged,
    "ProofsRefused": ProofsRefused,
    "RemovalRefused": RemovalRefused,
    "DiscoveryProblem": DiscoveryProblem,
}
