"""Replies of a judge as they came: on disk before anybody reads them, and asked for once."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import IO, TYPE_CHECKING, Any

from tasksel.endpoint import Endpoint, Reply
from tasksel.run_folder import text_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["ask_all", "request_key"]


def request_key(body: Mapping[str, Any]) -> str:
    """Return the key of a request: a hash of all that is asked, and of nothing else."""
    return text_sha256(json.dumps(body, sort_keys=True))


def ask_all(
    bodies: Sequence[Mapping[str, Any]], endpoint: Endpoint, path: Path, *, concurrency: int
) -> dict[str, Reply]:
    """Ask what has no reply yet; the first failure ends it, and what was answered stays.

    Parameters
    ----------
    bodies : sequence of mapping
        Requests to ``chat/completions``; equal ones are asked once.
    endpoint : Endpoint
        Where they go.
    path : Path
        JSON lines of what was answered; the folder is made. Every reply is flushed to the disk at once.
    concurrency : int
        Requests at a time.

    Returns
    -------
    dict of str to Reply
        By `request_key`; what other calls left in the file is among them.

    Raises
    ------
    ProviderError
        The endpoint failed for good.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    replies = _read_replies(path)
    wanted = {key: body for body in bodies if (key := request_key(body)) not in replies}
    lock = threading.Lock()
    stopped = threading.Event()
    with path.open("ab") as log, ThreadPoolExecutor(max(1, concurrency)) as pool:

        def ask(key: str, body: Mapping[str, Any]) -> None:
            reply = endpoint.post("chat/completions", body, stopped=stopped)
            with lock:
                _append(log, key, reply)
                replies[key] = reply

        futures = [pool.submit(ask, key, body) for key, body in wanted.items()]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done():
                    future.result()
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
    return replies


def _append(log: IO[bytes], key: str, reply: Reply) -> None:
    line = json.dumps({"key": key, "status": reply.status, "body": reply.body}, ensure_ascii=False)
    log.write(line.encode("utf-8", errors="surrogatepass") + b"\n")
    log.flush()
    os.fsync(log.fileno())


def _read_replies(path: Path) -> dict[str, Reply]:
    """Read what was paid for; a line that a kill cut short is left out and closed."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("ab") as log:
            log.write(b"\n")
    entries = (_read_entry(line) for line in content.splitlines())
    return dict(entry for entry in entries if entry is not None)


def _read_entry(line: bytes) -> tuple[str, Reply] | None:
    try:
        entry = json.loads(line)
        return str(entry["key"]), Reply(int(entry["status"]), str(entry["body"]))
    except (ValueError, LookupError, TypeError):
        return None
