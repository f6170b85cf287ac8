from __future__ import annotations

import functools
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from scripted_provider import KEY, SCHEMA, completion, good, make_config, write_plan
from tasksel import load_pool
from tasksel.cli import app
from tasksel.request_pacing import PacingSettings
from tasksel.run_folder import folder_lock
from tasksel.synthesis import replies
from tasksel.synthesis.generation_rehearsal import rehearse
from tasksel.synthesis.generation_run import describe_status, generate, reparse
from tasksel.synthesis.generation_waves import StratumCount
from tasksel.synthesis.records import export_records
from tasksel.terminal_synthesis_run import MAX_STRATA, print_generation
from tasksel_core.errors import ConfigError, ProviderError, ResumeError

pytest.importorskip("jsonschema", reason="the extra synth is not installed")


@pytest.fixture
def plan(server, tmp_path):
    """Give the function that writes a plan and returns its run folder."""

    def write(name="run", *, edges=None, **changes):
        return write_plan(tmp_path / name, make_config(server.url, **changes), edges=edges)

    return write


def records(run):
    return pl.read_parquet(run / "generation" / "records.parquet")


def rejects(run):
    lines = (run / "generation" / "rejects.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def outputs(run):
    names = ("records.parquet", "rejects.jsonl", "manifest.json")
    return {name: (run / "generation" / name).read_bytes() for name in names}


# What a run gives


def test_every_planned_example_gets_its_record(server, plan):
    run = plan()
    summary = generate(run, concurrency=2)
    assert (summary.planned, summary.accepted, summary.short) == (20, 20, ())
    assert (summary.is_finished, summary.ended, summary.cost) == (True, None, None)
    assert summary.sent == summary.replies == len(server.seen)
    assert (summary.repairs, summary.rejects, summary.steps) == ({}, {}, {})
    assert server.most_under_way <= 2
    frame = records(run)
    assert frame.columns == [
        *("id", "plan_id", "task", "prompt", "response", "product", "rating", "tone", "edge", "item"),
        *("origin", "origin_model", "origin_request", "origin_repairs"),
    ]
    assert frame["plan_id"].to_list() == [f"s-{n:06}" for n in range(1, 21)]
    assert frame["id"].n_unique() == 20
    row = frame.row(1, named=True)
    assert (row["task"], row["product"], row["rating"], row["response"]) == ("phone/5", "phone", "5", "5")
    assert json.loads(row["item"]) == {"text": row["prompt"], "rating": 5}
    assert (row["origin"], row["origin_model"], row["origin_repairs"]) == ("synthetic", "scripted", "")
    journal = (run / "generation" / "responses.jsonl").read_text()
    keys = {json.loads(line)["key"] for line in journal.splitlines()}
    assert set(frame["origin_request"]) == keys


def test_a_request_asks_for_few_items_of_one_stratum(server, plan):
    generate(plan())
    for _, body in server.seen:
        values = [
            json.loads(line.split(". ", 1)[1])
            for line in body["messages"][1]["content"].splitlines()
            if line[:2].rstrip(".").isdigit()
        ]
        assert 1 <= len(values) <= 3
        assert len({(each["product"], each["rating"]) for each in values}) == 1
        assert all(each["tone"] in ("calm", "angry") for each in values)


def test_a_run_that_is_done_asks_nothing_and_changes_no_byte(server, plan):
    run = plan()
    generate(run)
    asked, before = len(server.seen), outputs(run)
    again = generate(run, resume=True)
    assert (len(server.seen), again.sent, outputs(run)) == (asked, 0, before)


def test_tiers_one_by_one_ask_what_all_at_once_does(server, plan):
    steps, whole = plan("steps"), plan("whole")
    small = generate(steps, tier=8)
    assert (small.planned, small.accepted) == (8, 8)
    assert records(steps).height == 8
    assert generate(steps, tier="full").planned == 20
    generate(whole, tier="20")
    assert outputs(steps) == outputs(whole)
    # Looking at the small tier again takes nothing away.
    assert generate(steps, tier=8).planned == 8
    assert outputs(steps) == outputs(whole)


def test_any_concurrency_gives_the_same_bytes(server, plan):
    server.play = lambda asked: (200, completion("no")) if asked.dice < 0.4 else good(asked)
    runs = [plan(f"run-{n}") for n in (1, 7)]
    for run, n in zip(runs, (1, 7), strict=True):
        generate(run, concurrency=n)
    assert outputs(runs[0]) == outputs(runs[1])


# What providers do


def test_the_ladder_first_correction_two_fresh_tries_then_top_up_then_short(server, plan):
    def play(asked):
        if asked.values[0]["product"] == "watch":
            return 200, completion("[{]")
        return good(asked)

    server.play = play
    run = plan(total=4, tiers=[4])
    summary = generate(run, tier=4)
    assert [each.stratum for each in summary.short] == ["watch/1", "watch/5"]
    assert all((each.planned, each.accepted, each.asked) == (1, 0, 2) for each in summary.short)
    # Two askings of two strata: first, correction, fresh, fresh.
    assert len(server.seen) == 2 + 2 * 2 * 4
    assert summary.steps == {"corrections": 4, "fresh tries": 8, "topped up items": 2}
    assert summary.rejects == {"unparsable": 4}
    assert {each["reason"] for each in rejects(run)} == {"unparsable"}
    assert not any(each["filled_later"] for each in rejects(run))
    assert summary.is_finished


def bad_items(asked):
    return 200, completion(json.dumps([{**each, "rating": 9} for each in asked.items]))


SECOND_BAD = {
    "schema": lambda items: [items[0], {**items[1], "rating": 9}, *items[2:]],
    "wrong count": lambda items: items[:1],
    "duplicate": lambda items: [items[0], items[0], *items[2:]],
    "wrong language": lambda items: [
        items[0],
        {"text": "Das ist nicht gut und ich bin mit der Ware nicht zufrieden.", "rating": 1},
        *items[2:],
    ],
}


@pytest.mark.parametrize("reason", SECOND_BAD)
def test_good_items_are_kept_and_the_correction_asks_for_the_rest_alone(server, plan, reason):
    change = SECOND_BAD[reason]
    server.first_times(lambda asked: (200, completion(json.dumps(change(asked.items)))))
    run = plan(total=8, tiers=[8], language="en", limits={"concurrency": 1}, request={"items": 2})
    summary = generate(run)
    assert (summary.accepted, summary.rejects) == (8, {})
    assert summary.steps == {"corrections": 1}
    turns = server.seen[-1][1]["messages"]
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user"]
    assert f"- item 2: {reason}" in turns[-1]["content"]
    assert "- item 1" not in turns[-1]["content"]


@pytest.mark.parametrize(
    ("frame", "repair"),
    [
        ("```json\n{}\n```", "fence"),
        ('{{"items": {}}}', "wrapper"),
        ("Here you are: {}", "prose"),
    ],
)
def test_repairs_are_counted_and_stand_in_the_records(server, plan, frame, repair):
    server.first_times(lambda asked: (200, completion(frame.format(json.dumps(asked.items)))))
    run = plan(total=8, tiers=[8], limits={"concurrency": 1})
    summary = generate(run)
    assert summary.repairs == {repair: 1}
    assert sorted(set(records(run)["origin_repairs"])) == ["", repair]
    assert summary.steps == {}


def test_half_a_reply_keeps_its_whole_items(server, plan):
    def cut(asked):
        return 200, completion(json.dumps(asked.items)[:-10], finish="length")

    server.first_times(cut)
    run = plan(total=8, tiers=[8], limits={"concurrency": 1})
    summary = generate(run)
    assert (summary.accepted, summary.repairs, summary.steps) == (8, {"truncated": 1}, {"corrections": 1})
    assert "truncated" in server.seen[-1][1]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((200, completion("I'm sorry, but I can't help with that.")), "refusal"),
        ((200, completion(None, refusal="No.")), "refusal"),
        ((200, completion("", finish="content_filter")), "filtered"),
        ((400, "this one not"), "refused by the server"),
    ],
)
def test_a_refusal_is_set_aside_and_topped_up(server, plan, reply, reason):
    server.first_times(reply)
    run = plan(total=8, tiers=[8], limits={"concurrency": 1})
    summary = generate(run)
    assert (summary.accepted, summary.rejects) == (8, {reason: 2})
    assert summary.steps == {"topped up items": 2}
    assert [each["filled_later"] for each in rejects(run)] == [True, True]


def test_extra_items_are_dropped_and_counted(server, plan):
    server.first_times(lambda asked: (200, completion(json.dumps(asked.items + asked.items))))
    summary = generate(plan(total=8, tiers=[8], limits={"concurrency": 1}))
    assert (summary.accepted, summary.steps) == (8, {"extra items": 2})


def test_duplicates_of_what_exists_are_rejected_and_named_in_the_next_try(server, plan):
    server.play = lambda asked: (
        good(asked)
        if asked.is_correction or "write something else" in asked.text
        else (200, completion(json.dumps([{"text": "The same  TEXT.", "rating": 1}] * len(asked.values))))
    )
    run = plan(total=8, tiers=[8], limits={"concurrency": 1})
    summary = generate(run)
    assert summary.accepted == 8
    assert summary.steps["corrections"] == 7
    assert records(run)["prompt"].n_unique() == 8


def test_a_duplicate_stays_one_whatever_its_case_and_spaces(server, plan):
    texts = iter(["The same text.", "the  SAME text."] + ["the same text. "] * 1000)
    server.play = lambda asked: (
        200,
        completion(json.dumps([{"text": next(texts), "rating": 1} for _ in asked.values])),
    )
    run = plan(total=4, tiers=[4], limits={"concurrency": 1})
    summary = generate(run)
    assert summary.accepted == 1
    assert set(summary.rejects) == {"duplicate"}


@pytest.mark.parametrize(
    ("bad", "detail"),
    [({"rating": float("nan")}, "nan"), ({"text": " " * 12}, "the prompt made of it is empty")],
)
def test_an_item_that_makes_no_record_is_kept_as_it_was(server, plan, bad, detail):
    server.play = lambda asked: (200, completion(json.dumps([{**each, **bad} for each in asked.items])))
    run = plan(total=4, tiers=[4])
    assert generate(run).rejects == {"schema": 8}
    kept = rejects(run)[0]
    assert detail in kept["detail"].lower()
    assert (str(kept["item"]).count("nan") > 0) == (detail == "nan")


def test_overload_failures_and_hangs_pass(server, plan):
    server.first_times(
        (429, "slow down", {"Retry-After": "0.01"}),
        (500, "broken"),
        (0.8, ""),
        (429, "slow down"),
        (529, "overloaded"),
        (200, "<html>busy</html>"),
    )
    run = plan(model={**make_config(server.url)["model"], "timeout_s": 0.4})
    summary = generate(run)
    assert (summary.accepted, summary.ended) == (20, None)
    assert summary.replies == summary.sent - 4, "waits and failures are no replies; a hang may be one"


def test_edge_cases_may_break_the_schema_where_that_is_the_point(server, plan):
    edge = {"share": 0.5, "ask_model": True, "custom": {"odd": {"instruction": "Be odd."}}}

    def play(asked):
        items = asked.items
        if "edge case" in asked.text:
            items = [{"text": None, "rating": f"{each['rating']} stars"} for each in items]
        return 200, completion(json.dumps(items))

    server.play = play
    run = plan(total=8, tiers=[8], edge=edge, edges={0: "missing", 1: "invalid-but-parseable", 2: "odd"})
    summary = generate(run)
    found = {each["edge"]: each for each in records(run).to_dicts()}
    assert found["missing"]["prompt"] == ""
    assert found["invalid-but-parseable"]["response"] == "5 stars"
    assert "odd" not in found, "a custom category keeps to the schema"
    assert [each.stratum for each in summary.short] == ["watch/1"]


def test_near_duplicates_come_after_what_they_are_made_from(server, plan):
    edge = {"share": 0.2}
    run = plan(total=8, tiers=[8], edge=edge, edges={0: "near-duplicate"})
    assert generate(run).accepted == 8
    last = server.seen[-1][1]["messages"][1]["content"]
    base = records(run).filter(plan_id="s-000005")["item"].item()
    assert f"The example that near-duplicates are made from:\n{base}" in last


def test_exemplars_are_shown_and_kept(server, plan):
    run = plan(request={"items": 3, "examples": 2})
    generate(run, tier=8, exemplars={"phone/1": ["Real one.", "Real two.", "Real three."]})
    shown = [body["messages"][1]["content"] for _, body in server.seen]
    assert [text.count("Real ") - text.count("Real examples") for text in shown if "Real o" in text] == [2]
    asked = len(server.seen)
    generate(run, tier=8)
    assert len(server.seen) == asked
    assert describe_status(run).accepted == 8


def test_very_long_and_strange_texts_pass_whole(server, plan):
    schema = {**SCHEMA, "properties": {**SCHEMA["properties"], "text": {"type": "string"}}}
    strange = '\x00\x1b[31m\u202e\U0001f600 {text} {{ \\ " '

    def play(asked):
        items = [{**each, "text": f"{each['text']}{strange}" + "x" * 26_000} for each in asked.items]
        return 200, completion(json.dumps(items))

    server.play = play
    run = plan(total=4, tiers=[4], schema=schema)
    assert generate(run).accepted == 4
    assert all(strange in text and len(text) > 26_000 for text in records(run)["prompt"])


# Limits


def test_caps_end_a_run_and_the_same_call_goes_on_with_more(server, plan):
    run = plan(limits={"concurrency": 4, "max_requests": 3})
    summary = generate(run)
    assert (summary.replies, summary.ended) == (3, "the cap max_requests (3) is reached")
    assert not summary.is_finished
    assert not (run / "generation" / "manifest.json").exists()
    assert records(run).height == summary.accepted > 0
    assert generate(run).sent == 0
    plan(limits={"concurrency": 4})
    more = generate(run, resume=True)
    assert (more.accepted, more.is_finished) == (20, True)
    assert more.sent == len(server.seen) - 3


def test_a_request_that_timed_out_is_counted_and_no_measure_of_what_replies_take(server, plan):
    impatient = {**make_config(server.url)["model"], "timeout_s": 0.8}
    run = plan(limits={"concurrency": 1}, model=impatient)
    server.first_times((2.0, ""))
    spent = generate(run, tier=8)
    assert (spent.replies, spent.output_tokens, spent.is_estimate) == (5, 4 * 40 + 1024, True)
    assert describe_status(run).output_tokens == spent.output_tokens
    assert rehearse(run).output_tokens == 4 * 40 * 12 // 8


def test_a_tier_is_finished_though_a_larger_one_was_begun(server, plan):
    run = plan(limits={"concurrency": 1, "max_requests": 6})
    begun = generate(run)
    assert 8 < begun.accepted < 20
    assert not begun.is_finished
    smaller = generate(run, tier=8)
    assert (smaller.planned, smaller.accepted, smaller.is_finished, smaller.sent) == (8, 8, True, 0)
    assert records(run).height == begun.accepted
    assert (run / "generation" / "manifest.json").exists()


def test_money_is_counted_from_the_price_alone(server, plan):
    run = plan(price={"input_per_million": 1.0, "output_per_million": 2.0, "currency": "EUR"})
    summary = generate(run)
    n = summary.replies
    assert (summary.input_tokens, summary.output_tokens) == (100 * n, 40 * n)
    assert summary.cost == pytest.approx(n * 180 / 1e6)
    assert (summary.currency, summary.is_estimate) == ("EUR", False)


def test_a_cap_on_money_is_not_passed(server, plan):
    price = {"input_per_million": 1.0, "output_per_million": 2.0}
    run = plan(price=price, limits={"concurrency": 4, "max_cost": 0.0034})
    summary = generate(run)
    assert summary.ended == "the cap max_cost (0.0034 USD) is reached"
    assert 0 < summary.cost <= 0.0034


def test_tokens_that_nobody_reports_are_estimated_and_marked(server, plan):
    server.play = lambda asked: (200, completion(json.dumps(asked.items), usage=None))
    summary = generate(plan())
    assert summary.is_estimate
    assert summary.input_tokens > 100
    assert summary.output_tokens > 100


def test_a_provider_that_is_gone_leaves_what_came(server, plan, monkeypatch):
    count = []

    def play(asked):
        count.append(1)
        return good(asked) if len(count) <= 2 else (503, "gone")

    server.play = play
    run = plan(limits={"concurrency": 1})
    impatient = functools.partial(PacingSettings, failures_to_open=2, breaker_pause_s=0.01)
    monkeypatch.setattr("tasksel.synthesis.generation_run.PacingSettings", impatient)
    summary = generate(run)
    assert summary.was_given_up
    assert "failed" in summary.ended
    assert records(run).height == summary.accepted == 4
    server.first_times()
    assert generate(run, resume=True).accepted == 20


def test_a_wrong_key_ends_it_at_once_and_stands_nowhere(server, plan):
    server.play = lambda _: (401, f"your key {KEY} is wrong")
    run = plan()
    with pytest.raises(ProviderError, match="401") as caught:
        generate(run)
    assert KEY not in str(caught.value)
    server.play = lambda asked: (200, completion(f"{KEY} {json.dumps(asked.items)}"))
    generate(run)
    for path in run.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


# Reading replies again


def test_reparse_sends_nothing_and_gives_the_same_bytes(server, plan):
    server.play = lambda asked: (200, completion("no")) if asked.dice < 0.75 else good(asked)
    run = plan()
    summary = generate(run)
    assert summary.rejects
    asked, before = len(server.seen), outputs(run)
    for name in ("records.parquet", "rejects.jsonl", "manifest.json"):
        (run / "generation" / name).unlink()
    again = reparse(run)
    assert (len(server.seen), outputs(run)) == (asked, before)
    assert again.to_dict() | {"sent": 0} == summary.to_dict() | {"sent": 0}
    assert describe_status(run).to_dict() == again.to_dict()


def test_a_better_parser_finds_what_was_lost_and_pays_nothing_twice(server, plan, monkeypatch):
    """A run whose parser knows no fences asks again; the better parser must use every paid reply."""
    server.play = lambda asked: (
        (200, completion(f"```json\n{json.dumps(asked.items)}\n```")) if asked.dice < 0.5 else good(asked)
    )
    run = plan()
    with monkeypatch.context() as patch:
        patch.setattr(replies, "_FENCE", replies.re.compile(r"(?!)"))
        patch.setattr(replies, "_brackets", lambda _: [])
        worse = generate(run)
    assert worse.steps["corrections"] > 0
    asked = len(server.seen)
    better = reparse(run)
    assert better.repairs["fence"] > 0
    assert better.accepted == 20 > worse.accepted - 1
    generate(run)
    assert len(server.seen) == asked


def test_another_template_needs_no_new_reply(server, plan):
    run = plan()
    generate(run)
    asked = len(server.seen)
    plan(record={"prompt": "{product}: {text}"})
    reparse(run)
    assert len(server.seen) == asked
    assert records(run)["prompt"][0].startswith("phone: ")
    assert records(run)["response"].null_count() == 20


def test_replies_to_other_settings_are_not_used(server, plan):
    run = plan()
    generate(run)
    asked = len(server.seen)
    plan(instructions="Write something else.")
    assert describe_status(run).accepted == 0
    assert generate(run).accepted == 20
    assert len(server.seen) == 2 * asked


@pytest.mark.parametrize("n_items", [1, 2])
def test_paid_replies_that_no_question_leads_to_any_more_are_used(server, plan, monkeypatch, n_items):
    """The first reply was half good, so that one item was asked again; now it is read as not good at all."""

    def half_good(asked):
        items = [*asked.items[:-1], {**asked.items[-1], "rating": 9}]
        return 200, completion(f"```json\n{json.dumps(items)}\n```")

    server.first_times(half_good)
    run = plan(total=8, tiers=[8], limits={"concurrency": 1}, request={"items": n_items})
    assert generate(run).steps == {"corrections": 1}
    asked = len(server.seen)
    monkeypatch.setattr(replies, "_FENCE", replies.re.compile(r"(?!)"))
    monkeypatch.setattr(replies, "_brackets", lambda _: [])
    again = reparse(run)
    assert (again.accepted, again.steps["adopted replies"]) == (9 - n_items, 1)
    assert generate(run).accepted == 8
    assert len(server.seen) == asked + n_items - 1


def test_what_was_no_reply_is_no_use_to_another_way_of_reading(server, plan, monkeypatch):
    """The correction was refused and the item asked for anew: of the two only the second gives it."""
    bad = f"```json\n{json.dumps([{'text': 'A text of some length.', 'rating': 9}])}\n```"
    server.first_times((200, completion(bad)), (400, "not this one"))
    run = plan(total=4, tiers=[4], limits={"concurrency": 1}, request={"items": 1})
    assert generate(run).accepted == 4
    asked = len(server.seen)
    monkeypatch.setattr(replies, "_FENCE", replies.re.compile(r"(?!)"))
    monkeypatch.setattr(replies, "_brackets", lambda _: [])
    assert reparse(run).accepted == 4
    assert len(server.seen) == asked


def test_half_a_line_at_the_end_of_the_journal_is_asked_again(server, plan):
    run = plan()
    generate(run)
    journal = run / "generation" / "responses.jsonl"
    before, asked = outputs(run), len(server.seen)
    journal.write_bytes(journal.read_bytes()[:-20])
    generate(run)
    assert (outputs(run), len(server.seen)) == (before, asked + 1)


# Looking before sending


def test_a_rehearsal_sends_and_writes_nothing(server, plan):
    run = plan(price={"input_per_million": 1.0, "output_per_million": 2.0})
    found = rehearse(run)
    assert server.seen == []
    assert not (run / "generation").exists()
    assert (found.planned, found.accepted, found.requests) == (20, 0, 8)
    assert (found.output_tokens, found.cost) == (None, None)
    assert found.most_output_tokens == 8 * 1024
    assert found.most_cost == pytest.approx((found.input_tokens + 2 * 8 * 1024) / 1e6)
    assert found.first_request[0][0] == "system"
    generate(run, tier=8)
    assert found.first_request[1][1] != server.seen[0][1]["messages"][1]["content"], (
        "a tier is a request's limit"
    )
    assert json.loads(json.dumps(found.to_dict()))["requests"] == 8
    after = rehearse(run)
    assert (after.accepted, after.requests) == (8, 4)
    assert after.output_tokens == 4 * 40 * 12 // 8
    assert rehearse(plan("other")).most_cost is None


# Mistakes


def test_mistakes_are_one_sentence(server, plan, tmp_path):
    run = plan()
    with pytest.raises(ConfigError, match="allowed are 8, 20 and full"):
        generate(run, tier=100)
    with pytest.raises(ResumeError, match="nothing to resume"):
        generate(run, resume=True)
    with pytest.raises(ResumeError, match="no plan"):
        generate(tmp_path / "none")
    with pytest.raises(ResumeError, match="no replies"):
        reparse(run)
    with pytest.raises(ResumeError, match=r"no .*records\.parquet; `tasksel synth run"):
        export_records(run, tmp_path / "out.csv")
    (run / "plan" / "manifest.json").unlink()
    with pytest.raises(ResumeError, match="not finished"):
        generate(run)
    other = plan("other")
    examples = other / "plan" / "examples.parquet"
    pl.read_parquet(examples).drop("tone").write_parquet(examples)
    with pytest.raises(ResumeError, match="lacks tone"):
        generate(other)
    examples.write_bytes(b"PAR1")
    with pytest.raises(ResumeError, match="cannot be read"):
        generate(other)
    empty = plan("empty")
    examples = empty / "plan" / "examples.parquet"
    pl.read_parquet(examples).clear().write_parquet(examples)
    with pytest.raises(ConfigError, match="no examples"):
        generate(empty)
    bad = plan(
        "bad", schema={**SCHEMA, "properties": {"text": {"type": "sting"}}}, record={"prompt": "{text}"}
    )
    with pytest.raises(ConfigError, match="no JSON Schema"):
        generate(bad)
    assert server.seen == []


def test_two_processes_do_not_share_a_folder(server, plan):
    run = plan()
    with folder_lock(run / "generation"), pytest.raises(ResumeError, match="in use"):
        generate(run)
    assert server.seen == []


# A pool like any other


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_records_are_a_pool(server, plan, tmp_path, suffix):
    strange = 'with "quotes",\ncommas, \r and ünïcode 😀'

    def play(asked):
        items = [{**each, "text": f"{each['text']} {strange}"} for each in asked.items]
        return 200, completion(json.dumps(items))

    server.play = play
    run = plan()
    generate(run)
    out = tmp_path / f"pool{suffix}"
    assert export_records(run, out) == 20
    pool = load_pool(out)
    assert pool.frame.columns[:4] == ["id", "task", "prompt", "response"]
    assert pool.frame["id"].to_list() == records(run)["id"].to_list()
    assert sorted(pool.frame["task"].unique()) == ["phone/1", "phone/5", "watch/1", "watch/5"]
    assert set(pool.frame["origin"]) == {"synthetic"}
    assert pool.frame["prompt"].to_list() == records(run)["prompt"].to_list()
    before = out.read_bytes()
    export_records(run, out)
    assert out.read_bytes() == before
    with pytest.raises(ConfigError, match=r"allowed are \.parquet, \.jsonl, \.csv"):
        export_records(run, tmp_path / "pool.xlsx")


# A local model


def test_the_shipped_model_fills_a_plan_and_a_rerun_gives_the_same_bytes(plan):
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    pytest.importorskip("llguidance", reason="the extra synth is not installed")
    model = {"provider": "hf", "model": "demo", "max_tokens": 200}
    runs = [plan(f"local-{n}", model=model, total=8, tiers=[4]) for n in (1, 2)]
    for run in runs:
        summary = generate(run)
        assert (summary.accepted, summary.repairs, summary.rejects) == (8, {}, {})
        assert (summary.is_estimate, summary.cost) == (False, None)
    assert outputs(runs[0]) == outputs(runs[1])
    frame = records(runs[0])
    assert frame["rating"].to_list() == frame["response"].to_list(), "the schema sets what the plan knows"


# The command line


def command(*arguments):
    return [sys.executable, "-m", "tasksel", "synth", *map(str, arguments)]


def run_command(*arguments):
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
    )


def test_the_verbs_run_a_plan_and_export_it(server, plan, tmp_path):
    run = plan()
    dry = run_command("run", run, "--tier", "full", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "cost: unknown" in dry.stdout
    assert "[user]" in dry.stdout
    assert server.seen == []
    done = run_command("run", run, "--tier", "8", "-j", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accepted"] == 8
    done = run_command("run", run, "--tier", "full", "--resume")
    assert "20 of 20 examples" in done.stdout
    assert "cost unknown" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    status = run_command("status", run)
    assert status.returncode == 0
    assert "20 of 20 examples" in status.stdout
    assert run_command("reparse", run, "--quiet").stdout == ""
    out = tmp_path / "pool.parquet"
    assert "20 records" in run_command("export", run, "--out", out).stdout
    select = [sys.executable, "-m", "tasksel", "select", str(out), "--budget", "8", "--json"]
    chosen = subprocess.run(select, capture_output=True, text=True, timeout=120, check=False)
    assert chosen.returncode == 0, chosen.stderr
    for made in (dry, done, status):
        assert KEY not in made.stdout + made.stderr


def invoke(*arguments, code=0):
    """Run a verb in this process."""
    runner = CliRunner(env={"COLUMNS": "80"})
    done = runner.invoke(app, ["synth", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


PRICE = {"input_per_million": 1.0, "output_per_million": 2.0, "currency": "EUR"}


def test_a_rehearsal_says_what_it_would_cost_as_far_as_that_is_known(server, plan):
    run = plan(price=PRICE)
    first = invoke("run", run, "--tier", "8", "--dry-run")
    assert re.search(r"cost, estimated: unknown; at most 0\.\d{4} EUR in these requests", first)
    account = json.loads(invoke("run", run, "--tier", "8", "--dry-run", "--json"))
    assert (account["tier"], account["accepted"], account["cost"], account["currency"]) == (8, 0, None, "EUR")
    invoke("run", run, "--tier", "8", "--quiet")
    assert re.search(
        r"cost, estimated: 0\.0\d{3}; at most", invoke("run", run, "--tier", "full", "--dry-run")
    )


def test_exemplars_are_read_from_a_pool_and_records_exported_as_one(server, plan, tmp_path):
    run = plan(request={"items": 3, "examples": 1})
    exemplars = tmp_path / "real.jsonl"
    rows = pl.DataFrame({"task": ["phone/1", "watch/1"], "prompt": ["Real phone.", "Real watch."]})
    rows.drop("task").write_ndjson(exemplars)
    said = invoke("run", run, "--tier", "8", "--exemplars", exemplars, code=2)
    assert "real.jsonl has no tasks; exemplars want the stratum as task." in said
    rows.write_ndjson(exemplars)
    invoke("run", run, "--tier", "8", "--exemplars", exemplars, "--quiet")
    shown = [body["messages"][1]["content"] for _, body in server.seen]
    assert any("Real phone." in text for text in shown)
    assert json.loads(invoke("export", run, "--out", tmp_path / "pool.csv", "--json")) == {
        "file": "pool.csv",
        "rows": 8,
    }


def test_a_provider_that_is_gone_is_exit_code_1_and_its_run_not_finished(server, plan, monkeypatch):
    server.play = lambda _: (503, "gone")
    impatient = functools.partial(PacingSettings, failures_to_open=2, max_probes=1, breaker_pause_s=0.01)
    monkeypatch.setattr("tasksel.synthesis.generation_run.PacingSettings", impatient)
    run = plan()
    said = invoke("run", run, "--tier", "8", code=1)
    assert "Ended before everything was asked: the provider was given up, since it failed" in said
    assert "Not finished; `tasksel synth run` continues." in invoke("status", run)
    server.play = lambda asked: (200, completion(json.dumps(asked.items), usage=None))
    said = invoke("run", run, "--tier", "8")
    assert "The provider did not report all tokens; those are estimated at four bytes a token." in said


def test_many_short_strata_are_counted(server, plan):
    strata = tuple(StratumCount(f"stratum {number}", 2, 1, 4) for number in range(MAX_STRATA + 3))
    console = Console(file=io.StringIO(), width=200)
    print_generation(console, replace(generate(plan(total=4, tiers=[4])), strata=strata))
    assert "3 more strata are short." in console.file.getvalue()


def test_a_run_that_stays_short_exits_with_3_and_says_where(server, plan):
    server.play = lambda asked: bad_items(asked) if "watch" in asked.text else good(asked)
    run = plan(total=4, tiers=[4])
    done = run_command("run", run, "--tier", "full")
    assert done.returncode == 3, done.stderr
    assert "watch/1" in done.stdout
    assert "twice the plan" in done.stdout
    assert run_command("reparse", run).returncode == 3
    assert run_command("status", run).returncode == 0


def test_mistakes_exit_with_2_and_one_sentence(server, plan, tmp_path):
    run = plan()
    for arguments in (
        ("run", run, "--tier", "7"),
        ("run", run, "--tier", "8", "--resume"),
        ("status", tmp_path),
    ):
        done = run_command(*arguments)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("Error: ")
        assert "Traceback" not in done.stderr
    (run / "generation").write_text("a file in the way")
    done = run_command("run", run, "--tier", "8")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "is a file, where a folder is wanted" in done.stderr.replace("\n", " ")


@pytest.mark.skipif(os.name != "posix", reason="limits are of POSIX systems")
def test_a_full_disk_is_one_sentence_and_what_was_written_stays(server, plan):
    run = plan()
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))\n"
    program = f"{limited}from tasksel.cli import main; sys.argv[0] = 'tasksel'; main()"
    arguments = [sys.executable, "-c", program, "synth", "run", str(run), "--tier", "8", "-j", "1"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    assert "responses.jsonl" in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr
    paid = len(server.seen)
    assert 1 < paid < 4
    assert generate(run, tier=8).accepted == 8
    assert len(server.seen) == 4 + 1, "only the reply that did not fit is asked for again"


@pytest.mark.skipif(os.name != "posix", reason="signals are of POSIX systems")
def test_ctrl_c_ends_it_soon_and_keeps_what_came(server, plan):
    def play(asked):
        return good(asked) if "phone" in asked.text else (60.0, "")

    server.play = play
    run = plan(limits={"concurrency": 8}, model={**make_config(server.url)["model"], "timeout_s": 300.0})
    journal = run / "generation" / "responses.jsonl"
    arguments = command("run", run, "--tier", "full")
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not (journal.exists() and journal.read_bytes().count(b"\n") == 2 and server.under_way == 2):
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)  # the requests that hang would last longer
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert "same command again" in errors
    assert "Traceback" not in errors
    server.first_times()
    assert generate(run, resume=True).accepted == 20
