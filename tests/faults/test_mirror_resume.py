from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import UpstreamError, WorldError
from core.files import CHUNK
from mirror.fetch import Fetched, Fetcher, Wanted
from mirror.locations import Location
from mirror.manners import Policy
from mirror.partial import kept, partial, validator_of
from tests.faults.mirror_world import World
from tests.faults.upstream import Ranged, Upstream, flipped

BODY = os.urandom(6 * CHUNK + 12345)
HALF = 3 * CHUNK + 4321
OLD = "Mon, 01 Jan 2024 00:00:00 GMT"
ONCE = Policy(attempts=1, base=0.01, longest_wait=1, connect=5, read=5)


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    path = tmp_path / "fetched"
    path.mkdir()
    return path


@pytest.fixture
def cut(upstream: Upstream) -> Any:
    """A file of which the first request brings half."""
    server = Ranged(BODY, stop=HALF)
    server.cut = True
    upstream.set("/x.tgz", server)
    return server


def fetch(folder: Path, upstream: Upstream, body: bytes = BODY, policy: Policy = ONCE) -> Fetched:
    digests = {"sha256": hashlib.sha256(body).hexdigest(), "sha512": hashlib.sha512(body).hexdigest()}
    place = Location(f"{upstream.base}/x.tgz")
    return Fetcher(folder, policy).download(Wanted("x.tgz", [place], len(body), digests))


def half(folder: Path, upstream: Upstream, server: Ranged) -> int:
    """One try that ends in the middle, and leaves what it has; return where another may go on."""
    with pytest.raises(UpstreamError):
        fetch(folder, upstream)
    server.stop = -1
    server.sent = 0
    notes = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return int(notes[0]["offset"]) if notes else 0


@pytest.mark.parametrize(("etag", "modified"), [('"strong"', ""), ("", OLD), ('"strong"', OLD)])
def test_another_process_goes_on_where_the_last_one_ended(
    folder: Path, upstream: Upstream, cut: Ranged, etag: Any, modified: Any
) -> None:
    cut.etag, cut.modified = etag, modified
    start = half(folder, upstream, cut)
    assert HALF - CHUNK < start <= HALF
    done = fetch(folder, upstream)
    assert done.path.read_bytes() == BODY
    assert cut.asked == ["", f"bytes={start}-"]
    assert cut.sent == len(BODY) - start
    assert list(folder.iterdir()) == [done.path]


def test_a_retry_in_the_same_process_goes_on_too_and_progress_is_patience(
    folder: Path, upstream: Upstream
) -> None:
    """More resets than attempts are allowed, each of them further on."""
    server = Ranged(BODY, stop=CHUNK + 10)
    server.cut = True

    def answer(handler: Any) -> None:
        server(handler)
        server.stop += CHUNK + 10

    upstream.set("/x.tgz", answer)
    done = fetch(folder, upstream, policy=Policy(attempts=2, base=0.01, connect=5, read=5))
    assert done.path.read_bytes() == BODY
    assert len(server.asked) > 4


def changed_tag(server: Ranged) -> None:
    server.etag = '"two"'


def changed_tag_behind_our_back(server: Ranged) -> None:
    server.etag, server.honours_if_range = '"two"', False


def range_ignored(server: Ranged) -> None:
    server.honours_range = False


def range_refused(server: Ranged) -> None:
    server.refuse = 416


def wrong_start(server: Ranged) -> None:
    server.headers = {"Content-Range": f"bytes 0-{{last}}/{len(BODY)}"}


def wrong_length(server: Ranged) -> None:
    server.headers = {"Content-Range": f"bytes {{start}}-{{last}}/{len(BODY) + 1}"}


def unknown_length(server: Ranged) -> None:
    server.headers = {"Content-Range": "bytes {start}-{last}/*"}


def nonsense(server: Ranged) -> None:
    server.headers = {"Content-Range": "some of it"}


@pytest.mark.parametrize(
    "change",
    [
        changed_tag, changed_tag_behind_our_back, range_ignored, range_refused, wrong_start,
        wrong_length, unknown_length, nonsense,
    ],
)  # fmt: skip
def test_any_doubt_about_the_rest_starts_anew(
    folder: Path, upstream: Upstream, cut: Ranged, change: Any
) -> None:
    start = half(folder, upstream, cut)
    change(cut)
    done = fetch(folder, upstream)
    assert done.path.read_bytes() == BODY
    assert cut.asked[1] == f"bytes={start}-"
    assert cut.asked[2:] in ([], [""])
    assert list(folder.iterdir()) == [done.path]


@pytest.mark.parametrize(
    "change",
    [changed_tag, changed_tag_behind_our_back, range_ignored, range_refused, wrong_start, wrong_length],
)
def test_where_no_digest_is_known_yet_two_versions_are_never_mixed(
    folder: Path, upstream: Upstream, cut: Ranged, change: Any
) -> None:
    """Locking asks for bytes that nothing is known of: no digest would notice a mixture."""
    wanted = Wanted("x.tgz", [Location(f"{upstream.base}/x.tgz")], None, {})
    with pytest.raises(UpstreamError):
        Fetcher(folder, ONCE).download(wanted)
    assert list(folder.glob("*.json"))
    cut.stop = -1
    change(cut)
    cut.body = bytes(byte ^ 0xFF for byte in BODY)
    assert Fetcher(folder, ONCE).download(wanted).path.read_bytes() == cut.body


@pytest.mark.parametrize(
    ("etag", "modified"), [('W/"weak"', ""), ('W/"weak"', OLD), ("", ""), ("unquoted", OLD), ("", "some day")]
)
def test_what_names_no_exact_bytes_is_never_continued(
    folder: Path, upstream: Upstream, cut: Ranged, etag: Any, modified: Any
) -> None:
    cut.etag, cut.modified = etag, modified
    half(folder, upstream, cut)
    assert list(folder.iterdir()) == []
    assert fetch(folder, upstream).path.read_bytes() == BODY
    assert cut.asked == ["", ""]


def test_a_date_of_just_now_is_no_validator() -> None:
    headers = {"Date": "Mon, 01 Jan 2024 00:00:30 GMT", "Last-Modified": OLD}
    assert validator_of(headers) == ""
    assert validator_of({**headers, "Date": "Mon, 01 Jan 2024 00:02:00 GMT"}) == OLD
    assert validator_of({"Last-Modified": OLD}) == ""


def test_another_version_is_never_spliced_on(folder: Path, upstream: Upstream, cut: Ranged) -> None:
    """The server keeps tag and length and changes the bytes: the mixture is noticed and fetched anew."""
    half(folder, upstream, cut)
    cut.body = BODY[: 4 * CHUNK] + flipped(BODY[4 * CHUNK :])
    with pytest.raises(WorldError):
        fetch(folder, upstream)
    assert list(folder.iterdir()) == []
    cut.body = BODY
    assert fetch(folder, upstream).path.read_bytes() == BODY


def damage_bytes(part: Path, note: Path) -> None:
    with part.open("r+b") as stream:
        stream.seek(CHUNK)
        stream.write(b"\0" * 4096)


def cut_bytes(part: Path, note: Path) -> None:
    os.truncate(part, 2 * CHUNK)


def lose_note(part: Path, note: Path) -> None:
    note.unlink()


def empty_note(part: Path, note: Path) -> None:
    note.write_text("")


def garble_note(part: Path, note: Path) -> None:
    note.write_text('["not", "a", "note"]')


def boast(part: Path, note: Path) -> None:
    note.write_text(json.dumps({**json.loads(note.read_text()), "offset": 10**12, "length": 10**13}))


def of_another_address(part: Path, note: Path) -> None:
    note.write_text(json.dumps({**json.loads(note.read_text()), "url": "http://127.0.0.1/other"}))


@pytest.mark.parametrize(
    "damage",
    [damage_bytes, cut_bytes, lose_note, empty_note, garble_note, boast, of_another_address],
)
def test_damaged_remains_are_not_trusted(folder: Path, upstream: Upstream, cut: Ranged, damage: Any) -> None:
    half(folder, upstream, cut)
    (part,), (note,) = folder.glob("*.part"), folder.glob("*.json")
    damage(part, note)
    done = fetch(folder, upstream)
    assert done.path.read_bytes() == BODY
    assert cut.asked == ["", ""]
    assert list(folder.iterdir()) == [done.path]


def test_remains_that_cannot_be_read_count_as_nothing(folder: Path, upstream: Upstream, cut: Ranged) -> None:
    half(folder, upstream, cut)
    (note,) = folder.glob("*.json")
    values = json.loads(note.read_text())
    assert kept(folder) == {hashlib.sha256(BODY).hexdigest(): values["offset"]}
    assert kept(folder / "none") == {}
    for change in (
        {"offset": 10**12},
        {"offset": -1},
        {"offset": "x"},
        {"offset": None},
        {"offset": float("inf")},
    ):
        note.write_text(json.dumps({**values, **change}))
        assert kept(folder) == {}
    note.write_text("[")
    assert kept(folder) == {}


def test_no_secret_is_kept_beside_the_bytes(folder: Path, upstream: Upstream, cut: Ranged) -> None:
    url = upstream.base.replace("//", "//me:secret@") + "/x.tgz?token=secret"
    wanted = Wanted("x.tgz", [Location(url, auth=("me", "secret"))], len(BODY), {})
    with pytest.raises(UpstreamError):
        Fetcher(folder, ONCE).download(wanted)
    (note,) = folder.glob("*.json")
    assert "secret" not in note.read_text()
    assert note.stat().st_size > 0


def test_two_transfers_of_one_file_do_not_meet(folder: Path) -> None:
    with partial(folder, "http://127.0.0.1/x", "x", ()) as first:
        first.restart({"ETag": '"one"', "Content-Length": "20000000"})
        first.write(BODY[: 2 * CHUNK])
        with partial(folder, "http://127.0.0.1/x", "x", ()) as second:
            assert second.offset == 0
            assert second.path != first.path
            second.write(b"other")
            other = second.finish()
        whole = first.finish()
    assert whole.read_bytes() == BODY[: 2 * CHUNK]
    assert other.read_bytes() == b"other"
    assert {path.name for path in folder.iterdir()} == {whole.name, other.name}


@pytest.fixture
def halted(world: World) -> Iterator[Any]:
    """Two files of a build that stop in their middle until they are told to go on."""
    bodies = {"one.tgz": BODY, "two.tgz": os.urandom(5 * CHUNK)}
    world.write(bodies)
    servers = {name: Ranged(body, stop=len(body) // 2) for name, body in bodies.items()}
    for name, server in servers.items():
        world.upstream.set(f"/{name}", server)
    yield world, servers
    for server in servers.values():
        server.go.set()


def test_killed_in_the_middle_at_most_one_chunk_of_each_file_is_fetched_again(halted: Any) -> None:
    world, servers = halted
    process = world.start("from core.program import main; main()")
    notes = world.folder / "cache" / "flink-on-pnda" / "tmp"
    try:
        wait_for(lambda: all_near_the_middle(notes))
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate(timeout=30)
    for server in servers.values():
        assert server.sent == len(server.body) // 2
        server.go.set()
    assert world.current() is None
    # What is there already is neither to be fetched nor to be found room for again.
    planned = json.loads(world.command("build", "--dry-run", "--json").stdout)
    before = sum(json.loads(path.read_text())["offset"] for path in notes.glob("*.json"))
    assert before > 0
    assert planned["kept_bytes"] == before
    assert planned["fetched_bytes"] == sum(len(server.body) for server in servers.values()) - before
    for server in servers.values():
        server.stop = -1
    done = world.command("build")
    assert done.returncode == 0, done.stderr
    world.assert_whole()
    for server in servers.values():
        again = int(server.asked[1][len("bytes=") : -1])
        assert len(server.asked) == 2
        assert len(server.body) // 2 - CHUNK <= again <= len(server.body) // 2


def all_near_the_middle(notes: Path) -> bool:
    try:
        found = [json.loads(path.read_text()) for path in notes.glob("*.json")]
    except (OSError, ValueError):
        return False
    return len(found) == 2 and all(note["length"] // 2 - note["offset"] < CHUNK for note in found)


def wait_for(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
