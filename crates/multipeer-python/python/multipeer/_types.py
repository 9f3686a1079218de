"""What peers and transfers look like."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Union


@dataclass(frozen=True, eq=False)
class Peer:
    """A peer: who it is, and what it says of itself.

    Equal to another one with the same id, and usable as a key. Cheap to keep.
    """

    #: Its public key, as 64 hexadecimal digits: another one for each session, unless it keeps an identity.
    id: str
    #: Its name, for people. Several peers may have the same.
    display_name: str
    #: What else it announces.
    discovery_info: Dict[str, str] = field(default_factory=dict)
    #: By what id it is known elsewhere, if its own is for the occasion.
    lasting_id: Optional[str] = None
    #: The id of the hub that says that it is near, if this one does not hear it by itself.
    heard_through: Optional[str] = None
    #: How it is known to be near: of ``mdns``, ``system-responder``, ``probe``, ``remembered``, ``hub`` and ``given``.
    ways: List[str] = field(default_factory=list)

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Peer) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return self.display_name

    def __repr__(self) -> str:
        return f"Peer({self.display_name!r}, id={self.id[:10]!r})"

    def hash(self) -> int:
        """A number that tells peers apart, as in pythonista-multipeer."""
        return int(self.id[:15], 16)


#: Who a peer is: itself, or its id.
PeerLike = Union[Peer, str]


def peer_id(peer: PeerLike) -> str:
    """The id of a peer that is given as one or as its id."""
    return peer.id if isinstance(peer, Peer) else peer


@dataclass(frozen=True)
class Progress:
    """How far a transfer is."""

    #: ``offered``, ``active``, ``paused`` or ``interrupted``.
    state: str
    #: Bytes that the receiver has and that are verified.
    done: int
    #: Bytes in all, if that is known.
    total: Optional[int]
    #: Files that the receiver has whole.
    files: int
    #: Bytes a second, over the last two seconds.
    rate: float
    #: Seconds until it is done, if the rate stays and the size is known.
    time_left: Optional[float]

    @property
    def fraction(self) -> Optional[float]:
        """What part of it is done, from 0 to 1, if the size is known."""
        if self.total is None:
            return None
        return self.done / self.total if self.total else 1.0


@dataclass(frozen=True)
class Report:
    """What a transfer that succeeded came to."""

    #: Where it is, on the receiving side.
    path: Optional[str]
    #: Bytes in all its files.
    bytes: int
    #: Bytes of files that went over the network for it, resumptions included.
    transmitted_bytes: int


@dataclass(frozen=True)
class Certificate:
    """A certificate to show, and whom to take: everything in PEM."""

    #: The certificate, and those between it and its root.
    chain: bytes = field(repr=False)
    #: Its private key.
    key: bytes = field(repr=False)
    #: The authorities whose certificates are taken.
    roots: bytes = field(repr=False)
    #: DNS names, of which one must be the other's; any if there are none. ``*.example.org`` stands for one label more.
    names: List[str] = field(default_factory=list)
