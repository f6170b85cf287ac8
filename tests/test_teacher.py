"""A teacher over a selection: what is asked, what becomes a label, what nothing may lose or leak."""

from __future__ import annotations

import functools
import io
import json
import re
from dataclasses import replace

import polars as pl
import pytest
from rich.console import Console

from scripted_provider import KEY, completion
from tasksel import select
from tasksel.annotation.answers import ANSWER_SCHEMA
from tasksel.annotation.label_store import read_labels, store_answers
from tasksel.reply_journal import read_journal
from tasksel.request_pacing import PacingSettings
from tasksel.run_folder import folder_lock, text_sha256
from tasksel.teacher import TeacherLimits, TeacherSettings, ask_teacher, estimate_teacher
from tasksel.teacher.labels import read_known_labels
from tasksel.terminal_teacher import print_teacher_summary
from tasksel_core.errors import AnnotationError, ConfigError, ProviderError, ResumeError, SchemaError

PRICE = {"input_price": 1.0, "output_price": 10.0}
HOSTILE = "Braces {second} {prompt}} \x1b[31m\x00 \u202e =cmd() \r\n" + "x" * 26_000


def echo(asked):
    """Answer each prompt in a way of its own."""
    return 200, completion(f"Answer to {asked.body['messages'][-1]['content'].split()[-1]}")


@pytest.fixture
def teach(server, tmp_path, monkeypatch):
    """Give the function that asks a teacher at the scripted server about a pool of ten prompts."""
    patient = functools.partial(PacingSettings, breaker_pause_s=0.01)
    monkeypatch.setattr("tasksel.teacher.settings.PacingSettings", patient)
    server.play = echo

    def ask(run="run", *, pool=None, limits=None, folder="teacher", call=ask_teacher, **settings):
        path = write_pool(tmp_path, pool)
        settings = {
            "model": "scripted",
            "endpoint": server.url,
            "timeout_s": 5.0,
            "max_tokens": 50,
        } | settings
        teacher = TeacherSettings(**settings)
        bounds = TeacherLimits(**({"concurrency": 4} | (limits or {})))
        return call(path, teacher, into=tmp_path / run, limits=bounds, folder=folder)

    return ask


def write_pool(folder, pool=None):
    rows = [f"Prompt number {n}" for n in range(10)] if pool is None else pool
    path = folder / "pool.parquet"
    ids = [f"r{n}" for n in range(len(rows))]
    pl.DataFrame(
        {"id": ids, "task": "t", "prompt": rows}, schema_overrides={"prompt": pl.String}
    ).write_parquet(path)
    return path


def answers(run, folder="teacher"):
    return pl.read_parquet(run / folder / "answers.parquet")


def samples(run):
    return pl.read_parquet(run / "teacher" / "samples.parquet")


def rejects(run):
    return [json.loads(line) for line in (run / "teacher" / "rejects.jsonl").read_text().splitlines()]


def outputs(run):
    """Give all that a run wrote but the journal, whose lines stand in the order of arrival, and locks."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in ("replies.jsonl", ".lock")
    }


def person_says(run, pool, **said):
    """Let a person label rows of the pool; None rejects."""
    prompts = pl.read_parquet(pool)
    rows = [
        {
            "id": identifier,
            "prompt_sha256": text_sha256(dict(prompts.select("id", "prompt").iter_rows())[identifier]),
            "response": response,
            "status": "rejected" if response is None else "answered",
            "annotator": "ann",
            "source": "sheet.csv",
            "foreign_id": None,
            "note": None,
        }
        for identifier, response in said.items()
    ]
    store_answers(run, prompts, pl.DataFrame(rows, schema=ANSWER_SCHEMA), source="sheet.csv")


# What a run gives


def test_answers_become_labels_in_the_order_of_the_selection(server, teach, tmp_path):
    summary = teach()
    assert (summary.selected, summary.asked, summary.answered, summary.is_finished) == (10, 10, 10, True)
    assert (summary.sent, summary.replies, summary.input_tokens, summary.output_tokens) == (10, 10, 1000, 400)
    assert (summary.cost, summary.ended, summary.set_aside, summary.added) == (None, None, {}, 10)
    assert server.most_under_way <= 4
    frame = answers(tmp_path / "run")
    assert frame.schema == ANSWER_SCHEMA
    assert frame["id"].to_list() == [f"r{n}" for n in range(10)]
    assert frame["response"].to_list() == [f"Answer to {n}" for n in range(10)]
    assert set(frame["annotator"]) == {"teacher:scripted"}
    assert set(frame["foreign_id"]) == set(read_journal(tmp_path / "run/teacher/replies.jsonl"))
    labels = read_labels(tmp_path / "run")
    assert labels.frame.select("id", "task", "response").rows()[3] == ("r3", "t", "Answer to 3")
    manifest = json.loads((tmp_path / "run/teacher/manifest.json").read_text())
    assert (manifest["stage"], manifest["selection"]["rows"]) == ("teacher", 10)
    assert set(manifest["files"]) == {"answers.parquet", "samples.parquet", "rejects.jsonl"}


def test_a_written_selection_is_asked_best_first(server, teach, tmp_path):
    pool = pl.DataFrame({"task": ["a", "b"] * 6, "prompt": [f"Prompt number {n}" for n in range(12)]})
    chosen = select(pool, budget=5)
    chosen.save(tmp_path / "selection")
    teacher = TeacherSettings("scripted", endpoint=server.url)
    summary = ask_teacher(tmp_path / "selection", teacher, into=tmp_path, limits=TeacherLimits(concurrency=1))
    assert summary.answered == 5
    said = [body["messages"][0]["content"] for _, body in server.seen]
    assert said == chosen.frame["prompt"].to_list()
    assert answers(tmp_path)["id"].to_list() == chosen.frame["id"].to_list()


def test_what_a_request_holds(server, teach):
    teach(
        pool=["Say {b}"],
        system="Be {brief}.",
        prompt_template="{x} {prompt}!",
        seed=7,
        top_p=0.5,
        max_tokens=9,
    )
    (path, body), *rest = server.seen
    assert (path, rest) == ("/v1/chat/completions", [])
    assert body == {
        "model": "scripted",
        "messages": [
            {"role": "system", "content": "Be {brief}."},
            {"role": "user", "content": "{x} Say {b}!"},
        ],
        "max_tokens": 9,
        "temperature": 0.0,
        "top_p": 0.5,
        "seed": 7,
    }


def test_anthropic_is_asked_in_its_own_way(server, teach, monkeypatch, tmp_path):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    server.play = lambda _: (
        200,
        json.dumps({"content": [{"type": "text", "text": "Paris"}], "stop_reason": "end_turn"}),
    )
    summary = teach(pool=["Capital?"], provider="anthropic", system="Be brief.", seed=3)
    ((path, body),) = server.seen
    assert (path, body["system"], "seed" in body) == ("/v1/messages", "Be brief.", False)
    assert "takes no seed" in summary.notes[0]
    assert answers(tmp_path / "run")["response"].to_list() == ["Paris"]
    assert summary.is_estimate  # it reported no tokens


def test_any_concurrency_gives_the_same_bytes(server, teach, tmp_path):
    for run, n in (("one", 1), ("seven", 7)):
        teach(run, limits={"concurrency": n})
    assert outputs(tmp_path / "one") == outputs(tmp_path / "seven")


def test_hostile_prompts_are_asked_as_they_are(server, teach, tmp_path):
    server.play = lambda asked: (200, completion("fine"))
    pool = [HOSTILE, "{prompt}", '"}]}', "\ud7ff\U0001f600"]
    summary = teach(pool=pool, prompt_template="<{prompt}>")
    assert summary.answered == 4
    said = {body["messages"][0]["content"] for _, body in server.seen}
    assert said == {f"<{each}>" for each in pool}


def test_one_prompt_and_none(server, teach, tmp_path):
    assert teach(pool=["One?"]).answered == 1
    with pytest.raises(SchemaError, match="no rows"):
        teach("empty", pool=[])


# Which prompts are asked


def test_equal_prompts_are_asked_once(server, teach, tmp_path):
    summary = teach(pool=["Same one", "Other two", "Same one", "Same one"])
    assert (len(server.seen), summary.answered, summary.shared) == (2, 4, 2)
    assert answers(tmp_path / "run")["response"].to_list() == [
        *("Answer to one", "Answer to two", "Answer to one", "Answer to one")
    ]


def test_blank_prompts_are_not_asked(server, teach, tmp_path):
    summary = teach(pool=["", " \n", "Real one"])
    assert (summary.blank, summary.asked, summary.answered, summary.is_finished) == (2, 1, 1, True)
    assert len(server.seen) == 1


def test_prompts_that_somebody_labelled_or_rejected_are_not_asked(server, teach, tmp_path):
    run = tmp_path / "run"
    person_says(run, write_pool(tmp_path), r1="Mine", r2=None)
    summary = teach()
    assert (summary.settled, summary.asked, summary.answered) == (2, 8, 8)
    assert not {"Prompt number 1", "Prompt number 2"} & {b["messages"][0]["content"] for _, b in server.seen}
    labels = read_labels(run).frame
    assert labels.filter(pl.col("id") == "r1")["response"].to_list() == ["Mine"]
    assert labels.height == 9
    before = outputs(run)
    assert teach().sent == 0
    assert outputs(run) == before


def test_a_label_that_a_person_gives_later_takes_no_answer_away(server, teach, tmp_path):
    run = tmp_path / "run"
    teach()
    before = answers(run)
    person_says(run, tmp_path / "pool.parquet", r4="Answer to 4", r5="Something else")
    assert teach().sent == 0
    assert answers(run).equals(before)


def test_a_row_that_shares_an_answer_keeps_it(server, teach, tmp_path):
    run = tmp_path / "run"
    person_says(run, write_pool(tmp_path, ["Same one", "Same one"]), r0="Mine")
    teach(pool=["Same one", "Same one"])
    assert answers(run)["id"].to_list() == ["r1"]
    teach(pool=["Same one", "Same one", "Same one"])
    grown = teach(pool=["Same one", "Same one", "Same one"])
    assert (answers(run)["id"].to_list(), grown.sent, len(server.seen)) == (["r1", "r2"], 0, 1)


def test_a_second_teacher_is_asked_for_what_the_first_left(server, teach, tmp_path):
    def play(asked):
        is_first = asked.body["model"] == "scripted"
        refuses = is_first and asked.body["messages"][0]["content"].endswith(("3", "4"))
        return (200, completion("I can't help with that.")) if refuses else echo(asked)

    server.play = play
    first = teach()
    assert (first.answered, first.set_aside) == (8, {"refusal": 2})
    second = teach(model="stronger", folder="stronger")
    assert (second.settled, second.asked, second.answered) == (8, 2, 2)
    labels = read_labels(tmp_path / "run")
    assert labels.counts["labelled"] == 10
    assert labels.answers_by_annotator == {"teacher:scripted": 8, "teacher:stronger": 2}


# What is set aside


def test_what_is_no_answer_is_no_label(server, teach, tmp_path):
    bodies = {
        "0": completion("Lo siento, pero no puedo ayudarte con eso."),
        "1": completion(None, refusal="No."),
        "2": completion("Par", finish="content_filter"),
        "3": completion("Half of", finish="length"),
        "4": completion(""),
        "5": completion("prompt number 5"),
    }
    long = "A longer prompt number"

    def play(asked):
        number = asked.body["messages"][0]["content"].split()[-1]
        body = completion(f"{long} 5") if number == "5" else bodies.get(number)
        return (200, body) if body else (400, "too long") if number == "6" else echo(asked)

    server.play = play
    summary = teach(pool=[f"{long} {n}" for n in range(8)])
    assert summary.set_aside == {
        "refusal": 2,
        "filtered": 1,
        "truncated": 1,
        "empty": 1,
        "repeats the prompt": 1,
        "refused by the server": 1,
    }
    assert (summary.answered, summary.unanswered) == (1, 0)
    run = tmp_path / "run"
    frame = answers(run)
    assert frame["status"].to_list() == [*["skipped"] * 4, "empty", "skipped", "skipped", "answered"]
    assert frame["response"].null_count() == 7
    assert frame["note"][3] == "truncated: cut at 50 tokens"
    assert read_labels(run).frame["id"].to_list() == ["r7"]
    assert [each["reason"] for each in rejects(run)][:2] == ["refusal", "refusal"]
    assert rejects(run)[0]["text"] == "Lo siento, pero no puedo ayudarte con eso."
    asked = len(server.seen)
    before = outputs(run)
    assert teach(pool=[f"{long} {n}" for n in range(8)]).sent == 0
    assert (len(server.seen), outputs(run)) == (asked, before)


def test_answers_that_contradict_earlier_ones_are_told(teach):
    console = Console(file=io.StringIO(), width=80)
    print_teacher_summary(console, replace(teach(), conflicts=2))
    said = " ".join(console.file.getvalue().split())
    assert "contradict earlier ones of the same teacher, which stay (see conflicts.jsonl): 2." in said


def test_cut_answers_are_kept_by_flag(server, teach, tmp_path):
    server.play = lambda asked: (200, completion("Half of", finish="length"))
    summary = teach(keep_truncated=True)
    assert (summary.answered, summary.cut_answers) == (10, 10)
    assert set(answers(tmp_path / "run")["note"]) == {"cut at the longest answer"}


def test_another_way_of_reading_replies_asks_for_none_again(server, teach, tmp_path):
    def play(asked):
        cut = completion("Half of", finish="length")
        return (200, cut) if asked.body["messages"][0]["content"].endswith("3") else echo(asked)

    server.play = play
    assert teach().set_aside == {"truncated": 1}
    kept = teach(keep_truncated=True)
    assert (kept.sent, kept.answered, kept.conflicts, kept.labelled) == (0, 10, 0, 10)
    assert dict(read_labels(tmp_path / "run").frame.select("id", "response").iter_rows())["r3"] == "Half of"


def test_a_reply_that_cannot_be_read_is_asked_for_again(server, teach, tmp_path):
    server.first_times((200, "<html>busy</html>"), (200, "<html>busy</html>"), echo)
    assert teach(pool=["Only one"], limits={"concurrency": 1}).answered == 1
    assert len(server.seen) == 3
    server.play = lambda _: (200, "<html>busy</html>")
    summary = teach("page", pool=["Only one"])
    assert (summary.set_aside, summary.replies) == ({"unreadable": 1}, 3)
    assert "busy" in rejects(tmp_path / "page")[0]["detail"]


# Samples


def test_the_majority_of_samples_becomes_the_label(server, teach, tmp_path):
    said = iter(["Lyon", "Paris", "paris.", "I can't help with that."])
    server.play = lambda _: (200, completion(next(said)))
    summary = teach(pool=["Capital of France?"], samples=4, limits={"concurrency": 1}, seed=5)
    assert [body["seed"] for _, body in server.seen] == [5, 6, 7, 8]
    assert all(body["temperature"] == 0.7 for _, body in server.seen)
    frame = samples(tmp_path / "run")
    assert frame["response"].to_list() == ["Lyon", "Paris", "paris.", "I can't help with that."]
    assert frame["is_chosen"].to_list() == [False, True, False, False]
    assert set(frame.select("votes", "usable_samples").iter_rows()) == {(2, 3)}
    row = answers(tmp_path / "run").row(0, named=True)
    assert (row["response"], row["note"]) == ("Paris", "2 of 3 samples agree, 1 set aside")
    assert summary.agreement.prompts == 1
    assert summary.agreement.mean == pytest.approx(2 / 3)
    assert rejects(tmp_path / "run")[0]["answered_by_another_sample"]


def test_samples_without_a_seed_are_requests_of_their_own(server, teach, tmp_path):
    summary = teach(samples=3)
    assert (len(server.seen), summary.replies, summary.answered) == (30, 30, 10)
    assert samples(tmp_path / "run")["request"].n_unique() == 30
    assert (summary.agreement.mean, summary.agreement.unanimous) == (1.0, 10)


def test_of_equally_frequent_samples_the_first_counts(server, teach, tmp_path):
    said = iter(["b", "a", "a", "b"])
    server.play = lambda _: (200, completion(next(said)))
    teach(pool=["One"], samples=4, limits={"concurrency": 1})
    assert answers(tmp_path / "run")["response"].to_list() == ["b"]


# What providers do


def test_being_asked_to_wait_costs_no_attempt(server, teach):
    server.first_times(*[(429, "slow down", {"Retry-After": "0.01"})] * 12)
    server.play = (lambda play: lambda asked: echo(asked) if (r := play(asked))[0] == 200 else r)(server.play)
    summary = teach(limits={"concurrency": 2})
    assert (summary.answered, summary.replies, len(server.seen)) == (10, 10, 22)


def test_a_prompt_that_fails_on_every_attempt_stays_open_and_is_asked_again(server, teach, tmp_path):
    def play(asked):
        return (500, "broken") if asked.body["messages"][0]["content"].endswith("3") else echo(asked)

    server.play = play
    summary = teach(limits={"concurrency": 1})
    assert (summary.answered, summary.unanswered, summary.is_finished) == (9, 1, False)
    assert summary.problems == {"status 500 on 5 attempts": 1}
    run = tmp_path / "run"
    assert not (run / "teacher" / "manifest.json").exists()
    assert read_labels(run).frame.height == 9
    server.play = echo
    assert teach().is_finished
    assert read_labels(run).frame.height == 10


def test_a_provider_that_is_gone_is_given_up(server, teach):
    server.play = lambda _: (503, "down")
    summary = teach()
    assert (summary.answered, summary.unanswered, summary.was_given_up) == (0, 10, True)
    assert "given up" in summary.ended


def test_a_wrong_key_ends_at_once_and_a_right_one_continues(server, teach, tmp_path):
    server.play = lambda _: (401, f"wrong key {KEY}")
    with pytest.raises(ProviderError, match="401") as caught:
        teach()
    assert KEY not in str(caught.value)
    # Nothing was answered, so that another model may still be named.
    server.play = echo
    assert teach(model="another").answered == 10


# Caps


@pytest.mark.parametrize(
    ("cap", "sentence"),
    [
        ({"max_requests": 4}, "max_requests (4)"),
        ({"max_total_tokens": 700}, "max_total_tokens (700)"),
        ({"max_cost": 0.0025, **PRICE}, "max_cost (0.0025 USD)"),
    ],
)
def test_a_cap_ends_the_run_and_a_higher_one_continues_it(server, teach, tmp_path, cap, sentence):
    summary = teach(limits={"concurrency": 1, **cap})
    assert sentence in summary.ended
    assert 0 < summary.answered < 10
    assert summary.unanswered == 10 - summary.answered
    assert summary.replies == len(server.seen)
    if cap.get("max_cost"):
        assert summary.cost <= 0.0025
    labels = read_labels(tmp_path / "run")
    assert labels.frame.height == summary.answered
    assert teach(limits={"concurrency": 1, **cap}).sent == 0
    whole = teach(limits={"concurrency": 1})
    assert (whole.is_finished, len(server.seen)) == (True, 10)
    teach("other", limits={"concurrency": 1})
    assert answers(tmp_path / "run").equals(answers(tmp_path / "other"))


def test_a_cost_is_known_by_prices_alone(teach):
    assert teach().cost is None
    priced = teach(limits=PRICE | {"currency": "EUR"})
    assert (priced.cost, priced.currency) == (pytest.approx(0.005), "EUR")


# Going on


def test_a_changed_setting_is_refused_and_named(server, teach):
    teach(system="Be brief.")
    with pytest.raises(ResumeError) as caught:
        teach(system="Be long.", max_tokens=60, samples=2, temperature=1.0)
    for change in ('system "Be brief." → "Be long."', "max_tokens 50 → 60", "samples 1 → 2", "--folder"):
        assert change in str(caught.value)
    assert len(server.seen) == 10
    # What no label depends on may change.
    assert teach(system="Be brief.", timeout_s=9.0, limits={"concurrency": 1} | PRICE).sent == 0


def test_a_selection_may_grow_and_not_be_another(server, teach, tmp_path):
    prompts = [f"Prompt number {n}" for n in range(6)]
    teach(pool=prompts[:3])
    grown = teach(pool=prompts)
    assert (grown.sent, grown.answered) == (3, 6)
    with pytest.raises(ResumeError, match="lacks 2 of them"):
        teach(pool=prompts[:4])
    with pytest.raises(ResumeError, match="lacks 6 of them"):
        teach(pool=["Something else"])


def test_ids_that_stand_for_other_prompts_are_told_before_anything_is_paid(server, teach):
    teach(pool=["One", "Two"])
    asked = len(server.seen)
    with pytest.raises(AnnotationError, match="2 ids stand for other prompts"):
        teach(pool=["Another one", "Another two"], folder="second")
    assert len(server.seen) == asked


def test_a_folder_of_something_else_is_left_alone(teach, tmp_path):
    (tmp_path / "run" / "scores").mkdir(parents=True)
    (tmp_path / "run" / "scores" / "part-0.parquet").write_text("x")
    with pytest.raises(ConfigError, match=re.escape("holds part-0.parquet, which no teacher wrote")):
        teach(folder="scores")
    for name in ("../up", "a/b", "", ".."):
        with pytest.raises(ConfigError, match="a name of letters"):
            teach(folder=name)


def test_settings_of_another_stage_beside_replies_are_refused(server, teach, tmp_path):
    teach(limits={"max_requests": 2})
    path = tmp_path / "run" / "teacher" / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"stage": "score"}))
    with pytest.raises(ResumeError, match=r"settings\.json is not as a teacher wrote it; restore it\."):
        teach()
    assert len(server.seen) == 2


def test_two_processes_do_not_share_a_folder(server, teach, tmp_path):
    with folder_lock(tmp_path / "run" / "teacher"), pytest.raises(ResumeError, match="in use"):
        teach()
    assert server.seen == []


def test_an_import_that_was_killed_half_way_is_finished(server, teach, tmp_path):
    teach()
    run = tmp_path / "run"
    before = outputs(run)
    (run / "labels" / "manifest.json").unlink()
    (run / "teacher" / "manifest.json").unlink()
    with pytest.raises(ResumeError, match="interrupted"):
        read_known_labels(run, pl.read_parquet(tmp_path / "pool.parquet"), source="teacher")
    assert teach().sent == 0
    assert outputs(run) == before


def test_half_a_line_in_the_journal_costs_one_reply(server, teach, tmp_path):
    teach()
    before = outputs(tmp_path / "run")
    journal = tmp_path / "run" / "teacher" / "replies.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    assert teach().sent == 1
    assert outputs(tmp_path / "run") == before


def test_ctrl_c_keeps_what_was_answered(server, teach, tmp_path):
    def watch(replies, requests, tokens, spent):
        if replies == 3:
            raise KeyboardInterrupt

    path = write_pool(tmp_path)
    teacher = TeacherSettings("scripted", endpoint=server.url)
    with pytest.raises(KeyboardInterrupt):
        ask_teacher(path, teacher, into=tmp_path, limits=TeacherLimits(concurrency=1), progress=watch)
    entries = read_journal(tmp_path / "teacher" / "replies.jsonl")
    kept = sum(each.reply.status == 200 for each in entries.values())  # on a busy machine one may be lost
    assert 3 <= kept < 10
    assert ask_teacher(path, teacher, into=tmp_path).sent == 10 - kept


# Estimates


def test_a_dry_run_sends_and_writes_nothing(server, teach, tmp_path):
    plan = teach(call=estimate_teacher, limits=PRICE)
    assert (server.seen, (tmp_path / "run").exists()) == ([], False)
    assert (plan.requests, plan.unanswered, plan.input_tokens) == (10, 10, 40)
    assert plan.input_basis == "estimated at four bytes a token"
    assert (plan.output_tokens, plan.most_output_tokens) == (500, 500)
    assert "upper bound" in plan.output_basis
    assert plan.cost == plan.most_cost == pytest.approx((40 + 5000) / 1e6)
    assert plan.first_request == (("user", "Prompt number 0"),)


def test_replies_that_are_there_say_how_long_others_are(server, teach):
    teach(limits={"max_requests": 6, "concurrency": 1})
    plan = teach(call=estimate_teacher, limits=PRICE)
    assert (plan.requests, plan.unanswered, plan.input_tokens, plan.output_tokens) == (4, 4, 400, 160)
    assert "6 replies" in plan.input_basis
    assert "6 replies" in plan.output_basis
    assert (plan.cost, plan.spent_cost) == (pytest.approx(0.002), pytest.approx(0.003))
    assert plan.most_cost == pytest.approx(0.0024)


def test_a_tokenizer_counts_and_a_price_that_is_unknown_is_no_guess(teach):
    plan = teach(call=functools.partial(estimate_teacher, tokenizer="demo"))
    assert plan.input_basis.startswith("counted with the model's tokenizer")
    assert (plan.cost, plan.most_cost, plan.currency) == (None, None, None)


def test_a_dry_run_with_other_settings_is_refused_as_well(teach):
    teach()
    with pytest.raises(ResumeError, match="max_tokens 50 → 60"):
        teach(call=estimate_teacher, max_tokens=60)


# Keys


def test_no_file_and_no_message_holds_the_key(server, teach, tmp_path, monkeypatch):
    def play(asked):
        number = int(asked.body["messages"][0]["content"].split()[-1])
        ways = [(200, completion(f"The key is {KEY}")), (400, f"bad {KEY}"), (200, f"<b>{KEY}</b>")]
        return ways[number % 3]

    server.play = play
    summary = teach()
    assert all(headers["Authorization"] == f"Bearer {KEY}" for headers in server.headers_seen)
    assert KEY not in json.dumps(summary.to_dict())
    teach(call=estimate_teacher)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
        if path.suffix == ".parquet":
            assert KEY not in str(pl.read_parquet(path).rows()), path


@pytest.mark.parametrize("name", ["system", "prompt_template", "endpoint", "model"])
def test_a_key_among_the_settings_is_refused(server, teach, tmp_path, name):
    values = {
        "system": f"Use {KEY}.",
        "prompt_template": f"{{prompt}} {KEY}",
        "endpoint": f"{server.url}/{KEY}",
        "model": KEY,
    }
    with pytest.raises(ConfigError, match=f"stands in {name} too") as caught:
        teach(**{name: values[name]})
    assert KEY not in str(caught.value)
    assert (server.seen, (tmp_path / "run").exists()) == ([], False)


# A local model


def test_a_local_model_answers_the_same_after_a_cap(teach, tmp_path):
    pytest.importorskip("torch", reason="the extra hf is not installed")
    pool = [f"What is {n} plus 2?" for n in range(10)]
    local = {"model": "demo", "endpoint": "", "max_tokens": 8, "device": "cpu", "keep_truncated": True}
    # One of the second batch would fit; it is asked whole or not at all.
    first = teach("cut", pool=pool, limits={"max_requests": 9}, **local)
    assert "max_requests (9)" in first.ended
    assert (first.replies, first.unanswered, first.is_local) == (8, 2, True)
    assert teach("cut", pool=pool, **local).is_finished
    teach("whole", pool=pool, **local)
    assert answers(tmp_path / "cut").equals(answers(tmp_path / "whole"))
    with pytest.raises(ConfigError, match="gone"):
        teach("gone", model="./gone", provider="hf", endpoint="")
