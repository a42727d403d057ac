"""Suggestions for a perturbagen that is not known by the name given."""

from __future__ import annotations

from collections.abc import Iterable

from galenic.work.near import nearest

STEM = 13  # a BRD id names the compound by its first 13 characters; the rest is batch and supplier


def nearest_names(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """The known names most like one that was typed, best first.

    Parameters
    ----------
    name
        As typed; case does not matter.
    known
        All names or ids.
    n
        At most so many.

    Returns
    -------
    list of str
        Names as they are known. For an id like ``BRD-K81418486-001-02-1`` those of the same compound (the first 13
        characters) come first.

    Examples
    --------
    >>> nearest_names("Vorinostatt", ["vorinostat", "Bortezomib", "belinostat"])
    ['vorinostat', 'belinostat']
    >>> nearest_names("brd-k81418486-001-02-1", ["BRD-K81418486", "BRD-K81418487"], n=1)
    ['BRD-K81418486']
    """
    asked = str(name).strip().casefold()
    spelled: dict[str, list[str]] = {}
    for one in dict.fromkeys(map(str, known)):
        spelled.setdefault(one.casefold(), []).append(one)
    exact = spelled.get(asked, [])
    stem = asked[:STEM]
    same = (
        [one for key, ones in spelled.items() if key[:STEM] == stem for one in ones] if stem.startswith("brd-") else []
    )
    close = nearest(name, [one for ones in spelled.values() for one in ones], n=n)
    return list(dict.fromkeys([*exact, *same, *close]))[:n]
