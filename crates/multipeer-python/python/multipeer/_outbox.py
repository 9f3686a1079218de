"""What callbacks send: they must not wait for peers whose own callbacks wait for them."""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import Callable, Deque, Optional, Tuple

from . import _multipeer
from ._errors import MultipeerError, SendError

#: Bytes that wait, at most.
_MAX_BYTES = 64 * 1024 * 1024

Begin = Callable[[], Optional[_multipeer.Pending]]


class Outbox:
    """Runs what has to wait on a thread of its own, in order, if it was begun on the thread of the callbacks; elsewhere it
    is waited for."""

    def __init__(self, is_callback: Callable[[], bool]) -> None:
        self._is_callback = is_callback
        self._waiting: Deque[Tuple[Begin, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._thread: Optional[threading.Thread] = None
        self._over = False

    def run(self, begin: Begin, size: int) -> None:
        """Does it, or sees to it. Raises what it raises, and :class:`SendError` when too much waits."""
        if not self._is_callback():
            pending = begin()
            if pending is not None:
                pending.wait()
            return
        with self._changed:
            if self._bytes + size > _MAX_BYTES:
                raise SendError("a callback sends faster than the network: 64 MiB wait")
            self._waiting.append((begin, size))
            self._bytes += size
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="multipeer outbox", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Ends the thread. What waits is forgotten."""
        with self._changed:
            self._over = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._over)
                if self._over:
                    return
                begin, size = self._waiting.popleft()
            try:
                pending = begin()
                if pending is not None:
                    pending.wait()
            except MultipeerError as error:
                if not self._over:
                    print(f"not sent: {error}", file=sys.stderr)
            finally:
                with self._changed:
                    self._bytes -= size
