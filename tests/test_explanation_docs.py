"""The page of failure signatures: its pools are made, its commands run, and print what it says."""

import re
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import tasksel
from tasksel.cli import app
from tasksel.explanation import SIGNATURE_NAMES

PAGE = Path(__file__).parents[1] / "docs" / "failure_signatures.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|sh|text)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Run the page from top to bottom; give each text block with what the command above it printed."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        output = ""
        for kind, content in BLOCKS:
            if kind == "python":
                exec(content, {})
            elif kind == "sh":
                for line in filter(lambda line: line.startswith("tasksel "), content.splitlines()):
                    done = CliRunner().invoke(app, line.split()[1:], env={"COLUMNS": "80"})
                    assert done.exit_code == 0, f"{line}\n{done.output}"
                    output = done.stdout
            else:
                found.append((content, output))
    return found


def test_every_block_of_output_is_what_the_command_prints(printed):
    assert len(printed) == len(SIGNATURE_NAMES) + 3
    for content, output in printed:
        shown = "\n".join(line.rstrip() for line in output.splitlines())
        assert content.rstrip() in shown


def test_each_signature_has_a_section_and_is_raised_in_it(printed):
    for name in SIGNATURE_NAMES:
        assert f"\n## {name}\n" in TEXT
        assert any(content.startswith(f"{name}: raised") for content, _ in printed)


def test_the_thresholds_of_the_page_are_those_of_the_code():
    pool = pl.DataFrame({"task": ["a", "b"], "prompt": ["one", "two"]})
    signatures = tasksel.explain(tasksel.select(pool, budget=1), pool=pool).signatures
    for each in signatures:
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| [{each.name}]"))
        assert f"{each.threshold:.2f}" in row
