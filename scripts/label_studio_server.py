"""A real Label Studio on the loopback with a data folder of its own: started, waited for, measured, stopped.

    python scripts/label_studio_server.py PYTHON

starts the one of an environment of `label_studio_environment.py`, and prints how long it took until it was
ready, in which processor time, and how much memory it then has.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

LONGEST_START_S = 300.0
EMAIL = "annotator@example.org"


@dataclass(frozen=True)
class LabelStudio:
    """A Label Studio that runs.

    Parameters
    ----------
    url : str
        Where.
    key : str
        Legacy token of its only user.
    password : str
        Of that user, whose address is `EMAIL`.
    process_id : int
        Of the server.
    ready_s : float
        How long it took to start.
    """

    url: str
    key: str
    password: str
    process_id: int
    ready_s: float

    def call(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Get a path, or post JSON to it, and return the JSON of the reply."""
        headers = {"Authorization": f"Token {key or self.key}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data=content, headers=headers)
        with _OPENER.open(request, timeout=120) as reply:
            return json.load(reply)

    def memory_mb(self) -> float:
        """Return the resident memory of the server in megabytes (Linux)."""
        status = Path(f"/proc/{self.process_id}/status").read_text(encoding="ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1000

    def cpu_s(self) -> float:
        """Return the processor time that the server has used so far (Linux)."""
        fields = Path(f"/proc/{self.process_id}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextlib.contextmanager
def running_label_studio(python: Path, folder: Path) -> Iterator[LabelStudio]:
    """Start a Label Studio on a free port, and stop it by its process id.

    Parameters
    ----------
    python : Path
        Interpreter of an environment with Label Studio.
    folder : Path
        For its database and files; nothing is written elsewhere.

    Raises
    ------
    RuntimeError
        It ends, or is not ready in time.
    """
    key, password, port = secrets.token_hex(20), secrets.token_hex(8), _free_port()
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    options += ["--username", EMAIL, "--password", password, "--user-token", key]
    with (folder / "log.txt").open("wb") as log:
        started_s = time.monotonic()
        process = subprocess.Popen(
            [str(python.with_name("label-studio")), "start", *options],
            env=_environment(folder),
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(process, url, folder / "log.txt")
            yield LabelStudio(url, key, password, process.pid, time.monotonic() - started_s)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def log_in(page: Page, studio: LabelStudio) -> None:
    """Log in with a browser as the only user."""
    page.goto(f"{studio.url}/user/login/")
    page.fill("input[name=email]", EMAIL)
    page.fill("input[name=password]", studio.password)
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: "/login" not in url)


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "HOME": str(folder),
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data"),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    started_s = time.monotonic()
    while time.monotonic() - started_s < LONGEST_START_S:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), _OPENER.open(f"{url}/health", timeout=5):
            return
        time.sleep(0.2)
    raise RuntimeError(f"Label Studio did not start: {log.read_text(errors='replace')[-2000:]}")


def main() -> None:
    """Start one and say what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("python", type=Path)
    python = parser.parse_args().python
    with tempfile.TemporaryDirectory() as folder, running_label_studio(python, Path(folder)) as studio:
        print(
            f"Ready after {studio.ready_s:.0f} s, {studio.cpu_s():.0f} s of processor time, with "
            f"{studio.memory_mb():.0f} MB of resident memory."
        )


if __name__ == "__main__":
    main()
