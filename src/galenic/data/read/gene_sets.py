"""Sets of genes (pathways) out of GMT files."""

from __future__ import annotations

from pathlib import Path

from galenic.data.checks import first
from galenic.data.read.files import kind_of_file, open_bytes


def gene_sets(path: str | Path) -> dict[str, list[str]]:
    r"""Genes of each set of a GMT file: a line a set, of its name, a description and its genes, separated by tabs.

    Parameters
    ----------
    path
        The file, compressed or not. Blank lines and blank fields are passed over; the description is not kept.

    Returns
    -------
    dict
        Genes by name of the set, each gene once, in the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no text, a line has no gene, or a name stands twice.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "two.gmt")
    ...     _ = path.write_text("cell cycle\tfrom a book\tCDK1\tCCNB1\tCDK1\n\nstress\t\tHSPA5\n")
    ...     gene_sets(path)
    {'cell cycle': ['CDK1', 'CCNB1'], 'stress': ['HSPA5']}
    """
    name = Path(path).name
    lines = _lines(path)
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, start=1):
        fields = [field.strip() for field in line.split("\t")]
        if not any(fields):
            continue
        genes = list(dict.fromkeys(gene for gene in fields[2:] if gene))
        if not fields[0] or not genes:
            raise ValueError(
                f"every line of a GMT file should be a name, a description and genes, separated by tabs; line {number} "
                f"of {name} has {len(fields)} field(s): {line[:40]!r}. Correct it, or export the file as GMT."
            )
        if fields[0] in found:
            raise ValueError(
                f"every set of genes should have a name of its own; {fields[0]!r} stands again in line {number} of "
                f"{name}. Rename one, or join the two."
            )
        found[fields[0]] = genes
    if not found:
        raise ValueError(f"a GMT file should hold sets of genes; {name} holds only blank lines. Export it again.")
    return found


def _lines(path: str | Path) -> list[str]:
    kind = kind_of_file(path)
    if kind != "text":
        raise ValueError(f"sets of genes are read from GMT files, which are text; {path} is {kind}. Export it as GMT.")
    with open_bytes(path, whole=True) as stream:
        try:
            return stream.read().decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"a GMT file should be text in UTF-8; {first([Path(path).name])} is not ({error.reason} at byte "
                f"{error.start:,}). Save it as UTF-8."
            ) from error
