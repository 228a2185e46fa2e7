"""OpenPGP as bytes: armour, and what a signature packet says of itself (RFC 4880, RFC 9580).

Nothing here verifies anything; that is gpg's work (:mod:`mirror.gpg`). But only what this module
could read is handed to it, so that a message, a key or a web page never passes for a signature.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

# RFC 9580, section 9.5: the numbers of hash algorithms, and those that no longer prove anything.
HASHES = {
    1: "MD5", 2: "SHA1", 3: "RIPEMD160", 8: "SHA256", 9: "SHA384", 10: "SHA512", 11: "SHA224",
    12: "SHA3-256", 14: "SHA3-512",
}  # fmt: skip
WEAK_HASHES = frozenset({"MD5", "SHA1", "RIPEMD160"})

_SIGNATURE = 2
# Some publishers' tools put a detached signature into a compressed data packet (of unknown length, with
# the algorithm "uncompressed"), armoured as a message.
_DETACHED = ("SIGNATURE", "MESSAGE")
_UNCOMPRESSED = bytes([0xA3, 0])
_BEGIN = re.compile(r"-----BEGIN PGP ([A-Z0-9 ,/]+)-----")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*: ?.*")
_CRC = re.compile(r"=[A-Za-z0-9+/]{4}")


class FormatError(ValueError):
    """Bytes that are not the OpenPGP data that they should be; ``line`` is 1-based, if known."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True)
class Block:
    """One armoured block: its kind (``PUBLIC KEY BLOCK``), first line, bytes, or why it cannot be read."""

    kind: str
    line: int
    data: bytes
    fault: str = ""


@dataclass(frozen=True)
class SignatureFacts:
    """What a signature packet claims, unverified.

    ``signer`` is the fingerprint of the key (or subkey) that is said to have made it, or where the
    packet has none its key id of 16 hex digits, or "".
    """

    signer: str
    hash: str


def blocks(text: str) -> Iterator[Block]:
    """Yield the armoured blocks in ``text``, whatever prose stands around them."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        begin = _BEGIN.fullmatch(lines[number].strip())
        number += 1
        if not begin:
            continue
        first, kind = number, begin[1]
        end = f"-----END PGP {kind}-----"
        inner: list[str] = []
        while number < len(lines) and lines[number].strip() != end and not _BEGIN.match(lines[number]):
            inner.append(lines[number].strip())
            number += 1
        whole = number < len(lines) and lines[number].strip() == end
        number += whole
        try:
            if not whole:
                raise FormatError(f"it has no line {end}")
            yield Block(kind, first, _body(inner))
        except FormatError as error:
            yield Block(kind, first, b"", str(error))


def signatures(text: str) -> tuple[bytes, tuple[SignatureFacts, ...]]:
    """Return the detached signatures in the armoured ``text``: their packets' bytes, and their claims.

    Raises FormatError unless the text is armour of signature packets and nothing else, made over
    a document.
    """
    stripped = text.strip().lstrip("\ufeff")
    if not any(
        stripped.startswith(f"-----BEGIN PGP {kind}-----") and stripped.endswith(f"-----END PGP {kind}-----")
        for kind in _DETACHED
    ):
        raise FormatError("it is no armoured detached signature")
    raw, facts = b"", []
    for block in blocks(stripped):
        if block.fault or block.kind not in _DETACHED:
            raise FormatError(block.fault or f"it holds a {block.kind.lower()}")
        data = block.data.removeprefix(_UNCOMPRESSED)
        for tag, body in packets(data):
            if tag != _SIGNATURE:
                raise FormatError("it holds more than signatures")
            facts.append(_signature(body))
        raw += data
    if not facts:
        raise FormatError("it holds no signature")
    return raw, tuple(facts)


def packets(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (tag, body) for each packet in ``raw``. Raises FormatError for what is cut off or no packet."""
    at = 0
    while at < len(raw):
        head = raw[at]
        at += 1
        if not head & 0x80:
            raise FormatError("it is no OpenPGP packet")
        if head & 0x40:
            tag = head & 0x3F
            length, at = _new_length(raw, at)
        else:
            tag = (head >> 2) & 0x0F
            width = {0: 1, 1: 2, 2: 4}.get(head & 0x03)
            if width is None:
                raise FormatError("it holds a packet of unknown length")
            length, at = int.from_bytes(_take(raw, at, width), "big"), at + width
        yield tag, _take(raw, at, length)
        at += length


def armour(kind: str, data: bytes) -> str:
    """Return ``data`` as an armoured block of ``kind``, with its checksum, ending in a newline."""
    text = base64.b64encode(data).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    crc = base64.b64encode(_crc24(data).to_bytes(3, "big")).decode()
    return "\n".join([f"-----BEGIN PGP {kind}-----", "", *lines, f"={crc}", f"-----END PGP {kind}-----", ""])


def _body(lines: list[str]) -> bytes:
    start = next((i for i, line in enumerate(lines) if not line), -1)
    # Some writers leave out the empty line after the headers where there are none.
    if start >= 0 and not all(_HEADER.fullmatch(line) for line in lines[:start]):
        start = -1
    inner = [line for line in lines[start + 1 :] if line]
    checksum = inner.pop() if inner and _CRC.fullmatch(inner[-1]) else ""
    try:
        data = base64.b64decode("".join(inner), validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError("its armour is damaged") from error
    if not data:
        raise FormatError("it is empty")
    if checksum and base64.b64decode(checksum[1:]) != _crc24(data).to_bytes(3, "big"):
        raise FormatError("its checksum is wrong")
    return data


def _crc24(data: bytes) -> int:
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc


def _new_length(raw: bytes, at: int) -> tuple[int, int]:
    first = _take(raw, at, 1)[0]
    if first < 192:
        return first, at + 1
    if first < 224:
        return ((first - 192) << 8) + _take(raw, at + 1, 1)[0] + 192, at + 2
    if first == 255:
        return int.from_bytes(_take(raw, at + 1, 4), "big"), at + 5
    raise FormatError("it holds a packet in parts, which signatures and keys are not")


def _take(raw: bytes, at: int, length: int) -> bytes:
    if at + length > len(raw):
        raise FormatError("it is cut off")
    return raw[at : at + length]


def _signature(body: bytes) -> SignatureFacts:
    version = _take(body, 0, 1)[0]
    if version == 3:
        _take(body, 0, 17)
        kind, signer, number = body[2], body[7:15].hex().upper(), body[16]
    elif version in (4, 5, 6):
        kind, number = _take(body, 1, 1)[0], _take(body, 3, 1)[0]
        signer = _issuer(body, 4 if version == 6 else 2)
    else:
        raise FormatError(f"it is a signature of an unknown version ({version})")
    if kind not in (0, 1):
        raise FormatError("it is a signature, but of a key and not of a document")
    return SignatureFacts(signer, HASHES.get(number, f"hash {number}"))


def _issuer(body: bytes, width: int) -> str:
    """Return the issuer's fingerprint, else its key id, from a signature's hashed and unhashed parts."""
    fingerprint = key_id = ""
    at = 4
    for _ in range(2):
        length = int.from_bytes(_take(body, at, width), "big")
        part = _take(body, at + width, length)
        at += width + length
        inside = 0
        while inside < len(part):
            size, inside = _subpacket_length(part, inside)
            field = _take(part, inside, size)
            inside += size
            if not field:
                raise FormatError("it holds an empty field")
            kind = field[0] & 0x7F
            if kind == 33 and len(field) in (22, 34):
                fingerprint = fingerprint or field[2:].hex().upper()
            elif kind == 16 and len(field) == 9:
                key_id = key_id or field[1:].hex().upper()
    return fingerprint or key_id


def _subpacket_length(raw: bytes, at: int) -> tuple[int, int]:
    first = _take(raw, at, 1)[0]
    if 192 <= first < 255:
        return ((first - 192) << 8) + _take(raw, at + 1, 1)[0] + 192, at + 2
    return _new_length(raw, at)
