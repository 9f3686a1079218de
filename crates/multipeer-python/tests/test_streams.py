"""Streams with the shape of asyncio's."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import AsyncIterator, Tuple

import multipeer
import pytest
from conftest import pair, run, until
from multipeer import StreamReader, StreamWriter


@asynccontextmanager
async def stream(service: str) -> AsyncIterator[Tuple[StreamReader, StreamWriter, StreamReader, StreamWriter]]:
    """Alice's ends of a stream, and Bob's."""
    async with pair(service) as (alice, bob):
        reader, writer = await alice.open_stream(bob.id, "test")
        # The other side learns of it with the first byte.
        writer.write(b"!")
        opened = await until(bob, multipeer.StreamOpened)
        assert opened.name == "test" and opened.peer.id == alice.id and opened.writer is not None
        assert await opened.reader.readexactly(1) == b"!"
        yield reader, writer, opened.reader, opened.writer


def test_lines_pieces_and_the_end_are_read_as_with_asyncio(service: str) -> None:
    async def test() -> None:
        async with stream(service) as (reader, writer, other, back):
            writer.writelines([b"one\n", bytearray(b"two\nthr"), memoryview(b"ee|four")])
            writer.write(b"the rest")
            await writer.drain()
            assert writer.can_write_eof()
            writer.write_eof()
            assert await other.readline() == b"one\n"
            assert await other.readuntil(b"|") == b"two\nthree|"
            assert await other.readexactly(4) == b"four"
            assert await other.read(0) == b"" and not other.at_eof()
            assert await other.read() == b"the rest" and await other.read(5) == b"" and other.at_eof()
            back.write(b"one\ntwo\nend")
            back.close()
            assert back.is_closing()
            assert [line async for line in reader] == [b"one\n", b"two\n", b"end"]
            await writer.wait_closed()
            await back.wait_closed()
            with pytest.raises(multipeer.StreamError):
                writer.write(b"more")

    run(test)


def test_a_stream_that_ends_too_soon_says_what_there_was(service: str) -> None:
    async def test() -> None:
        async with stream(service) as (_, writer, other, _back):
            writer.write(b"abc")
            writer.close()
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await other.readexactly(10)
            assert caught.value.partial == b"abc" and caught.value.expected == 10

    run(test)


def test_a_line_without_an_end_is_not_read_for_ever(service: str) -> None:
    async def test() -> None:
        async with stream(service) as (_, writer, other, _back):
            writer.write(b"x" * 200_000)
            with pytest.raises(ValueError):
                await other.readline()

    run(test)


def test_a_writer_waits_for_its_reader(service: str) -> None:
    async def test() -> None:
        async with stream(service) as (_, writer, other, _back):
            written = 0

            async def write() -> None:
                nonlocal written
                for _ in range(640):
                    writer.write(bytes(64 * 1024))
                    await writer.drain()
                    written += 64 * 1024
                writer.close()

            writing = asyncio.ensure_future(write())
            last, still = -1, 0
            while still < 10:
                await asyncio.sleep(0.05)
                still, last = (still + 1 if written == last else 0), written
            assert written < 8 * 1024 * 1024
            assert len(await other.read()) == 40 * 1024 * 1024
            await writing

    run(test)


def test_a_read_that_is_cancelled_loses_nothing(service: str) -> None:
    async def test() -> None:
        async with stream(service) as (_, writer, other, _back):

            async def write() -> None:
                for number in range(300):
                    writer.write(b"%04d" % number)
                    await asyncio.sleep(0)
                writer.close()

            writing = asyncio.ensure_future(write())
            received = b""
            while not other.at_eof():
                reading = asyncio.ensure_future(other.read(100))
                await asyncio.wait([reading], timeout=0.0003)
                reading.cancel()
                try:
                    received += await reading
                except asyncio.CancelledError:
                    continue
            await writing
            assert received == b"".join(b"%04d" % number for number in range(300))

    run(test)


def test_either_side_gives_a_stream_up_with_a_code(service: str) -> None:
    async def test() -> None:
        async with stream(service) as (reader, writer, other, back):
            await back.reset(7)
            with pytest.raises(multipeer.StreamError, match="7"):
                await reader.read()
            await other.stop(9)
            with pytest.raises(multipeer.StreamError, match="9"):
                while True:
                    writer.write(bytes(100_000))
                    await writer.drain()

    run(test)


def test_a_one_way_stream_has_nothing_to_go_back(service: str) -> None:
    async def test() -> None:
        async with pair(service) as (alice, bob):
            writer = await alice.open_one_way_stream(bob.id, "samples")
            writer.set_priority(5)
            writer.write(b"one")
            opened = await until(bob, multipeer.StreamOpened)
            assert opened.writer is None and await opened.reader.readexactly(3) == b"one"
            writer.close()
            await writer.wait_closed()
            with pytest.raises(multipeer.StreamError, match="name"):
                await alice.open_stream(bob.id, "")

    run(test)
