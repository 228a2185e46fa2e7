"""The tasks that bring a mirror to its clients: certificate, web server, client configuration."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from core import console
from core.errors import UsageError, disk_error
from core.files import write_atomic

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_ROOT = "The mirror's root folder; default: $PNDA_MIRROR_ROOT or build/mirror."


@task(
    help={
        "host": "Names or IP addresses by which clients reach the mirror, separated by commas.",
        "into": "Folder for ca.pem, ca.key, server.pem and server.key.",
        "days": "How many days the server's certificate is valid.",
        "ca": "An authority that you have (PEM), instead of one made in that folder.",
        "ca-key": "The key of --ca (PEM, not encrypted).",
    }
)
def certificate(
    _: Context, host: str = "", into: str = "", days: int = 397, ca: str = "", ca_key: str = ""
) -> None:
    """Issue or renew the mirror's TLS certificate, by a site authority that is made once."""
    from mirror.certificates import CertificateRequest, issue

    if not into:
        raise UsageError("no folder is named", "give --into DIR, a folder that only you can write")
    hosts = _words(host)
    authority, key = Path(ca) if ca else None, Path(ca_key) if ca_key else None
    issued = issue(CertificateRequest(hosts, Path(into), days, authority, key))
    document = {
        "certificate": str(issued.certificate), "key": str(issued.key), "ca": str(issued.ca),
        "hosts": list(issued.hosts), "ends": issued.ends, "new_ca": issued.new_ca,
    }  # fmt: skip
    made = " (made now: keep ca.key safe, give ca.pem to the clients)" if issued.new_ca else ""
    console.result(
        document,
        f"{issued.certificate}: {', '.join(hosts)}, until {issued.ends}\nauthority {issued.ca}{made}",
    )


@task(
    help={
        "root": _ROOT,
        "host": "Address to listen on.",
        "port": "Port (0: any free one).",
        "tls-cert": "Serve https with this certificate (PEM, with its chain).",
        "tls-key": "The certificate's key (PEM).",
        "user": "Who to become when started as root; default: nobody.",
        "log": "Append one line a request to this file (common log format).",
    }
)
def serve(
    _: Context,
    root: str = "",
    host: str = "127.0.0.1",
    port: int = 8000,
    tls_cert: str = "",
    tls_key: str = "",
    user: str = "",
    log: str = "",
) -> None:
    """Serve the published release over HTTP or HTTPS until interrupted (loopback unless told otherwise)."""
    from mirror.serve import make_server

    if bool(tls_cert) != bool(tls_key):
        raise UsageError("--tls-cert and --tls-key belong together", "give both, or none to serve plain HTTP")
    tls = None
    if tls_cert:
        from mirror.tls import server_context

        tls = server_context(Path(tls_cert), Path(tls_key))
    folder = Path(root or os.environ.get("PNDA_MIRROR_ROOT", "") or "build/mirror")
    user = user or ("nobody" if os.geteuid() == 0 else "")
    with make_server(folder, host, port, tls=tls, user=user, log=_log(log)) as server:
        name = f"[{host}]" if ":" in host else host
        address = f"{'https' if tls else 'http'}://{name}:{server.server_port}/"
        console.result({"address": address, "root": str(folder)}, f"serving {address} (Ctrl-C ends it)")

        def on_start(loop: asyncio.AbstractEventLoop) -> None:
            loop.add_signal_handler(signal.SIGTERM, server.stop)

        server.serve_forever(on_start=on_start)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _log(path: str) -> Callable[[str], None] | None:
    """Return what appends a line to the log; the file is opened now, while this process still may."""
    if not path:
        return None
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        fault = disk_error(error, path)
        raise fault or UsageError(
            f"--log {path}: {error.strerror}", "name a file in a folder that exists"
        ) from error
    complained = -3600.0

    def write(line: str) -> None:
        nonlocal complained
        try:
            os.write(handle, f"{line}\n".encode())
        except OSError as error:  # clients are served without a log, and the operator is told
            if time.monotonic() - complained > 3600:
                complained = time.monotonic()
                console.warn(f"{path}: the log cannot be written ({error.strerror})")

    return write


@task(
    name="client-config",
    help={
        "base-uri": "The mirror's address, such as https://mirror.site:8443.",
        "ca": "The authority's certificate that clients are to trust (ca.pem of mirror.certificate).",
        "trust": "The site's public OpenPGP keys, for apt.",
        "client": "Which clients, separated by commas: maven, pip, apt, salt, all.",
        "into": "Write the files into this folder instead of printing them.",
        "at": "Where the files will lie on a client; default: --into, else /etc/pnda-mirror.",
        "suite": "The suite of the mirror's apt repository.",
        "lock": "The lock: it names the archives and their digests.",
        "only": "Groups or entries that the mirror holds, separated by commas; default: all of the lock.",
    },
)
def client_config(
    _: Context,
    base_uri: str = "",
    ca: str = "",
    trust: str = "",
    client: str = "all",
    into: str = "",
    at: str = "",
    suite: str = "bookworm",
    lock: str = "mirror/catalogue.lock",
    only: str = "",
) -> None:
    """Print (or write) what Maven, pip, apt and Salt need to use the mirror and nothing else."""
    from mirror import client_config as config
    from mirror.client_site import SiteRequest, make_site

    folder = str(Path(into).absolute()) if into else "/etc/pnda-mirror"
    request = SiteRequest(base_uri, ca, trust, at or folder, suite, Path(lock), _words(only))
    names = _words(client)
    site, clients = make_site(request, names)
    made = config.files(site, clients)
    for note in config.notes(site, names if "all" not in names else list(config.CLIENTS)):
        console.warn(note)
    if into:
        for name, data in made.items():
            write_atomic(Path(into) / name, data)
        console.result({"into": into, "files": sorted(made)}, f"{into}: {', '.join(sorted(made))}")
        return
    texts = {name: data.decode() for name, data in made.items() if name != config.TRUST_STORE}
    parts = [f"# ---- {site.at}/{name}\n{text.rstrip()}\n" for name, text in texts.items()]
    if config.TRUST_STORE in made:
        parts.append(f"# ---- {site.at}/{config.TRUST_STORE} is binary: --into DIR writes it")
    console.result({"at": site.at, "files": texts}, "\n".join(parts))
