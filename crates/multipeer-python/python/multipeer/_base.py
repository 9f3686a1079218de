"""What sessions, transfers and offers have in common, whether their user waits or awaits."""

from __future__ import annotations

import os
from collections import deque
from typing import Any, Deque, Iterable, List, Mapping, Optional, Tuple, Union

from . import _multipeer, _payload
from ._errors import SessionOverError
from ._events import MAKERS, Message, ResourceOffered, TransferEnded
from ._types import Certificate, Peer, PeerLike, Progress, peer_id

#: Events that are taken at a time.
BATCH = 64


def usual_interfaces() -> List[str]:
    """Those that the environment names, as for the command `multipeer`; none for all."""
    return [name for name in os.environ.get("MULTIPEER_INTERFACES", "").split(",") if name]


class BaseSession:
    """What of a session needs no waiting."""

    def __init__(
        self,
        service: str,
        name: str,
        *,
        discovery_info: Optional[Mapping[str, str]] = None,
        passcode: Union[str, bool, None] = None,
        psk: Optional[Tuple[str, bytes]] = None,
        certificate: Optional[Certificate] = None,
        allow: Optional[Iterable[PeerLike]] = None,
        joining: str = "automatic",
        topology: str = "mesh",
        announce: str = "public",
        host_invites: bool = False,
        hub: bool = False,
        interfaces: Optional[Iterable[str]] = None,
        identity: Union[str, "os.PathLike[str]", None] = None,
        port: int = 0,
        ticket: Optional[str] = None,
        questions: bool = True,
        looking: bool = True,
        max_peers: Optional[int] = None,
        max_message_size: Optional[int] = None,
        reconnect_window: Optional[float] = None,
        accept_resources: Optional[Tuple[Union[str, "os.PathLike[str]"], int]] = None,
    ) -> None:
        """Takes the settings, which are checked when it starts."""
        self._given = {
            "service": service,
            "name": name,
            "discovery_info": list((discovery_info or {}).items()),
            "passcode": passcode if isinstance(passcode, str) else None,
            "generate_passcode": passcode is True,
            "psk": psk,
            "certificate": certificate,
            "allow": None if allow is None else [peer_id(peer) for peer in allow],
            "joining": joining,
            "topology": topology,
            "announce": announce,
            "hosting": host_invites,
            "hub": hub,
            "interfaces": list(interfaces) if interfaces is not None else usual_interfaces(),
            "identity": None if identity is None else os.fspath(identity),
            "port": port,
            "ticket": ticket,
            "questions": questions,
            "looking": looking,
            "max_peers": max_peers,
            "max_message_size": max_message_size,
            "reconnect_window": reconnect_window,
            "accept_resources": accept_resources,
        }
        self._core: Optional[_multipeer.Session] = None
        self._ready: Deque[Any] = deque()
        self._prepare()

    def _prepare(self) -> None:
        """Sets what one of the APIs has besides."""

    @property
    def _session(self) -> _multipeer.Session:
        if self._core is None:
            raise SessionOverError("the session has not begun, or is over")
        return self._core

    @property
    def id(self) -> str:
        """This peer's id."""
        return self._session.id

    @property
    def name(self) -> str:
        """This peer's name."""
        return self._session.name

    @property
    def port(self) -> int:
        """The UDP port on which this peer is reached."""
        return self._session.port

    @property
    def passcode(self) -> Optional[str]:
        """The passcode that the session made, if it was to make one."""
        return self._session.passcode

    @property
    def peers(self) -> List[Peer]:
        """Who is in the session, besides this peer."""
        return self._session.peers()

    @property
    def nearby(self) -> List[Peer]:
        """Who is near, in the session or not."""
        return self._session.nearby()

    def send_unreliable(self, peer: PeerLike, message: Any) -> None:
        """Sends a message at most once, in no order; it is lost when the network loses it. Never waits.

        Raises :class:`SendError` if the peer is not connected, or the message does not fit a packet
        (:meth:`max_unreliable_size`).
        """
        self._session.send_unreliable(peer_id(peer), _payload.encode(message))

    def broadcast_unreliable(self, message: Any) -> None:
        """As :meth:`send_unreliable`, to everyone in the session."""
        self._session.broadcast_unreliable(_payload.encode(message))

    def max_unreliable_size(self, peer: PeerLike) -> Optional[int]:
        """Bytes of the largest message that fits a packet to a peer now; nothing without a link."""
        return self._session.max_unreliable_size(peer_id(peer))

    def start_looking(self) -> None:
        """Announces this peer and looks for others."""
        self._session.start_looking()

    def stop_looking(self) -> None:
        """Neither announces nor looks any more, and takes nobody new. Who is in the session stays."""
        self._session.stop_looking()

    def set_discovery_info(self, info: Mapping[str, str]) -> None:
        """Says something else about this peer. Raises :class:`StartError` if it breaks a rule."""
        self._session.set_discovery_info(list(info.items()))

    def set_activity(self, activity: str) -> None:
        """Tells the others whether anybody looks at this application: ``foreground`` or ``background``.

        In the background a session looks for nobody, keeps few links, and lets the others rest until there is something to say.
        """
        self._session.set_activity(activity)

    def activity(self, peer: PeerLike) -> Optional[str]:
        """Whether a peer is in the foreground or in the background, as it says."""
        return self._session.activity(peer_id(peer))

    def is_viable(self, peer: PeerLike) -> bool:
        """Whether a peer in the session answers."""
        return self._session.is_viable(peer_id(peer))

    def is_resting(self, peer: PeerLike) -> bool:
        """Whether the link to a peer rests: one of the two is in the background, and neither has said anything for a while."""
        return self._session.is_resting(peer_id(peer))

    def verified(self, peer: PeerLike) -> Optional[str]:
        """How a peer in the session was verified: as :attr:`InvitationReceived.verified`."""
        return self._session.verified(peer_id(peer))

    def comparison(self, peer: PeerLike) -> Optional[str]:
        """Twenty digits that people at both ends can compare: equal when nobody is in between."""
        return self._session.comparison(peer_id(peer))

    def _take(self, events: List[Tuple[str, Tuple[Any, ...]]]) -> None:
        """Takes events from the native part, in order."""
        happened = (self._event(name, fields) for name, fields in events)
        self._ready.extend(event for event in happened if self._is_wanted(event))

    def _event(self, name: str, fields: Tuple[Any, ...]) -> Any:
        maker = MAKERS.get(name)
        if maker is not None:
            return maker(*fields)
        if name == "StreamOpened":
            return self._stream_opened(*fields)
        if name == "ResourceOffered":
            peer, offer = fields
            return ResourceOffered(peer, self._offer(offer))
        peer, transfer, path, error = fields
        return TransferEnded(peer, self._transfer(transfer), None if path is None else os.fspath(path), error)

    def _stream_opened(
        self, peer: Peer, name: str, reader: _multipeer.Reader, writer: Optional[_multipeer.Writer]
    ) -> Any:
        raise NotImplementedError

    def _offer(self, offer: _multipeer.Offer) -> BaseOffer:
        raise NotImplementedError

    def _transfer(self, transfer: _multipeer.Transfer) -> BaseTransfer:
        raise NotImplementedError

    def _is_wanted(self, event: object) -> bool:
        """Whether an event is for the application: what peers with the pythonista-multipeer API say of themselves is not."""
        return not (isinstance(event, Message) and isinstance(event.data, _payload.Initial))

    def begin_sending(self, peer: PeerLike, data: bytes) -> Optional[_multipeer.Pending]:
        """Sends bytes as they are; what waits for room for them, if there is none. Not for applications."""
        return self._session.send(peer_id(peer), data)

    def _send(self, peer: Union[PeerLike, List[PeerLike]], message: Any) -> Optional[_multipeer.Pending]:
        data = _payload.encode(message)
        if isinstance(peer, list):
            return self._session.send_to([peer_id(one) for one in peer], data)
        return self._session.send(peer_id(peer), data)

    def _send_resource(
        self,
        peer: PeerLike,
        source: Union[str, "os.PathLike[str]", bytes],
        name: Optional[str],
    ) -> _multipeer.Pending:
        core, to = self._session, peer_id(peer)
        if isinstance(source, bytes):
            return core.send_resource(to, data=source, name=name)
        if isinstance(source, str) and source.startswith(("http://", "https://")):
            return core.send_resource(to, url=source)
        return core.send_resource(to, path=os.fspath(source))


class BaseTransfer:
    """What of a transfer needs no waiting."""

    def __init__(self, transfer: _multipeer.Transfer) -> None:
        self._transfer = transfer

    @property
    def peer(self) -> Peer:
        """With whom."""
        return self._transfer.peer

    @property
    def name(self) -> str:
        """What it is called."""
        return self._transfer.name

    @property
    def direction(self) -> str:
        """``sending`` or ``receiving``."""
        return self._transfer.direction

    @property
    def progress(self) -> Progress:
        """How far it is now."""
        return Progress(*self._transfer.current())

    def pause(self) -> None:
        """Stops it until :meth:`resume`."""
        self._transfer.pause()

    def resume(self) -> None:
        """Goes on with it."""
        self._transfer.resume()

    def cancel(self) -> None:
        """Gives it up, on both sides."""
        self._transfer.cancel()


class BaseOffer:
    """What of an offer needs no waiting. Forgotten without an answer, it is declined."""

    def __init__(self, offer: _multipeer.Offer) -> None:
        self._offer = offer

    @property
    def name(self) -> str:
        """What it is called. Safe to show, and not a path."""
        return self._offer.name

    @property
    def kind(self) -> str:
        """``file``, ``folder`` or ``data``."""
        return self._offer.kind

    @property
    def size(self) -> Optional[int]:
        """Bytes in all its files, if the sender knows."""
        return self._offer.size

    @property
    def count(self) -> int:
        """Files, folders and links in it."""
        return self._offer.count

    def decline(self, text: str = "") -> None:
        """Says no, with words of at most 256 bytes."""
        self._offer.decline(text)
