"""What tasksel is built from: licences of every pin, sources of every crate, and advisories read offline."""

from __future__ import annotations

import json
import re
from email.message import EmailMessage
from pathlib import Path

import pytest

import supply_chain
from supply_chain import (
    Package,
    find_affected,
    is_affected,
    is_allowed,
    licences_of,
    read_advisories,
    read_crates,
    read_pins,
)

ROOT = Path(__file__).parents[1]
PINS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
LOCK = (ROOT / "Cargo.lock").read_text(encoding="utf-8")


def test_every_installed_pin_is_under_an_allowed_licence():
    wrong, absent = supply_chain.check_licences(read_pins(PINS))
    assert wrong == []
    assert "polars" not in absent


def test_every_pin_is_of_one_version_and_from_the_index():
    for line in PINS.splitlines():
        assert re.fullmatch(
            r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.+!]*( ; python_version (<|>=) \"3\.\d+\")?", line
        ), line


def test_every_crate_is_from_the_registry_and_has_a_checksum():
    sources = set(re.findall(r'^source = "([^"]+)"$', LOCK, flags=re.MULTILINE))
    assert sources == {"registry+https://github.com/rust-lang/crates.io-index"}
    assert len(read_crates(LOCK)) == LOCK.count("\nchecksum = ")


def test_what_deny_toml_allows_is_allowed_here_too():
    listed = re.search(
        r"^allow = \[(.*?)^\]", (ROOT / "deny.toml").read_text(), flags=re.MULTILINE | re.DOTALL
    )
    allowed = set(re.findall(r'"([^"]+)"', listed[1]))
    assert len(allowed) >= 5
    assert allowed - {"Unicode-3.0"} <= supply_chain.ALLOWED


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR GPL-3.0-only) AND Apache-2.0", True),
        ("(MIT AND GPL-3.0-only) OR (AGPL-3.0-only)", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("", False),
        ("()", False),
        ("(none)", False),
        ("GPL", False),
    ],
)
def test_expressions_of_licences(expression, allowed):
    assert is_allowed(expression) is allowed


@pytest.mark.parametrize(
    ("headers", "licence"),
    [
        ([("License-Expression", "MIT AND ISC"), ("License", "GPL")], "MIT AND ISC"),
        ([("License", "Apache 2.0 License")], "Apache-2.0"),
        ([("License", "3-Clause BSD License")], "BSD-3-Clause"),
        (
            [("License", "Copyright of somebody"), ("Classifier", "License :: OSI Approved :: BSD License")],
            "BSD",
        ),
        ([("License", "GPL v3"), ("Classifier", "Programming Language :: Python")], "GPL v3"),
        ([], "(none)"),
    ],
)
def test_licences_as_packages_state_them(headers, licence):
    metadata = EmailMessage()
    for name, value in headers:
        metadata[name] = value
    assert licences_of(metadata) == licence


RANGE = {
    "ranges": [
        {
            "type": "ECOSYSTEM",
            "events": [
                {"introduced": "1.0"},
                {"fixed": "1.5"},
                {"introduced": "2.0"},
                {"last_affected": "2.3"},
            ],
        }
    ]
}


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ("0.9", False),
        ("1.0", True),
        ("1.4.9", True),
        ("1.5", False),
        ("1.10", False),
        ("2.3", True),
        ("2.3.1", False),
    ],
)
def test_ranges_of_versions(version, affected):
    assert is_affected(version, RANGE) is affected


def test_a_database_is_read_and_its_names_are_compared_as_the_ecosystems_do(tmp_path, monkeypatch, capsys):
    def write(name, **content):
        (tmp_path / "some" / "folder").mkdir(parents=True, exist_ok=True)
        (tmp_path / "some" / "folder" / f"{name}.json").write_text(json.dumps({"id": name, **content}))

    everything = [{"type": "SEMVER", "events": [{"introduced": "0"}]}]
    write("A-1", affected=[{"package": {"ecosystem": "PyPI", "name": "My_Package"}, "versions": ["1.0"]}])
    write("A-2", affected=[{"package": {"ecosystem": "crates.io", "name": "a_crate"}, "ranges": everything}])
    write("A-3", affected=[{"package": {"ecosystem": "npm", "name": "my-package"}, "ranges": everything}])
    write(
        "A-4",
        withdrawn="2026",
        affected=[{"package": {"ecosystem": "PyPI", "name": "my-package"}, "ranges": everything}],
    )
    packages = [Package("PyPI", "my-package", "1.0"), Package("crates.io", "a_crate", "0.1.0-rc.1.x")]
    assert [line.split()[2] for line in find_affected(packages, read_advisories(tmp_path))] == ["A-2", "A-1"]
    write(
        "A-5",
        summary="numpy is bad",
        affected=[{"package": {"ecosystem": "PyPI", "name": "numpy"}, "ranges": everything}],
    )
    monkeypatch.setenv(supply_chain.DATABASE_VARIABLE, str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert supply_chain.main() == 1
    said = capsys.readouterr().out
    assert "A-5 numpy is bad" in said
    assert "not looked at: licences and sources of crates" in said


def test_without_a_database_that_is_said(monkeypatch):
    monkeypatch.delenv(supply_chain.DATABASE_VARIABLE, raising=False)
    wrong, unseen = supply_chain.check_advisories([])
    assert (wrong, len(unseen)) == ([], 1)
