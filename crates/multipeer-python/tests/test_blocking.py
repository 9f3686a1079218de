"""Sessions for scripts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Tuple, Type, TypeVar

import multipeer
import pytest
from conftest import PATIENCE
from multipeer.blocking import ResourceOffered, Session, StreamOpened, TransferEnded

Anything = TypeVar("Anything")


def until(session: Session, kind: Type[Anything]) -> Anything:
    """The next event of this kind."""
    while True:
        event = session.next_event(timeout=PATIENCE)
        assert event is not None, "the session is over"
        if isinstance(event, kind):
            return event


@contextmanager
def pair(service: str, **settings: Any) -> Iterator[Tuple[Session, Session]]:
    with Session(service, "Alice", **settings) as alice, Session(service, "Bob", **settings) as bob:
        for session in (alice, bob):
            until(session, multipeer.PeerConnected)
        yield alice, bob


def test_messages_arrive_as_they_were(service: str) -> None:
    with pair(service) as (alice, bob):
        for value in (b"bytes", {"text": "hi"}, [1, None]):
            alice.send(bob.id, value)
            assert until(bob, multipeer.Message).data == value
        bob.broadcast("all")
        assert until(alice, multipeer.Message).data == "all"
        alice.send_unreliable(bob.id, b"perhaps")
        assert not until(bob, multipeer.Message).reliable
        assert 0 < alice.ping(bob.id) < PATIENCE
        alice.nudge(bob.id, "look")
        assert until(bob, multipeer.Nudged).text == "look"


def test_waiting_takes_no_longer_than_it_may_and_loses_nothing(service: str) -> None:
    with pair(service) as (alice, bob):
        while True:
            try:
                bob.next_event(timeout=0.3)
            except TimeoutError:
                break
        for number in range(200):
            alice.send(bob.id, number)
            while True:
                try:
                    event = bob.next_event(timeout=0.0001)
                except TimeoutError:
                    continue
                if isinstance(event, multipeer.Message):
                    break
            assert event.data == number


def test_a_sender_waits_for_a_receiver_that_does_not_read(service: str) -> None:
    with pair(service) as (alice, bob):
        with pytest.raises(TimeoutError):
            for _ in range(2000):
                alice.send(bob.id, bytes(64 * 1024), timeout=1)
        # What timed out was not sent.
        until(bob, multipeer.Message)


def test_streams_and_resources(service: str, tmp_path: Path) -> None:
    with pair(service) as (alice, bob):
        stream = alice.open_stream(bob.id, "text")
        stream.write(b"one ")
        opened = until(bob, StreamOpened)
        assert opened.name == "text"
        stream.write(bytearray(b"two"))
        closing = threading.Thread(target=stream.close)
        closing.start()
        assert b"".join(opened.stream) == b"one two"
        closing.join(PATIENCE)
        opened.stream.write(b"back")
        assert stream.read(2) == b"ba" and stream.read(10) == b"ck"
        opened.stream.reset(3)
        transfer = alice.send_resource(bob.id, b"content", name="a.txt")
        offer = until(bob, ResourceOffered).offer
        assert (offer.name, offer.size, offer.kind) == ("a.txt", 7, "data")
        report = offer.accept(tmp_path).finished(timeout=PATIENCE)
        assert report.path is not None and Path(report.path).read_bytes() == b"content"
        assert transfer.finished(timeout=PATIENCE).bytes == 7
        assert until(bob, TransferEnded).error is None


def test_another_thread_ends_the_loop_of_events(service: str) -> None:
    with Session(service, "Alice") as alice:
        reading = threading.Thread(target=lambda: list(alice))
        reading.start()
        alice.close()
        reading.join(PATIENCE)
        assert not reading.is_alive()
        with pytest.raises(multipeer.SessionOverError):
            alice.send("00" * 32, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_ctrl_c_ends_a_wait(service: str) -> None:
    script = (
        "import signal\n"
        "from multipeer.blocking import Session\n"
        # Whatever a shell starts in the background ignores it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"with Session({service!r}, 'Alice') as session:\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        for event in session: pass\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted', flush=True)\n"
    )
    program = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    program.send_signal(signal.SIGINT)
    try:
        assert program.communicate(timeout=PATIENCE)[0] == "interrupted\n"
    finally:
        program.kill()
    assert program.returncode == 0
