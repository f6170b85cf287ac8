"""The ledger of fuzzing adds up, survives a kill, and stands on its page; kernels are fuzzed in turns."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import fuzz_kernels
import fuzz_ledger
from fuzz_kernels import (
    FUZZ,
    MAX_SEED_BYTES,
    MAX_SEEDS,
    SEEDS,
    TARGETS,
    Run,
    fuzz_in_turns,
    read_log,
    smallest,
)
from fuzz_ledger import LEDGER, PAGE, ROOT, Record, add, read, table, with_table

STRETCH = Record("kernel", cpu_seconds=1.5, executions=100, edges=20, corpus_files=3, crashes=1)
LOG = """#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 30Mb
#10517\tNEW    cov: 1890 ft: 5465 corp: 205/2361b lim: 21 exec/s: 420 rss: 30Mb L: 21/21 MS: 1 ChangeBinInt-
#10624\tDONE   cov: 1893 ft: 5672 corp: 207/2401b lim: 21 exec/s: 408 rss: 30Mb
"""


def test_stretches_add_up_and_the_corpus_is_the_last_one(tmp_path):
    ledger = tmp_path / "fuzzing.json"
    add("k_center", STRETCH, ledger)
    total = add("k_center", replace(STRETCH, edges=30, corpus_files=2, crashes=0), ledger)
    assert total == Record("kernel", 3.0, 200, 30, 2, 1)
    # A stretch that was cut off before it had measured anything.
    assert add("k_center", Record("kernel", 0.1), ledger) == replace(total, cpu_seconds=3.1)
    assert read(ledger) == {"k_center": replace(total, cpu_seconds=3.1)}


def test_fuzzers_may_add_at_the_same_time(tmp_path):
    ledger = tmp_path / "fuzzing.json"
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(add, f"target_{number % 3}", STRETCH, ledger) for number in range(24)]:
            done.result()
    assert [record.executions for record in read(ledger).values()] == [800, 800, 800]


def test_a_kill_leaves_the_old_ledger_and_nothing_else(tmp_path, monkeypatch):
    ledger = tmp_path / "fuzzing.json"
    add("k_center", STRETCH, ledger)
    before = ledger.read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fuzz_ledger.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        add("k_center", STRETCH, ledger)
    assert ledger.read_bytes() == before
    assert list(tmp_path.iterdir()) == [ledger]


def test_what_is_no_record_is_refused(tmp_path):
    with pytest.raises(ValueError, match="kind is 'rust'; allowed: 'kernel', 'python'"):
        Record("rust")
    add("pools", replace(STRETCH, kind="python"), tmp_path / "fuzzing.json")
    with pytest.raises(ValueError, match="'pools' is of kind 'python', not 'kernel'"):
        add("pools", STRETCH, tmp_path / "fuzzing.json")
    with pytest.raises(ValueError, match="not both marks"):
        with_table("no marks", {})


def test_the_table_says_whether_the_hour_is_reached():
    records = {
        "pools": Record("python", 3599.9, 1_234_567),
        "k_center": Record("kernel", 3600.0),
    }
    first, second = table(records).splitlines()[2:]
    assert first.startswith("| `k_center` | Rust kernel | 1.00 | yes |")
    assert second.startswith("| `pools` | Python | 0.99 | not yet | 1,234,567 |")


def test_the_page_has_the_table_of_the_ledger():
    page = PAGE.read_text("utf-8")
    assert with_table(page, read(LEDGER)) == page, "run python scripts/fuzz_ledger.py"
    text = LEDGER.read_text("utf-8")
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_libfuzzers_figures_are_read():
    assert read_log(LOG, 2.5, 0) == Record("kernel", 2.5, 10624, 1893, 207, 0)
    assert read_log(LOG + "stat::number_of_executed_units: 10700\n", 2.5, 1).executions == 10700
    assert read_log("", 0.1, 0) == Record("kernel", 0.1)


def test_every_target_is_everywhere():
    manifest = (FUZZ / "Cargo.toml").read_text("utf-8")
    checks = (ROOT / "rust" / "fuzz_checks" / "src" / "lib.rs").read_text("utf-8")
    page = PAGE.read_text("utf-8")
    assert re.findall(r'^name = "(\w+)"$', manifest, re.MULTILINE) == list(TARGETS)
    assert re.findall(r'\("(\w+)", \1::check\)', checks) == list(TARGETS)
    assert all(f"| `{target}` |" in page for target in TARGETS)
    for target in TARGETS:
        sizes = [path.stat().st_size for path in (SEEDS / target).iterdir()]
        assert 0 < len(sizes) <= MAX_SEEDS
        assert sum(sizes) <= MAX_SEED_BYTES


def test_both_lock_files_name_the_same_versions():
    """What is fuzzed is what is built."""
    package = re.compile(r'name = "([\w-]+)"\nversion = "([\d.]+)"\nsource')
    ours = set(package.findall((ROOT / "Cargo.lock").read_text("utf-8")))
    kernels = {"arbitrary", "ndarray", "rayon", "rayon-core", "thiserror"}
    fuzzed = {
        crate for crate in package.findall((FUZZ / "Cargo.lock").read_text("utf-8")) if crate[0] in kernels
    }
    assert {name for name, _ in fuzzed} == kernels
    assert fuzzed <= ours


def test_the_smallest_seeds_are_kept_beside_found_cases():
    inputs = [(bytes(length), str(length)) for length in (900, 100, 150_000, 40_000, 60_000)]
    assert [name for _, name in smallest(inputs, set())] == ["100", "900", "40000", "60000"]
    assert [name for _, name in smallest(inputs, {bytes(120_000)})] == ["100", "900", "40000"]
    many = [(number.to_bytes(2, "big"), str(number)) for number in range(500)]
    assert len(smallest(many, {b"found"})) == MAX_SEEDS - 1


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    """A run with a scripted fuzzer, which fails at its third turn where its target is called `breaks`."""
    binaries = tmp_path / "binaries"
    binaries.mkdir()
    script = f"""#!{sys.executable}
import pathlib, sys
artifacts = next(word for word in sys.argv if word.startswith("-artifact_prefix=")).partition("=")[2]
turns = pathlib.Path(sys.argv[-2]) / "turns"
turns.write_text(turns.read_text() + "x" if turns.exists() else "x")
print({LOG!r}, file=sys.stderr)
if sys.argv[0].endswith("breaks") and turns.read_text() == "xxx":
    pathlib.Path(artifacts, "crash-1").write_bytes(b"")
    sys.exit(77)
sum(number * number for number in range(300_000))
"""
    for target in ("breaks", "holds"):
        (binaries / target).write_text(script)
        (binaries / target).chmod(stat.S_IRWXU)
    monkeypatch.setattr(fuzz_kernels, "SEEDS", tmp_path / "seeds")
    folders = {"corpus": tmp_path / "corpus", "artifacts": tmp_path / "artifacts"}
    ledger = tmp_path / "fuzzing.json"
    return Run(binaries, **folders, ledger=ledger, cpu_seconds=60, wall_seconds=60, slice_seconds=1)


def test_a_target_that_broke_gets_no_more_turns(scripted, capfd):
    run = replace(scripted, cpu_seconds=1e-3)
    assert fuzz_in_turns(["holds", "breaks"], run, jobs=1) == 0
    assert fuzz_in_turns(["breaks"], replace(scripted, cpu_seconds=1e9), jobs=2) == 1
    records = read(scripted.ledger)
    assert (records["holds"].crashes, records["holds"].executions) == (0, 10624)
    assert (records["breaks"].crashes, records["breaks"].executions) == (1, 3 * 10624)
    assert records["breaks"].cpu_seconds > 0
    assert "crash-1" in capfd.readouterr().err


def test_turns_end_with_the_time_by_the_clock(scripted):
    assert fuzz_in_turns(["holds"], replace(scripted, ledger=None, wall_seconds=1e-3), jobs=1) == 0
    assert not scripted.ledger.exists()
    assert Path(scripted.corpus, "holds", "turns").read_text() == "x"


def test_a_fuzzer_that_cannot_run_is_an_error(scripted):
    Path(scripted.binaries, "holds").write_text(f"#!{sys.executable}\nimport os\nos._exit(5)\n")
    with pytest.raises(SystemExit, match="holds ended with 5"):
        fuzz_in_turns(["holds"], scripted, jobs=1)


def test_without_a_compiler_it_says_so(monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(sys, "argv", ["fuzz_kernels.py", "--short"])
    assert fuzz_kernels.main() == 0
    assert "wants a C++ compiler, and there is no 'no-such-compiler'" in capsys.readouterr().err


def test_the_first_ctrl_c_ends_the_turn_and_counts_it(scripted):
    fuzzers = fuzz_kernels.Fuzzers(scripted)
    fuzzers.interrupt()
    assert fuzzers.is_interrupted
    # A fuzzer that starts right then is told at once.
    interruptible = "import signal, time\nsignal.signal(signal.SIGINT, lambda *_: exit(72))\ntime.sleep(60)\n"
    script = f"#!{sys.executable}\n{interruptible}"
    Path(scripted.binaries, "holds").write_text(script)
    assert os.access(scripted.binaries / "holds", os.X_OK)
    assert fuzzers.fuzz("holds", 60).crashes == 0
