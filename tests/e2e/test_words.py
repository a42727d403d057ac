"""How commands speak: quietly, at length, as JSON; what they say of mistypes; completion; help."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from commands import galenic

from galenic.cli import main as command_line
from galenic.cli.fit import KINDS, NAMES
from galenic.cli.main import VERBS
from galenic.cli.manual import EXAMPLES
from galenic.report import run as run_folder

Said = tuple[int, str, str]
Speak = Callable[..., Said]
SCREEN = ("--data", "screen", "--folds", "2")


@pytest.fixture
def speak(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Speak]:
    """Runs a command in this process: exit code, standard output and standard error."""
    handler = signal.getsignal(signal.SIGTERM)

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["galenic", *map(str, words)])
        with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
            command_line.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("screen")
    made = ("--n-cells", 24, "--n-drugs", 4, "--n-genes", 20)
    assert galenic("data", "simulate", "screen", *made, "--out", "screen", cwd=folder).returncode == 0
    return folder


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_answers_a_mistype_in_json_and_quietly(verb: str, speak: Speak) -> None:
    for words in ([verb, "--ouut", "x", "--json"], ["--json", verb, "--ouut", "x"]):
        code, out, err = speak(*words)
        told = json.loads(out)
        assert code == told["exit_code"] == 2
        assert told["verb"] == verb
        assert told["state"] == "refused"
        assert "--ouut" in told["error"]["message"]
        assert "--ouut" in err
    code, out, err = speak(verb, "--ouut", "x", "--quiet")
    assert (code, out) == (2, "")
    assert "--ouut" in err


def test_a_run_is_told_as_json_with_scores_floors_and_answers(screen: Path) -> None:
    done = galenic("fit", "ridge", *SCREEN, "--out", "run", "--json", cwd=screen)
    told = json.loads(done.stdout)
    assert done.returncode == told["exit_code"] == 0
    assert (told["verb"], told["state"], told["out"]) == ("fit ridge", "done", "run")
    scores = pd.DataFrame(told["scores"]["rows"], columns=told["scores"]["columns"])
    metrics = pd.read_csv(screen / "run" / "metrics.csv")
    keys = ["split", "model", "group", "metric"]
    means = metrics.groupby(keys)["value"].mean()
    pd.testing.assert_series_equal(
        scores.set_index(keys)["value"].astype(float).sort_index(), means.sort_index(), check_names=False
    )
    assert set(scores.loc[scores["is_floor"], "model"]) == set(metrics["model"]) - {"Ridge"}
    assert told["tables"]["comparison"]["n_rows"] == len(pd.read_csv(screen / "run" / "comparison.csv"))
    assert all((screen / "run" / name).is_file() for name in told["outputs"])
    assert told["report"] == "run/report.html"
    assert any("Ridge" in answer for answer in told["answers"])
    assert told["answers"][0] in told["said"]
    assert "Ridge" in done.stderr  # people read on


def test_a_page_that_was_written_is_named_in_the_document(
    speak: Speak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "other"):
        run_folder.start(name, verb="fit", command="galenic fit", fields={}, title=name).finish()
    told = json.loads(speak("report", "one", "--json")[1])
    assert (told["state"], told["report"]) == ("done", "one/report.html")
    told = json.loads(speak("report", "--compare", "one", "other", "--out", "both.html", "--json")[1])
    assert told["report"] == "both.html", told
    assert Path(told["report"]).is_file()


def test_quiet_says_nothing_and_verbose_says_steps_files_and_versions(screen: Path) -> None:
    quiet = galenic("--quiet", "fit", "mean-effects", *SCREEN, "--out", "quiet", cwd=screen)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    long = galenic("fit", "mean-effects", *SCREEN, "--out", "long", "--verbose", cwd=screen)
    plain = galenic("fit", "mean-effects", *SCREEN, "--out", "plain", cwd=screen)
    assert plain.stderr == "", "no bars in a pipe"
    assert long.stdout.replace("long", "plain") == plain.stdout
    assert re.search(r"\d s  judge", long.stderr)
    assert "wrote long/metrics.csv" in long.stderr
    assert "numpy" in long.stderr.splitlines()[0]
    record = json.loads((screen / "long" / "run.json").read_text())
    assert "--verbose" not in record["command"], "the command that repeats the run"


def test_what_was_asked_for_is_said_quietly_too(speak: Speak, screen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(screen)
    code, loud, _ = speak("data", "list")
    code, out, err = speak("data", "list", "--quiet")
    assert (code, err) == (0, "")
    assert "kang" in out
    assert loud.startswith(out)
    told = json.loads(speak("data", "list", "--json")[1])
    assert "kang" in {one["name"] for one in told["sets"]}
    code, out, _ = speak("data", "check", "screen", "--quiet")
    assert "severity" in out
    findings = json.loads(speak("data", "check", "screen", "--json")[1])["findings"]
    assert all({"severity", "finding", "detail", "remedy"} == set(row) for row in findings)
    assert speak("--version", "--quiet")[1].startswith("galenic ")
    assert speak("fit", "ridge", "--help", "--json")[1].startswith("Usage:")


def test_an_error_comes_in_its_parts_and_verbose_says_where_the_details_are(
    speak: Speak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    code, out, err = speak("benchmark", "absent.toml", "--out", "run", "--json", "--verbose")
    error = json.loads(out)["error"]
    assert code == 2
    assert error["expected"] == "a plan file is expected"
    assert error["received"] == "absent.toml does not exist"
    assert error["remedy"] == "Check the path."
    log = re.search(r"The details are in (.*\.log)", err)
    assert log is not None
    assert "Traceback" in Path(log[1]).read_text()
    assert speak("fit", "ridge", "--quiet", "--verbose")[:2] == (2, "")
    code, out, _ = speak("fit", "ridge", "--quiet", "--verbose", "--json")
    told = json.loads(out)
    assert (code, told["verb"], told["state"]) == (2, "fit ridge", "refused")
    assert told["error"]["expected"] == "a command is either quiet or verbose"


def test_a_reader_that_leaves_early_is_no_fault(tmp_path: Path) -> None:
    for flags in ("--json", "--quiet"):
        line = f"{shlex.quote(str(Path(sys.executable).with_name('galenic')))} data list {flags} | head -c 10"
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, timeout=60)
        assert b"Traceback" not in done.stderr
        assert b"BrokenPipe" not in done.stderr


TYPED = {
    "verb": ("prdict", "Did you mean 'predict'"),
    "model as verb": ("kernel-ridge", "Did you mean 'fit kernel-ridge'"),
    "sub-verb": ("data simulat", "Did you mean 'simulate'"),
    "step": ("fit scatd pretrian", "Did you mean 'pretrain'"),
    "model": ("fit kdurg --out x", "Did you mean 'kdrug'"),
    "flag": ("fit ridge --folsd 3", "Did you mean '--folds'"),
    "flag of voice": ("fit ridge --qiet", "Did you mean '--quiet'"),
    "root flag": ("--verson", "Did you mean '--version'"),
    "choice": ("search query ref --out x --name y --level profil", "Did you mean 'profile'"),
    "split": ("fit mean-effects --data screen --by tisue --out x", "did you mean 'tissue'"),
    "floor": ("fit scatd transfer --bulk b --target t --floors CellPiror --out x", "Did you mean 'CellPrior'"),
    "data set": ("data fetch kangg", "Did you mean 'kang'"),
    "unit": ("data convert --response r.csv --unit ln_ic5 --out x", "Did you mean 'ln_ic50'"),
    "chosen column": ("data convert --response r.csv --cell-column cel --out x", "Did you mean 'cell'"),
    "plan table": ("benchmark plan.toml --out x", "Did you mean 'split'"),
    "plan field": ("benchmark field.toml --out x", "did you mean 'kernel'"),
    "plan model": ("benchmark model.toml --out x", "did you mean 'KernelRidge'"),
    "plan split": ("benchmark by.toml --out x", "Did you mean 'folds'"),
    "plan choice": ("benchmark choice.toml --out x", "did you mean 'linear'"),
    "column of a file": ("evaluate p.csv --out x", "did you mean 'predicton'"),
}
PLANS = {
    "plan.toml": "[splitt]\nby = ['cell']\n",
    "field.toml": "[[model]]\nname = 'KernelRidge'\nkernal = 'rbf'\n",
    "model.toml": "[[model]]\nname = 'KernalRidge'\n",
    "by.toml": "[split]\nfold = 3\n",
    "choice.toml": "[[model]]\nname = 'KernelRidge'\nkernel = 'lineer'\n",
}


@pytest.mark.parametrize("kind", TYPED)
def test_a_mistype_names_the_nearest(kind: str, speak: Speak, screen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed, hint = TYPED[kind]
    monkeypatch.chdir(screen)
    for name, text in PLANS.items():
        (screen / name).write_text(text)
    (screen / "r.csv").write_text("cell,drug,ln_ic50\nA,x,1\n")
    (screen / "p.csv").write_text("cell,drug,predicton\nA,x,1\n")
    code, _, err = speak(*shlex.split(typed))
    assert code == 2
    assert hint in " ".join(err.split()), err
    assert not (screen / "x").exists()


COMPLETED = {
    "": {"fit", "doctor", "search"},
    "fit kernel": {"kernel-ridge", "kernel-completion"},
    "fit ridge --fol": {"--folds", "--fold-file"},
    "fit ridge --qui": {"--quiet"},
    "fit kdrug --quiet --fusion ": {"attention", "split", "plain"},
    "fit ridge --by cell,ti": {"cell,tissue"},
    "fit readacross --by pla": {"plate"},
    "fit scatd tr": {"transfer"},
    "fit scatd transfer --few-shot-t": {"--few-shot-truth"},
    "data fetch kan": {"kang"},
    "data simulate ": {"screen", "profiles", "cells"},
    "search query ref --combine ": {"mean", "max", "q67"},
    "predict run new.csv --using s": {"student"},
    "embed scfoundation --chunk": {"--chunk-cells"},
    "fit ridge --response ": set(),  # the shell's own names of files
}
COMPLETE = """
import contextlib, io, json, os, sys
found = {}
for typed in json.loads(sys.argv[1]):
    words = ["galenic", *typed.split(" ")]
    os.environ.update(COMP_WORDS=chr(10).join(words), COMP_CWORD=str(len(words) - 1), _GALENIC_COMPLETE="complete_bash")
    sys.argv = ["galenic"]
    from galenic.cli.main import main
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        main()
    found[typed] = said.getvalue().split()
heavy = ("torch", "pandas", "numpy", "anndata", "sklearn", "scipy", "plotly", "rdkit", "streamlit")
print(json.dumps([found, [name for name in heavy if name in sys.modules]]))
"""


def test_completion_knows_names_and_brings_no_heavy_library(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPLETE, json.dumps(list(COMPLETED))], cwd=tmp_path, capture_output=True, text=True
    )
    found, heavy = json.loads(done.stdout)
    assert heavy == [], done.stderr
    for typed, wanted in COMPLETED.items():
        last = typed.rpartition(" ")[2]
        assert wanted <= set(found[typed]), typed
        assert bool(found[typed]) == bool(wanted), typed
        assert all(one.startswith(last) for one in found[typed]), typed


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_ask_in_their_own_way(shell: str, speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_GALENIC_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "galenic fit kernel")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    _, out, _ = speak()
    assert "kernel-ridge" in out
    assert "kernel-completion" in out
    assert "factorisation" not in out


def test_completion_is_installed_for_the_shell_that_asks(tmp_path: Path) -> None:
    program = shlex.quote(str(Path(sys.executable).with_name("galenic")))
    line = f"{program} --install-completion && {program} doctor --quick --json"
    env = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["completion"] == ["bash"]
    script = (tmp_path / ".bash_completions" / "galenic.sh").read_text()
    assert "_GALENIC_COMPLETE=complete_bash" in script


def leaves() -> dict[tuple[str, ...], list[str]]:
    """Every verb and sub-verb with the examples of its help."""
    found = {tuple(path.split(" ")): list(lines) for path, lines in EXAMPLES.items() if path not in set(KINDS.values())}
    for typed, name in NAMES.items():
        if name != "ScATD":
            found["fit", typed] = [line.replace("{}", typed) for line in EXAMPLES[KINDS[name]]]
    return found


@pytest.mark.parametrize("path", leaves(), ids=" ".join)
def test_help_ends_with_an_example_that_the_verb_takes(path: tuple[str, ...], speak: Speak) -> None:
    code, page, _ = speak(*path, "--help")
    assert code == 0
    assert "Example:" in page
    for line in leaves()[path]:
        assert line in page
    # One sentence for each flag, and no flag without one.
    options = page.partition("Options:")[2].partition("Commands:")[0].partition("Example:")[0]
    flags = re.findall(r"^  (--\S+)(?: / --\S+)?(?: <\S[^>]*>)?\s*(.*)$", options, re.M)
    assert flags
    entries = re.split(r"^  (?=--)", options, flags=re.M)[1:]
    assert all(len(" ".join(entry.split()).split(" ")) > 2 for entry in entries), entries


@pytest.mark.parametrize("path", [path for path in leaves() if "<" not in path], ids=" ".join)
def test_the_flags_of_an_example_are_flags_of_the_verb(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for line in leaves()[path]:
        words = shlex.split(line)[1:]
        monkeypatch.setattr(sys, "argv", ["galenic", *words, "--help"])
        command: Any = typer.main.get_command(command_line.app)
        while words and hasattr(command, "list_commands"):
            command = command.get_command(None, words.pop(0))
        if command is None or not words or words[0] in ("scfoundation", "geneformer"):
            continue
        known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {"--help"}
        given = {word for word in words if word.startswith("--")}
        assert given <= known, line
        needed = {param.opts[0] for param in command.params if param.required and param.opts[0].startswith("--")}
        assert "--help" in given or needed <= given, line


def test_the_fields_that_help_knows_are_those_of_the_models() -> None:
    from galenic.cli.model_fields import FILE, everything

    assert json.loads(FILE.read_text(encoding="utf-8")) == json.loads(json.dumps(everything())), (
        "a model has changed: write the file again with python -m galenic.cli.model_fields"
    )


@pytest.mark.parametrize("name", ["kdrug", "readacross", "xtransfercdr", "cell-boosting"])
def test_help_of_a_model_is_that_of_its_class(name: str, speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = speak("fit", name, "--help")[1]
    monkeypatch.setattr("galenic.cli.fit.is_asked_for", lambda: False)
    assert speak("fit", name, "--help")[1] == quick


def test_help_of_a_model_brings_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['galenic', 'fit', sys.argv[1], '--help']\n"
        "from galenic.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('HEAVY', [n for n in ('torch', 'pandas', 'numpy', 'anndata', 'sklearn', 'scipy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, "kdrug"], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("HEAVY []")


def test_the_doctor_says_what_is_broken_first_and_ends_with_1(speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("galenic.cli.health.probes", lambda names: (dict.fromkeys(names, ""), {"threads": 1}))
    code, out, err = speak("doctor", "--quiet")
    assert (code, err) == (0, "")
    assert "torch" in out
    broken = {"torch": "OSError: libc10.so"}
    monkeypatch.setattr("galenic.cli.health.probes", lambda names: (broken, {}))
    code, out, _ = speak("doctor")
    assert code == 1
    assert out.startswith("BROKEN: torch")
    told = json.loads(speak("doctor", "--json")[1])
    assert told["exit_code"] == 1
    assert told["problems"][0]["is_core"]
    assert "OSError: libc10.so" in told["error"]["received"]
    assert {one["name"] for one in told["core"]} >= {"torch", "numpy"}


def test_the_doctor_looks_without_importing() -> None:
    code = (
        "import sys; sys.argv = ['galenic', 'doctor', '--quick']\n"
        "from galenic.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as ended: print('CODE', ended.code)\n"
        "print('HEAVY', [n for n in ('torch', 'pandas', 'anndata', 'sklearn', 'scipy') if n in sys.modules])"
    )
    with contextlib.redirect_stderr(io.StringIO()):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip().endswith("CODE 0\nHEAVY []")
