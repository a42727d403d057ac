"""Start the app: one Streamlit server, of this machine alone, that asks nothing of the network."""

from __future__ import annotations

import errno
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from galenic.app.settings import MOST_MB, SETTINGS

HOST = "127.0.0.1"
PORT = 8501
NAMES = ("127.0.0.1", "localhost")
"""By which names a browser may ask: a page elsewhere whose name leads here is refused."""
SCRIPT = Path(__file__).parent / "script" / "galenic_app.py"


def serve(
    *, port: int = PORT, max_upload_mb: int = MOST_MB, browser: bool = True, models: str | Path | None = None
) -> None:
    """Serve the app until it is interrupted.

    Parameters
    ----------
    port
        Of this machine, 1024 to 65535.
    max_upload_mb
        Megabytes that one uploaded file may have.
    browser
        Open the page in the browser.
    models
        Folder whose run and model folders the pages offer.

    Raises
    ------
    ValueError
        If the port or the size is out of range, the port is taken, or Streamlit is not installed.
    FileNotFoundError
        If ``models`` is no folder.
    """
    require_installed()
    if not 1 <= max_upload_mb <= 100_000:
        raise ValueError(f"--max-upload-mb should be 1 to 100,000; received {max_upload_mb:,}. Choose a size between.")
    if models is not None and not Path(models).is_dir():
        raise FileNotFoundError(f"--models should be a folder of model folders; {models} is none. Check the path.")
    require_port(port)
    SETTINGS.models = None if models is None else Path(models).absolute()
    SETTINGS.max_upload_mb = max_upload_mb
    _keep_within()
    from streamlit.web import bootstrap

    flags = options(port, max_upload_mb, browser)
    bootstrap.load_config_options(flags)
    print(f"galenic app: http://localhost:{port}  (Ctrl+C ends it)", flush=True)
    bootstrap.run(str(SCRIPT), False, [], flags)


def require_installed() -> None:
    """Raise ``ValueError`` with the remedy where Streamlit is absent."""
    if find_spec("streamlit") is None:
        raise ValueError(
            "the app needs Streamlit; it is not installed, because it comes with the extra [app]. Install it with: "
            "pip install 'galenic[app]'"
        )


def require_port(port: int) -> None:
    """Raise ``ValueError`` where the app cannot listen on a port of this machine."""
    if not 1024 <= port <= 65535:
        raise ValueError(f"--port should be 1024 to 65535; received {port}. Choose another, such as {PORT}.")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            why = "it is in use" if error.errno == errno.EADDRINUSE else str(error.strerror or error)
            raise ValueError(
                f"--port should be a free port; {port} cannot be listened on ({why}). Open http://localhost:{port} if "
                f"the app runs there already, or choose another: galenic app --port {min(port + 1, 65535)}"
            ) from error


def options(port: int, max_upload_mb: int, browser: bool) -> dict[str, Any]:
    """Settings of Streamlit: bound to this machine, silent towards the network, plain in its looks."""
    return {
        "server.address": HOST,
        "server.port": port,
        "server.headless": not browser,
        "server.maxUploadSize": max_upload_mb,
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        "server.allowedHosts": list(NAMES),
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.showEmailPrompt": False,
        "browser.serverAddress": "localhost",
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        "global.developmentMode": False,
        "logger.hideWelcomeMessage": True,
        "logger.level": "error",
        **theme(),
    }


def theme() -> dict[str, Any]:
    """Colours of both appearances: text and buttons have a contrast of 4.5 or more."""
    return {
        "theme.paddingTop": "3.5rem",
        "theme.headingFontSizes": ["2.1rem", "1.5rem", "1.2rem", "1.05rem", "1rem", "0.95rem"],
        "theme.light.textColor": "#0b1016",  # captions are drawn in six tenths of it
        "theme.light.primaryColor": "#1f5f99",
        "theme.dark.primaryColor": "#6fb1ea",
        "theme.light.linkColor": "#1f5f99",
        "theme.dark.linkColor": "#8cc4f5",
    }


def _keep_within() -> None:
    """Streamlit asks a web site for this machine's address when a stranger's page knocks; here it does not."""
    from streamlit import net_util

    net_util.get_external_ip = lambda: None
