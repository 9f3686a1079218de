"""Sessions for asyncio."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from types import TracebackType
from typing import Any, List, Optional, Set, Tuple, Type, Union

from . import _lifetime, _multipeer, _payload
from ._base import BATCH, BaseSession
from ._bridge import Bridge
from ._errors import SessionOverError
from ._events import PlainEvent, ResourceOffered, TransferEnded
from ._resources import Offer, Transfer
from ._streams import StreamReader, StreamWriter
from ._types import Peer, PeerLike, peer_id


@dataclass(frozen=True)
class StreamOpened:
    """A peer opened a stream."""

    peer: Peer
    #: What it is for, as the peer says.
    name: str
    reader: StreamReader
    #: What goes back; nothing if the stream is one-way.
    writer: Optional[StreamWriter]


Event = Union[PlainEvent, StreamOpened, ResourceOffered[Offer], TransferEnded[Transfer]]


class Session(BaseSession):
    """A session with those who are near, for asyncio: an async context manager, and an async iterator of events.

    ::

        async with multipeer.Session("chat", "Alice", passcode="481-516") as session:
            async for event in session:
                if isinstance(event, multipeer.PeerConnected):
                    await session.send(event.peer, {"text": "hello"})
                elif isinstance(event, multipeer.Message):
                    print(event.peer, event.data)

    It begins when it is entered, and leaves when that block ends. Everything is for one event loop; nothing blocks it.

    ``service``
        What the session is about: 1 to 15 lowercase letters, digits and hyphens. Only those who say the same meet.
    ``name``
        The name that others see: 1 to 63 bytes of UTF-8.
    ``discovery_info``
        What else this peer announces: texts of 255 bytes with their names at most, 1,300 in all.
    ``passcode``
        Takes those who know it; with ``True`` one is made (:attr:`passcode`).
    ``psk``
        Takes those who have the key of this name, of at least 16 bytes.
    ``certificate``
        Shows this :class:`Certificate`, and takes those whose authority it trusts.
    ``allow``
        Takes these peers. Of several demands one is enough; without any, everyone is taken.
    ``joining``
        ``"automatic"``: whoever is found is invited, and whoever invites is accepted, if it is taken; ``"ask"``: that is left
        to the application.
    ``topology``
        ``"mesh"``: everyone with everyone; or ``"host"`` and ``"client"``.
    ``announce``
        ``"public"``, or ``"private"``: neither name nor info for strangers.
    ``host_invites``
        This peer alone invites and removes.
    ``hub``
        Tells others who is near, and relays between those who cannot reach each other.
    ``interfaces``
        The only network interfaces to use; all networks if there are none (see ``MULTIPEER_INTERFACES``).
    ``identity``
        A file in which this peer's key is kept; made if it is not there. Without one it has a new id each time.
    ``port``
        The UDP port; one that is free, if it is 0.
    ``ticket``
        What ``multipeer invite`` prints: how to reach a session that cannot be heard.
    ``questions``
        Whether to ask for peers, and answer, where multicast does not arrive.
    ``looking``
        Whether to announce and to look from the start.
    ``max_peers``, ``max_message_size``, ``reconnect_window``
        1 to 1,024 peers (64); bytes of the largest message that is taken (16 MiB); seconds that a peer whose link died has
        to come back (30).
    ``accept_resources``
        A folder and a number of bytes: what is not larger is taken without asking.

    Entering it raises :class:`StartError` if a setting breaks a rule, a port is taken, or an interface is not there.
    """

    def _prepare(self) -> None:
        self._bridge: Optional[Bridge] = None
        #: What events are read from; nothing once there are no more.
        self._source: Optional[_multipeer.Session] = None
        self._waiting: Set["asyncio.Future[None]"] = set()

    async def __aenter__(self) -> Session:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Begins, as entering it does. A session begins once."""
        if self._bridge is not None:
            raise SessionOverError("a session begins once: make another one")
        bridge = self._bridge = Bridge(self._happened)
        try:
            self._core = await bridge.run(_multipeer.start(self._given))
        except BaseException:
            bridge.close()
            raise
        self._source = self._core
        _lifetime.begun(self._core)

    async def close(self) -> None:
        """Leaves: says goodbye, once what was sent has arrived or cannot. Returns within seconds, and no thread is left."""
        core, bridge, self._core = self._core, self._bridge, None
        if core is None or bridge is None:
            return
        try:
            await bridge.run(core.leave())
        finally:
            _lifetime.ended(core)
            self._source = None
            self._happened()
            try:
                await bridge.closed(core)
            finally:
                bridge.close()

    @property
    def _loop(self) -> Bridge:
        if self._bridge is None:
            raise SessionOverError("the session has not begun")
        return self._bridge

    def __aiter__(self) -> Session:
        return self

    async def __anext__(self) -> Event:
        """The next event, in the order in which they happened; the end when the session is over.

        Whoever is slow loses nothing: the session stops reading from the network meanwhile. Cancelling it loses nothing.
        """
        while not self._ready:
            self._look()
            if self._ready:
                break
            if self._source is None or self._core is None:
                raise StopAsyncIteration
            waiting = self._loop.loop.create_future()
            self._waiting.add(waiting)
            try:
                await waiting
            finally:
                self._waiting.discard(waiting)
        event: Event = self._ready.popleft()
        return event

    def _look(self) -> None:
        """Takes events that are there already."""
        while self._source is not None and not self._ready:
            events = self._loop.take_events(self._source, BATCH)
            if events is None:
                self._source = None
            elif not events:
                return
            else:
                self._take(events)

    def _happened(self) -> None:
        # Nothing is taken for nobody: the session is to notice that its application is behind.
        if not self._waiting:
            return
        self._look()
        if self._ready or self._source is None:
            for waiting in self._waiting:
                # One that is cancelled at this moment leaves what came to the others.
                if not waiting.done():
                    waiting.set_result(None)

    def _stream_opened(self, peer: Peer, name: str, reader: _multipeer.Reader, writer: Optional[_multipeer.Writer]) -> Event:
        back = None if writer is None else StreamWriter(writer, self._loop)
        return StreamOpened(peer, name, StreamReader(reader, self._loop), back)

    def _offer(self, offer: _multipeer.Offer) -> Offer:
        return Offer(offer, self._loop)

    def _transfer(self, transfer: _multipeer.Transfer) -> Transfer:
        return Transfer(transfer, self._loop)

    async def send(self, peer: Union[PeerLike, List[PeerLike]], message: Any) -> None:
        """Sends a reliable message to a peer, or to each of a list: in order, exactly once.

        The message is bytes, or any JSON value, which arrives as it was. Waits while the peer's queue, of 4 MiB, is full.
        Raises :class:`SendError` if the peer is not connected, or takes no message of that size. When it is cancelled
        nothing was sent; of several peers those got it that had room.
        """
        pending = self._send(peer, message)
        if pending is not None:
            await self._loop.run(pending)

    async def broadcast(self, message: Any) -> None:
        """Sends a reliable message to everyone in the session, as :meth:`send`. Who goes meanwhile is no error."""
        await self._loop.run(self._session.broadcast(_payload.encode(message)))

    async def invite(self, peer: PeerLike, context: bytes = b"", *, timeout: float = 30.0) -> Peer:
        """Asks a peer that is near into the session, with at most 64 KiB of context, and waits for its answer.

        Raises :class:`InviteError` if it says no, does not answer within so many seconds, or cannot be asked. Cancelled, it
        is withdrawn.
        """
        answer: Peer = await self._loop.run(self._session.invite(peer_id(peer), context, timeout))
        return answer

    async def open_stream(self, peer: PeerLike, name: str) -> Tuple[StreamReader, StreamWriter]:
        """Opens a stream of bytes to a peer, and one back. The peer learns of it by :class:`StreamOpened`.

        Raises :class:`StreamError` if the peer is not connected, or the name, of 1 to 255 bytes, breaks a rule.
        """
        writer, reader = await self._loop.run(self._session.open_stream(peer_id(peer), name, False))
        return StreamReader(reader, self._loop), StreamWriter(writer, self._loop)

    async def open_one_way_stream(self, peer: PeerLike, name: str) -> StreamWriter:
        """As :meth:`open_stream`, with nothing coming back."""
        writer, _ = await self._loop.run(self._session.open_stream(peer_id(peer), name, True))
        return StreamWriter(writer, self._loop)

    async def send_resource(
        self,
        peer: PeerLike,
        source: Union[str, "os.PathLike[str]", bytes],
        *,
        name: Optional[str] = None,
    ) -> Transfer:
        """Sends a file, a folder with all that is in it, what an ``http`` or ``https`` address answers, or bytes under a name.

        Verified as it goes; after a lost link it goes on. Raises :class:`TransferError` if it cannot be sent.
        """
        pending = self._send_resource(peer, source, name)
        return self._transfer(await self._loop.run(pending))

    async def nudge(self, peer: PeerLike, text: str = "") -> None:
        """Asks the person behind a peer to look, with at most 256 bytes of text. Raises :class:`NudgeError`."""
        await self._loop.run(self._session.nudge(peer_id(peer), text))

    async def remove(self, peer: PeerLike, reason: str = "") -> None:
        """Removes a peer from the session, for every member and for an hour. Raises :class:`RemoveError`."""
        await self._loop.run(self._session.remove(peer_id(peer), reason))

    async def ping(self, peer: PeerLike, size: int = 64, *, reliable: bool = True) -> float:
        """The round trip to a peer, in seconds, with so many bytes each way. Raises :class:`PingError` after 5 s."""
        took: float = await self._loop.run(self._session.ping(peer_id(peer), size, reliable))
        return took
