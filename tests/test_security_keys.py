"""Keys go to the server and nowhere else: all files that a run leaves and what it prints are looked through.

The server quotes the key in its answers, its refusals and its headers, in every notation that is usual.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from key_echo import KEY, KeyEcho, notations, quoted, traces
from planted_tasks import planted_pool
from scripted_label_studio import LEGACY_KEY, PERSONAL_KEY, ScriptedLabelStudio
from scripted_provider import make_config, write_plan
from tasksel.annotation.label_studio_client import KEY_VARIABLE
from tasksel.cli import app
from tasksel.masking import MASK, masked
from tasksel.synthesis.probe_program import parse_command, run_program

SECRETS = (KEY, LEGACY_KEY, PERSONAL_KEY)
N = 6


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Give the folder that is all the disk a run knows: home, cache, temporary files and current folder."""
    folder = tmp_path / "machine"
    for name, variables in {
        "home": ("HOME",),
        "cache": ("XDG_CACHE_HOME", "HF_HOME"),
        "temporary": ("TMPDIR", "TEMP"),
        "work": (),
    }.items():
        (folder / name).mkdir(parents=True)
        for variable in variables:
            monkeypatch.setenv(variable, str(folder / name))
    monkeypatch.chdir(folder / "work")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv(KEY_VARIABLE, LEGACY_KEY)
    for module in ("endpoint", "providers.asking", "request_pacing", "annotation.label_studio_client"):
        monkeypatch.setattr(f"tasksel.{module}._FIRST_PAUSE_S", 0.001)
    pool = pl.DataFrame(
        {
            "id": [f"p{n}" for n in range(N)],
            "task": ["a", "b"] * (N // 2),
            "prompt": [f"Question {n}?" for n in range(N)],
            "response": [f"Answer {n}" for n in range(N)],
        }
    )
    pool.write_parquet("labelled.parquet")
    pool.drop("response").write_parquet("pool.parquet")
    pool.select("id", pl.lit("No idea").alias("generation")).write_parquet("answers.parquet")
    return folder


def say(body):
    """Answer as a model that finds the key worth quoting, in the form that is asked for."""
    asked = json.dumps(body.get("messages", ""))
    if body["model"] == "judge":
        return f"calm, as {quoted(KEY)}" if "- calm" in body["messages"][-1]["content"] else "m"
    if "rating" in asked:
        texts = [
            f"{name} review of {body['messages'][-1]['content'].count(name)} " for name in ("phone", "watch")
        ]
        return json.dumps([{"text": f"{text}{quoted(KEY)}"[:1900], "rating": 1} for text in texts])
    if "Telling words" in asked:
        return json.dumps({"name": f"Group {abs(hash(asked)) % 999}", "description": quoted(KEY)})
    return f"I was called with {quoted(KEY)}"


@pytest.fixture
def echo():
    """Serve a model that quotes the key."""
    server = KeyEcho(say)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def studio():
    """Serve a Label Studio whose refusals quote the key."""
    server = ScriptedLabelStudio()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def contents(path):
    """Give the bytes of a file, and what is packed in it."""
    yield str(path).encode()
    yield path.read_bytes()
    if path.suffix == ".parquet":
        yield repr(pl.read_parquet_metadata(path)).encode()
        frame = pl.read_parquet(path)
        yield "\n".join(str(value) for row in frame.iter_rows() for value in row).encode()


def leaks(folder, *printed):
    """Tell where a key stands, in which notation."""
    places = [(path, each) for path in folder.rglob("*") if path.is_file() for each in contents(path)]
    places += [("printed", text.encode()) for text in printed]
    return [
        (str(place), name)
        for secret in SECRETS
        for name, form in traces(secret).items()
        for place, content in places
        if form.encode() in content
    ]


def call(*arguments):
    """Run a verb and give its exit code and all that it printed, with a traceback that nobody caught."""
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(each) for each in arguments])
    uncaught = done.exc_info is not None and not isinstance(done.exception, SystemExit)
    caught = "".join(traceback.format_exception(*done.exc_info)) if uncaught else ""
    return done.exit_code, done.output + done.stderr + caught


def score(url):
    return "score", "pool.parquet", "--engine", "openai", "--base-url", url, "--model", "m", "--out", "run"


def teach(url):
    return "annotate", "teacher", "pool.parquet", "--into", "run", "--endpoint", url, "--model", "m"


def judge(url):
    return (
        *("evaluate", "labelled.parquet", "--scores", "answers.parquet", "--suite", "winrate"),
        *("--judge-url", url, "--judge-model", "judge", "--out", "judged"),
    )


def synthesise(url):
    if not Path("synth").exists():
        write_plan(Path("synth"), make_config(url))
    return "synth", "run", "synth", "--tier", "full"


def validate(url):
    if not Path("validated").exists():
        tone = {"values": {"calm": 0.5, "angry": 0.5}, "check": {"kind": "judge", "question": "Which tone?"}}
        write_plan(Path("validated"), make_config(url, dimensions={"tone": tone}))
        plan = pl.read_parquet("validated/plan/examples.parquet").head(N)
        plan.select("plan_id", prompt=pl.format("Review {}", "plan_id")).write_parquet("records.parquet")
    return (
        *("synth", "validate", "validated", "--records", "records.parquet"),
        *("--judge-url", url, "--judge-model", "judge"),
    )


def rounds(url):
    Path("rounds.toml").write_text(
        'model = "m"\nout = "rounds"\n[pool]\npath = "pool.parquet"\n[select]\nbudget = 4\n'
        f'strategy = "task-diversity"\n[rounds]\nn = 2\n[teacher]\nendpoint = "{url}"\nmodel = "m"\n'
    )
    return "rounds", "rounds.toml"


def name_tasks(url):
    frame, vectors = planted_pool(6)
    frame.write_parquet("untasked.parquet")
    np.save("vectors.npy", vectors)
    return (
        *(
            "tasks",
            "untasked.parquet",
            "--embeddings",
            "vectors.npy",
            "--n-tasks",
            "7",
            "--out",
            "tasked.parquet",
        ),
        *("--tag-endpoint", url, "--tag-model", "m"),
    )


def job(url):
    Path("job.toml").write_text(
        'model = "m"\nout = "job"\n[pool]\npath = "pool.parquet"\n'
        f'[score]\nengine = "openai"\nbase_url = "{url}"\n[select]\nbudget = 2\n'
    )
    return "run", "job.toml"


VERBS = {
    "score": score,
    "annotate teacher": teach,
    "evaluate": judge,
    "synth run": synthesise,
    "synth validate": validate,
    "tasks": name_tasks,
    "run": job,
    "rounds": rounds,
}


@pytest.mark.parametrize("verb", VERBS)
def test_an_answer_that_quotes_the_key_leaves_it_nowhere(machine, echo, verb):
    code, printed = call(*VERBS[verb](echo.url))
    assert code in (0, 3), printed
    assert set(echo.keys) == {f"Bearer {KEY}"}
    assert leaks(machine, printed) == []
    left = [content for path in machine.rglob("*") if path.is_file() for content in contents(path)]
    assert any(MASK.encode() in content for content in left), (
        "what was quoted was looked for in the wrong place"
    )


@pytest.mark.parametrize(
    ("verb", "status"), [*((verb, 401) for verb in VERBS), ("score", 400), ("synth run", 400)]
)
def test_a_refusal_that_quotes_the_key_leaves_it_nowhere(machine, echo, verb, status):
    echo.status = status
    code, printed = call(*VERBS[verb](echo.url), "--debug")
    assert code != 0 or verb in ("tasks", "annotate teacher", "synth run"), printed
    assert echo.keys
    assert leaks(machine, printed) == []


@pytest.mark.integration
@pytest.mark.parametrize("verb", VERBS)
def test_a_run_that_is_killed_has_left_the_key_nowhere(machine, echo, verb):
    arguments = VERBS[verb](echo.url)
    echo.hangs_after = 2
    command = [sys.executable, "-m", "tasksel", *arguments, "--debug"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ends_s = time.monotonic() + 90
    while len(echo.keys) < 3 and process.poll() is None and time.monotonic() < ends_s:
        time.sleep(0.05)
    arguments_of = command_line(process.pid)
    process.send_signal(signal.SIGKILL)
    printed = process.communicate()
    assert len(echo.keys) >= 3, printed
    assert leaks(machine, *printed, arguments_of) == []


def command_line(pid):
    """Give what any user of the machine sees of a process."""
    shown = Path(f"/proc/{pid}/cmdline")
    return shown.read_text() if shown.exists() else ""


@pytest.mark.parametrize("key", [LEGACY_KEY, PERSONAL_KEY], ids=["legacy", "personal"])
def test_label_studio_s_key_is_left_nowhere(machine, studio, monkeypatch, key):
    monkeypatch.setenv(KEY_VARIABLE, key)
    export = (
        "annotate",
        "export",
        "pool.parquet",
        "--to",
        "label-studio",
        "--out",
        "out",
        "--url",
        studio.url,
    )
    said = []
    for refused in (403, 400, 302, "garbage", None):
        studio.script = {"/api/projects/": [refused]} if refused else {}
        said.append(call(*export, "--debug"))
    assert [code for code, _ in said] == [2, 2, 2, 2, 0], said
    studio.annotate(1, {"p1": "x"})
    place = f"{studio.url}/projects/1"
    said.append(call("annotate", "import", place, "--selection", "pool.parquet", "--into", "run", "--debug"))
    assert said[-1][0] == 0, said[-1]
    assert leaks(machine, *(text for _, text in said)) == []
    assert not [text for _, text in said if "access-planted" in text]


WRITTEN_KEYS = {
    "teacher": '[pool]\npath = "pool.parquet"\n[teacher]\napi_key = "KEY"\n',
    "judge": '[pool]\npath = "pool.parquet"\n[evaluate]\njudge_key_env = "KEY"\n',
    "score": '[pool]\npath = "pool.parquet"\n[score]\nengine = "openai"\nbase_url = "http://u:KEY@h/v1"\n',
    "query": '[pool]\npath = "pool.parquet"\n[score]\nengine = "openai"\nbase_url = "http://h/v1?key=KEY"\n',
    "pool": '[pool]\npath = "https://u:KEY@127.0.0.1:9/pool.parquet"\n[select]\nbudget = 2\n',
    "signature": '[pool]\npath = "https://127.0.0.1:9/pool.parquet?sig=KEY"\n[select]\nbudget = 2\n',
    "syntax": '[pool]\npath = "pool.parquet"\nKEY\n',
}


@pytest.mark.parametrize("place", WRITTEN_KEYS)
def test_a_key_that_stands_in_a_job_is_refused_and_not_repeated(machine, place):
    key = "gsk_T4vXqYb81LmZr0pWn6KdA1"
    Path("job.toml").write_text('model = "demo"\nout = "job"\n' + WRITTEN_KEYS[place].replace("KEY", key))
    code, printed = call("run", "job.toml", "--debug")
    assert code == 2, printed
    assert key not in printed
    Path("job.toml").unlink()
    assert not [path for path in machine.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "flag", ["--base-url", "--endpoint", "--judge-url", "--tag-endpoint", "--url", "pool"]
)
def test_a_key_in_an_address_of_a_flag_is_not_repeated(machine, flag):
    address = f"http://user:{KEY}@127.0.0.1:9/v1"
    arguments = {
        "--base-url": score(address),
        "--endpoint": teach(address),
        "--judge-url": judge(address),
        "--tag-endpoint": name_tasks(address),
        "--url": (
            "annotate",
            "export",
            "pool.parquet",
            "--to",
            "label-studio",
            "--out",
            "out",
            "--url",
            address,
        ),
        "pool": ("select", f"http://user:{KEY}@127.0.0.1:9/pool.parquet", "--budget", "2"),
    }[flag]
    code, printed = call(*arguments, "--debug")
    assert code == 2, printed
    assert leaks(machine, printed) == []


def test_a_program_that_is_probed_has_no_key(machine, monkeypatch):
    """It may print its environment when it fails, and its errors are kept."""
    for name in ("ANTHROPIC_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("OTHER_KEY", "there")
    program = Path("program.py")
    program.write_text(
        "import os, sys\n"
        "told = [f'{k}={v}' for k, v in os.environ.items() if 'KEY' in k or 'TOKEN' in k]\n"
        "sys.exit('Error: ' + ' '.join(told))\n"
    )
    run = run_program(parse_command(f"{sys.executable} program.py {{file}}"), program, timeout_s=30)
    assert run.outcome == "exit"
    assert "OTHER_KEY=there" in run.error_line
    assert not any(secret in json.dumps(run.to_dict()) for secret in SECRETS)


HARD_KEYS = [KEY, 'sk-"quoted"\\and/slashed', "0123456789abcdef", "sk-" + "a" * 200]


@pytest.mark.parametrize("key", HARD_KEYS, ids=["usual", "quoted", "hexadecimal", "long"])
def test_every_notation_of_a_key_is_masked(key):
    trace = traces(key)
    for name, form in notations(key).items():
        for text in (form, f"x {form} y", f"[{form}] {form}", f"Basic {form}"):
            assert MASK in masked(text, key), name
            assert trace[name] not in masked(text, key), name


@pytest.mark.parametrize("key", ["", "EMPTY", "none", "sk-short", None])
def test_what_is_no_secret_damages_no_answer(key):
    text = "EMPTY none sk-short"
    assert masked(text, key) == text
