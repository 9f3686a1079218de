"""The examples of the documentation do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

from conftest import PATIENCE

EXAMPLES = Path(__file__).parent.parent / "examples"
PIPES: Dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


def start(example: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-u", str(EXAMPLES / example), *arguments], **PIPES)


def until(program: "subprocess.Popen[str]", words: str) -> None:
    assert program.stdout is not None
    for line in program.stdout:
        if words in line:
            return
    raise AssertionError(f"{words!r} was not said")


def say(program: "subprocess.Popen[str]", line: str) -> None:
    assert program.stdin is not None
    program.stdin.write(line + "\n")
    program.stdin.flush()


def test_two_chat() -> None:
    alice, bob = start("chat.py", "Alice"), start("chat.py", "Bob")
    until(alice, "Bob is here")
    until(bob, "Alice is here")
    say(alice, "hello")
    until(bob, "Alice: hello")
    say(alice, "")
    until(bob, "Alice it left")
    say(bob, "")
    assert [program.wait(PATIENCE) for program in (alice, bob)] == [0, 0]


def test_a_file_is_dropped(tmp_path: Path) -> None:
    content = os.urandom(4_000_000)
    (tmp_path / "film.mkv").write_bytes(content)
    receiver = start("drop.py", "receive", str(tmp_path / "in"))
    until(receiver, "waiting")
    sender = start("drop.py", "send", str(tmp_path / "film.mkv"))
    assert [program.wait(PATIENCE) for program in (sender, receiver)] == [0, 0]
    assert sender.stdout is not None and "film.mkv: 4000000 bytes" in sender.stdout.read()
    assert (tmp_path / "in" / "film.mkv").read_bytes() == content


def test_the_example_of_pythonista_multipeer_runs_as_it_is() -> None:
    alice, bob = start("pythonista.py"), start("pythonista.py")
    say(alice, "Alice")
    say(bob, "Bob")
    until(alice, "Added peer Bob")
    until(bob, "Added peer Alice")
    say(alice, "hello")
    until(bob, "Message from Alice - hello")
    alice.kill()
    bob.kill()
