"""Annotators of each tool, as its files show them: what was exported goes in, what comes back goes out."""

from __future__ import annotations

import json

import polars as pl

from tasksel.annotation.spreadsheets import read_table, write_table
from tasksel.csv_cells import defused

FORMATS = ("label-studio", "argilla", "jsonl", "csv", "hf")


def answer_all(folder, to, answers, *, annotator=None):
    """Fill an export in with answers by id, None for an untouched prompt; return the file that goes back."""
    return _TOOLS[to](folder, answers, annotator)


def entered(text, name="response"):
    return {"from_name": name, "to_name": "prompt", "type": "textarea", "value": {"text": [text]}}


def chosen(choice, name="verdict"):
    return {"from_name": name, "to_name": "prompt", "type": "choices", "value": {"choices": [choice]}}


def _label_studio(folder, answers, annotator):
    tasks = json.loads((folder / "tasks.json").read_text("ascii"))
    number = 0
    for position, task in enumerate(tasks, start=1):
        text = answers.get(task["data"]["id"])
        number += text is not None
        given = {"id": number, "completed_by": annotator or 1, "was_cancelled": False}
        task["annotations"] = [] if text is None else [{**given, "result": [entered(text)]}]
        task["id"] = position
    back = folder / "project-1.json"
    back.write_text(json.dumps(tasks), "utf-8")
    return back


def _argilla(folder, answers, annotator):
    """Give what `dataset.records.to_list(flatten=True)` gives."""
    rows = []
    for record in json.loads((folder / "records.json").read_text("ascii")):
        text = answers.get(record["id"])
        row = {"id": record["id"], "status": "pending", "_server_id": None}
        row |= {**record["fields"], **record["metadata"]}
        row |= {"response.responses": [], "response.responses.users": [], "response.responses.status": []}
        if text is not None:
            row |= {"status": "completed", "response.responses": [text]}
            row |= {
                "response.responses.users": [annotator or "u1"],
                "response.responses.status": ["submitted"],
            }
        rows.append(row)
    back = folder / "back.json"
    back.write_text(json.dumps(rows), "utf-8")
    return back


def _jsonl(folder, answers, annotator):
    lines = (folder / "answers.jsonl").read_bytes().decode().removesuffix("\n").split("\n")
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row |= {"response": answers.get(row["id"]), "annotator": annotator}
    back = folder / "back.jsonl"
    back.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8", newline="\n")
    return back


def _csv(folder, answers, annotator):
    """Give what a spreadsheet saves that takes cells for what they are: texts, our apostrophes among them."""
    table = read_table(folder / "answers.csv", text_columns=())
    filled = table.with_columns(
        response=pl.Series([answers.get(each) for each in table["id"]], dtype=pl.String),
        annotator=pl.lit(annotator, dtype=pl.String),
    )
    back = folder / "back.csv"
    write_table(back, filled)
    return back


def _hf(folder, answers, annotator):
    frame = pl.read_parquet(folder / "data" / "*.parquet")
    back = folder / "back.parquet"
    filled = pl.Series([answers.get(each) for each in frame["id"]], dtype=pl.String)
    frame.with_columns(response=filled, annotator=pl.lit(annotator, dtype=pl.String)).write_parquet(back)
    return back


_TOOLS = {"label-studio": _label_studio, "argilla": _argilla, "jsonl": _jsonl, "csv": _csv, "hf": _hf}
__all__ = ["FORMATS", "answer_all", "chosen", "defused", "entered"]
