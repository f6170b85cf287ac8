"""Makes mutants with mutmut, and tries them in copies of one process that has collected the tests.

scripts/mutate_python.py starts this, in the folder and the environment of mutmut. mutmut's own way, a pytest
from the start for each mutant, takes several times as long as the tests that kill it.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

SURVIVED, KILLED, NO_TEST, TIMED_OUT = 0, 1, 33, 36
"""What mutmut writes down."""
CPU_S = 20
"""Processor time that the tests of a mutant may take; all together take 6."""
WALL_S = 900
"""So long may a mutant wait that does nothing any more."""


def main() -> None:
    """Make the mutants of what has changed, then try those that are open."""
    from mutmut import __main__ as mutmut

    mutmut.set_mutant_under_test("mutant_generation")
    Path("mutants").mkdir(exist_ok=True)
    mutmut.copy_src_dir()
    mutmut.copy_also_copy_files()
    mutmut.setup_source_paths()
    mutmut.create_mutants(1)
    mutmut.set_mutant_under_test("")
    os.chdir("mutants")
    n_processes, *arguments = sys.argv[1:]
    raise SystemExit(pytest.main(arguments, plugins=[Trials(int(n_processes))]))


class Trials:
    """A plugin of pytest that runs the tests of each mutant in place of all tests."""

    def __init__(self, n_processes: int) -> None:
        self._n_processes = n_processes
        self._has_failed = False
        self._running: dict[int, str] = {}
        self._metas = {
            path: json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path("src").rglob("*.meta"))
        }

    def pytest_configure(self, config: pytest.Config) -> None:
        """Keep it for what must not write to the terminal."""
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notice what fails."""
        self._has_failed |= report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try all mutants that are open."""
        gc.collect()
        gc.freeze()
        calls = self._calls(session)
        seconds = {test: found["seconds"] for test, found in calls.items()}
        session.items.sort(key=lambda item: seconds[item.nodeid])
        names = [name for meta in self._metas.values() for name, code in codes(meta).items() if code is None]
        print(f"{len(names)} mutants are open.", flush=True)
        for number, name in enumerate(names):
            function = name.rpartition("__mutmut_")[0]
            items = [item for item in session.items if function in calls[item.nodeid]["functions"]]
            if not items:
                self._put(name, NO_TEST)
                continue
            while len(self._running) >= self._n_processes:
                self._wait()
            self._running[self._start(lambda name=name, items=items: self._run(items, name))] = name
            if number % 20 == 0:
                print(f"{number} of {len(names)}", flush=True)
        while self._running:
            self._wait()
        return True

    def _calls(self, session: pytest.Session) -> dict[str, dict[str, Any]]:
        """Return which functions each test calls and how long it takes; look anew if a file has changed."""
        digest = hashlib.sha256()
        for path in sorted([Path("conftest.py"), *Path("tests").glob("*.py"), *Path("src").rglob("*.py")]):
            digest.update(path.read_bytes())
        found = Path("calls.json")
        known = json.loads(found.read_text(encoding="utf-8")) if found.is_file() else {"of": None}
        if known["of"] != digest.hexdigest():
            pid = self._start(lambda: self._look(session.items, found.with_suffix(".new")))
            if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
                raise SystemExit("A test fails without any change; mutants say nothing then.")
            calls = json.loads(found.with_suffix(".new").read_text(encoding="utf-8"))
            known = {"of": digest.hexdigest(), "calls": calls}
            for meta in self._metas.values():
                lived = [name for name, code in codes(meta).items() if code in (SURVIVED, NO_TEST)]
                codes(meta).update(dict.fromkeys(lived))
            found.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        return known["calls"]

    def _look(self, items: list[pytest.Item], path: Path) -> int:
        from mutmut.state import state

        calls = {}
        for item in items:
            state()._stats.clear()
            start = time.process_time()
            if self._run([item], "stats"):
                return KILLED
            seconds = time.process_time() - start
            calls[item.nodeid] = {"seconds": round(seconds, 4), "functions": sorted(state()._stats)}
        path.write_text(json.dumps(calls), encoding="utf-8")
        return SURVIVED

    def _run(self, items: list[pytest.Item], name: str) -> int:
        """Run tests, as pytest does, until one fails."""
        from mutmut.mutation.trampoline import set_mutant_under_test

        set_mutant_under_test(name)
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._has_failed:
                return KILLED
        return SURVIVED

    def _start(self, work: Callable[[], int]) -> int:
        """Work in a copy of this process, which exits with what it gives."""
        pid = os.fork()
        if pid:
            return pid
        code = KILLED
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))
            signal.alarm(WALL_S)
            self._config.pluginmanager.unregister(name="terminalreporter")
            code = work()
        finally:
            os._exit(code)

    def _wait(self) -> None:
        pid, status = os.wait()
        code = os.waitstatus_to_exitcode(status)
        has_stopped = code in (-signal.SIGXCPU, -signal.SIGALRM, -signal.SIGKILL)
        self._put(self._running.pop(pid), TIMED_OUT if has_stopped else code)

    def _put(self, name: str, code: int) -> None:
        """Write down what became of a mutant."""
        path, meta = next((path, meta) for path, meta in self._metas.items() if name in codes(meta))
        codes(meta)[name] = code
        path.with_suffix(".new").write_text(json.dumps(meta, indent=4), encoding="utf-8")
        path.with_suffix(".new").replace(path)


def codes(meta: dict[str, Any]) -> dict[str, int | None]:
    """Return the exit codes by the names of mutants; None where it is open."""
    return meta["exit_code_by_key"]


if __name__ == "__main__":
    main()
