"""A chat with everyone who is near: `python chat.py NAME`."""

import asyncio
import sys

from multipeer import Message, PeerConnected, PeerDisconnected, Session


async def main(name: str) -> None:
    async with Session("chat-example", name) as session:

        async def show() -> None:
            async for event in session:
                if isinstance(event, Message):
                    print(f"{event.peer}: {event.data}")
                elif isinstance(event, PeerConnected):
                    print(f"{event.peer} is here")
                elif isinstance(event, PeerDisconnected):
                    print(f"{event.peer} {event.text}")

        showing = asyncio.ensure_future(show())
        loop = asyncio.get_running_loop()
        # An empty line, or the end of the input, ends it.
        while line := (await loop.run_in_executor(None, sys.stdin.readline)).rstrip("\n"):
            await session.broadcast(line)
        showing.cancel()


asyncio.run(main(sys.argv[1]))
