"""Verbs of the command line in children; the imports are paid once, before the forks.

``python stage_fork_server.py`` reads one JSON object a line: ``{"start": ARGUMENTS, "log": FILE}`` is
answered with the id of a child that runs ``tasksel ARGUMENTS``, ``{"poll": ID}`` and ``{"wait": ID}`` with
its exit code, which is negative after a signal, or null while it runs. Nothing here may start threads (of
polars, torch or tokenizers) before a fork: they would be missing in the child.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys

PRELOADED = (
    "torch",
    "transformers.models.llama.modeling_llama",
    "transformers.trainer",
    "peft",
    "jsonschema",
    "tasksel.cli",
    "tasksel.job",
    "tasksel.rounds",
    "tasksel.teacher",
    "tasksel.training_network",
    "tasksel.training_loop",
    "tasksel.synthesis.generation_run",
)


def start(arguments: list[str], log: str) -> int:
    """Start a child and return its process id at once."""
    process_id = os.fork()
    if process_id:
        return process_id
    exit_code = 1
    try:
        with open(log, "ab") as file:  # noqa: PTH123 - a child of a fork does as little as it can
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
        exit_code = run_verb(arguments)
    finally:
        sys.stderr.flush()
        os._exit(exit_code)


def run_verb(arguments: list[str]) -> int:
    """Run a verb as the program does; returns its exit code."""
    import torch

    from tasksel.__main__ import main

    torch.set_num_threads(1)
    sys.argv = ["tasksel", *arguments]
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def exit_code_of(process_id: int, options: int) -> int | None:
    """Return how a child ended; None while it runs."""
    ended_id, status = os.waitpid(process_id, options)
    return os.waitstatus_to_exitcode(status) if ended_id else None


def main() -> None:
    """Serve until the input ends."""
    for name in PRELOADED:
        with contextlib.suppress(ModuleNotFoundError):  # of an extra that is not installed
            importlib.import_module(name)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "start" in order:
            answer: int | None = start(order["start"], order["log"])
        elif "poll" in order:
            answer = exit_code_of(order["poll"], os.WNOHANG)
        else:
            answer = exit_code_of(order["wait"], 0)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
