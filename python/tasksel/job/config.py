"""What a job is: its file, checked as far as that needs no data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.job.keys import read_section
from tasksel.job.sections import SECTIONS, SHARED_KEYS
from tasksel.strategies import DEFAULT_STRATEGY
from tasksel.toml_file import check_table, load_toml, refuse_unknown_keys
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["ONE_SELECTION", "JobConfig", "SelectionConfig", "load_job", "parse_job"]

ONE_SELECTION: Final = ""
"""Name of the selection where there is only one."""


@dataclass(frozen=True)
class SelectionConfig:
    """One selection of a job.

    Parameters
    ----------
    name : str
        Empty where there is only one.
    settings : dict
        Keys of ``[select]``.
    """

    name: str
    settings: Mapping[str, Any]

    @property
    def strategy(self) -> str:
        """Name of the strategy."""
        return str(self.settings.get("strategy", DEFAULT_STRATEGY))

    def most_prompts(self, available: int) -> int | None:
        """Return how many of the prompts that there are it takes; None where tokens or money decide."""
        return min(int(self.settings["budget"]), available) if "budget" in self.settings else None


@dataclass(frozen=True)
class JobConfig:
    """A job as its TOML file states it; paths are absolute.

    Parameters
    ----------
    name : str
        File name without its ending.
    out : Path
        The run folder.
    sections : mapping of str to mapping
        The keys of each section that the file has, but ``select``.
    selections : tuple of SelectionConfig
        At least one.
    folder : Path
        Where the file stands.
    """

    name: str
    out: Path
    sections: Mapping[str, Mapping[str, Any]]
    selections: tuple[SelectionConfig, ...]
    folder: Path = field(default_factory=Path)

    def __contains__(self, section: str) -> bool:
        """Tell whether the file has a section."""
        return section in self.sections

    def __getitem__(self, section: str) -> Mapping[str, Any]:
        """Return the keys of a section; none where the file has no such section."""
        return self.sections.get(section, {})

    def with_out(self, out: Path) -> JobConfig:
        """Return the same job with another run folder."""
        return replace(self, out=out)


def load_job(path: str | os.PathLike[str]) -> JobConfig:
    """Read a job from its TOML file.

    Parameters
    ----------
    path : path
        ``tasksel init`` writes one with every key in it.

    Returns
    -------
    JobConfig

    Raises
    ------
    ConfigError
        The file cannot be read, is not TOML, or something in it is unknown or not allowed; the message names
        file and key.
    UnknownStrategyError
        There is no strategy or picker of a name.
    """
    return load_toml(path, "job", parse_job)


def parse_job(content: Mapping[str, Any], *, name: str, folder: Path) -> JobConfig:
    """Make a job of the content of its file; errors as in `load_job`.

    Examples
    --------
    >>> job = parse_job({"pool": {"path": "a.jsonl"}, "select": {"budget": 5}}, name="job", folder=Path("/x"))
    >>> job.out.as_posix(), job["pool"]["path"]
    ('/x/job-run', '/x/a.jsonl')
    """
    if "rounds" in content:
        raise ConfigError("There is a section [rounds], which `tasksel rounds` runs.")
    refuse_unknown_keys(content, (*SHARED_KEYS, *SECTIONS), "the file")
    on_top = {key: content[key] for key in SHARED_KEYS if key in content}
    shared = read_section("the top of the file", SHARED_KEYS, on_top, folder)
    for wanted, example in (("pool", 'path = "pool.parquet"'), ("select", "budget = 100")):
        if wanted not in content:
            raise ConfigError(f"There is no section [{wanted}]; with {example} in it, for example.")
    sections = {
        section: _fill_shared(
            section, read_section(f"[{section}]", SECTIONS[section].keys, content[section], folder), shared
        )
        for section in SECTIONS
        if section in content and section != "select"
    }
    if "path" not in sections["pool"]:
        raise ConfigError('[pool] has no path; path = "pool.parquet", for example, is wanted.')
    out = shared.get("out") or str(folder / f"{name}-run")
    selections = _read_selections(content["select"], shared, folder)
    return JobConfig(name=name, out=Path(out), sections=sections, selections=selections, folder=folder)


def _read_selections(given: Any, shared: Mapping[str, Any], folder: Path) -> tuple[SelectionConfig, ...]:
    """Read one table, or a list of tables with names."""
    several = isinstance(given, list)
    where = "[[select]]" if several else "[select]"
    tables = given if several else [given]
    if not tables:
        raise ConfigError("There is no selection; [select] with budget = 100 in it, for example.")
    found = []
    for table in tables:
        check_table(where, table)
        settings = _fill_shared("select", read_section(where, SECTIONS["select"].keys, table, folder), shared)
        name = settings.pop("name", ONE_SELECTION)
        if not several and name:
            raise ConfigError("[select] has a name, and is the only one; write [[select]] for several.")
        found.append(SelectionConfig(name, settings))
    if several:
        _check_names([each.name for each in found])
    return tuple(found)


def _check_names(names: list[str]) -> None:
    for name in names:
        if not name:
            raise ConfigError('A [[select]] has no name; name = "uniform", for example, is wanted.')
        if name.startswith(".") or set(name) & set('/\\:*?"<>|') or not name.isprintable():
            raise ConfigError(
                f"The name {name!r} of a [[select]] cannot be a folder's; letters, digits, spaces, - and . "
                "are wanted."
            )
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ConfigError(f"Two [[select]] have the name {repeated[0]!r}.")


def _fill_shared(section: str, given: dict[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Take from the top of the file what the section does not say itself."""
    for name, key in SECTIONS[section].keys.items():
        if key.shared and name not in given and key.shared in shared:
            given[name] = shared[key.shared]
    return given
