"""Every kind of malformed input at every verb that meets it: one sentence, exit code 2, nothing touched."""

from __future__ import annotations

import os
import shutil

import pytest

import malformed_page
from malformed import FAMILIES, KINDS, UNMET_VERBS, complaints, make_world, verbs
from malformed.meeting import TREE
from malformed.trial import try_kind

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes, links and permissions are POSIX")

LEAST_KINDS = 60
"""The issue asks for so many."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    pytest.importorskip("jsonschema", reason="the extra synth is not installed")
    pytest.importorskip("altair", reason="the extra plots is not installed")
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def one_tree(monkeypatch):
    """Build the tree of verbs once; a runner does it for every call."""
    monkeypatch.setattr("typer.testing._get_command", lambda _: TREE)


def cells():
    return [pytest.param(kind, id=kind.name, marks=pytest.mark.timeout(120)) for kind in KINDS]


@pytest.mark.parametrize("kind", cells())
def test_it_is_refused_in_a_sentence_or_read_right_and_no_input_is_touched(kind, world, tmp_path):
    if kind.needs is not None:
        pytest.importorskip(kind.needs)
    wrong, first = [], None
    for number, place in enumerate(kind.places):
        folder = tmp_path / str(number)
        trial = try_kind(kind, place, world, folder)
        first = first or trial.meeting
        if kind.refused is not None:
            found = complaints(kind, trial.meeting)
            found += [f"left or changed {', '.join(trial.changed)}"] * bool(trial.changed)
        else:
            found = (
                [] if trial.meeting.code == 0 else [f"exit code {trial.meeting.code}: {trial.meeting.stderr}"]
            )
            strange = [each for each in trial.changed if not each.startswith("cwd/out")]
            found += [f"left or changed {', '.join(strange)}"] * bool(strange)
            if not found:
                kind.check(trial.meeting)
        wrong += [f"{place.verb} {place.words}: {each}" for each in found]
        shutil.rmtree(folder)
    assert not wrong, "\n".join(wrong)
    assert malformed_page.row(kind, first) in malformed_page.PAGE.read_text(encoding="utf-8"), (
        "run `python scripts/malformed_page.py`"
    )


def test_kinds_have_names_of_their_own_and_there_are_enough_of_them():
    names = [kind.name for kind in KINDS]
    assert len(names) == len(set(names))
    assert len(names) >= LEAST_KINDS
    assert all((kind.refused is None) == (kind.check is not None) for kind in KINDS)


def test_every_verb_meets_some_kinds():
    met = {place.verb for kind in KINDS for place in kind.places}
    assert met | UNMET_VERBS == set(verbs())


def test_the_page_has_just_these_kinds():
    page = malformed_page.PAGE.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and "|---" not in line]
    headings = [line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")]
    assert headings == list(FAMILIES)
    assert len(rows) - len(FAMILIES) == len(KINDS)  # each table has a head
    assert malformed_page.figures() in page
