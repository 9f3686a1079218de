"""Sessions for asyncio: meeting, messages, invitations, errors, cancellation."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any, Dict, List

import multipeer
import pytest
from conftest import PATIENCE, pair, run, until
from multipeer import Session

VALUES: List[Any] = [
    None,
    True,
    0,
    -1.5,
    2**53,
    "",
    "grüße \U0001f44b",
    [1, [2, {"three": None}]],
    {"text": "hi", "list": [1, 2]},
    b"",
    b"bytes",
    b"\x00\xffjson\n{}",
    b"\x00\xffdata\n\x00\xff",
    b"\x00\xff",
    bytes(range(256)) * 300,
]


def test_messages_arrive_as_they_were_and_in_order(service: str) -> None:
    async def test() -> None:
        async with pair(service) as (alice, bob):
            for value in VALUES:
                await alice.send(bob.id, value)
            for value in VALUES:
                message = await until(bob, multipeer.Message)
                assert (message.data, type(message.data)) == (value, type(value))
                assert message.reliable and message.peer.id == alice.id and message.peer.display_name == "Alice"

    run(test)


def test_bytearrays_and_memoryviews_arrive_as_bytes(service: str) -> None:
    async def test() -> None:
        async with pair(service) as (alice, bob):
            for value in (bytearray(b"one"), memoryview(b"one two")[:3]):
                await alice.send(bob.id, value)
                assert (await until(bob, multipeer.Message)).data == b"one"

    run(test)


def test_what_is_neither_bytes_nor_json_is_refused_and_sends_nothing(service: str) -> None:
    async def test() -> None:
        async with pair(service) as (alice, bob):
            for value in (object(), {1, 2}, float("nan")):
                with pytest.raises((TypeError, ValueError)):
                    await alice.send(bob.id, value)
            await alice.send(bob.id, "after")
            assert (await until(bob, multipeer.Message)).data == "after"

    run(test)


def test_a_message_as_large_as_may_be_arrives_and_a_larger_one_is_refused(service: str) -> None:
    async def test() -> None:
        async with pair(service) as (alice, bob):
            large = bytes(16 * 1024 * 1024)
            await alice.send(bob.id, large)
            assert (await until(bob, multipeer.Message)).data == large
            with pytest.raises(multipeer.SendError, match="16777217"):
                await alice.send(bob.id, large + b"!")

    run(test)


def test_three_get_what_is_sent_to_all_and_to_a_list(service: str) -> None:
    async def test() -> None:
        async with pair(service) as (alice, bob), Session(service, "Carol") as carol:
            await until(carol, multipeer.PeerConnected)
            await until(carol, multipeer.PeerConnected)
            await until(alice, multipeer.PeerConnected)
            assert {peer.display_name for peer in alice.peers} == {"Bob", "Carol"}
            await alice.broadcast({"to": "all"})
            await alice.send(list(alice.peers), "to a list")
            for other in (bob, carol):
                assert (await until(other, multipeer.Message)).data == {"to": "all"}
                assert (await until(other, multipeer.Message)).data == "to a list"

    run(test)


def test_unreliable_messages_arrive_on_a_network_that_loses_none(service: str) -> None:
    async def test() -> None:
        async with pair(service) as (alice, bob):
            size = alice.max_unreliable_size(bob.id)
            assert size is not None and size >= 1000
            alice.send_unreliable(bob.id, b"x" * size)
            message = await until(bob, multipeer.Message)
            assert message.data == b"x" * size and not message.reliable
            with pytest.raises(multipeer.SendError):
                alice.send_unreliable(bob.id, bytes(70_000))
            alice.broadcast_unreliable([1])
            assert (await until(bob, multipeer.Message)).data == [1]

    run(test)


def test_a_peer_says_what_it_is_and_is_a_key(service: str) -> None:
    async def test() -> None:
        async with pair(service, discovery_info={"mood": "happy"}) as (alice, bob):
            (peer,) = alice.peers
            assert peer.display_name == "Bob" and peer.id == bob.id and peer.discovery_info == {"mood": "happy"}
            assert {peer: 1}[bob_in_nearby(alice, bob.id)] == 1 and peer != bob.id
            assert str(peer) == "Bob" and peer.hash() == bob_in_nearby(alice, bob.id).hash()
            bob.set_discovery_info({"mood": "tired"})
            updated = await until(alice, multipeer.PeerUpdated)
            assert updated.peer == peer and updated.peer.discovery_info == {"mood": "tired"}

    run(test)


def bob_in_nearby(alice: Session, bob: str) -> multipeer.Peer:
    return next(peer for peer in alice.nearby if peer.id == bob)


def test_an_invitation_is_accepted_or_declined_by_the_application(service: str) -> None:
    async def test() -> None:
        async with Session(service, "Alice", joining="ask") as alice, Session(service, "Bob", joining="ask") as bob:
            found = await until(alice, multipeer.PeerFound)
            asked = asyncio.ensure_future(alice.invite(found.peer, b"join us"))
            invitation = await until(bob, multipeer.InvitationReceived)
            assert invitation.context == b"join us" and invitation.verified == "open"
            invitation.decline("not now")
            with pytest.raises(multipeer.InviteError, match="not now"):
                await asked
            with pytest.raises(multipeer.InviteError, match="already"):
                invitation.accept()
            asked = asyncio.ensure_future(alice.invite(found.peer))
            (await until(bob, multipeer.InvitationReceived)).accept()
            assert (await asked).id == bob.id
            await until(bob, multipeer.PeerConnected)

    run(test)


def test_an_invitation_that_is_cancelled_is_withdrawn(service: str) -> None:
    async def test() -> None:
        async with Session(service, "Alice", joining="ask") as alice, Session(service, "Bob", joining="ask") as bob:
            found = await until(alice, multipeer.PeerFound)
            asked = asyncio.ensure_future(alice.invite(found.peer))
            invitation = await until(bob, multipeer.InvitationReceived)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            await until(bob, multipeer.InvitationWithdrawn)
            assert invitation.peer.id == alice.id

    run(test)


def test_who_knows_the_passcode_gets_in_and_who_does_not_is_told(service: str) -> None:
    async def test() -> None:
        async with Session(service, "Alice", passcode=True) as alice:
            code = alice.passcode
            assert code is not None
            async with Session(service, "Mallory", passcode="wrong one") as mallory:
                failed = await until(mallory, multipeer.InvitationFailed)
                assert failed.peer.id == alice.id and failed.error
            async with Session(service, "Bob", passcode=code) as bob:
                await until(bob, multipeer.PeerConnected)
                assert bob.verified(alice.id) == "passcode"

    run(test)


def test_a_preshared_key_and_a_list_of_ids_let_in(service: str) -> None:
    async def test() -> None:
        async with pair(service, psk=("team", b"0123456789abcdef")) as (alice, bob):
            assert alice.verified(bob.id) == "preshared_key"
            assert alice.comparison(bob.id) == bob.comparison(alice.id) is not None

    run(test)


def test_nudges_pings_and_activity(service: str) -> None:
    async def test() -> None:
        async with pair(service) as (alice, bob):
            await alice.nudge(bob.id, "look")
            assert (await until(bob, multipeer.Nudged)).text == "look"
            assert 0 < await alice.ping(bob.id) < PATIENCE and await alice.ping(bob.id, reliable=False) > 0
            assert alice.is_viable(bob.id)
            bob.set_activity("background")
            assert (await until(alice, multipeer.ActivityChanged)).activity == "background"
            assert alice.activity(bob.id) == "background"
            # Of so few links all are kept.
            assert not alice.is_resting(bob.id)

    run(test)


def test_who_leaves_and_who_is_removed_is_told_of(service: str) -> None:
    async def test() -> None:
        async with pair(service) as (alice, bob):
            await bob.close()
            gone = await until(alice, multipeer.PeerDisconnected)
            assert gone.reason == "left" and gone.peer.id and gone.unconfirmed == []
            async with Session(service, "Carol") as carol:
                await until(carol, multipeer.PeerConnected)
                await until(alice, multipeer.PeerConnected)
                await alice.remove(carol.id, "bye")
                expelled = await until(carol, multipeer.PeerDisconnected)
                assert expelled.reason == "expelled" and "bye" in expelled.text

    run(test)


def test_events_work_in_match(service: str) -> None:
    if sys.version_info < (3, 10):
        pytest.skip("match came with Python 3.10")
    source = (
        "match event:\n"
        "    case multipeer.PeerConnected(peer): result = peer\n"
        "    case multipeer.Message(peer, data): result = data\n"
    )
    peer = multipeer.Peer("00" * 32, "Bob")
    for event, expected in ((multipeer.PeerConnected(peer), peer), (multipeer.Message(peer, [1]), [1])):
        names = {"event": event, "multipeer": multipeer}
        exec(source, names)
        assert names["result"] == expected


def test_waiting_for_an_event_can_be_cancelled_and_none_is_lost(service: str) -> None:
    async def test() -> None:
        async with pair(service) as (alice, bob):

            async def tell() -> None:
                for number in range(500):
                    await alice.send(bob.id, number)
                    await asyncio.sleep(0)

            telling = asyncio.ensure_future(tell())
            numbers: List[int] = []
            while len(numbers) < 500:
                waiting = asyncio.ensure_future(bob.__anext__())
                # Now and then at the very moment at which one comes.
                await asyncio.wait([waiting], timeout=0.0002 * (len(numbers) % 3))
                waiting.cancel()
                try:
                    event = await waiting
                except asyncio.CancelledError:
                    continue
                if isinstance(event, multipeer.Message):
                    numbers.append(event.data)
            await telling
            assert numbers == list(range(500))

    run(test)


def test_a_sender_waits_for_a_receiver_that_does_not_read_and_the_loop_goes_on(service: str) -> None:
    async def test() -> None:
        async with pair(service) as (alice, bob):
            sent = 0

            async def send() -> None:
                nonlocal sent
                for _ in range(1000):
                    await alice.send(bob.id, bytes(256 * 1024))
                    sent += 1

            sending = asyncio.ensure_future(send())
            stood_still, longest, last = 0, 0.0, -1
            while stood_still < 20:
                begin = time.monotonic()
                await asyncio.sleep(0.05)
                longest = max(longest, time.monotonic() - begin)
                stood_still, last = (stood_still + 1 if sent == last else 0), sent
            assert sent < 500, "back-pressure reaches who awaits"
            assert longest < 2, f"the loop stood still for {longest} s"
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            for _ in range(sent):
                assert len((await until(bob, multipeer.Message)).data) == 256 * 1024

    run(test)


def test_errors_have_the_words_of_the_library_and_one_tree(service: str) -> None:
    async def test() -> None:
        stranger = "00" * 31 + "01"
        async with Session(service, "Alice") as alice:
            with pytest.raises(multipeer.SendError, match="not connected"):
                await alice.send(stranger, b"")
            with pytest.raises(multipeer.StreamError, match="not connected"):
                await alice.open_stream(stranger, "name")
            with pytest.raises(multipeer.TransferError, match="not connected"):
                await alice.send_resource(stranger, b"data")
            with pytest.raises(multipeer.InviteError, match="not known"):
                await alice.invite(stranger)
            with pytest.raises(multipeer.NudgeError):
                await alice.nudge(stranger)
            with pytest.raises(multipeer.RemoveError):
                await alice.remove(stranger)
            with pytest.raises(multipeer.PingError):
                await alice.ping(stranger)
            with pytest.raises(ValueError):
                await alice.send("no id", b"")
            for name in multipeer.__all__:
                kind = getattr(multipeer, name)
                if isinstance(kind, type) and issubclass(kind, Exception):
                    assert issubclass(kind, multipeer.MultipeerError)
        with pytest.raises(multipeer.SessionOverError):
            await alice.send(stranger, b"")
        await alice.close()

    run(test)


def test_settings_that_break_a_rule_are_named(service: str) -> None:
    async def test() -> None:
        for settings, words in (
            ({"service": "NOT ALLOWED"}, "service type"),
            ({"name": ""}, "name"),
            ({"joining": "perhaps"}, "joining"),
            ({"topology": "star"}, "topology"),
            ({"max_peers": 0}, "max_peers"),
            ({"reconnect_window": -1.0}, "reconnect_window"),
            ({"interfaces": ["nowhere7"]}, "nowhere7"),
            ({"allow": ["no id"]}, "id"),
            ({"psk": ("short", b"key")}, "16"),
            ({"ticket": "multipeer://nonsense"}, "ticket"),
        ):
            given: Dict[str, Any] = {"service": service, "name": "Alice", **settings}
            with pytest.raises(multipeer.StartError, match=words):
                async with Session(**given):
                    pass
        async with Session(service, "Alice") as alice:
            with pytest.raises(multipeer.StartError, match="port"):
                async with Session(service, "Bob", port=alice.port):
                    pass
            with pytest.raises(multipeer.SessionOverError):
                await alice.start()

    run(test)


def test_the_iterator_ends_when_the_session_does(service: str) -> None:
    async def test() -> None:
        async with Session(service, "Alice") as alice:

            async def read() -> int:
                return len([event async for event in alice])

            reading = asyncio.ensure_future(read())
            await asyncio.sleep(0.05)
            assert not reading.done()
            await alice.close()
            await asyncio.wait_for(reading, PATIENCE)

    run(test)


def test_a_loop_that_waits_on_no_sockets_is_called(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()

        def refuse(*_: Any) -> None:
            raise NotImplementedError

        # As on Windows.
        monkeypatch.setattr(loop, "add_reader", refuse)
        async with pair(service) as (alice, bob):
            await alice.send(bob.id, "hello")
            assert (await until(bob, multipeer.Message)).data == "hello"

    run(test)
