"""A download that goes on where it stopped, from the first address that gives the file whole and right."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urljoin, urlsplit

import pooch  # type: ignore[import-untyped]
import requests
import urllib3

from galenic.data.fetch.part import BLOCK, FetchError, Hashes, Origin, Part, is_one_of, kinds_of
from galenic.work.atomic import NoRoomError, is_full

Watch: TypeAlias = Callable[[str, int, int], None]
"""Called with the name of a file, the bytes that have arrived, and the bytes in all (0 where nobody says)."""
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same address may be asked again."""
LONGEST_PAUSE = 60.0
MOST_REDIRECTS = 10
LINE = (OSError, requests.exceptions.RequestException, urllib3.exceptions.HTTPError)
"""What a bad line raises."""


class UnavailableError(Exception):
    """An address will not give the file, however often it is asked."""


class DroppedError(Exception):
    """An address did not give the file this time."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class Resuming(pooch.HTTPDownloader):
    """Fetches a file by way of ``.<name>.part``, which is kept when it is interrupted and continued the next time.

    A part is continued with a ``Range`` request if the server marked the version (ETag, Last-Modified; sent as
    ``If-Range``, so that a changed file comes whole) or a hash is known that would tell; else it begins anew. The
    bytes are hashed as they arrive. A line that drops is tried again, after a pause that doubles each time; an address
    that has no file, or another one, is followed by the next.

    Parameters
    ----------
    target
        Where the file will lie.
    urls
        Addresses, in the order in which they are tried. The one that a part came from is first.
    hashes
        ``"sha256:..."``; the file must have one of them. Empty: any.
    tries
        How often an address is asked again in a row without a further byte.
    timeout
        Seconds until a connection stands, and between two blocks.
    watch
        Told of progress.
    pause
        Waits for so many seconds; else time passes.
    """

    def __init__(
        self,
        target: Path,
        urls: Sequence[str],
        hashes: Sequence[str] = (),
        *,
        tries: int = 3,
        timeout: tuple[float, float] = (20.0, 60.0),
        watch: Watch | None = None,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        super().__init__(timeout=timeout)
        self.part = Part(target)
        self.digests: dict[str, str] = {}
        self._target, self._urls, self._hashes = target, urls, tuple(hashes)
        self._tries, self._timeout, self._pause = tries, timeout, pause or time.sleep
        self._watch = watch or (lambda name, done, total: None)
        self._hashed, self._n_hashed = Hashes(kinds_of(self._hashes)), 0
        self._session = requests.Session()
        self._joined = False

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> None:
        """Fetch to ``output_file``, as :meth:`pooch.Pooch.fetch` asks for it; ``url`` and the rest are not needed.

        Raises
        ------
        FetchError
            If no address gives the file.
        NoRoomError
            If the disk is, or would be, full.
        """
        failures = []
        came_from = self.part.origin.url
        with self._session:
            for one in sorted(self._urls, key=lambda one: one != came_from):
                try:
                    self._whole(one)
                    self.part.move_to(Path(output_file))
                    return
                except UnavailableError as error:
                    failures.append(f"{one} {error}")
        folder = self._target.parent
        raise FetchError(
            f"{self._target.name} should come whole and right from one of {len(self._urls)} addresses; none gave it: "
            f"{'; '.join(failures)}. Call it again later, when it goes on where it stopped; or download the file in a "
            f"browser and put it into {folder}; or correct the address in the table of public data sets."
        )

    def _whole(self, url: str) -> None:
        """All bytes into the part, over as many attempts as it takes, and the right ones."""
        failed, furthest = 0, self.part.size
        while True:
            try:
                self._once(url)
            except DroppedError as error:
                failed = 0 if self.part.size > furthest else failed + 1
                furthest = max(furthest, self.part.size)
                if failed > self._tries:
                    raise UnavailableError(f"{error} ({failed} times)") from error
                self._pause(min(max(error.wait, 2.0 ** max(failed - 1, 0)), LONGEST_PAUSE))
                continue
            self.digests = self._hashed.digests
            if is_one_of(self.digests, self._hashes):
                return
            self.part.discard()
            if not self._joined:
                raise UnavailableError(self._wrong())
            # The pieces may be of two versions: once more, in one piece.
            failed, furthest = 0, 0

    def _wrong(self) -> str:
        kinds = {one.partition(":")[0] for one in self._hashes}
        found = ", ".join(f"{kind}:{digits}" for kind, digits in self.digests.items() if kind in kinds)
        return f"gave another file (expected {' or '.join(self._hashes)}; received {found})"

    def _once(self, url: str) -> None:
        """Ask once for what is missing, and append what comes."""
        have, origin = self.part.size, self.part.origin
        headers = {"Accept-Encoding": "identity", "User-Agent": "galenic"}
        goes_on = have > 0 and origin.url == url and bool(origin.validator or self._hashes)
        if goes_on:
            headers["Range"] = f"bytes={have}-"
            headers |= {"If-Range": origin.validator} if origin.validator else {}
        with self._answer(url, headers) as answer:
            start, total = _range_of(answer)
            if goes_on and answer.status_code == 416 and total == have:
                self._hash_up_to(have)  # it was whole already
                return
            now = _origin(url, answer)
            if answer.status_code in (206, 416) and (not goes_on or start != have or now.differs_from(origin)):
                self.part.discard()
                raise DroppedError("answered with another range than was asked for")
            self._require_file(answer)
            self._joined = answer.status_code == 206
            if not self._joined:
                self.part.begin(now)
                have = 0
            self._require_room(total - have)
            self._hash_up_to(have)
            self._take(answer, have, total)

    def _answer(self, url: str, headers: dict[str, str]) -> Any:
        """The answer behind all redirects, none of which may leave the web or the encrypted line."""
        for _ in range(MOST_REDIRECTS):
            try:
                answer = self._session.get(
                    url, headers=headers, stream=True, timeout=self._timeout, allow_redirects=False
                )
            except (requests.exceptions.SSLError, requests.exceptions.InvalidURL) as error:
                raise UnavailableError(f"cannot be asked ({_short(error)})") from error
            except LINE as error:
                raise DroppedError(f"cannot be reached ({_short(error)})") from error
            if not answer.is_redirect:
                return answer
            answer.close()
            further = urljoin(url, answer.headers["Location"])
            allowed = ("https",) if urlsplit(url).scheme == "https" else ("http", "https")
            if urlsplit(further).scheme not in allowed:
                raise UnavailableError(f"leads to {further[:200]}, which is not {' or '.join(allowed)}")
            url = further
        raise UnavailableError(f"leads from one address to the next, more than {MOST_REDIRECTS} times")

    def _require_file(self, answer: Any) -> None:
        """Raise unless the answer is the file, or a range of it."""
        status = answer.status_code
        if status in AGAIN:
            raise DroppedError(f"answers {status} {answer.reason}", _seconds(answer.headers.get("Retry-After", "")))
        if status not in (200, 206):
            hint = ", as sites do that let only browsers in" if status < 400 or status == 403 else ""
            raise UnavailableError(f"answers {status} {answer.reason}{hint}")
        kind = answer.headers.get("Content-Type", "").lower()
        if kind.startswith("text/html") and not self._target.name.endswith((".html", ".htm")):
            raise UnavailableError("gave a web page, not a file: it asks for a login, or lets only browsers in")

    def _require_room(self, needed: int) -> None:
        free = shutil.disk_usage(self._target.parent).free
        if needed > free:
            raise NoRoomError(
                f"{self._target.name} needs {needed / 1e9:,.1f} GB more in {self._target.parent}; {free / 1e9:,.1f} GB "
                "are free. Free some space, or name another folder with cache= (--cache, GALENIC_CACHE)."
            )

    def _hash_up_to(self, size: int) -> None:
        """Bring the hashes to the first ``size`` bytes, which is all that has arrived."""
        if self._n_hashed != size or size == 0:
            self._hashed, self._n_hashed = self.part.hashes(kinds_of(self._hashes)), size

    def _take(self, answer: Any, have: int, total: int) -> None:
        """Append the body, block by block."""
        self._watch(self._target.name, have, total)
        with self.part.open() as file:
            # Raw: a file that is compressed of itself is not unpacked on the way.
            blocks = answer.raw.stream(BLOCK, decode_content=False)
            while block := _next(blocks):
                _write(file, block, self._target)
                self._hashed.update(block)
                have += len(block)
                self._n_hashed = have
                self._watch(self._target.name, have, total)
        if total and have != total:
            raise DroppedError(f"stopped after {have:,} of {total:,} bytes")


def _next(blocks: Any) -> bytes:
    try:
        return bytes(next(blocks, b""))
    except LINE as error:
        raise DroppedError(f"broke off ({_short(error)})") from error


def _write(file: Any, block: bytes, target: Path) -> None:
    try:
        file.write(block)
        file.flush()
    except OSError as error:
        if not is_full(error):
            raise
        raise NoRoomError(
            f"{target.name} needs room; the disk of {target.parent} is full. What arrived is kept: free some space, "
            "and call it again."
        ) from error


def _range_of(answer: Any) -> tuple[int, int]:
    """Where the body starts in the file, and the bytes of the file; 0 where the server does not say."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if found and answer.status_code != 200:
        return int(found[1] or 0), int(found[2]) if found[2].isdigit() else 0
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else 0


def _origin(url: str, answer: Any) -> Origin:
    etag = answer.headers.get("ETag", "")
    modified = answer.headers.get("Last-Modified", "")
    return Origin(url=url, etag="" if etag.startswith("W/") else etag, modified=modified)


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else 0.0


def _short(error: Exception) -> str:
    text = re.sub(r"<[^>]*>|\(Caused by |HTTPS?ConnectionPool", "", str(error))
    return f"{type(error).__name__}: {text[:160]}"
