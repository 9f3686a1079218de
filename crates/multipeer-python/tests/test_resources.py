"""Files, folders and data."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import multipeer
import pytest
from conftest import pair, run, until


def test_a_file_arrives_with_progress_on_both_sides(service: str, tmp_path: Path) -> None:
    async def test() -> None:
        content = os.urandom(5_000_000)
        (tmp_path / "film.mkv").write_bytes(content)
        async with pair(service) as (alice, bob):
            transfer = await alice.send_resource(bob.id, tmp_path / "film.mkv")
            assert (transfer.name, transfer.direction, transfer.peer.id) == ("film.mkv", "sending", bob.id)
            offered = await until(bob, multipeer.ResourceOffered)
            offer = offered.offer
            assert (offer.name, offer.kind, offer.size, offer.count) == ("film.mkv", "file", len(content), 1)
            receiving = await offer.accept(tmp_path / "in")
            fractions = [progress.fraction async for progress in transfer]
            assert fractions == sorted(fractions)  # type: ignore[type-var]
            report = await receiving.finished()
            assert report.path == str(tmp_path / "in" / "film.mkv") and report.bytes == len(content)
            assert Path(report.path).read_bytes() == content
            assert (await transfer.finished()).bytes == len(content)
            ended = await until(bob, multipeer.TransferEnded)
            assert ended.error is None and ended.path == report.path
            with pytest.raises(multipeer.TransferError, match="already"):
                await offer.accept(tmp_path)

    run(test)


def test_a_folder_and_data_arrive(service: str, tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "photos" / "2026").mkdir(parents=True)
        (tmp_path / "photos" / "2026" / "one.txt").write_text("one")
        async with pair(service) as (alice, bob):
            await alice.send_resource(bob.id, str(tmp_path / "photos"))
            offer = (await until(bob, multipeer.ResourceOffered)).offer
            assert offer.kind == "folder"
            await (await offer.accept(tmp_path / "in")).finished()
            assert (tmp_path / "in" / "photos" / "2026" / "one.txt").read_text() == "one"
            await alice.send_resource(bob.id, b"some data", name="data.bin")
            offer = (await until(bob, multipeer.ResourceOffered)).offer
            report = await (await offer.accept_as(tmp_path / "other.bin")).finished()
            assert report.path is not None and Path(report.path).read_bytes() == b"some data"

    run(test)


def test_what_is_declined_and_what_is_cancelled_fails_on_the_other_side(service: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with pair(service) as (alice, bob):
            transfer = await alice.send_resource(bob.id, b"data")
            (await until(bob, multipeer.ResourceOffered)).offer.decline("no room")
            with pytest.raises(multipeer.TransferError, match="no room"):
                await transfer.finished()
            transfer = await alice.send_resource(bob.id, bytes(80_000_000))
            receiving = await (await until(bob, multipeer.ResourceOffered)).offer.accept(tmp_path)
            transfer.cancel()
            with pytest.raises(multipeer.TransferError):
                await receiving.finished()
            ended = await until(bob, multipeer.TransferEnded)
            assert ended.error

    run(test)


def test_a_transfer_pauses_and_goes_on(service: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with pair(service) as (alice, bob):
            transfer = await alice.send_resource(bob.id, bytes(50_000_000))
            transfer.pause()
            receiving = await (await until(bob, multipeer.ResourceOffered)).offer.accept(tmp_path)
            while receiving.progress.state != "paused":
                await asyncio.sleep(0.01)
            transfer.resume()
            assert (await receiving.finished()).bytes == 50_000_000

    run(test)


def test_what_is_not_there_cannot_be_sent(service: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with pair(service) as (alice, bob):
            with pytest.raises(multipeer.TransferError, match="missing"):
                await alice.send_resource(bob.id, tmp_path / "missing")

    run(test)


def test_small_resources_are_taken_without_asking(service: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with pair(service, accept_resources=(tmp_path, 1000)) as (alice, bob):
            await alice.send_resource(bob.id, b"small", name="small.txt")
            ended = await until(bob, multipeer.TransferEnded)
            assert ended.error is None and ended.path == str(tmp_path / "small.txt")

    run(test)
