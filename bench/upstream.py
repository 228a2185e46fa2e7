"""A quick loopback web server for measurements: keep-alive, sendfile, and a delay before each answer.

Run as ``python -m bench.upstream FOLDER SECONDS``; it prints its port, and serves until its standard
input ends. It then prints how many requests it answered.
"""

from __future__ import annotations

import asyncio
import sys
from email.utils import formatdate
from pathlib import Path
from urllib.parse import unquote


class Server:
    """Serves the files directly in ``folder``; waits ``delay`` seconds before each answer."""

    def __init__(self, folder: Path, delay: float) -> None:
        self._folder, self._delay = folder, delay
        self.requests = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests until the client closes it."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await self._answer(head.decode("latin-1").splitlines(), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has what it wants
        finally:
            writer.close()

    async def _answer(self, lines: list[str], writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        method, target, _ = lines[0].split(" ")
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        if self._delay:
            await asyncio.sleep(self._delay)
        path = self._folder / unquote(target).rsplit("/", 1)[-1]
        if not path.is_file():
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        size = path.stat().st_size
        first, last = _span(fields.get("range", ""), size)
        head = [
            "HTTP/1.1 200 OK" if last - first + 1 == size else "HTTP/1.1 206 Partial Content",
            f"Content-Length: {last - first + 1}", f'ETag: "{size:x}"', "Accept-Ranges: bytes",
            "Content-Type: application/octet-stream", f"Date: {formatdate(usegmt=True)}",
        ]  # fmt: skip
        if last - first + 1 != size:
            head.append(f"Content-Range: bytes {first}-{last}/{size}")
        writer.write("\r\n".join([*head, "", ""]).encode())
        if method == "HEAD":
            return
        with path.open("rb") as stream:
            await asyncio.get_running_loop().sendfile(writer.transport, stream, first, last - first + 1)


def _span(asked: str, size: int) -> tuple[int, int]:
    if not asked.startswith("bytes="):
        return 0, size - 1
    first, _, last = asked.removeprefix("bytes=").partition("-")
    return int(first), min(int(last or size), size - 1)


async def serve(folder: Path, delay: float) -> None:
    """Serve until standard input ends."""
    server = Server(folder, delay)
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0, backlog=256)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(server.requests, flush=True)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), float(sys.argv[2])))
