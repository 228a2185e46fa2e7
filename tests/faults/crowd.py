"""Many clients at once, in a process of their own: ``python -m tests.faults.crowd BASE CA COUNT PATH...``.

All connections are open before the first request is sent; client N asks for path N modulo their
number. Prints one JSON object: SHA-256 by path, each with how often it came, and the errors.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import sys
from collections import Counter
from urllib.parse import urlsplit


async def crowd(base: str, ca: str, count: int, paths: list[str]) -> dict[str, dict[str, int]]:
    where = urlsplit(base)
    context = ssl.create_default_context(cafile=ca) if ca != "-" else None
    found: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    arrived, start = 0, asyncio.Event()

    async def client(number: int) -> None:
        nonlocal arrived
        path = paths[number % len(paths)]
        try:
            reader, writer = await asyncio.open_connection(
                where.hostname, where.port, ssl=context, ssl_handshake_timeout=60 if context else None
            )
            arrived += 1
            if arrived == count:
                start.set()
            await start.wait()
            writer.write(f"GET {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            digest, size = hashlib.sha256(), 0
            while chunk := await reader.read(1 << 16):
                digest.update(chunk)
                size += len(chunk)
            assert f"Content-Length: {size}\r\n".encode() in head
            found[f"{path} {digest.hexdigest()}"] += 1
            writer.close()
        except (OSError, AssertionError, asyncio.IncompleteReadError) as error:
            errors[f"{type(error).__name__}: {error}"] += 1
            start.set()

    async with asyncio.timeout(100):
        await asyncio.gather(*(client(number) for number in range(count)))
    return {"found": dict(found), "errors": dict(errors)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(crowd(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]))))
