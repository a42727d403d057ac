"""Compare ratios of speed with the last stored ones, and write the section "Speed and memory" of docs/benchmarks.md.

    python benchmarks/speed_page.py runs/speed --page docs/benchmarks.md
    python benchmarks/speed_page.py runs/speed --page docs/benchmarks.md --store

It reads what the scripts of speed wrote with ``--out runs/speed``. A ratio below 0.7 of the stored one, or an exponent
of growth more than 0.25 above it, is slower than before: the exit code is 1 then, and nothing is stored, but with
--accept. Ratios and exponents are of one machine and one run, so they can be compared across machines. Most are of
seconds of the processor; those on the wall say little beside other work, and --store leaves them out then.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ratios import written
from tables import markdown

COMMANDS = {
    "scaling": "OMP_NUM_THREADS=1 python benchmarks/scaling.py",
    "engines": "OMP_NUM_THREADS=1 python benchmarks/engines.py --engines loky,dask,ray",
    "speed": "OMP_NUM_THREADS=1 python benchmarks/speed.py --data ../shared/data",
    "kdrug_speed": "python benchmarks/kdrug_speed.py --data ../shared/data",
    "perturbation_speed": "OMP_NUM_THREADS=1 python benchmarks/perturbation_speed.py",
    "deeppert_speed": "python benchmarks/deeppert_speed.py",
    "cells_speed": "python benchmarks/cells_speed.py --large 512",
    "search_speed": "OMP_NUM_THREADS=1 python benchmarks/search_speed.py --copairs-python OTHER/bin/python",
    "encoders": "OMP_NUM_THREADS=1 python benchmarks/encoders.py",
    "cells_scale": "OMP_NUM_THREADS=1 python benchmarks/cells_scale.py --out runs/cells_scale",
    "scale_profiles": "python benchmarks/scale_profiles.py --out runs/scale_profiles --profiles 200000",
}
"""Every script whose figures are awaited, in the order of the page."""
REMARKS = {
    "scaling": "Each point is a process of its own, one thread, simulated data, three epochs of few networks: these "
    "are not the seconds of a full fit but the way in which they grow. Memory is the most beyond the data and the "
    "libraries. Exponents are of seconds of a core, from the least size to the largest; where one is far below 1, what "
    "does not depend on the size still prevails. Predictions of XTransferCDR are for conditions, of which there are as "
    "many at every size.",
    "engines": "On a machine that did nothing else. A new worker spends about four seconds on importing torch and "
    "galenic, which short fits feel: Ray's are new in every fan-out, loky's are replaced when their memory has grown. "
    "Dask's workers took 1.4 times as long for a fit until they were told to keep freed memory (with "
    "`MALLOC_TRIM_THRESHOLD_=65536`, as Dask sets it, the fits one after another show it).",
    "scale_profiles": "--profiles 100000, 400000 (one thread) and 1670000 (two), each step in a process that may hold "
    "no more than 4 GB; the larger two ran beside much other work, which moves their seconds and not their memory. Up "
    "to 2 GB of features are held, beyond that they are computed again each epoch: 400,000 profiles hold more than "
    "1.67 million.",
    "speed": "The memory of the first lines is that of the largest process that reads, Python and its libraries "
    "included.",
    "perturbation_speed": "Rows of data frames are read as the published loader reads them.",
    "cells_speed": "Every gene is learned from without a dense copy: what arrays take is a few blocks of cells and the "
    "weights that are saved (60 and 396 MB), whatever the number of cells. Of the step of the small network, reading a "
    "batch takes 7 %.",
    "search_speed": "copairs 0.5.5 is in an environment of its own. That a file with the landmarks in front is read in "
    "their chunks alone (1 of 13 columns) is held by a test that watches the reads; from the cache of the disk the "
    "seconds tell little.",
    "encoders": "Networks have random weights; tokens are in seconds of the processor. What a bulk sample holds does "
    "not grow with the number of layers. Against the published loop, tokens of cells of 493, 986 and 1,972 genes "
    "(medians) were made 76, 38 and 20 times as fast; against the leanest loop, 5.9, 3.4 and 2.3 times: ranking genes "
    "is sorting, which such a loop does in the same compiled code.",
    "cells_scale": 'What these figures mean stands under "A million cells".',
}
STORED = Path(__file__).with_name("ratios.json")
BEGIN, END = "<!-- speed -->", "<!-- end of speed -->"
LEAST_SHARE, MOST_RISE = 0.7, 0.25
QUIET = 0.25
"""Cores that others may be busy with."""


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """What each script wrote, in the order of the page; others than the awaited ones come last."""
    found = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}
    return {name: found[name] for name in [*COMMANDS, *found] if name in found}


def figures(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Ratios and exponents of all scripts by name, each with its machine and date."""
    found = {}
    for script, kept in results.items():
        about = {"machine": kept["machine"].get("processor", "not noted"), "measured": kept["measured"],
                 "others": kept.get("others")}  # fmt: skip
        for name, one in kept["ratios"].items():
            found[f"{script}: {name}"] = {"times": one["times"], "wall": one.get("wall", False), **about}
        for name, value in kept["growth"].items():
            found[f"{script}: {name}"] = {"exponent": value, **about}
    return found


def slower(found: dict[str, dict[str, Any]], stored: dict[str, dict[str, Any]]) -> list[str]:
    """A line for each figure that is worse than the stored one; a name that was not stored is no failure."""
    lines = []
    for name, one in found.items():
        before, beside = stored.get(name, {}), ""
        if before.get("wall", False) != one.get("wall", False):
            continue  # another clock
        if (one.get("others") or 0) > QUIET:
            beside = f" (others were busy with {one['others']:.1f} cores beside)"
        if "times" in one and "times" in before and not one["times"] >= LEAST_SHARE * before["times"]:
            lines.append(f"slower than before: {name}: {one['times']:.3g} times, stored {before['times']:.3g}{beside}")
        if "exponent" in one and "exponent" in before and not one["exponent"] <= before["exponent"] + MOST_RISE:
            lines.append(
                f"slower than before: {name}: exponent {one['exponent']:.2f}, stored {before['exponent']:.2f}{beside}"
            )
    return lines


def absent(results: dict[str, dict[str, Any]], stored: dict[str, dict[str, Any]]) -> list[str]:
    """A line for each script without a result, and for each stored figure of the others that was not measured."""
    lines = [f"no result of {script}: run {command}" for script, command in COMMANDS.items() if script not in results]
    found = figures(results)
    return lines + [
        f"stored, but not measured: {name}"
        for name in stored
        if name not in found and name.split(": ", 1)[0] in results
    ]


def machines(results: dict[str, dict[str, Any]]) -> str:
    """A paragraph for each machine and set of versions, with the scripts that were measured so."""
    groups: dict[str, list[str]] = {}
    for script, kept in results.items():
        machine, versions = dict(kept["machine"]), dict(kept["versions"])
        said = f"{machine.pop('processor', 'a processor that was not noted')}, {machine.pop('cores', '?')} cores"
        said += "".join(f", {value} GB of memory" if "GB" in name else f", {value}" for name, value in machine.items())
        said += "; " + ", ".join(f"{name} {value}" for name, value in versions.items()) if versions else ""
        groups.setdefault(f"{said}; {kept['measured']}", []).append(f"`{script}`")
    return "\n".join(f"- {said}: {', '.join(scripts)}." for said, scripts in groups.items())


def ratios_table(results: dict[str, dict[str, Any]], stored: dict[str, dict[str, Any]]) -> str:
    """All ratios beside the stored ones."""
    rows = []
    for script, kept in results.items():
        for name, one in kept["ratios"].items():
            pair = [one, stored.get(f"{script}: {name}", {})]
            shown = [f"{of['times']:.3g}{'*' if of.get('wall') else ''}" if "times" in of else "–" for of in pair]
            rows.append([one["what"], one["against"], *shown, f"`{script}`"])
    return markdown(rows, ["what", "against", "times", "stored", "script"])


def block(script: str, kept: dict[str, Any]) -> str:
    """Command, circumstances, lines, tables and remark of one script."""
    said = [f"{kept['threads']} thread{'s' if kept['threads'] > 1 else ''}"] if kept.get("threads") else []
    if kept["measured"] == "earlier":
        said.append("measured earlier and not again in this run")
    if (kept.get("others") or 0) > QUIET:
        said.append(f"others were busy with {kept['others']:.1f} cores beside, so read the ratios")
    told = "; ".join(said)
    parts = [f"    {COMMANDS.get(script, f'python benchmarks/{script}.py')}"]
    parts += [f"{told[0].upper()}{told[1:]}."] if told else []
    parts += [kept["note"]] if kept.get("note") else []
    parts += ["```text\n" + "\n".join(kept["lines"]) + "\n```"] if kept["lines"] else []
    parts += [f"**{one['title']}**\n\n{markdown(one['rows'], one['header'])}" for one in kept["tables"]]
    parts += [REMARKS[script]] if script in REMARKS else []
    return "\n\n".join(parts)


def section(results: dict[str, dict[str, Any]], stored: dict[str, dict[str, Any]]) -> str:
    """The whole section."""
    parts = [
        "    make bench-speed",
        "Each script in one run; other work on the machine moves the seconds, so read the ratios. Those with a star "
        "are of seconds on the wall, the others of seconds of a core or of memory. `make bench-speed` fails where a "
        f"ratio falls below {LEAST_SHARE} of the stored one (`benchmarks/ratios.json`) or an exponent of growth rises "
        f"by more than {MOST_RISE}.",
        machines(results),
        f"### Ratios\n\n{ratios_table(results, stored)}",
    ]
    titles = {"scaling": "### As systems grow"}
    for script, kept in results.items():
        shown = block(script, kept)
        title = titles.get(script, f"### Lines of `{script}`")
        parts.append(f"{title}\n\n{shown}")
    missing = [f"`{script}` (`{command}`)" for script, command in COMMANDS.items() if script not in results]
    if missing:
        parts.append(f"### Not measured\n\nNo result in this run: {'; '.join(missing)}.")
    return "\n\n".join(parts)


def put(text: str, page: str) -> str:
    """The page with another section between its marks."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise SystemExit(
            f"the page should have {BEGIN} and {END} once each; it has not. Put them where figures belong."
        )
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}"


def main(arguments: list[str] | None = None) -> int:
    """Compare, write, store; 1 if something is slower than before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder with the results of the scripts")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--stored", type=Path, default=STORED)
    parser.add_argument("--store", action="store_true", help="keep these figures for the next comparison")
    parser.add_argument("--accept", action="store_true", help="exit with 0 though something is slower")
    args = parser.parse_args(arguments)
    results = read(args.run)
    if not results:
        raise SystemExit(f"{args.run} should hold results of scripts of speed; there are none. Run make bench-speed.")
    stored = json.loads(args.stored.read_text(encoding="utf-8")) if args.stored.is_file() else {}
    found = figures(results)
    worse = slower(found, stored)
    for line in [*absent(results, stored), *worse]:
        print(line)
    print(f"{len(found)} figures, {sum(name in stored for name in found)} of them stored before, {len(worse)} slower")
    if args.page:
        text = put(section(results, stored), args.page.read_text(encoding="utf-8"))
        with written(args.page) as draft:
            draft.write_text(text, encoding="utf-8")
    if args.store and (args.accept or not worse):
        keep = {name: one for name, one in found.items() if not one.get("wall") or (one["others"] or 0) <= QUIET}
        print(f"{len(keep)} of {len(found)} stored; ratios of wall seconds beside other work are not")
        with written(args.stored) as draft:
            draft.write_text(json.dumps({**stored, **keep}, indent=1) + "\n", encoding="utf-8")
    return int(bool(worse) and not args.accept)


if __name__ == "__main__":
    sys.exit(main())
