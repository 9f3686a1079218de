"""Streams with the shape of :class:`asyncio.StreamReader` and :class:`asyncio.StreamWriter`."""

from __future__ import annotations

import asyncio
from typing import AsyncIterator, Iterable, List, Optional, Union

from . import _multipeer
from ._bridge import Bridge
from ._errors import MultipeerError, StreamError

#: Bytes that are read ahead of whoever reads a line, at most.
LIMIT = 64 * 1024
#: Bytes in one read.
_PIECE = 256 * 1024
#: Bytes that :meth:`StreamWriter.write` takes before :meth:`StreamWriter.drain` waits.
_HIGH_WATER = 256 * 1024

Buffer = Union[bytes, bytearray, memoryview]


class StreamReader:
    """The end of a stream from which bytes are read, as :class:`asyncio.StreamReader`.

    What is not read stays with the writer, who waits. Every method raises :class:`StreamError` when the writer gave the
    stream up or the link was lost. Cancelling a read loses nothing.
    """

    def __init__(self, reader: _multipeer.Reader, bridge: Bridge) -> None:
        self._reader = reader
        self._bridge = bridge
        self._buffer = bytearray()
        self._ended = False
        self._filling: Optional["asyncio.Future[Optional[bytes]]"] = None
        self._error: Optional[BaseException] = None

    async def _fill(self) -> bool:
        """Reads more into the buffer. Returns whether there was more."""
        if self._error is not None:
            raise self._error
        if self._ended:
            return False
        if self._filling is None:
            self._filling = self._bridge.begin(self._reader.read(_PIECE))
            self._filling.add_done_callback(self._filled)
        await asyncio.shield(self._filling)
        return not self._ended

    def _filled(self, filling: "asyncio.Future[Optional[bytes]]") -> None:
        # Here, so that it is kept also when who waits for it is cancelled.
        self._filling = None
        if filling.cancelled():
            return
        self._error = filling.exception()
        if self._error is None:
            data = filling.result()
            self._ended = data is None
            self._buffer += data or b""

    def _take(self, count: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        return taken

    async def read(self, n: int = -1) -> bytes:
        """At most ``n`` bytes, as soon as there are some; everything up to the end if ``n`` is negative; ``b""`` at the
        end."""
        if n == 0:
            return b""
        if n < 0:
            while await self._fill():
                pass
            return self._take(len(self._buffer))
        if not self._buffer:
            await self._fill()
        return self._take(min(n, len(self._buffer)))

    async def readexactly(self, n: int) -> bytes:
        """Exactly ``n`` bytes. Raises :class:`asyncio.IncompleteReadError` if the stream ends before."""
        if n < 0:
            raise ValueError("readexactly size can not be less than zero")
        while len(self._buffer) < n:
            if not await self._fill():
                raise asyncio.IncompleteReadError(self._take(len(self._buffer)), n)
        return self._take(n)

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """Up to and with the separator, at most 64 KiB.

        Raises :class:`asyncio.IncompleteReadError` at the end, and :class:`asyncio.LimitOverrunError` if the separator does
        not come.
        """
        if not separator:
            raise ValueError("Separator should be at least one-byte string")
        begin = 0
        while True:
            found = self._buffer.find(separator, begin)
            if found >= 0:
                return self._take(found + len(separator))
            begin = max(0, len(self._buffer) - len(separator) + 1)
            if begin > LIMIT:
                raise asyncio.LimitOverrunError("Separator is not found, and chunk exceed the limit", begin)
            if not await self._fill():
                raise asyncio.IncompleteReadError(self._take(len(self._buffer)), None)

    async def readline(self) -> bytes:
        """A line with its end; what there is if the stream ends before; ``b""`` at the end.

        Raises :class:`ValueError` for a line of more than 64 KiB.
        """
        try:
            return await self.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            return error.partial
        except asyncio.LimitOverrunError as error:
            raise ValueError(error.args[0]) from None

    def at_eof(self) -> bool:
        """Whether the stream has ended and everything was read."""
        return self._ended and not self._buffer

    async def stop(self, code: int = 0) -> None:
        """Wants no more: the writer fails with this code."""
        self._ended = True
        if self._filling is not None:
            self._filling.cancel()
        await self._bridge.run(self._reader.stop(code))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line


class StreamWriter:
    """The end of a stream into which bytes are written, as :class:`asyncio.StreamWriter`.

    :meth:`write` never waits; :meth:`drain` waits while the reader is behind. Of several streams to one peer the one with
    the larger :meth:`set_priority` goes first.
    """

    def __init__(self, writer: _multipeer.Writer, bridge: Bridge) -> None:
        self._writer = writer
        self._bridge = bridge
        self._waiting: List[bytes] = []
        self._waiting_bytes = 0
        self._pump: Optional["asyncio.Task[None]"] = None
        self._room = asyncio.Event()
        self._room.set()
        self._closing = False
        self._finished: Optional["asyncio.Task[None]"] = None
        self._error: Optional[MultipeerError] = None

    def write(self, data: Buffer) -> None:
        """Queues bytes. Follow it with ``await drain()``, or the queue grows."""
        if self._closing:
            raise StreamError("this end of the stream is closed")
        if not data:
            return
        self._waiting.append(data if isinstance(data, bytes) else bytes(data))
        self._waiting_bytes += len(data)
        if self._waiting_bytes > _HIGH_WATER:
            self._room.clear()
        if self._pump is None:
            self._pump = self._bridge.loop.create_task(self._write_waiting())

    def writelines(self, data: Iterable[Buffer]) -> None:
        """Queues several pieces."""
        for piece in data:
            self.write(piece)

    async def _write_waiting(self) -> None:
        try:
            while self._waiting and self._error is None:
                pieces, self._waiting = self._waiting, []
                data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                await self._bridge.run(self._writer.write(data))
                self._waiting_bytes -= len(data)
                if self._waiting_bytes <= _HIGH_WATER:
                    self._room.set()
        except MultipeerError as error:
            self._error = error
        finally:
            self._pump = None
            self._room.set()

    async def drain(self) -> None:
        """Waits until there is room for more. Raises :class:`StreamError` if the reader stopped, or the link was lost."""
        await self._room.wait()
        if self._error is not None:
            raise self._error

    async def _finish(self) -> None:
        while self._pump is not None:
            await asyncio.wait([self._pump])
        if self._error is not None:
            raise self._error
        await self._bridge.run(self._writer.finish())

    def can_write_eof(self) -> bool:
        """True: the other side can be told that nothing more comes."""
        return True

    def write_eof(self) -> None:
        """Says that nothing more comes, after everything that was written. What comes back is read all the same."""
        if not self._closing:
            self._closing = True
            self._finished = self._bridge.loop.create_task(self._finish())
            # Whoever does not wait is not told.
            self._finished.add_done_callback(lambda task: task.cancelled() or task.exception())

    def close(self) -> None:
        """As :meth:`write_eof`."""
        self.write_eof()

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._closing

    async def wait_closed(self) -> None:
        """Waits until everything has arrived. Raises :class:`StreamError` if it does not."""
        if self._finished is not None:
            await asyncio.shield(self._finished)

    async def reset(self, code: int = 0) -> None:
        """Gives the stream up: the reader fails with this code."""
        self._closing = True
        if self._pump is not None:
            self._pump.cancel()
        await self._bridge.run(self._writer.reset(code))

    def set_priority(self, priority: int) -> None:
        """Which of several streams goes first: the one with the larger number, from -32768 to 32767."""
        self._writer.set_priority(priority)
