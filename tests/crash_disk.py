"""A model of what a loss of power leaves of a folder, recorded while code writes there and played
afterwards.

What the model allows a crash to do, at every moment:

- bytes of a file that were not flushed (`os.fsync`) since they were written are there, missing, cut short,
  or zeros;
- names in a folder (files made, renamed, deleted; folders made) that were not flushed since they changed
  are each there or not, in any combination, whatever the order in which they were changed;
- a rename is one step, also between two folders; what was flushed stays.

The folder is looked at before every call of the system that changes names (Python's audit events tell of
them) and at every flush, so that what libraries write without Python is seen as well. Nothing is really
flushed meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import random
import stat
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

ROOT = 0
CHANGING = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
)
RANDOM_STATES = 4
"""Of each moment, beside those that differ from all or from nothing by one thing."""


@dataclass
class Node:
    """A file with its bytes, or a folder with its names, as they are and as they are flushed."""

    now: object
    flushed: object

    @property
    def is_folder(self):
        return isinstance(self.now, dict)


@dataclass
class State:
    """A folder after a crash: bytes by path, None for a folder; and how many promises had been made."""

    content: dict
    n_promises: int

    def write(self, place):
        place.mkdir(parents=True, exist_ok=True)
        for name, content in sorted(self.content.items()):
            path = place / name
            if content is None:
                path.mkdir(exist_ok=True)
            else:
                path.write_bytes(content)
        return place


@dataclass
class CrashDisk:
    """Records what happens below a folder, and gives every state that a crash may leave."""

    root: Path
    seed: int = 0
    promises: list = field(default_factory=list)
    _nodes: dict = field(default_factory=lambda: {ROOT: Node({}, {})})
    _numbers: dict = field(default_factory=dict)
    _pending: list = field(default_factory=list)
    _found: dict = field(default_factory=dict)
    _is_on: bool = False

    def __post_init__(self):
        self._lock = threading.RLock()
        self._is_looking = False
        self._dice = random.Random(self.seed)
        self._stamps = {}
        self.root.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def recording(self):
        """Record; what stands there before is flushed."""
        self._look()
        for node in self._nodes.values():
            node.flushed = dict(node.now) if node.is_folder else node.now
        self._pending.clear()
        _recorders.append(self)
        _listen()
        self._is_on = True
        try:
            with mock.patch.object(os, "fsync", self._flush):
                yield self
                self.look()
        finally:
            self._is_on = False
            _recorders.remove(self)

    def promise(self, what):
        """Say what the code has told its caller: it must be there after every crash from now on."""
        self.promises.append(what)
        self.look()

    @property
    def states(self):
        return [State(dict(content), most) for content, most in self._found.items()]

    def look(self):
        """Look at the folder now, and add the states that a crash at this moment may leave."""
        with self._lock:
            if self._is_looking or not self._is_on:
                return
            self._is_looking = True
            try:
                self._look()
                for content in self._crash():
                    key = tuple(sorted(content.items(), key=lambda each: each[0]))
                    self._found[key] = len(self.promises)
            finally:
                self._is_looking = False

    # What is there

    def _look(self):
        seen = set()
        changes = self._compare(self.root, ROOT, seen)
        if changes:
            self._pending.append(changes)
        for inode in self._numbers.keys() - seen:  # the system may give it to another file
            del self._numbers[inode]

    def _compare(self, folder, number, seen):
        listing, below = {}, []
        for entry in os.scandir(folder):
            status = entry.stat(follow_symlinks=False)
            is_folder = stat.S_ISDIR(status.st_mode)
            child = self._numbers.get(status.st_ino)
            if child is None or self._is_another(child, is_folder, entry.path, status):
                child = self._numbers[status.st_ino] = len(self._nodes)
                self._nodes[child] = Node({}, {}) if is_folder else Node(b"", b"")
            seen.add(status.st_ino)
            listing[entry.name] = child
            if is_folder:
                below.append((entry.path, child))
                continue
            if self._stamps.get(child, ("", None))[1] != _stamp(status):
                self._nodes[child].now = Path(entry.path).read_bytes()
            self._stamps[child] = entry.path, _stamp(status)
        node = self._nodes[number]
        changes = [(number, name, child) for name, child in listing.items() if node.now.get(name) != child]
        changes += [(number, name, None) for name in node.now.keys() - listing.keys()]
        node.now = listing
        for path, child in below:
            changes += self._compare(path, child, seen)
        return changes

    def _is_another(self, child, is_folder, path, status):
        """Whether a new file has the number of a deleted one: a rename changes no byte, a write no name."""
        if is_folder or self._nodes[child].is_folder:
            return is_folder != self._nodes[child].is_folder
        known_path, known_stamp = self._stamps[child]
        return known_path != path and known_stamp != _stamp(status)

    def _flush(self, descriptor):
        with self._lock:
            self.look()
            number = self._number(os.fstat(descriptor).st_ino)
            if number is None:  # of a file that is not ours
                return
            node = self._nodes[number]
            if not node.is_folder:
                node.flushed = node.now
                return
            kept = []
            for changes in self._pending:
                if any(folder == number for folder, _, _ in changes):
                    _apply(changes, {each: self._nodes[each].flushed for each, _, _ in changes})
                else:
                    kept.append(changes)
            self._pending = kept
            node.flushed = dict(node.now)

    def _number(self, inode):
        return ROOT if inode == self.root.stat().st_ino else self._numbers.get(inode)

    # What a crash leaves of it

    def _crash(self):
        n_ops = len(self._pending)
        dirty = [
            number for number, node in self._nodes.items() if not node.is_folder and node.now != node.flushed
        ]
        nothing, everything = frozenset(), frozenset(range(n_ops))
        plans = [(nothing, {}), (everything, {}), (everything, dict.fromkeys(dirty, 1))]
        plans += [(everything - {op}, dict.fromkeys(dirty, 1)) for op in everything]
        plans += [(frozenset({op}), {}) for op in everything]
        plans += [(everything, {number: how}) for number in dirty for how in (2, 3)]
        for _ in range(RANDOM_STATES if n_ops + len(dirty) > 1 else 0):
            ops = frozenset(op for op in everything if self._dice.random() < 0.5)
            plans.append((ops, {number: self._dice.randrange(4) for number in dirty}))
        for ops, damages in plans:
            yield self._state(ops, damages)

    def _state(self, ops, damages):
        folders = {number: dict(node.flushed) for number, node in self._nodes.items() if node.is_folder}
        for op in sorted(ops):
            _apply(self._pending[op], folders)
        content = {}
        self._walk(ROOT, "", folders, damages, content)
        return content

    def _walk(self, number, prefix, folders, damages, content):
        for name, child in folders[number].items():
            node = self._nodes[child]
            if node.is_folder:
                content[prefix + name] = None
                self._walk(child, f"{prefix}{name}/", folders, damages, content)
            else:
                content[prefix + name] = _damaged(node, damages.get(child, 0))


def _stamp(status):
    return status.st_mtime_ns, status.st_size


def _apply(changes, folders):
    for folder, name, child in changes:
        if child is None:
            folders[folder].pop(name, None)
        else:
            folders[folder][name] = child


def _damaged(node, how):
    """Give the bytes as flushed, as written, cut short, or with zeros where they were not flushed."""
    old, new = node.flushed, node.now
    half = len(old) + (len(new) - len(old)) // 2 if new.startswith(old) else len(new) // 2
    return (old, new, new[:half], new[:half] + bytes(len(new) - half))[how]


_recorders: list[CrashDisk] = []
_is_listening = False


def _listen():
    """Hear of system calls; a hook cannot be taken away again, so there is one, which mostly does nothing."""
    global _is_listening
    if not _is_listening:
        sys.addaudithook(_hear)
        _is_listening = True


def _hear(event, arguments):
    if not _recorders:
        return
    if event in CHANGING or (event == "open" and _is_ours(arguments[0])):
        for recorder in _recorders:
            recorder.look()


def _is_ours(path):
    return isinstance(path, (str, os.PathLike)) and any(
        os.fspath(path).startswith(str(recorder.root)) for recorder in _recorders
    )
