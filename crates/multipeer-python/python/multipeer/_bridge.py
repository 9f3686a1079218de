"""Operations of the native part on an event loop.

The native part's threads run no Python. What comes of an operation is put into a mailbox, and the loop is woken by a byte
on a socket; it takes everything at once, in its own thread.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import _multipeer
from ._errors import SessionOverError


class Bridge:
    """The operations of one session on the loop on which it was begun."""

    def __init__(self, listener: Callable[[], None]) -> None:
        """``listener`` is called whenever there may be events."""
        self._listener: Optional[Callable[[], None]] = listener
        self.loop = asyncio.get_running_loop()
        self._numbers = itertools.count()
        self._waiting: Dict[int, "asyncio.Future[Any]"] = {}
        self._mailbox = self._open()

    def _open(self) -> _multipeer.Mailbox:
        try:
            mailbox = _multipeer.Mailbox()
            number = mailbox.fileno()
            if number is not None:
                self.loop.add_reader(number, self._deliver)
            return mailbox
        except (NotImplementedError, OSError):
            # A loop that waits on no sockets of others, as on Windows: it is called instead.
            return _multipeer.Mailbox(self._ring)

    def _ring(self) -> None:
        self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        for number, result, error in self._mailbox.take():
            future = self._waiting.pop(number, None)
            # Who is cancelled at the same moment is told that.
            if future is None or future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        if self._listener is not None:
            self._listener()

    def take_events(self, core: _multipeer.Session, at_most: int) -> Optional[List[Tuple[str, Tuple[Any, ...]]]]:
        """Events that are there already. If there are none the listener is called once there are."""
        return core.take_events(at_most, self._mailbox)

    def begin(self, pending: _multipeer.Pending) -> "asyncio.Future[Any]":
        """Begins an operation, which goes on whoever waits for it."""
        number, future = self._expect()
        try:
            pending.start(self._mailbox, number)
        except BaseException:
            future.cancel()
            raise
        return future

    def _expect(self) -> "Tuple[int, asyncio.Future[Any]]":
        number = next(self._numbers)
        future = self.loop.create_future()
        self._waiting[number] = future
        # One that is cancelled has no reply.
        future.add_done_callback(lambda _: self._waiting.pop(number, None))
        return number, future

    async def closed(self, core: _multipeer.Session) -> None:
        """Waits until a session's threads have ended, if it was the last to use them."""
        number, future = self._expect()
        core.begin_closing(self._mailbox, number)
        await future

    async def run(self, pending: _multipeer.Pending) -> Any:
        """Waits for an operation. Cancelled, it cancels the operation."""
        future = self.begin(pending)
        try:
            return await future
        except asyncio.CancelledError:
            pending.cancel()
            raise

    def close(self) -> None:
        """Lets go of the loop, and of the session, so that both go at once. Nothing is under way any more."""
        self._listener = None
        number = self._mailbox.fileno()
        if number is not None and not self.loop.is_closed():
            self.loop.remove_reader(number)
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(SessionOverError("the session was closed meanwhile"))
                # Nobody may wait for it, which is no fault.
                future.exception()

