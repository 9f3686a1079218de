"""Nearby devices find each other and talk in one session: no server, no internet, on any platform.

:class:`Session` is for asyncio, :mod:`multipeer.blocking` the same for scripts, and :class:`MultipeerConnectivity` the API of
pythonista-multipeer. ``python -m multipeer`` is a chat.
"""

from __future__ import annotations

from ._errors import (
    InviteError,
    MultipeerError,
    NudgeError,
    PingError,
    RemoveError,
    SendError,
    SessionOverError,
    StartError,
    StreamError,
    TransferError,
    UnknownPeerError,
)
from ._events import (
    ActivityChanged,
    Connecting,
    DiscoveryProblem,
    InvitationFailed,
    InvitationReceived,
    InvitationWithdrawn,
    Message,
    Nudged,
    PathChanged,
    PeerConnected,
    PeerDisconnected,
    PeerFound,
    PeerLost,
    PeerUpdated,
    ProofsRefused,
    RemovalRefused,
    ResourceOffered,
    TransferEnded,
    ViabilityChanged,
)
from ._multipeer import __version__
from ._pythonista import MultipeerConnectivity
from ._resources import Offer, Transfer
from ._session import Event, Session, StreamOpened
from ._streams import StreamReader, StreamWriter
from ._types import Certificate, Peer, Progress, Report

__all__ = [
    "ActivityChanged",
    "Certificate",
    "Connecting",
    "DiscoveryProblem",
    "Event",
    "InvitationFailed",
    "InvitationReceived",
    "InvitationWithdrawn",
    "InviteError",
    "Message",
    "MultipeerConnectivity",
    "MultipeerError",
    "NudgeError",
    "Nudged",
    "Offer",
    "PathChanged",
    "Peer",
    "PeerConnected",
    "PeerDisconnected",
    "PeerFound",
    "PeerLost",
    "PeerUpdated",
    "PingError",
    "Progress",
    "ProofsRefused",
    "RemovalRefused",
    "RemoveError",
    "Report",
    "ResourceOffered",
    "SendError",
    "Session",
    "SessionOverError",
    "StartError",
    "StreamError",
    "StreamOpened",
    "StreamReader",
    "StreamWriter",
    "Transfer",
    "TransferEnded",
    "TransferError",
    "UnknownPeerError",
    "ViabilityChanged",
    "__version__",
]
