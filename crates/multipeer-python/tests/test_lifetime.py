"""What is left when sessions are over: nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from typing import Tuple

import multipeer
import pytest
from conftest import PATIENCE, run, until
from multipeer import Session

linux = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="it is told by /proc")


def left() -> Tuple[int, int, int]:
    """Threads, files, and KiB of memory of this process."""
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status if ":" in line)
    return int(lines["Threads"]), len(os.listdir("/proc/self/fd")), int(lines["VmRSS"].split()[0])


def settled() -> Tuple[int, int, int]:
    """What is left once this is the only thread: the system may count one that has ended for a moment more."""
    begin = time.monotonic()
    while left()[0] > 1 and time.monotonic() - begin < PATIENCE:
        time.sleep(0.01)
    return left()


@linux
def test_a_thousand_sessions_leave_no_threads_files_or_memory(service: str) -> None:
    async def open_and_close(count: int) -> None:
        for _ in range(count):
            async with Session(service, "Alice"):
                pass

    asyncio.run(open_and_close(200))
    threads, files, memory = settled()
    asyncio.run(open_and_close(800))
    threads_after, files_after, memory_after = settled()
    assert (threads_after, files_after) == (threads, files)
    assert memory_after - memory < 16 * 1024, f"{memory_after - memory} KiB more"


@linux
def test_threads_end_with_the_last_session_whatever_is_still_held(service: str) -> None:
    async def test() -> None:
        before = settled()[0]
        async with Session(service, "Alice") as alice, Session(service, "Bob") as bob:
            await until(alice, multipeer.PeerConnected)
            reader, writer = await alice.open_stream(bob.id, "kept")
            writer.write(b"!")
            opened = await until(bob, multipeer.StreamOpened)
            transfer = await alice.send_resource(bob.id, b"data")
            await bob.close()
            assert left()[0] > before, "the other one still runs"
        assert settled()[0] == before
        for pending in (reader.read(), opened.reader.read(), transfer.finished()):
            with pytest.raises(multipeer.SessionOverError):
                await pending

    run(test)


def test_an_interpreter_that_ends_with_a_session_open_says_goodbye(service: str) -> None:
    script = (
        "import sys, time\n"
        "from multipeer import PeerConnected\n"
        "from multipeer.blocking import Session\n"
        f"session = Session({service!r}, 'Script')\n"
        "session.start()\n"
        "next(event for event in session if isinstance(event, PeerConnected))\n"
        "sys.exit(3)\n"
    )

    async def test() -> None:
        async with Session(service, "Alice") as alice:
            program = subprocess.Popen([sys.executable, "-c", script])
            await until(alice, multipeer.PeerConnected)
            gone = await until(alice, multipeer.PeerDisconnected)
            assert gone.reason == "left"
            assert program.wait(PATIENCE) == 3

    run(test)


def test_a_loop_that_ends_with_a_session_open_harms_nothing(service: str) -> None:
    script = (
        "import asyncio, multipeer\n"
        "async def main():\n"
        f"    session = multipeer.Session({service!r}, 'Script')\n"
        "    await session.start()\n"
        "    waiting = asyncio.ensure_future(session.__anext__())\n"
        "    await asyncio.sleep(0.1)\n"
        "asyncio.run(main())\n"
        "print('done')\n"
    )
    program = subprocess.run(
        [sys.executable, "-X", "dev", "-c", script], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (program.returncode, program.stdout, program.stderr) == (0, "done\n", "")


def test_sessions_of_two_loops_in_two_threads_meet(service: str) -> None:
    met = []

    async def meet(name: str) -> None:
        async with Session(service, name) as session:
            met.append((await until(session, multipeer.PeerConnected)).peer.display_name)
            # Until the other one knows, too.
            while len(met) < 2:
                await asyncio.sleep(0.01)

    threads = [threading.Thread(target=lambda name=name: asyncio.run(meet(name))) for name in ("Alice", "Bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(met) == ["Alice", "Bob"]
