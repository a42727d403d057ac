"""Small changes of valid content, each told by three numbers: what is done, where, and with what.

The same numbers make the same file, so that Hypothesis can draw and shrink them and a nightly run can count them off.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

Edit = tuple[int, int, int]
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
NUMBERS = (
    *(b"-1", b"0", b"1", b"2", b"-0.0", b"1e308", b"1e400", b"-1e400", b"nan", b"inf", b"-inf", b"0x10", b"1_000"),
    *(b"99999999999999999999", b"-9223372036854775808", b"2147483648", b"1000000000", b"-666", b"", b" ", b"00012"),
    *(b"1e-400", b"9" * 5000, "٣".encode(), b"1,5", b"+5", b"1e", b"True", b"3.0000000000000001"),
)
TOKENS = (
    *(b"\t", b"\n", b"\r\n", b"\r", b",", b";", b"|", b'"', b"'", b"\x00", b"\xff", b"\xef\xbb\xbf", b" ", b"#", b"-"),
    *(b"{", b"}", b"[", b"]", b"=", b"../", b"NA", b"\xc3", b"\xe2\x80\xa8", b"\x1c", b"\x85", b"\x0b", b"(", b")"),
    *(
        b"=" * 300,
        b"[" * 3000,
        b"{" * 3000,
        b'"""',
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"\xf0\x9f\x92\x8a",
        b"\xed\xa0\x80",
    ),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 0.5, 1e308, 10**9, 10**30, -(10**18), float("nan"), float("inf"), "", "x", "0"),
    *("../../etc/passwd", "/etc/passwd", "\0", "\ud800", "nan", "9" * 400, [], {}, [[]], {"a": {}}, [1] * 50, ["x"]),
    *([None], [None, "x"], {"x": [1]}, [{}], "Ridge", [0.5, "x"], [[1, 2], [3]], {"": 0}, 3.0, "1", ["a", "a"]),
)


def edited(content: bytes, edits: Sequence[Edit], other: bytes = b"") -> bytes:
    """Bytes after each edit: flipped, cut, removed, repeated, spliced with ``other``, or with hostile fields."""
    for kind, at, what in edits:
        content = _edited_once(content, kind, at, what, other)
        if len(content) > 1 << 20:
            content = content[: 1 << 20]
    return content


def _edited_once(content: bytes, kind: int, at: int, what: int, other: bytes) -> bytes:
    if not content:
        return TOKENS[what % len(TOKENS)]
    place, length = at % len(content), 1 + what % 40
    if (kind := kind % 14) == 0:
        return content[:place] + bytes([content[place] ^ (1 << what % 8)]) + content[place + 1 :]
    if kind == 1:
        return content[:place] + bytes([what % 256]) + content[place + 1 :]
    if kind == 2:
        return content[:place]
    if kind == 3:
        return content[:place] + content[place + length :]
    if kind == 4:
        return content[:place] + content[place : place + length] * (2 + what % 5) + content[place + length :]
    if kind == 5:
        return content[:place] + other[what % (len(other) + 1) :]
    if kind == 6:
        return content[:place] + TOKENS[what % len(TOKENS)] + content[place:]
    if kind in (7, 8, 9):
        found = list(NUMBER.finditer(content))
        if not found:
            return content
        span = found[at % len(found)].span()
        return content[: span[0]] + NUMBERS[what % len(NUMBERS)] + content[span[1] :]
    parts = re.split(rb"([\t,\n])", content) if kind == 10 else content.splitlines(keepends=True)
    one, two = at % len(parts), what % len(parts)
    if kind == 10:
        parts[one] = (*TOKENS, *NUMBERS)[what % (len(TOKENS) + len(NUMBERS))]
    elif kind == 11:
        parts[one], parts[two] = parts[two], parts[one]
    elif kind == 12:
        parts.insert(two, parts[one])
    else:
        del parts[one]
    return b"".join(parts)


def edited_json(document: Any, edits: Sequence[Edit]) -> Any:
    """A JSON document of which values were exchanged, removed, renamed, nested, shortened or repeated."""
    document = json.loads(json.dumps(document))
    for kind, at, what in edits:
        places = _places(document)
        holder, key = places[at % len(places)] if places else (None, None)
        if holder is None or kind % 8 == 7:
            # The whole, once in a while.
            if not places or what % 7 == 0:
                document = VALUES[what % len(VALUES)]
            continue
        value = VALUES[what % len(VALUES)]
        if (kind := kind % 8) <= 2:
            holder[key] = value
        elif kind == 3:
            del holder[key]
        elif kind == 4:
            holder[key] = [holder[key]]
        elif kind == 5 and isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
        elif kind == 5:
            holder[key:key] = [holder[key]] * (1 + what % 3)
        elif isinstance(holder[key], list):
            holder[key] = holder[key][: what % (len(holder[key]) + 1)]
        else:
            holder[key] = {"a": value}
    return document


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Every ``(holder, key)`` inside, of long lists the first few."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting and len(found) < 600:
        holder = waiting.pop(0)
        keys = (
            list(holder) if isinstance(holder, dict) else range(min(len(holder), 4) if isinstance(holder, list) else 0)
        )
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])
    return found


def as_json(document: Any) -> bytes:
    """As text, however strange."""
    return json.dumps(document).encode("utf-8", errors="surrogatepass")
