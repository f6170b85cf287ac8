"""Upload and download: no double tasks, whatever is lost on the way; the key goes to the server alone."""

from __future__ import annotations

import json
import threading

import polars as pl
import pytest

import tasksel
from scripted_label_studio import ACCESS, LEGACY_KEY, PERSONAL_KEY, ScriptedLabelStudio
from tasksel.annotation.label_studio_client import LabelStudioClient, parse_place
from tasksel.annotation.label_studio_project import download_tasks
from tasksel_core.errors import AnnotationError, ConfigError, ProviderError

N = 230


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", LEGACY_KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("tasksel.annotation.label_studio_client._FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("tasksel.annotation.label_studio_project._BATCH_TASKS", 50)
    server = ScriptedLabelStudio()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def pool(tmp_path):
    path = tmp_path / "pool.parquet"
    pl.DataFrame(
        {"id": [f"p{n}" for n in range(N)], "prompt": [f"Question {n}\r\n=x" for n in range(N)]}
    ).write_parquet(path)
    return path


@pytest.fixture
def upload(server, pool, tmp_path):
    def make(out="out", **options):
        return tasksel.export_annotation(
            pool, to="label-studio", out=tmp_path / out, **{"url": server.url, **options}
        )

    return make


def uploaded_ids(server, project=1):
    return [task["data"]["id"] for task in server.tasks[project]]


def test_prompts_arrive_once_and_in_order(server, upload):
    shown = []
    made = upload(progress=lambda *state: shown.append(state), guidelines="<b>Be brief</b>")
    assert uploaded_ids(server) == [f"p{n}" for n in range(N)]
    assert (made.uploaded, made.present, made.project) == (N, 0, f"{server.url}/projects/1")
    assert shown[-1] == (N, N, 0)
    assert server.projects[1]["expert_instruction"] == "<p>&lt;b&gt;Be brief&lt;/b&gt;</p>"
    assert server.views[0]["data"]["ordering"] == ["-tasks:data.priority"]


@pytest.mark.parametrize("remembers", [True, False])
def test_the_same_command_adds_nothing(server, upload, tmp_path, remembers):
    upload()
    if not remembers:
        (tmp_path / "out" / "upload.json").unlink()
    again = upload()
    assert (again.uploaded, again.present) == (0, N)
    assert len(server.projects) == len(server.views) == 1
    assert len(server.tasks[1]) == N


def test_another_title_is_another_project(server, upload, tmp_path):
    upload()
    upload("other", title="Second")
    assert [each["title"] for each in server.projects.values()] == ["pool.parquet", "Second"]
    (tmp_path / "other" / "upload.json").unlink()
    assert upload("other", title="Second").present == N  # found on a later page of the list of projects
    assert len(server.projects) == 2


@pytest.mark.parametrize("step", ["lost", "unheard", 500, 502, 429])
def test_a_failure_in_the_middle_makes_no_double_task(server, upload, step):
    server.script = {"/api/projects/1/import": [None, step, None, step]}
    upload()
    assert sorted(uploaded_ids(server)) == sorted(f"p{n}" for n in range(N))


def test_a_lost_reply_to_a_new_project_makes_no_second_one(server, upload):
    server.script = {"/api/projects/": [None, "lost"]}
    upload()
    assert len(server.projects) == 1
    assert len(server.tasks[1]) == N


def test_a_new_project_that_was_never_heard_of_is_not_taken_for_made(server, upload):
    server.script = {"/api/projects/": [None, "unheard"]}
    with pytest.raises(ProviderError, match="does not answer"):
        upload()
    assert server.projects == {}
    assert upload().uploaded == N


@pytest.mark.parametrize(("limit", "largest"), [("_BATCH_TASKS", 100), ("_BATCH_BYTES", 20_000)])
def test_batches_are_as_large_as_one_request_may_be(server, upload, monkeypatch, limit, largest):
    monkeypatch.setattr(f"tasksel.annotation.label_studio_project.{limit}", largest)
    upload()
    n_sent = sum(path.endswith("/import") for _, path, _ in server.seen)
    assert uploaded_ids(server) == [f"p{n}" for n in range(N)]
    assert n_sent == (3 if limit == "_BATCH_TASKS" else 5)


def test_a_prompt_that_is_larger_than_a_batch_is_sent_alone(server, upload, monkeypatch):
    monkeypatch.setattr("tasksel.annotation.label_studio_project._BATCH_BYTES", 1)
    upload()
    assert sum(path.endswith("/import") for _, path, _ in server.seen) == N


def test_a_tab_that_is_refused_is_told_of_and_one_that_is_lost_is_made_by_the_next_upload(server, upload):
    server.script = {"/api/dm/views/": [None, 403]}
    assert upload().notes == (
        "The data manager of project 1 takes no further tab; sort it by priority yourself.",
    )
    for step, n_views in (("unheard", 0), ("lost", 1), (None, 1)):
        server.script = {"/api/dm/views/": [None, step]}
        assert upload().notes == ()
        assert len(server.views) == n_views


def test_an_interrupted_upload_is_continued(server, upload, tmp_path):
    server.script = {"/api/projects/1/import": [None, None, *[500] * 4]}
    with pytest.raises(ProviderError, match="fails with status 500"):
        upload()
    assert len(server.tasks[1]) == 100
    assert json.loads((tmp_path / "out" / "upload.json").read_text()) == {"url": server.url, "project": 1}
    made = upload()
    assert (made.uploaded, made.present) == (130, 100)
    assert len(set(uploaded_ids(server))) == len(server.tasks[1]) == N


def test_a_project_that_was_deleted_is_made_anew(server, upload):
    upload()
    server.projects.clear()
    server.tasks.clear()
    assert upload().uploaded == N


@pytest.mark.parametrize("before", [{"url": "http://127.0.0.1:9", "project": 1}, {"project": "1"}])
def test_a_project_of_another_server_is_not_taken_for_this_one_s(server, upload, tmp_path, before):
    upload()
    (tmp_path / "out" / "upload.json").write_text(json.dumps(before))
    assert upload(title="Second").project == f"{server.url}/projects/2"


def test_a_project_can_be_named(server, upload):
    upload()
    made = upload("other", url=f"{server.url}/projects/1/data?tab=1", title="Other")
    assert (made.uploaded, made.present) == (0, N)
    with pytest.raises(AnnotationError, match="has no project 7"):
        upload("other", url=f"{server.url}/projects/7")


def test_tasks_of_others_are_left_alone_and_double_ones_told_of(server, upload):
    upload()
    server.tasks[1] += [{"id": 900, "data": {"text": "x"}}, {**server.tasks[1][0], "id": 901}]
    made = upload()
    assert made.uploaded == 0
    assert made.notes == ("1 tasks of project 1 stand there twice; they came from elsewhere.",)


def test_answers_come_back_from_the_project(server, upload, pool, tmp_path):
    upload()
    answers = {f"p{n}": f"Answer {n}\r\n\x00=" for n in range(0, N, 2)}
    server.annotate(1, answers)
    for steps in ([], [500, "unheard", "lost", 429]):
        server.script = {"/api/tasks": steps}
        made = tasksel.import_labels(f"{server.url}/projects/1", into=tmp_path / "run", selection=pool)
        assert dict(made.labels.frame.select("id", "response").iter_rows()) == answers
    assert (made.added, made.repeated) == (0, len(answers))
    assert made.source == f"127.0.0.1:{server.server_port}/projects/1"


def test_a_personal_token_is_exchanged_and_again_when_it_expires(server, upload, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", PERSONAL_KEY)
    server.script = {"/api/projects/1/import": [None, 401]}
    upload()
    assert server.access_number == 2
    assert len(server.tasks[1]) == N
    sent = {authorization for _, path, authorization in server.seen if "token" not in path}
    assert sent == {f"Bearer {ACCESS.format(1)}", f"Bearer {ACCESS.format(2)}"}
    assert {authorization for _, path, authorization in server.seen if "token" in path} == {None}


@pytest.mark.parametrize("key", ["wrong-key-of-the-test", PERSONAL_KEY + "x"])
def test_a_wrong_key_is_refused_and_not_quoted(server, upload, monkeypatch, key):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", key)
    with pytest.raises(ProviderError, match="refuses the key in LABEL_STUDIO_API_KEY") as raised:
        upload()
    assert key not in str(raised.value)


@pytest.mark.parametrize("key", ["", "  ", "two\nlines", "ümlaut"])
def test_what_is_no_key_is_never_sent(server, upload, monkeypatch, key):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", key)
    with pytest.raises(ConfigError, match="LABEL_STUDIO_API_KEY"):
        upload()
    assert server.seen == []


def test_the_key_is_written_nowhere(server, upload, pool, tmp_path):
    server.script = {"/api/projects/1/import": [403]}
    with pytest.raises(ProviderError) as raised:
        upload()
    assert LEGACY_KEY not in str(raised.value)
    upload()
    server.annotate(1, {"p1": "x"})
    tasksel.import_labels(f"{server.url}/projects/1", into=tmp_path / "run", selection=pool)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not any(LEGACY_KEY.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (302, "redirects to another address, and the key is not sent there"),
        (404, "has no api/projects/"),
        (400, r"refuses api/projects/ \(400\): 'by script, with"),
        ("page", r"refuses api/projects/ \(400\): '<html>'"),
        ("garbage", "is that a Label Studio"),
    ],
)
def test_refusals_are_named_and_not_repeated(server, upload, step, message):
    server.script = {"/api/projects/": [step] * 9}
    with pytest.raises(ProviderError, match=message) as raised:
        upload()
    assert len(server.seen) == 1
    assert LEGACY_KEY not in str(raised.value)


def test_a_reply_of_another_service_is_named(server, monkeypatch):
    monkeypatch.setattr("scripted_label_studio._Handler._carry_out", lambda *_: (200, ["x"]))
    with LabelStudioClient(server.url) as client, pytest.raises(ProviderError, match="no list 'tasks'"):
        download_tasks(client, 1)


def test_a_server_that_always_asks_to_wait_is_named(server, upload):
    server.script = {"/api/projects/": [429] * 9}
    with pytest.raises(ProviderError, match=r"refuses api/projects/ \(429\)"):
        upload()
    assert len(server.seen) == 5


def test_a_personal_token_that_is_exchanged_for_nothing_is_named(server, upload, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", PERSONAL_KEY)
    monkeypatch.setattr("scripted_label_studio.ACCESS", "no token {}")
    with pytest.raises(ProviderError, match=r"gave no access token for the key in LABEL_STUDIO_API_KEY\."):
        upload()


def test_a_project_without_tasks_brings_no_answers(server, upload, pool, tmp_path):
    upload()
    server.tasks[1] = []
    with pytest.raises(AnnotationError, match=r"Project 1 of 127\.0\.0\.1:\d+ has no tasks\."):
        tasksel.import_labels(f"{server.url}/projects/1", into=tmp_path / "run", selection=pool)


def test_a_server_that_is_not_there_is_named(upload, monkeypatch):
    monkeypatch.setattr("tasksel.annotation.label_studio_client._ATTEMPTS", 2)
    with pytest.raises(ProviderError, match=r"127\.0\.0\.1:9 does not answer"):
        upload(url="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("url", "exposed"),
    [("http://localhost:8080", False), ("https://x.example", False), ("http://x.example", True)],
)
def test_a_key_without_encryption_is_told_of(url, exposed, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", LEGACY_KEY)
    assert LabelStudioClient(parse_place(url).base_url).is_exposed is exposed


@pytest.mark.parametrize(
    ("url", "base", "project"),
    [
        ("http://localhost:8080", "http://localhost:8080", None),
        ("http://localhost:8080/projects/", "http://localhost:8080", None),
        ("http://localhost:8080/projects/3/data?tab=4#x", "http://localhost:8080", 3),
        (" https://a.example/ls/projects/12 ", "https://a.example/ls", 12),
        ("http://[::1]:8080/projects/1", "http://[::1]:8080", 1),
    ],
)
def test_addresses_as_a_browser_shows_them(url, base, project):
    assert parse_place(url) == (base, project)


@pytest.mark.parametrize(
    "url", ["localhost:8080", "file:///etc/passwd", "http://", "http://a b", "http://[::1", ""]
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ConfigError, match="must begin with http"):
        parse_place(url)
