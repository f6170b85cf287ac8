"""Texts of strangers stay texts: in a terminal, in JSON, in tables for spreadsheets, in XML and in HTML."""

from __future__ import annotations

import csv
import json
import unicodedata
import xml.etree.ElementTree as ET

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import tasksel
from hostile_texts import HOSTILE
from key_echo import KeyEcho
from tasksel.annotation.label_studio_config import labelling_config
from tasksel.charts import save_chart
from tasksel.cli import app
from tasksel.cli_output import print_json
from tasksel.csv_cells import defused, defused_texts, undefused, undefused_texts
from tasksel.evaluation_results import SuiteResult, write_suite
from tasksel.selection_files import read_selection

ESCAPES = [
    "\x1b[31mred\x1b[0m", "\x1b]0;owned\x07title", "\x1b]8;;http://x\x07link\x1b]8;;\x07", "\x9b31mC1",
    "a\rb", "\x08\x08\x08back", "\x7fdel", "a\u202etxt.exe", "a\u2066b\u2069", "zero\u200bwidth", "\ufeffbom",
    "line\u2028line", "\x00nul", "\U000e0041tag", "\u0085next", "a\u061cb",
]  # fmt: skip
MARKUP = [
    "[bold red]x[/bold red]",
    "[link=http://x]y[/link]",
    "[/]",
    "[blink",
    ":boom:",
    "[@click=app.bell]z[/]",
]
FORMULAS = [
    "=1+1",
    "+1",
    "-1+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1",
    "'=1",
    "''=1",
    '"=1',
    '=HYPERLINK("http://x")',
]
NAMES = [*ESCAPES, *MARKUP, *FORMULAS]


def steering(text):
    """Give what of a printed text a terminal might obey, or hide."""
    return sorted({ascii(char) for char in text if char != "\n" and not char.isprintable()})


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Give a folder with a pool in which every name and text is hostile, its scores and its embeddings."""
    folder = tmp_path_factory.mktemp("hostile")
    n = 2 * len(NAMES)
    rows = range(n)
    pool = pl.DataFrame(
        {
            "id": [f"{NAMES[row % len(NAMES)]}{row}" for row in rows],
            "task": [NAMES[row % len(NAMES)] for row in rows],
            "prompt": [f"{HOSTILE[row % 11]} {NAMES[row % len(NAMES)]} {row}" for row in rows],
            "response": [NAMES[row % len(NAMES)] for row in rows],
            ESCAPES[0]: list(rows),
            ESCAPES[7]: [HOSTILE[row % len(HOSTILE)][:200] for row in rows],
        }
    )
    pool.write_parquet(folder / "pool\x1b[31m.parquet")
    pool.write_parquet(folder / "pool.parquet")
    rng = np.random.default_rng(0)
    scores = pool.select("id", "task").with_columns(
        pl.Series("token_logprobs", [(-rng.random(3)).tolist() for _ in rows], dtype=pl.List(pl.Float32))
    )
    scores.write_parquet(folder / "scores.parquet")
    np.save(folder / "vectors.npy", rng.normal(size=(n, 8)).astype(np.float32))
    tasksel.select(
        folder / "pool.parquet", scores=folder / "scores.parquet", budget=30, out=folder / "chosen"
    )
    tasksel.select(folder / "pool.parquet", budget=30, seed=1, out=folder / "other")
    return folder


def call(folder, monkeypatch, *arguments, columns="100"):
    monkeypatch.chdir(folder)
    done = CliRunner(env={"COLUMNS": columns}).invoke(app, [str(each) for each in arguments])
    return done.exit_code, done.output + done.stderr


VERBS = {
    "select": ("select", "pool.parquet", "--budget", "30"),
    "select scores": (
        "select",
        "pool.parquet",
        "--budget",
        "9",
        "--scores",
        "scores.parquet",
        "--strategy",
        "weighted-task-diversity",
    ),
    "select out": ("select", "pool.parquet", "--budget", "9", "--out", "out\x1b[31m\u202e"),
    "init": ("init", "pool.parquet", "--force", "--out", "job\x1b]0;x\x07.toml"),
    "select named": ("select", "pool\x1b[31m.parquet", "--budget", "9"),
    "explain": ("explain", "chosen", "--pool", "pool.parquet", "--scores", "scores.parquet"),
    "diff": ("diff", "chosen", "other"),
    "contamination": ("contamination", "pool.parquet", "--against", "pool.parquet"),
    "status": ("status", "chosen"),
    "export": ("export", "chosen/selected.parquet", "--out", "exported"),
    "annotate export": ("annotate", "export", "chosen", "--to", "csv", "--out", "asked"),
    "report": ("report", "chosen", "--out", "report.html", "--pool", "pool.parquet"),
    "tasks": ("tasks", "pool.parquet", "--embeddings", "vectors.npy", "--n-tasks", "3"),
    "no file": ("select", "no\x1b[31mpool.parquet", "--budget", "3"),
    "no column": ("select", "pool.parquet", "--budget", "3", "--task-column", "\x1b[31mtask"),
    "no strategy": ("select", "pool.parquet", "--budget", "3", "--strategy", "\x1b]0;x\x07random"),
    "no scores": ("select", "pool.parquet", "--budget", "3", "--scores", "\u202escores.parquet"),
    "no answers": ("annotate", "import", "\x9b31m.csv", "--into", "run"),
}


SLOW = {"init": pytest.mark.integration}
"""Looks at the machine, for which it loads torch."""
FORMS = [
    pytest.param(verb, form, marks=SLOW.get(verb, ()))
    for verb in VERBS
    for form in (("--debug",) if verb.startswith("no ") else ("",) if verb == "report" else ("", "--json"))
]


@pytest.mark.parametrize(("verb", "form"), FORMS)
def test_nothing_that_is_printed_steers_the_terminal(hostile, monkeypatch, verb, form):
    code, printed = call(hostile, monkeypatch, *VERBS[verb], *filter(None, [form]))
    assert code in (0, 2, 3), printed
    assert (code == 2) == verb.startswith("no "), printed
    assert printed
    assert steering(printed) == []


def test_markup_of_rich_is_text(hostile, monkeypatch):
    pool = pl.DataFrame(
        {"task": MARKUP, "prompt": [f"{each} {number}" for number, each in enumerate(MARKUP)]}
    )
    pool.write_parquet(hostile / "markup.parquet")
    _, printed = call(hostile, monkeypatch, "select", "markup.parquet", "--budget", "6", columns="200")
    assert [name for name in MARKUP if name not in printed] == []


def test_json_has_the_texts_as_they_are(hostile, monkeypatch):
    _, printed = call(hostile, monkeypatch, "select", "pool.parquet", "--budget", "9", "--json")
    assert {each["task"] for each in json.loads(printed)["allocation"]} == set(NAMES)


@pytest.mark.parametrize("text", [*NAMES, "\ud800 lone", "日本 é 🦊"], ids=ascii)
def test_printed_json_is_the_same_json(capsys, text):
    print_json({text: [text, {"a": (1.5, None, float("nan"), float("inf"))}]})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {text: [text, {"a": [1.5, None, None, None]}]}
    assert steering(printed) == []
    if text.isprintable():
        assert json.dumps(text, ensure_ascii=False) in printed


@pytest.mark.parametrize("status", [400, 503])
def test_what_a_server_says_does_not_steer_the_terminal(hostile, monkeypatch, status):
    import threading

    server = KeyEcho(lambda _: "".join(ESCAPES))
    server.status = status
    monkeypatch.setattr("key_echo.quoted", lambda _: "".join(ESCAPES))
    for module in ("endpoint", "providers.asking", "request_pacing"):
        monkeypatch.setattr(f"tasksel.{module}._FIRST_PAUSE_S", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        arguments = ("--engine", "openai", "--base-url", server.url, "--model", "m", "--out", f"run{status}")
        code, printed = call(hostile, monkeypatch, "score", "pool.parquet", *arguments, "--debug")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert code == 2, printed
    assert steering(printed) == []


# Spreadsheets


def cells_of(path):
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = (line.replace("\0", "\\0") for line in file)  # Python 3.10 reads no NUL
        return [cell for row in csv.reader(lines) for cell in row]


def is_formula(cell):
    return cell[:1] in {*"=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"} and not is_number(cell)


def is_number(cell):
    try:
        return bool(str(float(cell)))
    except ValueError:
        return False


def test_no_cell_of_a_table_is_a_formula(hostile, monkeypatch):
    tables = [hostile / "chosen" / "allocation.csv"]
    call(hostile, monkeypatch, *VERBS["annotate export"])
    tables.append(hostile / "asked" / "answers.csv")
    figures = pl.DataFrame({"task": FORMULAS, "loss": [-1.0] * len(FORMULAS)})
    write_suite(hostile, SuiteResult("exact", figures, {}, None, ()))
    tables.append(hostile / "exact" / "tasks.csv")
    for path in tables:
        cells = cells_of(path)
        assert len(cells) > len(FORMULAS)
        assert not [cell for cell in cells if is_formula(cell)], path.name


def test_an_allocation_comes_back_as_it_was(hostile):
    saved = read_selection(hostile / "chosen")
    assert set(saved.allocation["task"]) == set(NAMES)


@pytest.mark.parametrize("text", [*NAMES, "", "'", "''", "'a", "-5", "plain", "\uff20x"], ids=ascii)
def test_a_cell_comes_back_as_it_was(text):
    assert undefused(defused(text)) == text
    assert not is_formula(defused(text)) or is_number(text)
    frame = pl.DataFrame({"text": [text, None], "number": [-1, 2]})
    assert defused_texts(frame)["text"].to_list() == [defused(text), None]
    assert undefused_texts(defused_texts(frame)).equals(frame)


# XML and HTML


def test_the_xml_of_a_labelling_interface_holds_choices_as_they_are():
    choices = [text for text in [*HOSTILE[:9], *MARKUP, *FORMULAS] if not any(c in text for c in "\t\r\n")]
    tree = ET.fromstring(labelling_config(choices=choices, has_tasks=True))
    answers = next(each for each in tree.iter("Choices") if each.get("name") == "response")
    assert [each.get("value") for each in answers] == choices
    assert {each.tag for each in tree.iter()} == {"View", "Header", "Text", "Choices", "Choice", "TextArea"}


def test_guidelines_and_cards_are_text(hostile):
    from tasksel.annotation.label_studio_config import shown_guidelines

    selection = tasksel.select(hostile / "pool.parquet", budget=9)
    for html in (shown_guidelines("\n\n".join(HOSTILE)), selection._repr_html_()):
        for tag in ("script", "img", "iframe", "svg", "style"):
            assert f"<{tag}" not in html.lower()
        assert 'onerror="' not in html
    shown = selection._repr_html_()
    hidden = {char for char in shown if unicodedata.category(char) in {"Cc", "Cf"}} - {*"\n\t\u200c\u200d"}
    assert not hidden


def test_a_report_of_hostile_names_has_no_tag_and_no_sign_of_theirs(hostile, monkeypatch):
    if not (hostile / "report.html").exists():
        call(hostile, monkeypatch, *VERBS["report"])
    page = (hostile / "report.html").read_text(encoding="utf-8")
    assert "Content-Security-Policy" in page
    body = page.partition("<body")[2]
    assert body.count("<script") == body.count("</script>") <= 2
    for tag in ("<img", "<iframe", 'javascript:alert(1)"', 'onload="'):
        assert tag not in body
    hidden = {char for char in page if unicodedata.category(char) in {"Cc", "Cf"}} - {*"\n\t\u200c\u200d"}
    assert not hidden


@pytest.mark.parametrize("kind", ["html", "svg"])
def test_a_plot_holds_names_as_text(tmp_path, kind):
    """altair puts its data into a script of the page; a name must not end that script."""
    alt = pytest.importorskip("altair", reason="the extra plots is not installed")

    def scripts(names):
        chart = alt.Chart(pl.DataFrame({"task": names, "labels": [1] * len(names)})).mark_bar()
        place = tmp_path / f"{len(names)}.{kind}"
        save_chart(chart.encode(x="labels:Q", y="task:N").properties(title=names[0]), place)
        text = place.read_text(encoding="utf-8").lower()
        return text.count("<script"), text.count("</script"), text.count("<!--"), text.count("<img")

    assert scripts(HOSTILE[:9]) == scripts(["harmless"])


@pytest.mark.parametrize("changed", [False, True], ids=["as it comes", "changed by the user"])
@pytest.mark.parametrize("together", ["layer", "vconcat"])
def test_a_chart_in_a_notebook_holds_names_as_text(together, changed):
    alt = pytest.importorskip("altair", reason="the extra plots is not installed")
    from tasksel.charts import finish_chart

    def scripts(names):
        frame = pl.DataFrame({"task": names, "labels": [1] * len(names)})
        bars = alt.Chart(frame).mark_bar().encode(x="labels:Q", y="task:N")
        chart = finish_chart(alt, getattr(alt, together)(bars), names[0])
        chart = chart.configure_axis(labelFontSize=20) if changed else chart
        html = chart._repr_mimebundle_()["text/html"]
        assert json.loads(json.dumps(chart.to_dict()))["title"]["text"] == names[0]
        return tuple(html.lower().count(each) for each in ("<script", "</script", "<!--", "<img"))

    assert scripts(HOSTILE[:9]) == scripts(["harmless"])
