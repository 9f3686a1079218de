"""Python beside Rust, in turns: `MULTIPEER_INTERFACES=lo python speed.py PATH-OF-THE-COMMAND [TURNS]`.

Two processes on the loopback interface each: of `multipeer bench`, and of this file. Prints the medians and their ratios.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Dict, List

import multipeer

ROUND_TRIPS = 2000
LARGE = 64 * 1024
LARGE_COUNT = 4096


async def until(session: multipeer.Session) -> multipeer.Message:
    """The next message."""
    async for event in session:
        if isinstance(event, multipeer.Message):
            return event
    raise AssertionError("the session is over")


async def serve(service: str) -> None:
    """Sends small messages back, counts large ones, and leaves when the other one has."""
    async with multipeer.Session(service, "other") as session:
        count = 0
        async for event in session:
            if isinstance(event, multipeer.Message):
                if len(event.data) < LARGE:
                    await session.send(event.peer, event.data)
                else:
                    count += 1
                    if count % LARGE_COUNT == 0:
                        await session.send(event.peer, b"all")
            elif isinstance(event, multipeer.PeerDisconnected):
                return


def rust(command: str, what: str) -> float:
    """One turn of the Rust library's own benchmark."""
    size = str(LARGE * LARGE_COUNT >> 20)
    line = [command, "bench", "--json", "--turns", "1", "--size", size, "--only", what]
    output = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    row = next(value for value in map(json.loads, output.splitlines()) if value["event"] == "measured")
    return float(row["multipeer"])


async def measure(command: str, turns: int) -> None:
    service = f"speed-{os.getpid() % 100000}"
    other = subprocess.Popen([sys.executable, __file__, "serve", service])
    figures: Dict[str, List[float]] = {name: [] for name in ("rtt", "rust rtt", "rate", "rust rate")}
    async with multipeer.Session(service, "this") as session:
        async for event in session:
            if isinstance(event, multipeer.PeerConnected):
                break
        peer, loop = session.peers[0], asyncio.get_running_loop()
        for _ in range(turns):
            times = []
            for _ in range(ROUND_TRIPS):
                begin = time.perf_counter()
                await session.send(peer, b"x" * 64)
                await until(session)
                times.append(time.perf_counter() - begin)
            figures["rtt"].append(statistics.median(times))
            figures["rust rtt"].append(await loop.run_in_executor(None, rust, command, "round trip"))
            begin, data = time.perf_counter(), bytes(LARGE)
            for _ in range(LARGE_COUNT):
                await session.send(peer, data)
            await until(session)
            figures["rate"].append(LARGE_COUNT / (time.perf_counter() - begin))
            figures["rust rate"].append(await loop.run_in_executor(None, rust, command, f"messages, {LARGE}"))
    other.wait()
    rtt, rust_rtt, rate, rust_rate = (statistics.median(figures[name]) for name in figures)
    print(f"round trip of 64 bytes: {rtt * 1e6:.0f} us, Rust {rust_rtt * 1e6:.0f} us, ratio {rtt / rust_rtt:.2f} (at most 3)")
    print(f"messages of 64 KiB: {rate:.0f} /s, Rust {rust_rate:.0f} /s, ratio {rate / rust_rate:.2f} (at least 0.5)")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve(sys.argv[2]))
    else:
        asyncio.run(measure(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5))
