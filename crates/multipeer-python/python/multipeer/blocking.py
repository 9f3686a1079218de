"""Sessions for scripts, without asyncio: the same as :class:`multipeer.Session`, with calls that wait, and time limits.

::

    from multipeer import Message, PeerConnected
    from multipeer.blocking import Session

    with Session("chat", "Alice") as session:
        for event in session:
            if isinstance(event, PeerConnected):
                session.send(event.peer, "hello")
            elif isinstance(event, Message):
                print(event.peer, event.data)

A session may be used from several threads. Every call that waits takes a ``timeout`` in seconds, raises
:class:`TimeoutError` when it is over, and lets Ctrl-C through; other threads run meanwhile.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import Any, Iterator, List, Optional, Tuple, Type, Union

from . import _lifetime, _multipeer, _payload
from ._base import BATCH, BaseOffer, BaseSession, BaseTransfer
from ._errors import SessionOverError
from ._events import PlainEvent, ResourceOffered, TransferEnded
from ._types import Peer, PeerLike, Progress, Report, peer_id

__all__ = ["Event", "Offer", "ResourceOffered", "Session", "Stream", "StreamOpened", "Transfer", "TransferEnded"]

#: Bytes in one read.
_PIECE = 256 * 1024


class Stream:
    """A stream of bytes: what a peer writes can be read, and what is written it reads, unless the stream is one-way."""

    def __init__(self, reader: Optional[_multipeer.Reader], writer: Optional[_multipeer.Writer]) -> None:
        self._reader = reader
        self._writer = writer

    def read(self, n: int = _PIECE, *, timeout: Optional[float] = None) -> bytes:
        """At most ``n`` bytes, as soon as there are some; ``b""`` at the end. Raises :class:`StreamError`."""
        data = None if self._reader is None else self._reader.read(n).wait(timeout)
        return b"" if data is None else bytes(data)

    def write(self, data: Union[bytes, bytearray, memoryview], *, timeout: Optional[float] = None) -> None:
        """Writes all of it; waits while the reader is behind. Raises :class:`StreamError`.

        When the time is over, a part may have been written.
        """
        self.begin_writing(data if isinstance(data, bytes) else bytes(data)).wait(timeout)

    def begin_writing(self, data: bytes) -> _multipeer.Pending:
        """What writes bytes. Not for applications."""
        if self._writer is None:
            raise ValueError("the stream is one-way, and the peer's")
        return self._writer.write(data)

    def close(self, *, timeout: Optional[float] = None) -> None:
        """Says that nothing more comes, and waits until everything has arrived. Raises :class:`StreamError`."""
        if self._writer is not None:
            self._writer.finish().wait(timeout)

    def reset(self, code: int = 0) -> None:
        """Gives both directions up: the other side fails with this code."""
        if self._writer is not None:
            self._writer.reset(code).wait()
        if self._reader is not None:
            self._reader.stop(code).wait()

    def __iter__(self) -> Iterator[bytes]:
        """Pieces, as they come, up to the end."""
        while True:
            data = self.read()
            if not data:
                return
            yield data


class Transfer(BaseTransfer):
    """A resource on its way, in either direction; an iterator of its progress."""

    def __iter__(self) -> Iterator[Progress]:
        while True:
            numbers = self._transfer.progress().wait()
            if numbers is None:
                return
            yield Progress(*numbers)

    def finished(self, *, timeout: Optional[float] = None) -> Report:
        """Waits for its end. Raises :class:`TransferError` if it came to nothing."""
        path, size, transmitted = self._transfer.finished().wait(timeout)
        return Report(None if path is None else os.fspath(path), size, transmitted)


class Offer(BaseOffer):
    """What a peer wants to send. Forgotten without an answer, it is declined."""

    def accept(self, folder: Union[str, "os.PathLike[str]"] = ".", *, timeout: Optional[float] = None) -> Transfer:
        """Takes it into a folder; nothing there is written over. Raises :class:`TransferError`."""
        return Transfer(self._offer.accept(os.fspath(folder)).wait(timeout))

    def accept_as(
        self,
        path: Union[str, "os.PathLike[str]"],
        *,
        overwrite: bool = False,
        timeout: Optional[float] = None,
    ) -> Transfer:
        """Takes it as this very file or folder. Raises as :meth:`accept`."""
        return Transfer(self._offer.accept(".", os.fspath(path), overwrite).wait(timeout))


@dataclass(frozen=True)
class StreamOpened:
    """A peer opened a stream."""

    peer: Peer
    #: What it is for, as the peer says.
    name: str
    stream: Stream


Event = Union[PlainEvent, StreamOpened, ResourceOffered[Offer], TransferEnded[Transfer]]


class Session(BaseSession):
    """A session with those who are near: a context manager, and an iterator of events. The settings are those of
    :class:`multipeer.Session`."""

    def _prepare(self) -> None:
        self._reading = Lock()
        self._begun = False

    def __enter__(self) -> Session:
        self.start()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def start(self, *, timeout: Optional[float] = None) -> None:
        """Begins, as entering it does. A session begins once. Raises :class:`StartError`."""
        if self._begun:
            raise SessionOverError("a session begins once: make another one")
        self._begun = True
        self._core = _multipeer.start(self._given).wait(timeout)
        _lifetime.begun(self._session)

    def close(self, *, timeout: Optional[float] = None) -> None:
        """Leaves: says goodbye, once what was sent has arrived or cannot. No thread of it is left."""
        core, self._core = self._core, None
        if core is None:
            return
        try:
            core.leave().wait(timeout)
        finally:
            _lifetime.ended(core)
            core.close()

    def next_event(self, *, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event, in the order in which they happened; nothing when the session is over.

        Whoever is slow loses nothing: the session stops reading from the network meanwhile. Of several threads that wait
        each event goes to one.
        """
        with self._reading:
            while not self._ready:
                core = self._core
                if core is None:
                    return None
                events = core.take_events(BATCH)
                if events == []:
                    try:
                        events = core.next_event().wait(timeout)
                    except SessionOverError:
                        return None
                if events is None:
                    return None
                self._take(events)
            event: Event = self._ready.popleft()
            return event

    def _stream_opened(self, peer: Peer, name: str, reader: _multipeer.Reader, writer: Optional[_multipeer.Writer]) -> Event:
        return StreamOpened(peer, name, Stream(reader, writer))

    def _offer(self, offer: _multipeer.Offer) -> Offer:
        return Offer(offer)

    def _transfer(self, transfer: _multipeer.Transfer) -> Transfer:
        return Transfer(transfer)

    def __iter__(self) -> Iterator[Event]:
        while True:
            event = self.next_event()
            if event is None:
                return
            yield event

    def send(
        self,
        peer: Union[PeerLike, List[PeerLike]],
        message: Any,
        *,
        timeout: Optional[float] = None,
    ) -> None:
        """Sends a reliable message to a peer, or to each of a list: in order, exactly once.

        The message is bytes, or any JSON value, which arrives as it was. Waits while the peer's queue, of 4 MiB, is full.
        Raises :class:`SendError` if the peer is not connected, or takes no message of that size.
        """
        pending = self._send(peer, message)
        if pending is not None:
            pending.wait(timeout)

    def broadcast(self, message: Any, *, timeout: Optional[float] = None) -> None:
        """Sends a reliable message to everyone in the session, as :meth:`send`. Who goes meanwhile is no error."""
        self._session.broadcast(_payload.encode(message)).wait(timeout)

    def invite(self, peer: PeerLike, context: bytes = b"", *, timeout: float = 30.0) -> Peer:
        """Asks a peer that is near into the session, and waits for its answer. Raises :class:`InviteError`."""
        answer: Peer = self._session.invite(peer_id(peer), context, timeout).wait()
        return answer

    def open_stream(self, peer: PeerLike, name: str, *, timeout: Optional[float] = None) -> Stream:
        """Opens a stream of bytes to a peer, and one back. Raises :class:`StreamError`."""
        writer, reader = self._session.open_stream(peer_id(peer), name, False).wait(timeout)
        return Stream(reader, writer)

    def open_one_way_stream(self, peer: PeerLike, name: str, *, timeout: Optional[float] = None) -> Stream:
        """As :meth:`open_stream`, with nothing coming back."""
        writer, _ = self._session.open_stream(peer_id(peer), name, True).wait(timeout)
        return Stream(None, writer)

    def send_resource(
        self,
        peer: PeerLike,
        source: Union[str, "os.PathLike[str]", bytes],
        *,
        name: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Transfer:
        """Sends a file, a folder, what a web address answers, or bytes under a name. Raises :class:`TransferError`."""
        pending = self._send_resource(peer, source, name)
        return Transfer(pending.wait(timeout))

    def nudge(self, peer: PeerLike, text: str = "", *, timeout: Optional[float] = None) -> None:
        """Asks the person behind a peer to look, with at most 256 bytes of text. Raises :class:`NudgeError`."""
        self._session.nudge(peer_id(peer), text).wait(timeout)

    def remove(self, peer: PeerLike, reason: str = "", *, timeout: Optional[float] = None) -> None:
        """Removes a peer from the session, for every member and for an hour. Raises :class:`RemoveError`."""
        self._session.remove(peer_id(peer), reason).wait(timeout)

    def ping(self, peer: PeerLike, size: int = 64, *, reliable: bool = True) -> float:
        """The round trip to a peer, in seconds, with so many bytes each way. Raises :class:`PingError` after 5 s."""
        took: float = self._session.ping(peer_id(peer), size, reliable).wait()
        return took
