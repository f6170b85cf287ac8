from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading

import polars as pl
import pytest

from tasksel import evaluate
from tasksel.endpoint import Endpoint, Reply
from tasksel.judge import REPLIES_NAME, JudgeSettings, count_outcomes, judge_pairs, read_verdict
from tasksel_core.errors import ConfigError, ProviderError, SchemaError

KEY = "sk-secret-of-the-test"
PAIRS = pl.DataFrame(
    {
        "prompt_id": ["one", "two", "three"],
        "prompt": ["Say {second}.", "Count.", "Stop."],
        "answer": ["good", "bad", "same"],
        "baseline_answer": ["bad", "good", "same"],
    }
)


def completion(content, **choice):
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}, **choice}]})


def answers_in(body):
    """Give the two answers in the order in which the judge sees them."""
    text = body["messages"][-1]["content"]
    first = text.partition("## Answer of model m\n")[2].partition("\n\n## Answer of model M\n")
    return first[0], first[2].partition("\n\n## Task\n")[0]


def prefer_good(body):
    first, second = answers_in(body)
    return 200, completion("tie" if first == second else "m" if first == "good" else "M")


class JudgeServer(http.server.ThreadingHTTPServer):
    """A real server on the loopback; `play` gives status, body and headers for each request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.play = prefer_good
        self.seen = []
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen.append((self.path, self.headers.get("Authorization"), body))
        status, text, *headers = self.server.play(body)
        content = text.encode()
        self.send_response(status)
        for name, value in headers[0].items() if headers else ():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("tasksel.endpoint._FIRST_PAUSE_S", 0.01)
    judge = JudgeServer()
    thread = threading.Thread(target=judge.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield judge
    judge.shutdown()
    thread.join()
    judge.server_close()


def judge_all(server, folder, **settings):
    return judge_pairs(PAIRS, Endpoint(server.url), JudgeSettings("j", **settings), folder=folder)


def first_time(server, *once):
    """Play `once` for the first request and prefer the good answer from then on."""
    pending = [once]

    def play(body):
        with server.lock:
            now = pending.pop() if pending else None
        return now or prefer_good(body)

    return play


# Both orders


def test_each_pair_is_asked_in_both_orders(server, tmp_path):
    verdicts = judge_all(server, tmp_path)
    assert verdicts["preference"].to_list() == [2.0, 1.0, 1.5]
    assert verdicts["flipped"].to_list() == [False, False, False]
    # The third pair is the same in both orders, and is paid for once.
    assert len(server.seen) == 5
    assert count_outcomes(verdicts)["tie"] == 2
    assert {path for path, _, _ in server.seen} == {"/v1/chat/completions"}
    assert {key for _, key, _ in server.seen} == {f"Bearer {KEY}"}


def test_a_judge_that_prefers_the_first_place_gives_a_draw_and_is_told(server, tmp_path):
    server.play = lambda body: (200, completion("m"))
    verdicts = judge_all(server, tmp_path)
    assert verdicts["preference"].to_list() == [1.5, 1.5, 1.5]
    assert count_outcomes(verdicts)["flipped_pairs"] == 3


def test_probabilities_of_the_first_token_grade_the_verdict(server, tmp_path):
    top = [{"token": "m", "logprob": -0.2876820724517809}, {"token": "M", "logprob": -1.3862943611198906}]
    server.play = lambda body: (200, completion("m", logprobs={"content": [{"top_logprobs": top}]}))
    verdicts = judge_all(server, tmp_path)
    assert verdicts["baseline_first"].to_list() == pytest.approx([1.25] * 3)
    assert verdicts["baseline_second"].to_list() == pytest.approx([1.75] * 3)


def test_logprobs_are_asked_for_only_where_wanted(server, tmp_path):
    judge_all(server, tmp_path / "with")
    assert all(body["top_logprobs"] == 5 for _, _, body in server.seen)
    server.seen.clear()
    judge_all(server, tmp_path / "without", logprobs=False)
    assert all("logprobs" not in body for _, _, body in server.seen)


def test_a_prompt_that_quotes_a_placeholder_stays_as_it_is(server, tmp_path):
    judge_all(server, tmp_path)
    texts = [body["messages"][-1]["content"] for _, _, body in server.seen]
    assert sum("## Instruction\nSay {second}.\n" in text for text in texts) == 2


# What a judge replies


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (completion("m"), (1.0, "preference")),
        (completion(' "M". \n'), (2.0, "preference")),
        (completion("Tie"), (1.5, "tie")),
        (completion("I'm sorry, but I can't compare these."), (None, "refusal")),
        (completion("I cannot help with that"), (None, "refusal")),
        (completion("m", finish_reason="content_filter"), (None, "refusal")),
        (json.dumps({"choices": [{"message": {"content": None, "refusal": "No."}}]}), (None, "refusal")),
        (completion("Both are good"), (None, "unparsable")),
        (completion(""), (None, "unparsable")),
        ('{"choices": [{"message": {"cont', (None, "unparsable")),
        ("<html>busy</html>", (None, "unparsable")),
        ('{"choices": []}', (None, "unparsable")),
        ("[]", (None, "unparsable")),
        ('{"choices": [{"message": {"content": 3}}]}', (None, "unparsable")),
    ],
)
def test_replies_are_read(body, expected):
    assert read_verdict(Reply(200, body)) == expected


def test_bad_logprobs_leave_the_name():
    for logprobs in ({}, {"content": []}, {"content": [{"top_logprobs": [{"token": "m"}]}]}, None):
        assert read_verdict(Reply(200, completion("m", logprobs=logprobs))) == (1.0, "preference")
    strange = {"content": [{"top_logprobs": [{"token": "m", "logprob": 3.0}]}]}
    assert read_verdict(Reply(200, completion("m", logprobs=strange))) == (1.0, "preference")


def test_refusals_and_malformed_replies_are_counted_and_not_guessed(server, tmp_path):
    def play(body):
        first, second = answers_in(body)
        if first == second:
            return 200, '{"choices": [{"mess'
        return (200, completion("I'm sorry, no.")) if first == "good" else prefer_good(body)

    server.play = play
    verdicts = judge_all(server, tmp_path)
    assert verdicts["preference"].to_list() == [None, None, None]
    counts = count_outcomes(verdicts)
    assert (counts["unjudged_pairs"], counts["refusal"], counts["unparsable"]) == (3, 2, 2)
    # Raw replies are kept: another run asks for nothing.
    asked = len(server.seen)
    judge_all(server, tmp_path)
    assert len(server.seen) == asked


def test_a_request_that_the_server_rejects_is_counted(server, tmp_path):
    server.play = first_time(server, 400, '{"error": "too long"}')
    assert count_outcomes(judge_all(server, tmp_path, concurrency=1))["rejected"] == 1


# Patience


@pytest.mark.parametrize("wait", ["0", "0.05", "Thu, 01 Jan 2026 00:00:00 GMT", "soon"])
def test_too_many_requests_waits_as_asked_and_costs_no_attempt(server, tmp_path, wait):
    server.play = first_time(server, 429, "slow down", {"Retry-After": wait})
    endpoint = Endpoint(server.url, max_attempts=1)
    verdicts = judge_pairs(PAIRS, endpoint, JudgeSettings("j", concurrency=1), folder=tmp_path)
    assert verdicts["preference"].to_list() == [2.0, 1.0, 1.5]
    assert len(server.seen) == 6


def test_a_server_that_asks_for_too_long_a_wait_is_given_up(server, tmp_path):
    server.play = lambda body: (429, "come back tomorrow", {"Retry-After": "86400"})
    with pytest.raises(ProviderError, match="86400 s"):
        judge_all(server, tmp_path)


def test_a_failing_server_is_tried_again_and_then_given_up(server, tmp_path):
    server.play = first_time(server, 503, "starting")
    assert judge_all(server, tmp_path / "once")["preference"].null_count() == 0
    server.play = lambda body: (500, "broken")
    with pytest.raises(ProviderError, match=r"status 500.*after 5 attempts"):
        judge_all(server, tmp_path / "always")


def test_a_wrong_key_stops_at_once_and_is_shown_nowhere(server, tmp_path):
    server.play = lambda body: (401, f"the key {KEY} is wrong")
    with pytest.raises(ProviderError, match="401") as caught:
        judge_all(server, tmp_path, concurrency=1)
    assert KEY not in str(caught.value)
    assert len(server.seen) <= 2
    server.play = lambda body: (200, completion(f"m {KEY}"))
    judge_all(server, tmp_path)
    assert KEY not in (tmp_path / REPLIES_NAME).read_text()


def test_redirects_are_not_followed_with_the_key(server, tmp_path):
    server.play = lambda body: (307, "", {"Location": "http://127.0.0.1:9/elsewhere"})
    with pytest.raises(ProviderError, match="307"):
        judge_all(server, tmp_path)


def test_without_a_key_none_is_sent(server, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    judge_all(server, tmp_path)
    assert {key for _, key, _ in server.seen} == {None}


def test_a_key_that_no_header_can_carry_is_not_printed(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-\nsecret")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as caught:
        judge_all(server, tmp_path)
    assert "secret" not in str(caught.value)


def test_nothing_listens(tmp_path, server):
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(ProviderError, match="does not answer"):
        judge_pairs(PAIRS, Endpoint(url, max_attempts=2), JudgeSettings("j"), folder=tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000/v1",
        "ftp://host/v1",
        "file:///etc",
        "https://me:pw@host/v1",
        "https://h?k=pw",
        "https://h#pw",
    ],
)
def test_urls_that_are_none_are_refused(url):
    with pytest.raises(ConfigError, match="base URL") as caught:
        Endpoint(url)
    assert "pw" not in str(caught.value)


# Nothing paid is lost


def test_an_interrupted_run_asks_only_what_is_missing(server, tmp_path):
    replies = []

    def play(body):
        with server.lock:
            replies.append(1)
            enough = len(replies) > 3
        return (403, "no credit") if enough else prefer_good(body)

    server.play = play
    with pytest.raises(ProviderError, match="403"):
        judge_all(server, tmp_path, concurrency=1)
    with (tmp_path / REPLIES_NAME).open("ab") as log:
        log.write(b'{"key": "cut sh')
    server.play = prefer_good
    server.seen.clear()
    assert judge_all(server, tmp_path)["preference"].to_list() == [2.0, 1.0, 1.5]
    assert len(server.seen) == 2
    server.seen.clear()
    judge_all(server, tmp_path)
    assert server.seen == []


def test_pairs_without_a_column_or_an_answer_are_refused(server, tmp_path):
    for pairs, text in (
        (PAIRS.drop("answer"), "lack answer"),
        (PAIRS.with_columns(answer=pl.Series([None, "a", "b"])), "1 pairs have no answer"),
    ):
        with pytest.raises(SchemaError, match=text):
            judge_pairs(pairs, Endpoint(server.url), JudgeSettings("j"), folder=tmp_path)
    assert judge_pairs(PAIRS.clear(), Endpoint(server.url), JudgeSettings("j"), folder=tmp_path).height == 0


# The suite


def test_the_suite_gives_win_rates_by_task_macro_and_micro(server, tmp_path):
    pool = pl.DataFrame(
        {
            "id": list("abcd"),
            "task": ["t", "t", "t", "u"],
            "prompt": list("pqrs"),
            "response": ["bad", "bad", "good", "same"],
        }
    )
    answers = pl.DataFrame({"id": list("abcd"), "generation": ["good", "good", "bad", "same"]})
    found = evaluate(
        pool,
        scores=answers,
        suites=["winrate"],
        judge=JudgeSettings("j"),
        endpoint=Endpoint(server.url),
        out=tmp_path / "out",
    )["winrate"]
    assert found.figures["win"]["macro"]["mean"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found.figures["win"]["micro"]["mean"] == pytest.approx(2.5 / 4)
    row = found.win_rates.row(0, named=True)
    assert (row["n_wins"], row["n_wins_base"], row["n_draws"]) == (2, 1, 1)
    assert found.replies["pairs"] == 4
    manifest = (tmp_path / "out" / "manifest.json").read_text()
    assert KEY not in manifest


def test_the_verb_asks_a_judge_and_prints_what_it_said(server, tmp_path):
    pool = PAIRS.select(
        pl.col("prompt_id").alias("id"), "prompt", pl.col("baseline_answer").alias("response")
    )
    pool.write_parquet(tmp_path / "pool.parquet")
    answers = PAIRS.select(pl.col("prompt_id").alias("id"), pl.col("answer").alias("generation"))
    answers.write_parquet(tmp_path / "answers.parquet")
    arguments = ["evaluate", tmp_path / "pool.parquet", "--scores", tmp_path / "answers.parquet"]
    arguments += ["--suite", "winrate", "--judge-url", server.url, "--out", tmp_path / "out"]
    command = [sys.executable, "-m", "tasksel", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(
        [*command, "--judge-model", "j"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "win: macro 0.5000" in done.stdout
    assert "controlled" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert KEY not in done.stdout
    half = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert half.returncode == 2
    assert "belong together" in half.stderr


def test_a_judge_that_says_nothing_usable_gives_no_figure(server, tmp_path):
    pool = pl.DataFrame({"id": list("abcd"), "prompt": list("pqrs"), "response": ["bad"] * 4})
    answers = pl.DataFrame({"id": list("abcd"), "generation": ["good"] * 4})
    server.play = lambda body: (200, completion("hm"))
    with pytest.raises(ProviderError, match="None of 4 pairs"):
        evaluate(
            pool,
            scores=answers,
            suites=["winrate"],
            judge=JudgeSettings("j"),
            endpoint=Endpoint(server.url),
            out=tmp_path / "out",
        )
