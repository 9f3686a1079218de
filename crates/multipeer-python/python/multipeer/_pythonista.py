"""The API of pythonista-multipeer, unchanged, for any computer."""

from __future__ import annotations

import hashlib
import json
import queue
import re
import sys
import threading
import time
import traceback
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Set, Union

from . import _payload, blocking
from ._errors import MultipeerError, StartError
from ._events import Message, PeerConnected, PeerDisconnected
from ._outbox import Outbox
from ._types import Peer

#: Seconds for a peer's initial data to come, before it counts as one that has none: a program without this API.
_PATIENCE = 2.0
#: Bytes in one call of `stream_receive`, at most, ...
_PIECE = 1024
#: ... and in one read of a stream.
_READ = 64 * 1024
#: Calls that wait for their turn, at most. Meanwhile nothing more is read from the network.
_MAX_CALLS = 256
#: Seconds that ending may take.
_END = 5.0

PeerIds = Union[Peer, List[Peer], None]


class _Session(blocking.Session):
    def _is_wanted(self, event: object) -> bool:
        return True


class MultipeerConnectivity:
    """Multipeer communication: subclass it, and say what is to happen when peers come, go, and send.

    ``display_name``
        This peer's name: 1 to 63 bytes of UTF-8, or :class:`ValueError`.
    ``service_type``
        What it is about; only those who say the same meet. 1 to 15 lowercase letters, digits and hyphens, or
        :class:`ValueError`.
    ``initial_data``
        Any JSON value; the others get it with :meth:`get_initial_data`.
    ``initialize_streams``
        Whether a stream is opened to everyone who comes, and not with the first :meth:`stream`.

    It announces itself and looks for others at once, and invites everyone. `peer_added`, `peer_removed`, `receive` and
    `stream_receive` are called on one background thread, never two at once; an exception in one is printed.
    """

    def __init__(
        self,
        display_name: str = "Peer",
        service_type: str = "dev-srv",
        initial_data: Any = None,
        initialize_streams: bool = False,
    ) -> None:
        if not display_name or len(display_name.encode()) > 63:
            raise ValueError(
                "display_name must not be None or empty string, and must be at most 63 bytes long (UTF-8 encoded)",
                display_name,
            )
        if not re.fullmatch(r"[a-z0-9.-]{1,15}", service_type):
            raise ValueError(
                "service_type must be 1-15 characters long and can contain only ASCII lowercase letters, numbers and hyphens",
                service_type,
            )
        self.service_type = service_type
        self.initial_data = initial_data
        self.initialize_streams = initialize_streams
        self.initial_peer_data: Dict[int, Any] = {}
        # What is no JSON is found out here, and not on the other thread.
        self._initial = _payload.encode_initial(initial_data)
        self._session = _Session(_wire_type(service_type), display_name)
        try:
            self._session.start()
        except StartError as error:
            raise ValueError(str(error)) from error
        self.my_id = Peer(self._session.id, display_name)
        self._streams: Dict[str, blocking.Stream] = {}
        self._streams_lock = threading.Lock()
        #: Those whose initial data has not come yet, and when that is given up.
        self._newcomers: Dict[Peer, float] = {}
        self._added: Set[Peer] = set()
        self._over = False
        self._calls: "queue.Queue[Optional[Callable[[], None]]]" = queue.Queue(_MAX_CALLS)
        self._caller = threading.Thread(target=self._run_calls, name="multipeer callbacks", daemon=True)
        self._outbox = Outbox(self._is_caller)
        self._caller.start()
        threading.Thread(target=self._read_events, name="multipeer events", daemon=True).start()

    def peer_added(self, peer_id: Peer) -> None:
        """Override: a peer is in the session, both ways, and its initial data is there."""
        print("Added peer", peer_id.display_name)
        print("Initial data:", self.get_initial_data(peer_id))

    def peer_removed(self, peer_id: Peer) -> None:
        """Override: a peer is not in the session any more."""
        print("Removed peer", peer_id.display_name)

    def receive(self, message: Any, from_peer: Peer) -> None:
        """Override: a message came, as it was sent."""
        print("Message from", from_peer.display_name, "-", message)

    def stream_receive(self, byte_data: bytearray, from_peer: Peer) -> None:
        """Override: streamed bytes came, in order, 1,024 at most."""
        print("Message from", from_peer.display_name, "-", byte_data.decode())

    def get_peers(self) -> List[Peer]:
        """Who is in the session."""
        return [] if self._over else self._session.peers

    def get_initial_data(self, peer_id: Peer) -> Any:
        """What the peer gave as its initial data, or None."""
        return self.initial_peer_data.get(peer_id.hash())

    def start_looking_for_peers(self) -> None:
        """Announces this peer, and connects with everyone who is found."""
        self._session.start_looking()

    def stop_looking_for_peers(self) -> None:
        """Takes nobody new, for example once a game has begun. Who is there stays."""
        if not self._over:
            self._session.stop_looking()

    def send(self, message: Any, to_peer: PeerIds = None, reliable: bool = True) -> None:
        """Sends a JSON value to one peer, a list of them, or everyone. Unreliable ones may get lost.

        Raises :class:`TypeError` or :class:`ValueError` for what is no JSON. Who is gone gets nothing, and that is no error.
        """
        data = _payload.encode_json(message)
        for peer in self._receivers(to_peer):
            try:
                if reliable:
                    self._outbox.run(partial(self._session.begin_sending, peer, data), len(data))
                else:
                    self._session.send_unreliable(peer, message)
            except MultipeerError as error:
                self._complain(peer, error)

    def stream(self, byte_data: Union[bytes, bytearray], to_peer: PeerIds = None) -> None:
        """Streams bytes to one peer, a list of them, or everyone; waits while they are slow."""
        data = bytes(byte_data)
        for peer in self._receivers(to_peer):
            try:
                self._outbox.run(partial(self._begin_writing, peer, data), len(data))
            except MultipeerError as error:
                self._complain(peer, error)

    def disconnect(self) -> None:
        """Leaves the session."""
        self._end()

    def end_all(self) -> None:
        """Leaves the session, and ends everything. Another object begins anew."""
        self._end()

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        try:
            self._session.close(timeout=_END)
        except (MultipeerError, TimeoutError):
            # It is over all the same.
            pass
        self._outbox.close()
        if not self._is_caller():
            self._caller.join(_END)

    def _is_caller(self) -> bool:
        return threading.current_thread() is self._caller

    def _receivers(self, to_peer: PeerIds) -> List[Peer]:
        if to_peer is None:
            return self.get_peers()
        return list(to_peer) if isinstance(to_peer, list) else [to_peer]

    def _complain(self, peer: Peer, error: MultipeerError) -> None:
        # Who goes while something is sent to it is told of anyway.
        if not self._over and peer in self.get_peers():
            print(f"{peer.display_name}: {error}", file=sys.stderr)

    def _begin_writing(self, peer: Peer, data: bytes) -> Any:
        return self._stream_to(peer).begin_writing(data)

    def _stream_to(self, peer: Peer) -> blocking.Stream:
        with self._streams_lock:
            stream = self._streams.get(peer.id)
            if stream is None:
                stream = self._streams[peer.id] = self._session.open_one_way_stream(peer, "stream")
            return stream

    def _read_events(self) -> None:
        try:
            for event in self._session:
                self._calls.put(partial(self._handle, event))
        finally:
            # The one who calls empties the queue, whatever happens.
            self._calls.put(None)

    def _read_stream(self, peer: Peer, stream: blocking.Stream) -> None:
        try:
            while True:
                data = stream.read(_READ)
                if not data:
                    return
                self._calls.put(partial(self._hand_out, peer, data))
        except MultipeerError:
            # Whoever goes, or gives the stream up, is told of otherwise.
            return

    # What follows is on the thread that calls.

    def _run_calls(self) -> None:
        while True:
            try:
                call = self._calls.get(timeout=self._time_to_wait())
            except queue.Empty:
                self._add_those_who_say_nothing()
                continue
            if call is None:
                return
            if not self._over:
                call()
                self._add_those_who_say_nothing()

    def _time_to_wait(self) -> Optional[float]:
        if not self._newcomers:
            return None
        return max(0.0, min(self._newcomers.values()) - time.monotonic())

    def _call(self, callback: Callable[..., None], *arguments: Any) -> None:
        if self._over:
            return
        try:
            callback(*arguments)
        except Exception:
            traceback.print_exc()

    def _handle(self, event: blocking.Event) -> None:
        if isinstance(event, Message):
            self._take_message(event)
        elif isinstance(event, PeerConnected):
            self._newcomers[event.peer] = time.monotonic() + _PATIENCE
            self._outbox.run(partial(self._session.begin_sending, event.peer, self._initial), len(self._initial))
        elif isinstance(event, PeerDisconnected):
            self._newcomers.pop(event.peer, None)
            with self._streams_lock:
                self._streams.pop(event.peer.id, None)
            if event.peer in self._added:
                self._added.discard(event.peer)
                self._call(self.peer_removed, event.peer)
                self.initial_peer_data.pop(event.peer.hash(), None)
        elif isinstance(event, blocking.StreamOpened):
            arguments = (event.peer, event.stream)
            threading.Thread(target=self._read_stream, args=arguments, name="multipeer stream", daemon=True).start()

    def _take_message(self, message: Message) -> None:
        if isinstance(message.data, _payload.Initial):
            if message.peer in self._newcomers:
                self.initial_peer_data[message.peer.hash()] = message.data.value
                self._add(message.peer)
            return
        # A program without this API says nothing of itself first.
        self._add(message.peer)
        self._call(self.receive, _as_json(message.data), message.peer)

    def _hand_out(self, peer: Peer, data: bytes) -> None:
        self._add(peer)
        for begin in range(0, len(data), _PIECE):
            self._call(self.stream_receive, bytearray(data[begin : begin + _PIECE]), peer)

    def _add(self, peer: Peer) -> None:
        if self._newcomers.pop(peer, None) is None or peer in self._added:
            return
        self._added.add(peer)
        if self.initialize_streams:
            try:
                self._stream_to(peer)
            except MultipeerError as error:
                self._complain(peer, error)
        self._call(self.peer_added, peer)

    def _add_those_who_say_nothing(self) -> None:
        now = time.monotonic()
        for peer in [peer for peer, end in self._newcomers.items() if end <= now]:
            self._add(peer)


def _as_json(data: Any) -> Any:
    """A message of a program without this API: JSON or text if it is that, or else bytes."""
    if not isinstance(data, bytes):
        return data
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data
    try:
        return json.loads(text)
    except ValueError:
        return text


def _wire_type(service_type: str) -> str:
    """The service type as it is announced. What Apple's framework took and DNS-SD does not (RFC 6335, section 5.1) gets
    another one, the same everywhere."""
    hyphens = service_type.startswith("-") or service_type.endswith("-") or "--" in service_type
    if re.fullmatch(r"[a-z0-9-]*[a-z][a-z0-9-]*", service_type) and not hyphens:
        return service_type
    return "mp-" + hashlib.sha256(service_type.encode()).hexdigest()[:12]
