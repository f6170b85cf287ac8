"""Argilla and Hugging Face's datasets read what is exported, and what they give back is imported.

Needs an environment of `scripts/argilla_environment.py`, named by TASKSEL_ARGILLA_PYTHON; `make
test-integration` makes one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import polars as pl
import pytest

import tasksel

PYTHON = os.environ.get("TASKSEL_ARGILLA_PYTHON")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(PYTHON is None, reason="TASKSEL_ARGILLA_PYTHON names no environment"),
]
LONGEST_START_S = 300
PROGRAM = Path(__file__).with_name("argilla_annotators.py")
PROMPTS = {
    "a": "=1+1\r\n\x00 '<b>$x</b>",
    "b": "\u202e\u2028\U0001f980",
    "c": "x" * 26_000,
    "d": "{{task}}",
    "e": " ",
}
ANSWERS = {
    "a": ("submitted", '=2\r\n"\x00'),
    "b": ("discarded", "no idea"),
    "c": ("rejected", "broken"),
    "d": ("draft", "half"),
    "e": (None, None),
}


@pytest.fixture
def pool(tmp_path):
    path = tmp_path / "pool.parquet"
    pl.DataFrame(
        {"id": list(PROMPTS), "task": list("xxyyy"), "prompt": list(PROMPTS.values())}
    ).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Give the environment for programs that talk to an Argilla on the loopback."""
    folder = tmp_path_factory.mktemp("argilla")
    port, redis_port, key = free_port(), free_port(), secrets.token_hex(16)
    arguments = [PYTHON, PROGRAM.with_name("argilla_process.py"), folder, str(port), str(redis_port), key]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "127.0.0.1"}
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(arguments, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(process, f"{url}/api/v1/status", folder / "log.txt")
        yield {"ARGILLA_URL": url, "ARGILLA_KEY": key, "NO_PROXY": "127.0.0.1"}
    finally:
        process.terminate()
        process.wait(20)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def wait_for(process, url, log):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(LONGEST_START_S):
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        with contextlib.suppress(OSError), opener.open(url, timeout=5):
            return
        time.sleep(1)
    raise AssertionError(log.read_text(errors="replace")[-3000:])


def let_annotate(kind, folder, out, **more):
    out.mkdir()
    (out / "answers.json").write_text(json.dumps(ANSWERS), "utf-8")
    environment = {"PATH": os.environ["PATH"], "HOME": str(out), "HF_HUB_OFFLINE": "1", **more}
    done = subprocess.run(
        [PYTHON, PROGRAM, kind, folder, out], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((out / "made.json").read_text("utf-8"))


@pytest.mark.parametrize("choices", [(), ("yes", 'no "<b>"')])
def test_argilla_takes_every_record(pool, tmp_path, choices):
    suggested = pl.DataFrame(
        {"id": ["a", "b"], "generation": ["yes", "free"], "token_logprobs": [[-1.0], [-2.0]]}
    )
    tasksel.export_annotation(
        pool, to="argilla", out=tmp_path / "out", scores=suggested, choices=choices, guidelines="Be brief."
    )
    made = let_annotate("argilla", tmp_path / "out", tmp_path / "back")
    assert made["questions"] == ["response", "verdict", "note"]
    assert made["name"] == "pool-parquet"
    assert {each["external_id"]: each["fields"]["prompt"] for each in made["sent"]} == PROMPTS
    agreed = {each["external_id"]: [s["value"] for s in each["suggestions"]] for each in made["sent"]}
    assert agreed["a"] == ["yes"]
    assert agreed["b"] == ([] if choices else ["free"])


def test_what_argilla_exports_is_imported(pool, tmp_path):
    tasksel.export_annotation(pool, to="argilla", out=tmp_path / "out")
    let_annotate("argilla", tmp_path / "out", tmp_path / "back")
    flat = tasksel.import_labels(tmp_path / "back" / "flat.json", into=tmp_path / "run", selection=pool)
    assert flat.format == "argilla"
    assert flat.counts == {"answered": 1, "empty": 0, "skipped": 1, "rejected": 1, "open": 2}
    assert flat.labels.frame.select("id", "response").rows() == [("a", ANSWERS["a"][1])]
    nested = tasksel.import_labels(tmp_path / "back" / "nested.json", into=tmp_path / "run")
    assert (nested.added, nested.repeated, nested.counts["open"]) == (0, 1, 4)
    assert "3 pending records hold responses" in nested.notes[0]


def test_a_real_argilla_takes_the_records_and_gives_the_answers_back(server, pool, tmp_path):
    suggested = pl.DataFrame({"id": ["a", "b"], "generation": ["yes \n", "free"]})
    tasksel.export_annotation(
        pool, to="argilla", out=tmp_path / "out", scores=suggested, guidelines="Be brief."
    )
    made = let_annotate("server", tmp_path / "out", tmp_path / "back", **server)
    assert made["records"] == len(PROMPTS)
    assert made["suggested"] == {"a": ["yes \n"], "b": ["free"], "c": [], "d": [], "e": []}
    done = tasksel.import_labels(tmp_path / "back" / "records.json", into=tmp_path / "run", selection=pool)
    assert done.format == "argilla"
    assert done.labels.frame.select("id", "prompt", "response").rows() == [
        ("a", PROMPTS["a"], ANSWERS["a"][1])
    ]
    assert (done.labels.skipped_ids, done.labels.rejected_ids) == (("b",), ("c",))
    assert done.labels.open_ids == ("d", "e")


def test_datasets_reads_the_folder_and_its_own_are_imported(pool, tmp_path):
    tasksel.export_annotation(pool, to="hf", out=tmp_path / "out")
    made = let_annotate("datasets", tmp_path / "out", tmp_path / "back")
    assert {row["id"]: row["prompt"] for row in made["rows"]} == PROMPTS
    assert made["features"]["rank"] == "int64"
    assert made["features"]["response"] == "string"
    expected = {each: response for each, (_, response) in ANSWERS.items() if response is not None}
    for number, place in enumerate(("back.parquet", "saved")):
        done = tasksel.import_labels(
            tmp_path / "back" / place, into=tmp_path / f"run{number}", selection=pool
        )
        assert dict(done.labels.frame.select("id", "response").iter_rows()) == expected
