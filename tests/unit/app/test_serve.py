"""The app is served to this machine alone, or refuses in words."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from galenic.app import serve


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_port_in_use_is_refused_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=rf"{port} cannot be listened on \(it is in use\).*--port"):
            serve.require_port(port)


@pytest.mark.parametrize("port", [0, 80, 70000])
def test_ports_out_of_range_are_refused(port: int) -> None:
    with pytest.raises(ValueError, match="1024 to 65535"):
        serve.require_port(port)


def test_without_the_extra_the_command_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from galenic.cli.main import main

    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["galenic", "app"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "pip install 'galenic[app]'" in capsys.readouterr().err


def test_a_folder_of_models_must_be_there(tmp_path: Path) -> None:
    pytest.importorskip("streamlit", reason="streamlit is in the extra [app]")
    with pytest.raises(FileNotFoundError, match="--models should be a folder"):
        serve.serve(models=tmp_path / "absent")
    with pytest.raises(ValueError, match="--max-upload-mb should be 1 to 100,000"):
        serve.serve(max_upload_mb=0)


def test_streamlit_knows_every_setting_and_none_lets_anything_out() -> None:
    config = pytest.importorskip("streamlit.config", reason="streamlit is in the extra [app]")
    asked = serve.options(8501, 500, browser=False)
    assert set(asked) <= set(config._config_options_template)
    assert asked["server.address"] == "127.0.0.1"
    assert asked["browser.gatherUsageStats"] is False
    assert asked["server.enableXsrfProtection"] is True
    assert set(asked["server.allowedHosts"]) == {"127.0.0.1", "localhost"}


def test_the_server_answers_here_and_nowhere_else_and_ends_when_told(tmp_path: Path) -> None:
    pytest.importorskip("streamlit", reason="streamlit is in the extra [app]")
    port = free_port()
    started = subprocess.Popen(
        [sys.executable, "-m", "galenic", "app", "--no-browser", "--port", str(port), "--models", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "HOME": str(tmp_path)}, text=True,
    )  # fmt: skip
    try:
        assert healthy(port, started)
        if sys.platform == "linux":
            lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            here = {line[1].split(":")[0] for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "0A"}
            assert here == {"0100007F"}
        foreign = urllib.request.Request(
            f"http://127.0.0.1:{port}/_stcore/health", headers={"Origin": "https://example.org"}
        )
        with urllib.request.urlopen(foreign, timeout=5) as answer:
            assert answer.headers.get("Access-Control-Allow-Origin") not in ("*", "https://example.org")
    finally:
        started.send_signal(signal.SIGTERM)
        said, _ = started.communicate(timeout=20)
    assert started.returncode in (0, -signal.SIGTERM, 143)
    assert f"http://localhost:{port}" in said
    assert "Traceback" not in said


def healthy(port: int, process: subprocess.Popen[str]) -> bool:
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            if process.poll() is not None:
                return False
            time.sleep(0.1)
    return False
