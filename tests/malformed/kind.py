"""What a kind of malformed input is, and the commands that meet it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .world import World

    Make = Callable[[Path, World], Path]
    Check = Callable[["Meeting"], None]


@dataclass(frozen=True)
class Place:
    """A command line with a place for what is malformed.

    Parameters
    ----------
    verb : str
        As it is called, without ``tasksel``.
    words : str
        The rest of the line. ``{bad}`` is the malformed thing, ``{out}`` a place in an empty folder,
        ``{world}`` the folder of what is in order, ``{here}`` that of the malformed thing and of `files`. A
        space inside a word is written as ``\\x20``.
    files : dict of str to str
        Files beside it, by name; their text has the same places.
    """

    verb: str
    words: str
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Meeting:
    """A verb that has met a kind.

    Parameters
    ----------
    place : Place
        Where it met it.
    code : int
        The exit code.
    stdout, stderr : str
        What was printed.
    bad : Path
        The malformed thing.
    here : Path
        The folder that it was made in.
    out : Path
        Where the output goes.
    """

    place: Place
    code: int
    stdout: str
    stderr: str
    bad: Path
    here: Path
    out: Path


@dataclass(frozen=True)
class Kind:
    """A kind of malformed input.

    Parameters
    ----------
    name : str
        Unique; the id of its test.
    what : str
        For the table: what the file or folder is.
    make : callable
        Makes it in an empty folder; returns its path.
    places : tuple of Place
        All commands that must meet it well; the sentence of the first stands in the table.
    refused : str, optional
        Pattern of the sentence with which every place refuses it; None where it is read all the same.
    check : callable, optional
        Of a kind that is read: whether it was read right.
    memory_mb : int, optional
        It runs in a process of its own that gets no more address space than this.
    needs : str, optional
        Package that it is made with.
    may_override : bool
        Whether root may read and write it all the same; else root gives up that right for it.
    """

    name: str
    what: str
    make: Make
    places: tuple[Place, ...]
    refused: str | None = None
    check: Check | None = None
    memory_mb: int | None = None
    needs: str | None = None
    may_override: bool = True
