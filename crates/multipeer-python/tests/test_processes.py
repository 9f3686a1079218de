"""Several processes: Python with Python, and Python with the command of the Rust library."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator

import multipeer
import pytest
from conftest import PATIENCE, run, until
from multipeer import Session

PEER = """
import asyncio, sys, multipeer
async def main():
    async with multipeer.Session(sys.argv[1], sys.argv[2]) as session:
        seen = set()
        async for event in session:
            if isinstance(event, multipeer.Message):
                await session.send(event.peer, {"from": sys.argv[2], "was": event.data})
            elif isinstance(event, multipeer.StreamOpened):
                data = await event.reader.read()
                event.writer.write(data[::-1])
                event.writer.close()
                await event.writer.wait_closed()
            elif isinstance(event, multipeer.ResourceOffered):
                await (await event.offer.accept(sys.argv[3])).finished()
            elif isinstance(event, multipeer.Nudged):
                return
asyncio.run(main())
"""


def test_three_processes_exchange_everything(service: str, tmp_path: Path) -> None:
    async def test() -> None:
        others = [
            subprocess.Popen([sys.executable, "-c", PEER, service, name, str(tmp_path / name)])
            for name in ("Bob", "Carol")
        ]
        async with Session(service, "Alice") as alice:
            peers = [(await until(alice, multipeer.PeerConnected)).peer for _ in others]
            await alice.broadcast([1, "two"])
            answers = [(await until(alice, multipeer.Message)).data for _ in others]
            assert sorted(answer["from"] for answer in answers) == ["Bob", "Carol"]
            assert all(answer["was"] == [1, "two"] for answer in answers)
            large = os.urandom(3_000_000)
            for peer in peers:
                reader, writer = await alice.open_stream(peer, "reverse")
                writer.write(large)
                writer.close()
                assert await reader.read() == large[::-1]
                transfer = await alice.send_resource(peer, large, name="large.bin")
                await transfer.finished()
                assert (tmp_path / peer.display_name / "large.bin").read_bytes() == large
            for peer in peers:
                await alice.nudge(peer)
        for other in others:
            assert other.wait(PATIENCE) == 0

    run(test)


def command() -> str:
    """The command `multipeer`, which `tests/python.rs` names."""
    path = os.environ.get("MULTIPEER_COMMAND", "")
    if not path:
        pytest.skip("MULTIPEER_COMMAND does not name the command")
    return path


class Chat:
    """`multipeer chat`, which says what happens in JSON."""

    def __init__(self, service: str, *arguments: str) -> None:
        line = [command(), "chat", "--json", "--service", service, "--name", "Rust", *arguments]
        pipes: Dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.program = subprocess.Popen(line, text=True, **pipes)

    def events(self) -> Iterator[Dict[str, Any]]:
        assert self.program.stdout is not None
        return (json.loads(line) for line in self.program.stdout)

    def until(self, event: str) -> Dict[str, Any]:
        return next(value for value in self.events() if value["event"] == event)

    def say(self, text: str) -> None:
        assert self.program.stdin is not None
        self.program.stdin.write(text + "\n")
        self.program.stdin.flush()

    def end(self) -> None:
        self.program.kill()
        self.program.wait(PATIENCE)


def test_a_rust_peer_and_a_python_peer_talk_both_ways(service: str) -> None:
    async def test() -> None:
        chat = Chat(service, "--passcode", "481-516")
        loop = asyncio.get_running_loop()
        try:
            async with Session(service, "Python", passcode="481-516") as session:
                peer = (await until(session, multipeer.PeerConnected)).peer
                assert peer.display_name == "Rust" and session.verified(peer) == "passcode"
                await session.send(peer, "grüße".encode())
                message = await loop.run_in_executor(None, chat.until, "message")
                assert message["text"] == "grüße" and message["peer"]["name"] == "Python"
                await loop.run_in_executor(None, chat.say, "hello from Rust")
                assert (await until(session, multipeer.Message)).data == b"hello from Rust"
                await loop.run_in_executor(None, chat.say, "/nudge Python")
                await until(session, multipeer.Nudged)
        finally:
            chat.end()

    run(test)


def test_files_go_from_python_to_rust_and_back(service: str, tmp_path: Path) -> None:
    async def test() -> None:
        content = os.urandom(2_000_000)
        (tmp_path / "one.bin").write_bytes(content)
        receiving = subprocess.Popen(
            [command(), "receive", "--json", "--yes", "--service", service, "--name", "Rust", "--dir", str(tmp_path / "in")],
            stdout=subprocess.DEVNULL,
        )
        try:
            async with Session(service, "Python") as session:
                peer = (await until(session, multipeer.PeerConnected)).peer
                await (await session.send_resource(peer, tmp_path / "one.bin")).finished()
                assert (tmp_path / "in" / "one.bin").read_bytes() == content
        finally:
            receiving.kill()
            receiving.wait(PATIENCE)
        async with Session(service, "Python") as session:
            sending = subprocess.Popen(
                [command(), "send", str(tmp_path / "one.bin"), "--to", "Python", "--service", service, "--name", "Rust"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            offer = (await until(session, multipeer.ResourceOffered)).offer
            report = await (await offer.accept(tmp_path / "back")).finished()
            assert report.path is not None and Path(report.path).read_bytes() == content
            assert sending.wait(PATIENCE) == 0

    run(test)
