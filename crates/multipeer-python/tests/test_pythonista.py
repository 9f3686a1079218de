"""The API of pythonista-multipeer, as its users know it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import Any, Callable, List, Set, Tuple

import multipeer
import pytest
from conftest import PATIENCE
from multipeer import MultipeerConnectivity, Peer, blocking


class Program(MultipeerConnectivity):
    """Writes down every call."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.calls: List[Tuple[Any, ...]] = []
        self.threads: Set[int] = set()
        self.inside = 0
        self.happened = threading.Condition()
        super().__init__(*arguments, **settings)

    def note(self, *call: Any) -> None:
        self.inside += 1
        self.threads.add(threading.get_ident())
        # Never two at once.
        assert self.inside == 1
        with self.happened:
            self.calls.append(call)
            self.happened.notify_all()
        self.inside -= 1

    def until(self, is_so: Callable[[List[Tuple[Any, ...]]], bool]) -> None:
        with self.happened:
            assert self.happened.wait_for(lambda: is_so(self.calls), PATIENCE), self.calls

    def of(self, kind: str) -> List[Tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == kind]

    def peer_added(self, peer_id: Peer) -> None:
        self.note("added", peer_id, self.get_initial_data(peer_id), peer_id in self.get_peers())

    def peer_removed(self, peer_id: Peer) -> None:
        self.note("removed", peer_id)

    def receive(self, message: Any, from_peer: Peer) -> None:
        self.note("message", message, from_peer)
        if message == "fail":
            raise RuntimeError("a fault of the program")

    def stream_receive(self, byte_data: bytearray, from_peer: Peer) -> None:
        self.note("stream", byte_data, from_peer)


def ended(*programs: MultipeerConnectivity) -> None:
    for program in programs:
        program.end_all()


def has(kind: str, count: int = 1) -> Callable[[List[Tuple[Any, ...]]], bool]:
    return lambda calls: sum(1 for call in calls if call[0] == kind) >= count


def pair(service: str) -> Tuple[Program, Program]:
    alice = Program("Alice", service, {"os": "one"})
    bob = Program(display_name="Bob", service_type=service, initial_data=[1, "two"], initialize_streams=True)
    for program in (alice, bob):
        program.until(has("added"))
    return alice, bob


def test_peers_are_added_with_their_initial_data_and_removed(service: str) -> None:
    alice, bob = pair(service)
    try:
        assert alice.of("added") == [(bob.my_id, [1, "two"], True)]
        assert bob.of("added") == [(alice.my_id, {"os": "one"}, True)]
        (peer,) = alice.get_peers()
        assert peer.display_name == "Bob" and peer.hash() == bob.my_id.hash() and {peer: 1}[bob.my_id] == 1
        bob.end_all()
        alice.until(has("removed"))
        assert alice.get_peers() == [] and alice.get_initial_data(peer) is None
        assert bob.get_peers() == []
    finally:
        ended(alice, bob)


def test_messages_go_to_one_to_several_and_to_all(service: str) -> None:
    alice, bob = pair(service)
    carol = Program("Carol", service)
    try:
        carol.until(has("added", 2))
        alice.until(has("added", 2))
        assert (carol.my_id, None, True) in alice.of("added")
        alice.send({"to": "all"})
        alice.send("to bob", bob.my_id)
        alice.send([1, 2.5, None], [bob.my_id, carol.my_id])
        alice.send("perhaps", carol.my_id, reliable=False)
        bob.until(has("message", 3))
        carol.until(has("message", 3))
        assert [message for message, _ in bob.of("message")] == [{"to": "all"}, "to bob", [1, 2.5, None]]
        assert "perhaps" in [message for message, _ in carol.of("message")]
        assert {sender for _, sender in bob.of("message")} == {alice.my_id}
    finally:
        ended(alice, bob, carol)


def test_streamed_bytes_arrive_in_order_in_pieces_of_1024_at_most(service: str) -> None:
    alice, bob = pair(service)
    try:
        data = os.urandom(300_000)
        for begin in range(0, len(data), 70_000):
            alice.stream(data[begin : begin + 70_000])
        bob.until(lambda calls: sum(len(call[1]) for call in calls if call[0] == "stream") >= len(data))
        pieces = [piece for piece, _ in bob.of("stream")]
        assert b"".join(pieces) == data
        assert all(isinstance(piece, bytearray) and len(piece) <= 1024 for piece in pieces)
        bob.stream(bytearray(b"back"), alice.my_id)
        alice.until(has("stream"))
    finally:
        ended(alice, bob)


def test_callbacks_come_from_one_thread_and_a_fault_in_one_harms_nothing(
    service: str, capfd: pytest.CaptureFixture[str]
) -> None:
    alice, bob = pair(service)
    try:
        alice.send("fail")
        alice.send("after")
        bob.until(has("message", 2))
        assert [message for message, _ in bob.of("message")] == ["fail", "after"]
        assert len(bob.threads) == 1 and threading.get_ident() not in bob.threads
        assert "a fault of the program" in capfd.readouterr().err
    finally:
        ended(alice, bob)


class Echo(Program):
    """Answers every message with two as large."""

    def receive(self, message: Any, from_peer: Peer) -> None:
        self.note("message", len(message), from_peer)
        if len(self.calls) < 60:
            self.send(message, from_peer)
            self.send(message, from_peer)


def test_two_that_answer_each_other_from_callbacks_do_not_stand_still(service: str) -> None:
    alice, bob = Echo("Alice", service), Echo("Bob", service)
    try:
        for program in (alice, bob):
            program.until(has("added"))
        # More is under way than both queues hold.
        alice.send("x" * 700_000)
        for program in (alice, bob):
            program.until(has("message", 50))
    finally:
        ended(alice, bob)


def test_looking_can_be_stopped_and_begun_again(service: str) -> None:
    alice, bob = pair(service)
    alice.stop_looking_for_peers()
    bob.stop_looking_for_peers()
    carol = Program("Carol", service)
    try:
        time.sleep(1)
        assert carol.get_peers() == []
        alice.start_looking_for_peers()
        carol.until(has("added"))
    finally:
        ended(alice, bob, carol)


def test_names_and_service_types_that_break_a_rule_are_refused(service: str) -> None:
    for name in ("", None, "x" * 64, "ü" * 32):
        with pytest.raises(ValueError):
            MultipeerConnectivity(name, service)  # type: ignore[arg-type]
    for kind in ("", "x" * 16, "Chat", "a_b", "ü"):
        with pytest.raises(ValueError):
            MultipeerConnectivity("Alice", kind)
    with pytest.raises(TypeError):
        MultipeerConnectivity("Alice", service, initial_data=object())


def test_service_types_that_only_apple_took_meet_all_the_same() -> None:
    alice, bob = Program("Alice", "1.2"), Program("Bob", "1.2")
    try:
        alice.until(has("added"))
        bob.until(has("added"))
    finally:
        ended(alice, bob)


def test_a_program_without_this_api_is_added_and_heard(service: str) -> None:
    alice = Program("Alice", service)
    try:
        with blocking.Session(service, "Other") as other:
            alice.until(has("added"))
            assert alice.of("added")[0][1] is None
            other.broadcast(b"plain text")
            other.broadcast(b'{"json": 1}')
            other.broadcast({"value": 2})
            alice.until(has("message", 3))
            assert [message for message, _ in alice.of("message")] == ["plain text", {"json": 1}, {"value": 2}]
            alice.send("for you")
            events = iter(other)
            # What the other one says of itself is nothing for the application.
            data = next(event.data for event in events if isinstance(event, multipeer.Message))
            assert data == "for you"
    finally:
        ended(alice)


def test_the_module_is_a_chat(service: str) -> None:
    command = [sys.executable, "-u", "-m", "multipeer"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    chats = [subprocess.Popen(command, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    seen: List[List[str]] = [[], []]

    def read(number: int) -> None:
        for line in chats[number].stdout:
            seen[number].append(line)

    readers = [threading.Thread(target=read, args=(number,), daemon=True) for number in range(2)]
    for chat, reader, name in zip(chats, readers, ("Alice", "Bob")):
        chat.stdin.write(name + "\n")
        chat.stdin.flush()
        reader.start()
    end = time.monotonic() + PATIENCE
    while not all(any("Added peer" in line for line in lines) for lines in seen):
        assert time.monotonic() < end, seen
        time.sleep(0.02)
    chats[0].stdin.write("hello\n")
    chats[0].stdin.flush()
    while not any("Message from Alice - hello" in line for line in seen[1]):
        assert time.monotonic() < end, seen
        time.sleep(0.02)
    for chat in chats:
        chat.stdin.close()
        assert chat.wait(PATIENCE) == 0
