"""Seals outside the database: one JSON document a line, with an Ed25519 signature."""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from holonstream.producers.log.seals import Seal
from holonstream.schemas import jsontext
from holonstream.schemas.errors import BadData


def private_key(file: Path) -> Ed25519PrivateKey:
    """The key in a PEM file without a password. Raises BadData."""
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise BadData(f"{file} is no private key in PEM without a password: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadData(f"{file} is no Ed25519 key")
    return key


def public_key(file: Path) -> Ed25519PublicKey:
    """The key in a PEM file. Raises BadData."""
    try:
        key = load_pem_public_key(file.read_bytes())
    except ValueError as error:
        raise BadData(f"{file} is no public key in PEM: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadData(f"{file} is no Ed25519 key")
    return key


def signed_line(seal: Seal, key: Ed25519PrivateKey) -> str:
    """A seal with its signature, as a line of a file."""
    signature = base64.b64encode(key.sign(seal.message())).decode()
    return jsontext.encode_sorted({**seal.document(), "signature": signature}).decode()


def read_signed(file: Path, key: Ed25519PublicKey) -> list[Seal]:
    """The seals of a file. Raises BadData at the first line that is none, or that the key did not sign."""
    seals = []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        try:
            seals.append(_signed_seal(line, key))
        except BadData as error:
            raise BadData(f"{file}, line {number}: {error}") from None
    return seals


def _signed_seal(line: bytes, key: Ed25519PublicKey) -> Seal:
    document = jsontext.decode(line)
    if not isinstance(document, dict):
        raise BadData("no seal")
    seal = Seal.of(document)
    try:
        key.verify(base64.b64decode(str(document.get("signature")), validate=True), seal.message())
    except (InvalidSignature, ValueError):  # ValueError: no base64
        raise BadData(f"seal {seal.number} is not signed by this key") from None
    return seal
