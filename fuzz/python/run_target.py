"""One fuzzing process: ``python run_target.py TARGET [options of libFuzzer] CORPUS...``."""

from __future__ import annotations

import shlex
import sys
import time
import traceback

import atheris

from reader_fuzz.targets import load_target

MOST_CPU_SECONDS = 5.0
"""For an input of a few kilobytes; above that it is a finding."""


def main() -> None:
    """Fuzz a target until libFuzzer has had enough, or a promise is broken."""
    name = sys.argv.pop(1)
    # libFuzzer starts itself for a merge, by this word in a shell.
    sys.argv[0] = shlex.join([sys.executable, __file__, name])
    # What is imported here is instrumented, so that the fuzzer sees which branches an input takes.
    with atheris.instrument_imports(include=["tasksel", "tasksel_core", "reader_fuzz"]):
        target = load_target(name)

    def run(data: bytes) -> None:
        begun = time.process_time()
        try:
            target.check(data)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - a panic of polars is no Exception
            traceback.print_exc()
            raise RuntimeError(f"{name} broke a promise") from None
        if time.process_time() - begun > MOST_CPU_SECONDS:
            raise RuntimeError(f"{name} took {time.process_time() - begun:.1f} s of CPU time")

    def mutate(data: bytes, most_bytes: int, seed: int) -> bytes:
        return target.mutator.mutate(data, most_bytes, seed, atheris.Mutate)

    atheris.Setup(sys.argv, run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
