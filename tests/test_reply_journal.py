from __future__ import annotations

import errno
import json
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasksel.endpoint import Reply
from tasksel.reply_journal import JournalEntry, ReplyJournal, read_journal, request_key
from tasksel.run_folder import text_sha256


def test_replies_come_back_with_what_was_known_of_the_request(tmp_path):
    path = tmp_path / "replies.jsonl"
    with ReplyJournal(path) as journal:
        journal.append("a", Reply(200, "yes\nno\u2028"), purpose="first")
        journal.append_all([JournalEntry("b", Reply(400, ""), {}), JournalEntry("c", Reply(200, "c"), {})])
    entries = read_journal(path)
    assert entries["a"] == JournalEntry("a", Reply(200, "yes\nno\u2028"), {"purpose": "first"})
    assert list(entries) == ["a", "b", "c"]
    assert read_journal(tmp_path / "none") == {}


@settings(max_examples=20)  # each reply is flushed to the disk
@given(bodies=st.lists(st.text(st.characters(codec=None)), max_size=4))
def test_any_text_survives(tmp_path_factory, bodies):
    path = tmp_path_factory.mktemp("journal") / "replies.jsonl"
    with ReplyJournal(path) as journal:
        for number, body in enumerate(bodies):
            journal.append(str(number), Reply(200, body))
    assert [entry.reply.body for entry in read_journal(path).values()] == bodies


def test_wherever_a_kill_cuts_all_lines_before_are_there(tmp_path):
    path = tmp_path / "replies.jsonl"
    with ReplyJournal(path) as journal:
        for key in "ab":
            journal.append(key, Reply(200, "ä" * 5))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with ReplyJournal(path) as journal:
            journal.append("z", Reply(200, "new"))
        # A line that lacks its end alone is whole.
        expected = [key for key, end in (("a", first), ("b", len(whole))) if size >= end - 1]
        assert list(read_journal(path)) == [*expected, "z"], size


def test_the_first_answer_counts_and_an_answer_goes_before_a_problem(tmp_path):
    with ReplyJournal(tmp_path / "replies.jsonl") as journal:
        for status, body in ((500, "busy"), (200, "one"), (200, "two"), (500, "busy")):
            journal.append("k", Reply(status, body))
        assert journal.entries["k"].reply == Reply(200, "one")
    assert read_journal(tmp_path / "replies.jsonl")["k"].reply == Reply(200, "one")


def test_lines_that_are_no_entries_are_left_out(tmp_path):
    path = tmp_path / "replies.jsonl"
    lines = ["", "null", "[]", "{}", '{"key": 1, "status": "x", "body": ""}', "\x00", "[" * 10_000]
    lines.append('{"key": "k", "status": 200, "body": "good"}')
    path.write_text("\n".join(lines))
    assert list(read_journal(path)) == ["k"]


def test_many_threads_write_whole_lines(tmp_path):
    path = tmp_path / "replies.jsonl"
    with ReplyJournal(path) as journal:
        threads = [
            threading.Thread(
                target=lambda n=n: [journal.append(f"{n}-{i}", Reply(200, "x" * 500)) for i in range(10)]
            )
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(read_journal(path)) == 40
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full disk here")  # noqa: PTH110
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "replies.jsonl"
    path.symlink_to("/dev/full")
    journal = ReplyJournal(path)
    journal._file = path.open("ab", buffering=0)
    with pytest.raises(OSError, match="space") as caught:
        journal.append("k", Reply(200, ""))
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert journal.entries == {}
    journal.__exit__(None, None, None)


def test_half_a_line_that_a_full_disk_left_does_not_spoil_the_next(tmp_path, monkeypatch):
    path = tmp_path / "replies.jsonl"
    write = os.fsync
    with ReplyJournal(path) as journal:
        monkeypatch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError, match="full"):
            journal.append("lost", Reply(200, ""))
        monkeypatch.setattr(os, "fsync", write)
        journal.append("k", Reply(200, ""))
    assert "k" in read_journal(path)


def test_a_closed_journal_takes_nothing(tmp_path):
    with ReplyJournal(tmp_path / "replies.jsonl") as journal:
        pass
    with pytest.raises(ValueError, match="closed"):
        journal.append("k", Reply(200, ""))


def test_keys_depend_on_the_body_alone():
    body = {"model": "m", "messages": [{"role": "user", "content": "ä"}]}
    assert request_key(body) == request_key(dict(reversed(body.items())))
    assert len({request_key(body, attempt=n) for n in range(3)}) == 3
    # The key of the judge's replies that exist on users' disks.
    assert request_key({"a": 1}) == text_sha256('{"a": 1}')
