"""The page of untested lines and living mutants: what has no reason is said, and ends with exit code 1."""

import json

import pytest

import coverage_page
import mutate_rust
import mutation_page

PYTHON = '''"""Docstring."""
X = 1
class A:
    def f(
        self,
    ) -> int:
        return 1
async def g():
    def h():
        return 2
    return h
'''
RUST = """use std;
impl<'a> A<'a> {
    pub(crate) fn f<S>(&self) -> i32 {
        1
    }
}
const fn g() {}
#[cfg(test)]
mod tests {
    fn h() {}
}
"""


def test_every_line_has_its_function(tmp_path):
    (tmp_path / "a.py").write_text(PYTHON)
    names = coverage_page.functions_of(tmp_path / "a.py")
    assert names[:3] == ["(module)", "(module)", "A"]
    assert names[3:7] == ["A.f"] * 4
    assert names[7:] == ["g", "g.h", "g.h", "g"]
    (tmp_path / "a.rs").write_text(RUST)
    names = coverage_page.functions_of(tmp_path / "a.rs")
    assert names[2:4] == ["f", "f"]
    assert names[6] == "g"
    assert coverage_page.first_test_line(tmp_path / "a.rs") == 8


def test_more_untested_lines_than_the_reason_is_of_are_said():
    summary = {"python/tasksel/a.py": {"lines": 9, "run": 5, "untested": {"f": 2, "g": 1, "h": 1}}}
    reasons = {"python/tasksel/a.py": {"f": (1, "Windows."), "g": (1, "Windows.")}}
    found = list(coverage_page.unexplained(summary, reasons))
    assert found == [("python/tasksel/a.py", "f", 2), ("python/tasksel/a.py", "h", 1)]
    listed = list(coverage_page.listed(summary, reasons))
    assert listed[0].startswith("- Windows. 1 line in ")
    assert listed[1] == "- Without a test or a reason yet: 3 lines in 2 functions."
    assert "| **Python** | 9 | 5 | 4 | 55.6 % |" in list(coverage_page.table(summary))


def test_the_committed_page_is_that_of_the_committed_figures(tmp_path, monkeypatch):
    for name in ("untested_lines.md", "coverage.json", "untested.toml", "mutation.json", "survivors.toml"):
        (tmp_path / name).write_bytes((coverage_page.TRUST / name).read_bytes())
    page = (tmp_path / "untested_lines.md").read_text(encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["page", "--from-summary"])
    for module, name in ((coverage_page, "coverage.json"), (mutation_page, "mutation.json")):
        monkeypatch.setattr(module, "TRUST", tmp_path)
        monkeypatch.setattr(module, "SUMMARY", tmp_path / name)
        with pytest.raises(SystemExit):
            module.main()
    assert (tmp_path / "untested_lines.md").read_text(encoding="utf-8") == page


def test_a_survivor_needs_a_reason_for_each_place_and_a_reason_a_survivor():
    names = ["replace < with <= in f", "replace < with <= in f", "replace f with 0"]
    mutants = [mutation_page.Mutant("a.rs", name, "survived") for name in names]
    mutants.append(mutation_page.Mutant("a.rs", "replace f with 1", "killed"))
    summary = mutation_page.summary_of(mutants)
    why = {"file": "a.rs", "why": "Equal.", "mutants": [names[0], "replace f with 1"]}
    said = list(
        mutation_page.unexplained(summary, [why, {"file": "a.rs", "why": "Words.", "pattern": ".*with 0"}])
    )
    assert said == [
        "lives without a reason (1 of 2 explained): a.rs: replace < with <= in f",
        "is explained, and does not live: a.rs: replace f with 1",
    ]
    table = list(mutation_page.table(summary, [why]))
    assert table[2] == "| `a.rs` | 4 | 1 | 0 | 0 | 3 | 0 |"
    assert table[-1] == "- `a.rs`, 2: Equal. `replace < with <= in f` (2 times)."


def test_mutants_of_python_are_named_by_what_changed(tmp_path):
    (tmp_path / "a.py").write_text(
        "def x__f__mutmut_orig(a):\n    return a < 1\n\n\ndef x__f__mutmut_1(a):\n    return a <= 1\n"
    )
    (tmp_path / "a.py.meta").write_text(json.dumps({"exit_code_by_key": {"m.a.x__f__mutmut_1": 0}}))
    found = list(mutation_page.python_mutants(tmp_path))
    assert found == [mutation_page.Mutant("python/a.py", "_f: return a < 1 → return a <= 1", "survived")]
    assert mutation_page.readable("xǁGroupsǁrows_of__mutmut_12") == "Groups.rows_of"


def test_mutants_of_rust_become_bodies_of_one_function(tmp_path, monkeypatch):
    source = "pub const fn f(n: [i64; 2]) -> bool {\n    n[0] < 1\n}\nfn g() {}\n"
    for folder in ("kept", "tree"):
        (tmp_path / folder / "rust" / "core" / "src").mkdir(parents=True)
    (tmp_path / "kept" / "rust" / "core" / "src" / "a.rs").write_text(source)
    monkeypatch.setattr(mutate_rust, "ROOT", tmp_path / "kept")
    span = {"start": {"line": 2, "column": 10}, "end": {"line": 2, "column": 11}}
    whole = {"span": {"start": {"line": 1, "column": 1}, "end": {"line": 3, "column": 2}}}
    mutant = {"name": "a", "file": "rust/core/src/a.rs", "function": whole, "span": span, "replacement": "<="}
    outcomes = mutate_rust.Outcomes.__new__(mutate_rust.Outcomes)
    outcomes.verdicts = {}
    path = tmp_path / "tree" / "rust" / "core" / "src" / "a.rs"
    owners = mutate_rust.write_mutants(path, [mutant], [0], outcomes)
    assert path.read_text().splitlines() == [
        "pub fn f(n: [i64; 2]) -> bool { match crate::mutant() {",
        "0 => {",
        "    n[0] <= 1",
        "}",
        "_ => {",
        "    n[0] < 1",
        "}",
        "} }",
        "fn g() {}",
    ]
    assert set(owners) >= {2, 3, 4}
