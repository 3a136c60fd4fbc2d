"""The Merkle tree of seals, against the examples of RFC 6962's reference implementation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from holonstream.ops.verify.signature import read_signed, signed_line
from holonstream.producers.log.seals import Seal, merkle_root
from holonstream.schemas.errors import BadData

# certificate-transparency, merkletree tests: the leaves, and the root over the first n of them
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
SEAL = Seal(1, 0, 7, 5, b"\1" * 32, b"", datetime(2026, 11, 28, 8, 0, tzinfo=UTC))


@pytest.mark.parametrize("count", ROOTS)
def test_the_root_is_that_of_the_reference(count: int) -> None:
    assert merkle_root(LEAVES[:count]).hex() == ROOTS[count]


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=40), st.data())
def test_any_change_of_a_leaf_changes_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(leaves) - 1))
    changed = [*leaves[:at], leaves[at] + b"x", *leaves[at + 1 :]]
    removed = leaves[:at] + leaves[at + 1 :]
    assert len({merkle_root(leaves), merkle_root(changed), merkle_root(removed)}) == 3


def test_a_seal_is_read_back_and_its_digest_covers_it() -> None:
    assert Seal.of(SEAL.document()) == SEAL
    assert Seal.of({**SEAL.document(), "events": 6}).digest() != SEAL.digest()
    with pytest.raises(BadData, match="No seal"):
        Seal.of({"number": 1})


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"\xff", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"1", "no seal"),
        (b'{"number": 1}', "No seal"),
        (b"unsigned", "seal 1 is not signed by this key"),
        (b"no base64", "seal 1 is not signed by this key"),
    ],
)
def test_a_line_that_is_no_signed_seal_is_named(tmp_path: Path, line: bytes, fault: str) -> None:
    key, file = Ed25519PrivateKey.generate(), tmp_path / "seals"
    signed = signed_line(SEAL, key)
    made = {b"unsigned": signed_line(SEAL, Ed25519PrivateKey.generate()), b"no base64": signed.replace("==", "ä")}
    file.write_bytes(f"{signed}\n".encode() + (made[line].encode() if line in made else line))
    with pytest.raises(BadData, match=f"seals, line 2: {fault}"):
        read_signed(file, key.public_key())
    file.write_text(f"{signed}\n")
    assert read_signed(file, key.public_key()) == [SEAL]
