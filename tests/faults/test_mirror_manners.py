"""What trickles, what is too much, and what is given up: against real sockets."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from core.errors import UpstreamError, UsageError
from mirror.fetch import Fetcher, Wanted
from mirror.locations import Location
from mirror.manners import Gate, Manners, Policy, manners_of, policy_of_run
from mirror.transport import Transport
from mirror.watch import Watch
from tests.faults.upstream import Upstream, raw, slowly, status

BODY = b"right" * 20
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nX-Padding: " + b"x" * 2000 + b"\r\n\r\n" + BODY
HASTY = Policy(
    attempts=1, base=0.01, longest_wait=1, connect=1, read=30, answer=1.0, slowest=10**6, window=0.5
)


def trickle(connection: socket.socket, text: bytes) -> None:
    """Send ``text`` byte by byte, each in time; whoever waits for all of it waits a minute."""
    with contextlib.suppress(OSError):
        for byte in text:
            connection.sendall(bytes([byte]))
            time.sleep(0.03)


@pytest.fixture
def listen() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Serve each connection by a function, on a socket that knows no HTTP; return ``host:port``."""
    listening = socket.create_server(("127.0.0.1", 0))
    served: list[Callable[[socket.socket], None]] = []

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with connection:
            served[0](connection)

    def start(serve: Callable[[socket.socket], None]) -> str:
        served.append(serve)
        threading.Thread(target=run, daemon=True).start()
        return f"127.0.0.1:{listening.getsockname()[1]}"

    yield start
    listening.close()


def wanted(place: Location) -> Wanted:
    return Wanted("x.jar", [place], len(BODY), {"sha256": hashlib.sha256(BODY).hexdigest()})


def asked(connection: socket.socket) -> None:
    connection.recv(65536)


def drips_headers(connection: socket.socket) -> None:
    asked(connection)
    trickle(connection, WHOLE)


def drips_handshake(connection: socket.socket) -> None:
    """The beginning of a TLS record of 16 KiB that never comes to its end."""
    asked(connection)
    trickle(connection, b"\x16\x03\x03\x40\x00" + b"\x02" * 2000)


def drips_tunnel(connection: socket.socket) -> None:
    asked(connection)
    trickle(connection, b"HTTP/1.1 200 Connection established\r\nX: " + b"x" * 2000)


def drips_chunk_line(connection: socket.socket) -> None:
    asked(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    trickle(connection, b"64;" + b"x" * 2000 + b"\r\n")


def drips_chunk(connection: socket.socket) -> None:
    asked(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n")
    trickle(connection, b"x" * 2000)


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (drips_headers, "took too long"),
        (drips_chunk_line, "took too long"),
        (drips_chunk, "bytes came in"),
    ],
)
def test_an_answer_that_trickles_is_given_up(tmp_path: Path, listen: Any, serve: Any, words: str) -> None:
    place = Location(f"http://{listen(serve)}/x.jar")
    with pytest.raises(UpstreamError) as caught:
        Fetcher(tmp_path, HASTY).download(wanted(place))
    assert words in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_handshake_that_trickles_is_given_up(tmp_path: Path, listen: Any) -> None:
    with pytest.raises(UpstreamError) as caught:
        Fetcher(tmp_path, HASTY).download(wanted(Location(f"https://{listen(drips_handshake)}/x.jar")))
    assert "after 1 tries" in caught.value.message


def test_a_proxy_that_trickles_is_given_up(tmp_path: Path, listen: Any) -> None:
    place = Location("https://files.invalid/x.jar", proxies={"https": f"http://{listen(drips_tunnel)}"})
    with pytest.raises(UpstreamError) as caught:
        Fetcher(tmp_path, HASTY).download(wanted(place))
    assert "took too long" in caught.value.message


def test_what_is_given_up_ends_although_the_server_says_nothing(tmp_path: Path, listen: Any) -> None:
    """One transfer waits for headers, one for the rest of its body, one for its turn: all end at once."""
    waiting = threading.Barrier(3, timeout=20)

    def serve(connection: socket.socket) -> None:
        if b"/body" in connection.recv(65536):
            connection.sendall(WHOLE[:-10])
        waiting.wait()
        connection.recv(1)  # nothing more until the client ends it

    host = listen(serve)
    fetcher = Fetcher(tmp_path, Policy(per_host=2))
    with ThreadPoolExecutor(3) as pool:
        found = [
            pool.submit(fetcher.download, wanted(Location(f"http://{host}/{name}")))
            for name in ("body", "headers", "turn")
        ]
        waiting.wait()
        time.sleep(0.2)  # until the client, too, waits
        fetcher.stop()
        for one in found:
            with pytest.raises(UpstreamError):
                one.result(timeout=20)
    assert list(tmp_path.iterdir()) == []


def test_nothing_begins_once_all_is_given_up() -> None:
    watch, ended = Watch(), []
    with pytest.raises(TimeoutError), watch.limit(60, lambda: ended.append("first")):
        watch.end_all()
    begun = []
    with pytest.raises(TimeoutError), watch.limit(60, lambda: ended.append("second")):
        begun.append("second")
    assert (ended, begun) == (["first"], [])


def test_a_host_that_takes_few_at_a_time_gets_few_and_gives_all(tmp_path: Path, upstream: Upstream) -> None:
    now, lock = [0], threading.Lock()

    def answer(handler: Any) -> None:
        with lock:
            now[0] += 1
            crowded = now[0] > 5
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        handler.give(429 if crowded else 200, BODY)

    place = Location(upstream.set("/x.jar", answer))
    fetcher = Fetcher(tmp_path, Policy(attempts=20, base=0.01, longest_wait=1, per_host=40))
    with ThreadPoolExecutor(40) as pool:
        done = list(pool.map(lambda _: fetcher.download(wanted(place)), range(120)))
    assert all(item.path.read_bytes() == BODY for item in done)
    # With forty at a time all along, thirty-five of each forty would be turned away.
    assert upstream.count("/x.jar") < 3 * 120


def test_large_files_come_a_few_at_a_time(upstream: Upstream) -> None:
    now, most, lock = [0], [0], threading.Lock()

    def answer(handler: Any) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        handler.give(200, BODY)

    place = Location(upstream.set("/x.jar", answer))
    transport = Transport(Policy(per_host=10, large=2))

    def once(_: int) -> bytes:
        with transport.answer(place, {}, large=True) as found:
            return b"".join(transport.body(found, 1000))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(once, range(12))) == [BODY] * 12
    assert most[0] == 2


def test_apaches_archive_has_a_budget_and_the_error_tells_how_to_raise_it(
    tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay of the archive's layout on loopback; what came before the budget was spent is there."""
    monkeypatch.setenv("PNDA_APACHE_TRUSTED", f"http://downloads.invalid {upstream.base}/dist")
    monkeypatch.setenv("PNDA_APACHE_REQUESTS", "3")
    places = [Location(upstream.set(f"/dist/flink/flink-1.20.{patch}/x.jar", BODY)) for patch in range(5)]
    fetcher = Fetcher(tmp_path)
    done = [fetcher.download(wanted(place)) for place in places[:3]]
    for place in places[3:]:
        with pytest.raises(UpstreamError) as caught:
            fetcher.download(wanted(place))
        assert "made the 3 requests" in caught.value.message
        assert "PNDA_APACHE_REQUESTS" in caught.value.cure
    assert upstream.count() == 3
    assert all(item.path.read_bytes() == BODY for item in done)
    assert Fetcher(tmp_path).download(wanted(places[3])).path.read_bytes() == BODY


def test_apaches_hosts_are_spared_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PNDA_APACHE_TRUSTED", "PNDA_APACHE_REQUESTS"):
        monkeypatch.delenv(name, raising=False)
    policy = Policy(per_host=40)
    assert manners_of("archive.apache.org", policy) == Manners(2, 0.2, 500)
    assert manners_of("downloads.apache.org", policy) == Manners(2)
    assert manners_of("dlcdn.apache.org", policy) == Manners(40)
    assert manners_of("downloads.apache.org", Policy(per_host=1)) == Manners(1)


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "257", "³"])
def test_a_nonsense_number_of_connections_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PNDA_MIRROR_CONNECTIONS", text)
    with pytest.raises(UsageError) as caught:
        policy_of_run()
    assert "PNDA_MIRROR_CONNECTIONS" in caught.value.message


class Clock(threading.Event):
    """Waiting is noted and takes no time."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        return False


def test_requests_begin_with_a_gap_and_all_wait_when_the_host_asks_for_quiet() -> None:
    clock = Clock()
    gate = Gate("host", Manners(4, 10.0), Policy(longest_wait=60), clock)
    for _ in range(3):
        with gate.turn(large=False):
            pass
    assert [round(seconds) for seconds in clock.waited] == [10, 20]
    with gate.turn(large=False) as turn:
        turn.complain(50.0)
        turn.complain(5000.0)  # more than we ever wait: that request fails, the others do not stand still
    clock.waited.clear()
    with gate.turn(large=False):
        pass
    assert [round(seconds) for seconds in clock.waited] == [50]


def test_the_width_is_halved_once_per_round_and_grows_again() -> None:
    gate = Gate("host", Manners(40), Policy(), threading.Event())
    turns = [contextlib.ExitStack() for _ in range(4)]
    first = [stack.enter_context(gate.turn(large=False)) for stack in turns]
    for turn in first:
        turn.complain(None)
    assert gate.width == 20
    with gate.turn(large=False) as later:
        later.complain(None)
    assert gate.width == 10
    for stack in turns:
        stack.close()
    for _ in range(200):
        with gate.turn(large=False) as turn:
            turn.praise()
    assert 20 < gate.width < 40
    for _ in range(2000):
        with gate.turn(large=False) as turn:
            turn.praise()
    assert gate.width == 40


def test_an_absent_file_does_not_cost_the_connection(tmp_path: Path, upstream: Upstream) -> None:
    ports = set()

    def absent(handler: Any) -> None:
        ports.add(handler.client_address[1])
        status(404, {}, b"no such file")(handler)

    fetcher = Fetcher(tmp_path, Policy())
    for _ in range(4):
        assert fetcher.text(Location(upstream.set("/x.sha1", absent)), 100) is None
    assert len(ports) == 1


def test_a_broken_answer_is_no_fault_of_the_next(tmp_path: Path, upstream: Upstream) -> None:
    """A connection that was left in the middle is never used again."""
    fetcher = Fetcher(tmp_path, Policy(attempts=3, base=0.01, read=5))
    place = Location(upstream.set("/x.jar", raw(WHOLE[:-10]), slowly(BODY, 0.1)))
    assert fetcher.download(wanted(place)).path.read_bytes() == BODY
