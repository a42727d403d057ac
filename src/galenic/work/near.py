"""What a mistyped name may have meant."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST = 100_000
"""Names that are compared letter by letter; of more, only those that begin alike."""


def nearest(name: object, known: Iterable[object], n: int = 3, cutoff: float = 0.6) -> list[str]:
    """The known names most like one that was typed, best first.

    Case, and whether words are joined by ``-``, ``_`` or a blank, do not matter. A name that was only begun is nearer
    than any other likeness. The others are those of :func:`difflib.get_close_matches`.

    Parameters
    ----------
    name
        As typed.
    known
        All names.
    n
        At most so many, 1 or more.
    cutoff
        Likeness from which on a name is near, in [0, 1].

    Returns
    -------
    list of str
        Names as they are known; empty where nothing is near.

    Examples
    --------
    >>> nearest("kernel_rdige", ["ridge", "kernel-ridge"], n=1)
    ['kernel-ridge']
    >>> nearest("ovar", ["Lung Cancer", "Ovarian Cancer"])
    ['Ovarian Cancer']
    >>> nearest("?", ["EGFR", "CDK4"])
    []
    """
    from difflib import get_close_matches

    asked = _plain(name)
    spelled: dict[str, list[str]] = {}
    for one in dict.fromkeys(map(str, known)):
        spelled.setdefault(_plain(one), []).append(one)
    begun = [key for key in spelled if len(asked) > 1 and key.startswith(asked)]
    some = spelled if len(spelled) <= LONGEST else {key: key for key in spelled if key[:1] == asked[:1]}
    close = get_close_matches(asked, some, n=n, cutoff=cutoff) if asked else []
    exact = [asked] if asked in spelled else []
    return [one for key in dict.fromkeys([*exact, *begun, *close]) for one in spelled[key]][:n]


def did_you_mean(name: object, known: Iterable[object], otherwise: str = "", n: int = 1) -> str:
    """The end of an error about a name that is not known: the nearest, or what else to say.

    Parameters
    ----------
    name
        As typed.
    known
        All names.
    otherwise
        What is said where nothing is near.
    n
        At most so many names.

    Examples
    --------
    >>> did_you_mean("a594", ["A549", "MCF7"])
    "Did you mean 'A549'?"
    >>> did_you_mean("HeLa", ["A549", "MCF7"], "Choose one of those.")
    'Choose one of those.'
    >>> did_you_mean("type", ["type A", "type B"], n=2)
    "Did you mean 'type A' or 'type B'?"
    """
    near = nearest(name, known, n=n)
    return f"Did you mean {' or '.join(repr(one) for one in near)}?" if near else otherwise


def nearest_name(name: object, known: Iterable[object], otherwise: str = ".") -> str:
    """The same as the end of a sentence: ``; did you mean 'A549'?`` where something similar is known, else ``.``.

    Examples
    --------
    >>> nearest_name("a594", ["A549"]), nearest_name("HeLa", ["A549"])
    ("; did you mean 'A549'?", '.')
    """
    said = did_you_mean(name, known)
    return f"; {said[0].lower()}{said[1:]}" if said else otherwise


def _plain(name: object) -> str:
    return str(name).strip().casefold().replace("_", "-").replace(" ", "-")
