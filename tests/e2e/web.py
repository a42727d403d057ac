"""A web server on this machine that misbehaves as told, and tables of addresses that point to it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from galenic.data.fetch.catalogue import DataSet, RemoteFile


@dataclass
class Page:
    """What lies at a path.

    Parameters
    ----------
    content
        The file.
    etag, modified
        How its version is marked; empty: not at all.
    ranges
        Whether parts are given.
    if_range
        Whether a changed mark makes the whole file come.
    does
        What the next requests meet instead, one each: a status, ``("drop", n)`` after n bytes, ``("stall", n)`` until
        :attr:`Web.go` is set, ``("to", address)``, ``("length", n)`` for a claimed size, ``"html"``.
    """

    content: bytes
    etag: str = '"one"'
    modified: str = ""
    ranges: bool = True
    if_range: bool = True
    does: list[object] = field(default_factory=list)


class Web:
    """The server; ``asked`` holds path and headers of every request, ``sent`` the bytes of bodies."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        self.go = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.answer(self)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One request."""
        path = unquote(urlsplit(request.path).path)
        self.asked.append((path, dict(request.headers)))
        page = self.pages.get(path)
        if page is None:
            request.send_error(404)
            return
        act = page.does.pop(0) if page.does else None
        kind, value = act if isinstance(act, tuple) else (act, None)
        if isinstance(kind, int):
            request.send_response(kind)
            if value:
                request.send_header("Retry-After", str(value))
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif kind == "to":
            request.send_response(302)
            request.send_header("Location", str(value))
            request.end_headers()
        else:
            self._body(request, page, kind, value)

    def _body(self, request: BaseHTTPRequestHandler, page: Page, kind: object, value: object) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        same = not page.if_range or request.headers.get("If-Range", "") in ("", page.etag, page.modified)
        start, size = 0, len(page.content)
        if wanted and page.ranges and same:
            start = int(wanted[1])
            request.send_response(206 if start < size else 416)
            request.send_header(
                "Content-Range", f"bytes {start}-{size - 1}/{size}" if start < size else f"bytes */{size}"
            )
        else:
            request.send_response(200)
        body = page.content[start:]
        request.send_header("Content-Type", "text/html" if kind == "html" else "application/octet-stream")
        request.send_header("Content-Length", str(value if kind == "length" else len(body)))
        for name, mark in (("ETag", page.etag), ("Last-Modified", page.modified)):
            if mark:
                request.send_header(name, mark)
        request.end_headers()
        until = value if kind in ("drop", "stall") else len(body)
        assert isinstance(until, int)
        self.sent += len(body[:until])
        request.wfile.write(body[:until])
        request.wfile.flush()
        if kind == "stall":
            self.go.wait(30)

    def ranges(self, path: str) -> list[str]:
        """The ranges that were asked for at a path, empty where the whole was."""
        return [headers.get("Range", "") for one, headers in self.asked if one == path]

    def __enter__(self) -> Web:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def serving(**pages: bytes) -> Iterator[Web]:
    """A server with one page for each name."""
    with Web() as web:
        web.pages = {f"/{name}": Page(content) for name, content in pages.items()}
        yield web


def write_catalogue(path: Path, sets: list[DataSet]) -> Path:
    """A table of addresses as a maintainer writes it."""
    lines = []
    for i, data in enumerate(sets):
        lines += [
            f"[licences.l{i}]",
            f"name = {data.licence.name!r}",
            f"url = {data.licence.url!r}",
            f"accept = {str(data.licence.accept).lower()}",
            f"[sets.{data.name}]",
            f"licence = 'l{i}'",
            *(f"{key} = {list(value) if isinstance(value, tuple) else value!r}" for key, value in _words(data).items()),
        ]
        for file in data.files:
            lines += [f"[[sets.{data.name}.files]]", *(f"{key} = {value}" for key, value in _toml(file).items())]
    path.write_text("\n".join(lines))
    return path


def _words(data: DataSet) -> dict[str, object]:
    names = ("title", "holds", "organism", "version", "citation", "doi", "house", "needs", "then", "note")
    return {name: getattr(data, name) for name in names}


def _toml(file: RemoteFile) -> dict[str, object]:
    plain = {name: getattr(file, name) for name in RemoteFile.__dataclass_fields__}
    return {key: list(value) if isinstance(value, tuple) else repr(value) for key, value in plain.items()}


def moved(data: DataSet, url: str, *, hashes: dict[str, str] | None = None) -> DataSet:
    """The set with its files at ``url/<set>/<file>``, of unknown size, and with these hashes by file."""
    files = [
        replace(file, urls=(f"{url}/{data.name}/{file.name}",), bytes=0, about_bytes=0, sums="", hashes=())
        for file in data.files
    ]
    known = hashes or {}
    files = [replace(file, hashes=(known[file.name],)) if file.name in known else file for file in files]
    return replace(data, files=tuple(files), family="")
