from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tasksel.synthesis import probe_program
from tasksel.synthesis.probe import ProbeSettings, probe
from tasksel.synthesis.probe_batch import file_content, make_probe_examples, read_probe_batch
from tasksel.synthesis.probe_program import parse_command, run_program
from tasksel.synthesis.probe_results import RESULT_SCHEMA, category_figures, fisher_tail, next_batch
from tasksel.synthesis.probe_signatures import plain_line, signature_of
from tasksel.terminal_synthesis_edge import print_probe
from tasksel_core.errors import ConfigError, ResumeError, SchemaError

pytest.importorskip("jsonschema", reason="the extra synth is not installed")

BUGGY = """
import json, os, sys
for line in open(sys.argv[1], encoding="utf-8"):
    row = json.loads(line)
    if row["text"] is None:
        raise ValueError(f"no text in {sys.argv[1]} of process {os.getpid()}")
    row["text"].encode("latin-1")
    if len(row["text"]) > 5000:
        os.abort()
"""


def python_command(tmp_path, source, *more):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return shlex.join([sys.executable, "-S", "-E", str(path), "{file}", *more])


def write_tickets(path):
    text = "Item {} broke after two days. I want my money back!"
    rows = [{"text": text.format(row), "rating": row % 5 + 1, "urgent": False} for row in range(24)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def tickets(tmp_path):
    path = tmp_path / "tickets.jsonl"
    write_tickets(path)
    return path


def counts_of(summary, key="failed"):
    return {each["category"]: each[key] for each in summary.categories}


# Finding bugs


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """Probe the buggy program once; give the summary, the folder of the results and the program."""
    folder = tmp_path_factory.mktemp("probed")
    batch = folder / "tickets.jsonl"
    write_tickets(batch)
    settings = ProbeSettings(iterations=2, size=42, control=24)
    found = probe(python_command(folder, BUGGY), batch, out=folder / "out", settings=settings)
    return found, folder / "out", folder / "program.py"


def test_a_probe_finds_the_bugs_and_looks_where_they_are(probed):
    found, out, _ = probed
    failed = counts_of(found)
    assert failed["ordinary"] == failed["boundary"] == failed["very-short"] == 0
    assert failed["very-long"] == counts_of(found, "run")["very-long"] > 0
    assert failed["unicode"] > 0
    assert failed["missing"] > 0
    kinds = [each["signature"] for each in found.signatures]
    assert "SIGABRT" in kinds
    assert any("UnicodeEncodeError" in each for each in kinds)
    assert any("ValueError: no text in PATH of process N" in each for each in kinds)
    planned = {}
    for each in found.plan:
        planned[each["category"]] = planned.get(each["category"], 0) + each["planned"]
    assert sum(planned.values()) == 42
    assert min(planned.values()) >= 1
    assert min(planned[name] for name in ("very-long", "unicode", "missing")) > max(
        planned[name] for name in ("boundary", "very-short", "extreme")
    )
    assert found.iterations == 2
    results = pl.read_parquet(out / "results.parquet")
    tried = dict(results.filter(iteration=2)["category"].value_counts().iter_rows())
    assert tried["very-long"] > tried.get("boundary", 0)


def test_rates_are_of_the_first_batch_and_compared_with_ordinary_examples(probed):
    by_name = {each["category"]: each for each in probed[0].categories}
    assert by_name["ordinary"]["p_value"] is None
    assert by_name["very-long"]["first_run"] == 6 < by_name["very-long"]["run"]
    assert by_name["very-long"]["rate"] == 1.0
    assert by_name["very-long"]["low"] > 0.5
    assert by_name["very-long"]["p_value"] < 0.001 < by_name["boundary"]["p_value"]


def test_the_files_have_all_that_is_needed_to_run_a_failure_again(probed):
    found, out, program = probed
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text("ascii").splitlines()]
    assert len(failures) == sum(counts_of(found).values())
    for each in failures:
        assert json.loads((out / each["input"]).read_text("utf-8")) == each["item"]
    command = [sys.executable, str(program), str(out / failures[0]["input"])]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    kept = {path.name for path in (out / "inputs").iterdir()}
    assert kept == {each["input"].removeprefix("inputs/") for each in failures}
    assert "unicode" in (out / "next_plan.toml").read_text()
    manifest = json.loads((out / "manifest.json").read_text())
    names = {"results.parquet", "failures.jsonl", "next_plan.parquet", "next_plan.toml"}
    assert set(manifest["files"]) == names


def test_one_run_an_example_finds_the_same_as_halving(tmp_path, tickets):
    command = python_command(tmp_path, BUGGY)
    frames = []
    for name, per_example in (("a", True), ("b", False)):
        settings = ProbeSettings(size=28, control=4, per_example=per_example, batch_size=7)
        probe(command, tickets, out=tmp_path / name, settings=settings)
        frame = pl.read_parquet(tmp_path / name / "results.parquet")
        frames.append(
            frame.select("key", "category", "outcome", "exit_code", "signature").sort("category", "key")
        )
    assert frames[0].equals(frames[1])


def test_a_probe_goes_on_until_nothing_new_fails(tmp_path, tickets):
    command = python_command(tmp_path, "raise SystemExit('error: closed')")
    found = probe(
        command, tickets, out=tmp_path / "out", settings=ProbeSettings(iterations=5, size=7, control=2)
    )
    assert found.iterations == 2
    assert any("Batch 2 showed no new kind of failure" in note for note in found.notes)
    assert any("Every ordinary example fails too" in note for note in found.notes)


def test_examples_that_fail_only_together_are_told(tmp_path, tickets):
    source = """
        import sys
        if len(open(sys.argv[1]).readlines()) > 1:
            sys.exit("error: too many rows, 16")
    """
    found = probe(
        python_command(tmp_path, source),
        tickets,
        out=tmp_path / "out",
        settings=ProbeSettings(size=14, control=4),
    )
    assert set(counts_of(found).values()) == {0}
    assert found.together[0]["signature"] == "exit 1: error: too many rows, N"
    assert any("fail together and none alone" in note for note in found.notes)


def test_errors_that_are_told_at_exit_code_0_are_counted_apart(tmp_path, tickets):
    source = """
        import json, sys
        for line in open(sys.argv[1]):
            if json.loads(line).get("text") is None:
                print("ERROR: skipped a row", file=sys.stderr)
    """
    found = probe(
        python_command(tmp_path, source),
        tickets,
        out=tmp_path / "out",
        settings=ProbeSettings(size=28, control=4),
    )
    assert set(counts_of(found).values()) == {0}
    told = counts_of(found, "complained")
    assert told["missing"] > 0
    assert sum(told.values()) - told["missing"] <= told["invalid-but-parseable"]
    assert [each["signature"] for each in found.signatures] == ["complaint: ERROR: skipped a row"]


# Hostile programs


def run_once(tmp_path, source, timeout_s=20.0):
    batch = tmp_path / "file.jsonl"
    batch.write_text("{}\n")
    return run_program(parse_command(python_command(tmp_path, source)), batch, timeout_s=timeout_s)


def test_binary_output_and_escapes_are_kept_printable(tmp_path):
    run = run_once(
        tmp_path,
        r"""
        import os, sys
        os.write(2, b"\x1b[31mfirst\x1b[0m \x9b2J\xff\x00\n\n")
        os.write(2, b"fatal: \x1b]0;title\x07 \xe2\x80\xaelast\n")
        os.write(1, bytes(range(256)))
        sys.exit(3)
        """,
    )
    assert run.exit_code == 3
    assert run.last_line == "fatal:  \\u202elast"
    assert run.first_line.startswith("first")
    assert all(line.isprintable() for line in (run.first_line, run.last_line, run.error_line, run.signature))
    assert run.stdout_bytes == 256


def test_a_huge_standard_error_keeps_its_beginning_and_end(tmp_path):
    run = run_once(
        tmp_path,
        r"""
        import sys
        print("the beginning", file=sys.stderr)
        sys.stderr.write("x" * 3_000_000 + "\n")
        for _ in range(20_000): sys.stderr.write("noise and more noise\n")
        sys.exit("ValueError: the end")
        """,
    )
    assert run.outcome == "exit"
    assert (run.first_line, run.error_line) == ("the beginning", "ValueError: the end")
    assert run.stderr_bytes > 3_000_000


def test_endless_output_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(probe_program, "MAX_OUTPUT_BYTES", 2_000_000)
    source = """
        import sys
        while True: sys.stdout.buffer.write(b"x" * 65536)
    """
    run = run_once(tmp_path, source)
    assert run.outcome == run.signature == "output-limit"


def test_a_signal_is_named(tmp_path):
    run = run_once(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert (run.outcome, run.signal, run.exit_code, run.signature) == ("signal", "SIGSEGV", None, "SIGSEGV")


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="asks Linux which processes there are")
@pytest.mark.parametrize("parent_waits", [True, False])
def test_what_the_program_started_does_not_outlive_it(tmp_path, parent_waits):
    source = f"""
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
        open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
        if {parent_waits}: time.sleep(300)
    """
    run = run_once(tmp_path, source, timeout_s=3.0 if parent_waits else 60.0)
    assert run.outcome == ("timeout" if parent_waits else "ok")
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not is_alive(pid):
            break
        time.sleep(0.05)
    assert not is_alive(pid)


def test_a_program_that_closes_its_output_and_hangs_is_stopped(tmp_path):
    run = run_once(tmp_path, "import os, time; os.close(1); os.close(2); time.sleep(300)", timeout_s=1.0)
    assert (run.outcome, run.signature) == ("timeout", "timeout")


def test_no_shell_and_no_input(tmp_path):
    run = run_once(tmp_path, "import sys; sys.exit(sys.stdin.read() + 'x' + repr(sys.argv[2:]))")
    assert run.last_line == "x[]"
    path = tmp_path / "a b;touch $(x).txt"
    path.write_text("")
    echo = parse_command(
        f"{shlex.quote(sys.executable)} -c 'import sys; sys.exit(sys.argv[1])' '--in={{file}}'"
    )
    assert run_program(echo, path, timeout_s=20).last_line == f"--in={path}"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("", "is empty"),
        ("python 'x {file}", "cannot be split"),
        ("python app.py", r"no argument with \{file\}"),
        ("{file}", r"no argument with \{file\}"),
        ("no-such-program-here {file}", "no program 'no-such-program-here'"),
    ],
)
def test_a_wrong_command_is_a_sentence(command, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parse_command(command)


def test_a_program_that_the_system_does_not_start_is_a_sentence(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF and no more")
    program.chmod(0o755)
    with pytest.raises(ConfigError, match=r"program' cannot be started \(Exec format error\)\."):
        run_program(parse_command(f"{program} {{file}}"), tmp_path, timeout_s=20)


def test_a_system_without_process_groups_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "waitid")
    with pytest.raises(ConfigError, match="process group, which this system does not have"):
        run_once(tmp_path, "pass")


def test_a_pipe_that_was_called_readable_and_is_not_is_waited_for(monkeypatch, tmp_path):
    read, misses = os.read, iter([True] * 3)

    def late(descriptor, size):
        if size == probe_program.KEPT_BYTES and next(misses, False):
            raise BlockingIOError
        return read(descriptor, size)

    monkeypatch.setattr("tasksel.synthesis.probe_program.os.read", late)
    assert run_once(tmp_path, "import sys; sys.exit('error: late')").last_line == "error: late"
    assert next(misses, None) is None


# Continuing


def test_a_stopped_probe_runs_nothing_twice(tmp_path, tickets):
    log = tmp_path / "log"
    source = f"""
        import sys
        open({str(log)!r}, "a").write("run\\n")
        sys.exit("error: always" if "broke" not in open(sys.argv[1]).read() else 0)
    """
    command = python_command(tmp_path, source)
    settings = ProbeSettings(size=14, control=4, iterations=2)
    first = probe(command, tickets, out=tmp_path / "out", settings=settings)
    runs = log.read_text().count("run")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in ("results.parquet", "manifest.json")}
    path = tmp_path / "out" / "runs.jsonl"
    assert len(path.read_text().splitlines()) == runs
    again = probe(command, tickets, out=tmp_path / "out", settings=settings)
    assert again == first
    assert log.read_text().count("run") == runs
    kept = {path.name: path.read_bytes() for path in (tmp_path / "out" / "inputs").iterdir()}
    shutil.rmtree(tmp_path / "out" / "inputs")
    assert probe(command, tickets, out=tmp_path / "out", settings=settings) == first
    assert {path.name: path.read_bytes() for path in (tmp_path / "out" / "inputs").iterdir()} == kept != {}
    assert log.read_text().count("run") == runs
    content = path.read_bytes()
    path.write_bytes(content[:-20])  # the last line cut short, as a kill leaves it
    (tmp_path / "out" / "manifest.json").unlink()
    assert probe(command, tickets, out=tmp_path / "out", settings=settings) == first
    assert log.read_text().count("run") == runs + 1
    assert {name: (tmp_path / "out" / name).read_bytes() for name in before} == before


def test_results_of_another_command_are_not_mixed_in(tmp_path, tickets):
    settings = ProbeSettings(size=7, control=1)
    probe(python_command(tmp_path, "pass"), tickets, out=tmp_path / "out", settings=settings)
    with pytest.raises(ResumeError, match="results of another probe"):
        probe(python_command(tmp_path, "pass", "--more"), tickets, out=tmp_path / "out", settings=settings)
    (tmp_path / "out" / "runs.jsonl").write_text("{}\n")
    with pytest.raises(ResumeError, match="line 1, is damaged"):
        probe(python_command(tmp_path, "pass"), tickets, out=tmp_path / "out", settings=settings)


# Batches


def test_a_batch_of_records_keeps_its_categories(tmp_path):
    path = tmp_path / "batch.jsonl"
    rows = [
        {"edge": "sarcasm\x1b[31m", "item": {"text": "Great, again."}, "edge_change": "\u202eevil"},
        {"edge": None, "item": '{"text": "The strap broke."}'},
        {"edge": "ordinary", "item": {"text": "The screen broke."}, "prompt": "P"},
    ]
    path.write_text("\n\n".join(json.dumps(row) for row in rows))
    batch = read_probe_batch(path)
    assert [(each.category, each.variant, each.change) for each in batch.examples] == [
        ("sarcasm", "written", "\\u202eevil")
    ]
    assert [each.text for each in batch.control] == ["The strap broke.", "P"]
    assert len(batch.sources) == 2
    assert batch.schema["properties"] == {"text": {"type": "string"}}
    found = probe(
        python_command(tmp_path, "pass"), path, out=tmp_path / "out", settings=ProbeSettings(iterations=3)
    )
    assert found.iterations == 1
    assert found.plan == [
        {
            "category": "sarcasm",
            "variant": "written",
            "run": 1,
            "failed": 0,
            "planned": 1,
            "needs_model": True,
        }
    ]


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_json_and_parquet_hold_items_too(tmp_path, suffix):
    path = tmp_path / f"batch.{suffix}"
    frame = pl.DataFrame({"text": ["one", "two"], "n": [1, 2]})
    if suffix == "json":
        path.write_text(json.dumps(frame.to_dicts()))
    else:
        frame.write_parquet(path)
    assert read_probe_batch(path).sources == ({"text": "one", "n": 1}, {"text": "two", "n": 2})


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", "x", "is no batch"),
        ("a.jsonl", "", "has no rows"),
        ("a.jsonl", '{"a": 1}\n{"a": ', "line 2 is not JSON"),
        ("a.jsonl", '{"a": NaN}', "line 1 is not JSON"),
        ("a.json", "[" * 100_000, "is not JSON"),
        ("a.jsonl", '{"item": null, "edge": "missing"}', "item that is null"),
        ("a.parquet", "PAR1", "cannot be read"),
    ],
)
def test_a_malformed_batch_is_a_sentence(tmp_path, name, content, sentence):
    (tmp_path / name).write_text(content)
    with pytest.raises((ConfigError, SchemaError), match=sentence):
        read_probe_batch(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"The schema .*s\.json cannot be read: it does not exist"),
        (b"\xff\xfe", r"The schema .*s\.json cannot be read \("),
        (b"[]", "holds list; a JSON Schema is an object"),
        (b"{", "is not JSON"),
    ],
)
def test_a_schema_that_is_none_is_a_sentence(tmp_path, tickets, content, sentence):
    path = tmp_path / "s.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((ConfigError, SchemaError), match=sentence):
        read_probe_batch(tickets, schema=path)
    path.write_text('\ufeff{"type": "object"}', encoding="utf-8")
    assert read_probe_batch(tickets, schema=path).schema == {"type": "object"}


def test_json_files_hold_an_item_or_a_list_of_them(tickets):
    one, two = read_probe_batch(tickets).control[:2]
    assert json.loads(file_content([one], "json")) == one.item
    assert json.loads(file_content([one, two], "json")) == [one.item, two.item]
    assert file_content([one, two], "jsonl").count(b"\n") == 2


def test_a_probe_without_examples_or_a_folder_is_a_sentence(tmp_path, tickets):
    command = python_command(tmp_path, "pass")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file is a file; a folder for the results is wanted"):
        probe(command, tickets, out=tmp_path / "file")
    empty, schema = tmp_path / "empty.jsonl", tmp_path / "any.json"
    empty.write_text("[]\n")  # nothing of it can be changed, and no ordinary example shall be run
    schema.write_text("{}")
    with pytest.raises(ConfigError, match=r"empty\.jsonl has no example that the program could be run on"):
        probe(command, empty, out=tmp_path / "out", schema=schema, settings=ProbeSettings(control=0))


def test_a_missing_batch_and_a_folder_that_is_no_run_are_sentences(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        read_probe_batch(tmp_path / "a.jsonl")
    with pytest.raises(ConfigError, match="no run of"):
        read_probe_batch(tmp_path)


def test_text_files_hold_the_prompt_and_leave_out_what_utf_8_cannot(tmp_path):
    path = tmp_path / "batch.jsonl"
    rows = [
        {"edge": "unicode", "item": {"text": "half \ud83d"}},
        {"edge": "unicode", "item": {"text": "grün"}},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    command = python_command(
        tmp_path, "import sys; sys.exit('error: ' + open(sys.argv[1], encoding='utf-8').read())"
    )
    found = probe(command, path, out=tmp_path / "out", settings=ProbeSettings(format="txt"))
    assert [each["last_line"] for each in found.signatures] == ["error: grün"]
    assert any("1 examples hold what a txt file cannot" in note for note in found.notes)


def test_made_examples_are_never_made_again(tickets):
    batch = read_probe_batch(tickets)
    quotas = {("missing", "null"): 8, ("unicode", "bidi"): 8}
    first = make_probe_examples(batch, quotas, seed=0)
    assert first == make_probe_examples(batch, quotas, seed=0)
    assert len(first) == 16
    seen = [json.dumps(each.item, ensure_ascii=False) for each in first]
    second = make_probe_examples(batch, quotas, seed=0, seen=seen)
    assert not set(seen) & {json.dumps(each.item, ensure_ascii=False) for each in second}


@pytest.mark.parametrize(
    "settings",
    [{"format": "csv"}, {"timeout_s": 0}, {"timeout_s": float("nan")}, {"iterations": 0}, {"size": 0}],
)
def test_settings_out_of_range_are_sentences(settings):
    with pytest.raises(ConfigError):
        ProbeSettings(**settings)


# Figures


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))
def test_the_exact_test_is_the_hypergeometric_tail(failed, passed, control_failed, control_passed):
    stats = pytest.importorskip("scipy.stats")
    run, control = failed + passed, control_failed + control_passed
    if not run or not control:
        return
    expected = stats.fisher_exact([[failed, passed], [control_failed, control_passed]], alternative="greater")
    assert fisher_tail(failed, run, control_failed, control) == pytest.approx(expected.pvalue)


@given(
    st.lists(
        st.tuples(st.sampled_from(["missing", "unicode", "own"]), st.sampled_from(["", "a", "b"])),
        max_size=30,
    ),
    st.integers(0, 100),
)
def test_the_next_batch_has_its_size_and_never_forgets_a_category(seen, size):
    rows = [
        {
            "category": category,
            "variant": "written",
            "failed": bool(kind),
            "signature": kind or None,
            "iteration": 1,
        }
        for category, kind in seen
    ]
    results = pl.DataFrame(rows, schema=dict(RESULT_SCHEMA))
    plan = next_batch(results, size)
    categories = {category for category, _ in seen}
    assert plan["planned"].sum() == (size if seen else 0)
    by_category = dict(plan.group_by("category").agg(pl.col("planned").sum()).iter_rows())
    assert set(by_category) == categories
    if size >= len(categories):
        assert all(planned >= 1 for planned in by_category.values())
    assert {each["category"] for each in category_figures(results)} == categories


def test_no_results_give_no_figures_and_an_empty_plan():
    nothing = pl.DataFrame(schema=dict(RESULT_SCHEMA))
    assert category_figures(nothing) == []
    assert next_batch(nothing, 10).is_empty()
    with pytest.raises(ConfigError, match="at least 0"):
        next_batch(nothing, -1)


@given(st.text())
def test_any_line_becomes_printable(line):
    assert plain_line(line).isprintable()
    assert signature_of("exit 1", plain_line(line)).isprintable()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("unknown product 'phone'", 'unknown product "b c"'),
        ("KeyError: 'order 17'", "KeyError: 'order 18'"),
        ("error at /tmp/x/y.py:12", "error at /home/me/z.py:9"),
        ("fatal 0xdeadbeef in 17ms", "fatal 0x1 in 3ms"),
        (
            "error in request 123e4567-e89b-12d3-a456-426614174000",
            "error in request 00000000-e89b-12d3-a456-4266141740ff",
        ),
        ("can't decode bytes in position 4-5", "can't decode bytes in position 10-11"),
    ],
)
def test_particulars_are_no_part_of_a_signature(one, other):
    assert signature_of("exit 1", one) == signature_of("exit 1", other)
    assert signature_of("exit 1", one) != signature_of("exit 2", one)


def test_names_that_the_program_speaks_of_are_kept():
    assert signature_of("exit 1", "KeyError: 'rating'") != signature_of("exit 1", "KeyError: 'text'")
    assert "column 'day'" in signature_of("exit 1", "error: no column `day` in '/tmp/a/b.csv'")


# The verb


def run_probe(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "tasksel", "synth", "probe", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "COLUMNS": "80", **environment},
    )


def test_the_verb_prints_nothing_raw(tmp_path):
    batch = tmp_path / "evil\x1b[31m.jsonl"
    item = {"text": "\x1b]0;owned\x07 \u202e\x9b2J"}
    batch.write_text(json.dumps({"edge": "unicode\x1b[2J", "item": item}), encoding="utf-8")
    source = r"""
        import sys
        sys.exit("error: \x1b[31m\u202e\x9b2J " + open(sys.argv[1], encoding="utf-8").read()[:40])
    """
    command = python_command(tmp_path, source)
    for more in ([], ["--json"]):
        done = run_probe("--command", command, "--batch", batch, "--out", tmp_path / "out", *more)
        assert done.returncode == 0, done.stderr
        shown = (done.stdout + done.stderr).replace("\n", "")
        assert shown.isprintable(), [char for char in shown if not char.isprintable()]
    assert json.loads(done.stdout)["categories"][0]["failed"] == 1


def test_the_verb_exits_with_3_above_the_allowed_rate_and_with_2_on_a_mistake(tmp_path, tickets):
    command = python_command(tmp_path, "raise SystemExit(1)")
    arguments = [
        "--command",
        command,
        "--batch",
        tickets,
        "--out",
        tmp_path / "out",
        "--size",
        7,
        "--control",
        1,
    ]
    assert run_probe(*arguments, "--max-failure-rate", 0.5, "-q").returncode == 3
    mistake = run_probe("--command", command, "--out", tmp_path / "out")
    assert mistake.returncode == 2
    assert "one of the two" in mistake.stderr
    assert "Traceback" not in mistake.stderr


@pytest.mark.integration
def test_ctrl_c_stops_the_program_and_keeps_what_was_run(tmp_path, tickets):
    started = tmp_path / "started"
    command = python_command(tmp_path, f"import time; open({str(started)!r}, 'w').close(); time.sleep(600)")
    arguments = [
        sys.executable,
        "-m",
        "tasksel",
        "synth",
        "probe",
        "--command",
        command,
        "--batch",
        str(tickets),
    ]
    process = subprocess.Popen([*arguments, "--out", str(tmp_path / "out")], stderr=subprocess.PIPE)
    try:
        for _ in range(600):
            if started.exists():
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"continue" in said


def test_a_probe_without_a_next_batch_prints_none_and_small_p_values_as_such(probed):
    console = Console(file=io.StringIO(), width=200)
    categories = [{**each, "p_value": 0.0004} for each in probed[0].categories]
    print_probe(console, replace(probed[0], plan=[], categories=categories))
    said = console.file.getvalue()
    assert "The next batch" not in said
    assert said.count("<.001") == len(categories)
