"""Names by a model: over a real server on the loopback, with replies of every kind."""

from __future__ import annotations

import json

import pytest

from planted_tasks import planted_pool
from scripted_provider import KEY, completion
from tasksel.endpoint import Endpoint
from tasksel.task_discovery import TagSettings, discover_tasks, load_task_model
from tasksel_core.errors import BudgetError, ConfigError, ProviderError


@pytest.fixture(scope="module")
def planted():
    return planted_pool(20)


@pytest.fixture
def tag(server, planted, tmp_path):
    frame, vectors = planted

    def run(play, name="pool2", **settings):
        server.play = play
        asked = TagSettings(Endpoint(server.url, timeout_s=5.0), "namer", **{"concurrency": 1, **settings})
        return discover_tasks(
            frame, embeddings=vectors, n_tasks=7, out=tmp_path / f"{name}.parquet", tagging=asked
        )

    return run


def named(name, description="What it asks for."):
    return 200, completion(json.dumps({"name": name, "description": description}))


def test_a_model_names_and_describes_each_task(tag, server, tmp_path):
    found = tag(lambda asked: named(f"Group {asked.mark('name')[:6]}"))
    tasks = found.tasks.filter(kind="template").vstack(found.tasks.filter(kind="cluster"))
    assert all(name.startswith("Group ") for name in tasks["task"])
    assert {*tasks["description"]} == {"What it asks for."}
    assert {*found.frame["task"]} >= {*tasks["task"]}
    assert found.manifest["tagging"]["replies"] == {"named": 7}
    assert load_task_model(tmp_path / "pool2-tasks").names == found.model.names
    assert len(server.seen) == 7
    shown = server.seen[0][1]["messages"][-1]["content"]
    assert "Telling words" in shown
    assert "Example 3" in shown


def test_raw_replies_are_kept_and_not_asked_again(tag, server, tmp_path):
    tag(lambda asked: named(f"Group {asked.mark('name')[:6]}"))
    journal = (tmp_path / "pool2-tasks" / "tag-replies.jsonl").read_text()
    assert journal.count("\n") == 7
    assert KEY not in journal
    assert KEY not in (tmp_path / "pool2.manifest.json").read_text()
    again = tag(lambda asked: (500, "down"))
    assert len(server.seen) == 7
    assert again.manifest["tagging"]["replies"] == {"named": 7}


def test_hostile_and_repeated_names_are_cleaned_and_told_apart(tag):
    found = tag(
        lambda asked: named("<script>alert\x1b[31m('x')</script>/../other\u202e", "a\x1b[2J\u202eb\nc")
    )
    names = [name for name in found.tasks["task"] if name != "other"]
    assert len({*names}) == 7
    for name in names:
        assert name.isprintable()
        assert not {*name} & {*"<>/\\\x1b\u202e"}
    assert {*found.tasks.filter(kind="cluster")["description"]} == {"a [2J b c"}


def test_a_model_cannot_take_the_name_of_the_bucket(tag):
    found = tag(lambda asked: named("Other"))
    assert "Other 2" in found.tasks["task"].to_list()
    assert found.tasks["task"].to_list().count("other") <= 1


@pytest.mark.parametrize(
    "reply",
    [
        (200, completion("I'm sorry, I can't help with that.")),
        (200, completion('{"name": 5}')),
        (200, completion('{"name": "\x00<>"}')),
        (200, completion("[" * 100_000)),
        (200, "<html>busy</html>"),
        (200, completion("", refusal="no")),
    ],
)
def test_what_cannot_be_read_leaves_the_names_of_n_grams(tag, planted, reply):
    found = tag(lambda asked: reply)
    frame, vectors = planted
    plain = discover_tasks(frame, embeddings=vectors, n_tasks=7)
    assert found.tasks["task"].equals(plain.tasks["task"])
    assert any("7 tasks keep their names" in note for note in found.notes)


def test_a_fence_around_the_object_is_no_harm(tag):
    found = tag(lambda asked: (200, completion('```json\n{"name": "Film reviews"}\n```')))
    assert "Film reviews" in found.tasks["task"].to_list()


def test_a_question_that_the_server_refuses_leaves_one_name_as_it_was(tag):
    found = tag(lambda asked: (400, "no") if "Translate" in asked.text else named("Group"))
    assert found.manifest["tagging"]["replies"] == {"named": 6, "refused": 1}
    assert any("1 task keeps its name" in note for note in found.notes)


def test_naming_says_how_far_it_is(planted, server, tmp_path):
    server.play = lambda asked: named("Group")
    shown = []
    discover_tasks(
        planted[0],
        embeddings=planted[1],
        n_tasks=7,
        out=tmp_path / "pool2.parquet",
        tagging=TagSettings(Endpoint(server.url), "namer", concurrency=1),
        progress=lambda label, _: lambda *state: shown.append((label, *state)),
    )
    assert [each for each in shown if each[0] == "Naming"] == [("Naming", n, 7, 0) for n in range(1, 8)]


def test_a_cap_ends_the_asking_and_says_so(tag, server):
    found = tag(lambda asked: named("Group"), max_requests=3)
    assert len(server.seen) == 3
    assert found.manifest["tagging"]["replies"] == {"named": 3, "not asked": 4}
    assert any("max_requests (3)" in note for note in found.notes)


def test_a_wrong_key_is_an_error_and_nothing_is_written(tag, tmp_path):
    with pytest.raises(ProviderError):
        tag(lambda asked: (401, '{"error": "bad key"}'))
    assert not (tmp_path / "pool2.parquet").exists()


def test_replies_need_a_folder(planted, server):
    frame, vectors = planted
    with pytest.raises(ConfigError, match="replies are kept"):
        discover_tasks(frame, embeddings=vectors, tagging=TagSettings(Endpoint(server.url), "namer"))


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="no name"):
        TagSettings(Endpoint("http://127.0.0.1:9/v1"), " ")
    with pytest.raises(BudgetError, match="concurrency is 0"):
        TagSettings(Endpoint("http://127.0.0.1:9/v1"), "namer", concurrency=0)
