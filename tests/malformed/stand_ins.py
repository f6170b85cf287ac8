"""What stands in the place of a file: a folder, a pipe, a link that leads nowhere or to itself."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .kind import Kind
from .places import ANSWERS, EVERY_POOL, SCORES, VECTORS
from .pools_text import holding

if TYPE_CHECKING:
    from .kind import Make
    from .world import World

__all__ = ["KINDS"]


def _missing(folder: Path, world: World) -> Path:
    return folder / "p.jsonl"


def _folder(folder: Path, world: World) -> Path:
    path = folder / "p.jsonl"
    path.mkdir()
    return path


def _pipe(folder: Path, world: World) -> Path:
    path = folder / "p.jsonl"
    os.mkfifo(path)
    return path


def _socket(folder: Path, world: World) -> Path:
    path = folder / "p.jsonl"
    with socket.socket(socket.AF_UNIX) as bound:
        before = Path.cwd()  # the path of a socket may be 107 bytes long
        os.chdir(folder)
        try:
            bound.bind(path.name)
        finally:
            os.chdir(before)
    return path


def _loop(folder: Path, world: World) -> Path:
    (folder / "p.jsonl").symlink_to(folder / "q.jsonl")
    (folder / "q.jsonl").symlink_to(folder / "p.jsonl")
    return folder / "p.jsonl"


def _dangling(folder: Path, world: World) -> Path:
    (folder / "p.jsonl").symlink_to(folder / "nothing.jsonl")
    return folder / "p.jsonl"


def _device(folder: Path, world: World) -> Path:
    (folder / "p.jsonl").symlink_to("/dev/zero")
    return folder / "p.jsonl"


def _long(folder: Path, world: World) -> Path:
    return folder / ("x" * 300 + ".jsonl")


def _below_file(folder: Path, world: World) -> Path:
    (folder / "file").write_text("x")
    return folder / "file" / "p.jsonl"


def _unreadable(folder: Path, world: World) -> Path:
    path = folder / "p.jsonl"
    path.write_text('{"prompt": "a"}\n')
    path.chmod(0)
    return path


_POOLS: Final = (*EVERY_POOL, *ANSWERS[:1])
_FEW: Final = tuple(_POOLS[number] for number in (0, 4, 7, 14, -1))


def _refused(name: str, what: str, make: Make, said: str, *, everywhere: bool = False) -> Kind:
    return Kind(name, what, make, _POOLS if everywhere else _FEW, said)


KINDS: Final = (
    _refused("missing", "a file that does not exist", _missing, r"does not exist; ", everywhere=True),
    _refused(
        "folder",
        "a folder in the place of a file",
        _folder,
        r"is a folder|holds no (answers|labels|finished selection)",
        everywhere=True,
    ),
    _refused(
        "empty",
        "a file of 0 bytes",
        holding("p.jsonl", b""),
        r"p\.jsonl is empty \(0 bytes\); ",
        everywhere=True,
    ),
    _refused("pipe", "a named pipe, which nobody writes to", _pipe, "is not a regular file", everywhere=True),
    _refused("socket", "a socket", _socket, "is not a regular file"),
    _refused("device", "a link to a device without end", _device, "is not a regular file"),
    _refused(
        "link-loop",
        "a link that leads back to itself",
        _loop,
        "is a link that leads back to itself",
        everywhere=True,
    ),
    _refused("link-dangling", "a link to nothing", _dangling, "does not exist; "),
    _refused("long-name", "a name of 300 characters", _long, r"name"),
    _refused("below-file", "a path through a file", _below_file, "does not exist; "),
    Kind(
        "unreadable",
        "a file that this user may not read",
        _unreadable,
        _FEW,
        r"cannot be read \(Permission denied\)|may not be read",
        may_override=False,
    ),
    _refused("suffix", "a workbook", holding("p.xlsx", b"PK\3\4"), r"p\.xlsx (has the suffix|is a workbook)"),
    _refused(
        "packed",
        "a packed file",
        holding("p.jsonl.gz", b"\x1f\x8b"),
        r"decompress it first|is packed; unpack it",
    ),
    Kind("scores-missing", "scores that do not exist", _missing, SCORES, "does not exist; give a run folder"),
    Kind("scores-pipe", "a named pipe in the place of scores", _pipe, SCORES, r"p\.jsonl"),
    Kind("scores-loop", "a loop of links in the place of scores", _loop, SCORES, r"p\.jsonl"),
    Kind(
        "vectors-missing",
        "vectors that do not exist",
        lambda folder, world: folder / "v.npy",
        VECTORS,
        r"no embeddings file v\.npy",
    ),
    Kind(
        "vectors-pipe",
        "a named pipe in the place of vectors",
        lambda folder, world: _pipe(folder, world).rename(folder / "v.npy"),
        VECTORS,
        r"v\.npy",
    ),
)
