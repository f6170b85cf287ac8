"""The tables of ``docs/trust/kills.md`` are those of the figures beside it."""

from __future__ import annotations

import json

import pytest

import chaos_page
import flush_cost
import long_run
from marked_tables import read_between_marks


@pytest.mark.parametrize("script", [chaos_page, flush_cost, long_run], ids=lambda script: script.__name__)
def test_the_table_is_that_of_the_figures(script):
    figures = json.loads(script.RESULT.read_text(encoding="utf-8"))
    rows = {chaos_page: "verbs", flush_cost: "rows"}.get(script)
    table = script.render_table(figures[rows] if rows else figures)
    assert read_between_marks(script.PAGE, script.MARK) == table


def test_all_kills_are_equal_and_memory_is_flat():
    kills = json.loads(chaos_page.RESULT.read_text(encoding="utf-8"))["verbs"]
    assert [each["verb"] for each in kills] == list(chaos_page.VERBS)
    assert sum(each["kills"] for each in kills) == 200
    assert all(each["all_equal"] for each in kills)
    run = json.loads(long_run.RESULT.read_text(encoding="utf-8"))
    assert run["is_flat"]
    assert run["is_constant"]
