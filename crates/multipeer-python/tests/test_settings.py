"""Settings: certificates, identities, topologies, hubs."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import List

import multipeer
import pytest
from conftest import pair, run, until
from multipeer import Certificate, Session


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def issue(folder: Path, name: str) -> Certificate:
    """A certificate for a name, of the authority of this folder, which is made with the first."""
    if not (folder / "ca.pem").exists():
        authority = ["-subj", "/CN=authority", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem"]
        openssl(folder, "req", "-x509", "-newkey", "ed25519", "-nodes", *authority)
    (folder / "names").write_text(f"subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n")
    files = ["-keyout", f"{name}.key", "-out", f"{name}.csr"]
    openssl(folder, "req", "-newkey", "ed25519", "-nodes", "-subj", f"/CN={name}", *files)
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "names"]
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed)
    chain, key, roots = ((folder / file).read_bytes() for file in (f"{name}.pem", f"{name}.key", "ca.pem"))
    return Certificate(chain, key, roots)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
def test_those_whose_certificates_one_authority_issued_meet(service: str, tmp_path: Path) -> None:
    async def test() -> None:
        papers: List[Certificate] = []
        for organisation in ("ours", "theirs"):
            folder = tmp_path / organisation
            folder.mkdir()
            papers += [issue(folder, f"{name}.{organisation}") for name in ("one", "two")]
        ours, other, stranger, _ = papers
        async with Session(service, "Alice", certificate=ours) as alice:
            async with Session(service, "Mallory", certificate=stranger) as mallory:
                await until(mallory, multipeer.InvitationFailed)
            async with Session(service, "Bob", certificate=other) as bob:
                await until(bob, multipeer.PeerConnected)
                assert bob.verified(alice.id) == "certificate"
        with pytest.raises(multipeer.StartError, match="certificate"):
            async with Session(service, "Alice", certificate=Certificate(b"", b"", b"")):
                pass
        assert "PRIVATE" not in repr(ours)

    run(test)


def test_an_identity_is_kept_and_listed_ones_get_in(service: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with Session(service, "Alice", identity=tmp_path / "key") as alice:
            kept = alice.id
        async with Session(service, "Bob", allow=[kept]) as bob:
            async with Session(service, "Stranger") as stranger:
                await until(stranger, multipeer.InvitationFailed)
            async with Session(service, "Alice", identity=str(tmp_path / "key"), allow=[bob.id]) as alice:
                assert alice.id == kept
                await until(bob, multipeer.PeerConnected)
                assert bob.verified(kept) == "allowlist"

    run(test)


def test_clients_are_linked_with_their_host_alone(service: str) -> None:
    async def test() -> None:
        async with Session(service, "Host", topology="host", hub=True) as host:
            async with Session(service, "One", topology="client") as one, Session(service, "Two", topology="client") as two:
                await until(host, multipeer.PeerConnected)
                await until(host, multipeer.PeerConnected)
                await asyncio.sleep(0.3)
                assert [peer.display_name for peer in one.peers] == ["Host"]
                assert [peer.display_name for peer in two.peers] == ["Host"]

    run(test)


def test_who_announces_privately_is_named_when_it_is_let_in(service: str) -> None:
    async def test() -> None:
        async with pair(service, announce="private", passcode="481-516") as (alice, bob):
            (peer,) = alice.peers
            assert peer.display_name == "Bob" and peer.id == bob.id
            assert all(near.display_name != "Bob" or near.id == bob.id for near in alice.nearby)

    run(test)
