"""Beginnings that many texts share: the tree of common prefixes, and which of its nodes are templates.

Sorted texts lie as in a trie, and the lengths that neighbours have in common are all that is needed of it: an
interval of rows in which no such length falls below some number is a node. This takes n log n comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SharedStart", "find_shared_starts"]

MIN_WORDS: Final = 3
"""Words of a template that ends where a line or a sentence does, as "Translate to French:"."""
MIN_OPEN_WORDS: Final = 8
"""Words of one that ends anywhere: "What is the difference between" is how questions begin, no template."""
SPLIT_SHARE: Final = 0.5
"""A beginning of which longer ones hold so much is only what these have in common."""
WRAPPER_SHARE: Final = 0.8
"""What so many prompts share says nothing of any of them: a wrapper of the whole pool."""
_SENTENCE_ENDS: Final = (
    b":",
    b".",
    b"?",
    b"!",
    b"\xe3\x80\x82",
    b"\xef\xbc\x9a",
    b"\xef\xbc\x9f",
    b">",
    b"]",
)


@dataclass
class SharedStart:
    """A node of the tree: rows of the sorted texts that begin alike.

    Attributes
    ----------
    start, end : int
        Rows ``start`` up to ``end``, exclusive.
    text : bytes
        What they share, whole words.
    whole : bytes
        The same up to where its last line or sentence ends.
    parent : int
        Place of the next larger node, or -1.
    """

    start: int
    end: int
    text: bytes
    whole: bytes
    parent: int = -1

    @property
    def size(self) -> int:
        """Number of rows."""
        return self.end - self.start


def find_shared_starts(
    texts: Sequence[bytes], *, min_rows: int, are_reversed: bool = False
) -> list[SharedStart]:
    r"""Find the templates that texts begin with.

    Parameters
    ----------
    texts : sequence of bytes
        Sorted; words are divided by single blanks or line feeds, and each ends with a line feed.
    min_rows : int
        Rows of a template, at least 2.
    are_reversed : bool
        The texts are written backwards, so that their ends are found. Then not marks but capital letters tell
        where a sentence is whole.

    Returns
    -------
    list of SharedStart
        The longer ones before those that they begin with. One that others mostly hold is there only if
        enough rows are left for it.

    Examples
    --------
    >>> texts = sorted(f"Translate to French: {word}\n".encode() for word in ("a", "be", "cat"))
    >>> [(found.text, found.size) for found in find_shared_starts([*texts, b"What now?\n"], min_rows=3)]
    [(b'Translate to French:', 3)]
    """
    nodes = _tree(texts, min_rows, are_reversed=are_reversed)
    candidates = _candidates(nodes)
    covered = dict.fromkeys(candidates, 0)
    kept: dict[int, list[int]] = {}
    for place in sorted(candidates):  # children stand before their parents
        node, base = nodes[place], candidates[place]
        is_wrapper = node.size >= WRAPPER_SHARE * len(texts)
        below = kept.pop(place, [])
        if is_wrapper or covered[place] >= SPLIT_SHARE * node.size:
            own = [] if is_wrapper or node.size - covered[place] < min_rows else [place]
            found, size = [*below, *own], node.size if own else covered[place]
        else:
            found, size = [place], node.size
        if base >= 0:
            covered[base] += size
        kept.setdefault(base, []).extend(found)
    return [nodes[place] for place in kept.get(-1, [])]


def _candidates(nodes: Sequence[SharedStart]) -> dict[int, int]:
    """Give the nodes that say enough more than the candidate above them, which is the value, or -1.

    A node whose last words say too little loses them.
    """
    candidates: dict[int, int] = {}
    above: dict[int, int] = {}
    for place in range(len(nodes) - 1, -1, -1):  # parents stand behind their children
        node = nodes[place]
        base = above.get(node.parent, -1)
        known = _count_words(nodes[base].text) if base >= 0 else 0
        is_open = _count_words(node.text) - known >= MIN_OPEN_WORDS
        if is_open or _count_words(node.whole) - known >= MIN_WORDS:
            node.text = node.text if is_open else node.whole
            candidates[place] = base
            above[place] = place
        else:
            above[place] = base
    return candidates


def _count_words(text: bytes) -> int:
    return len(text.split())


def _tree(texts: Sequence[bytes], min_rows: int, *, are_reversed: bool) -> list[SharedStart]:
    """Give every node of at least so many rows, children before their parents."""
    nodes: list[SharedStart] = []
    open_nodes: list[tuple[int, int, list[int]]] = [(0, 0, [])]  # shared length, first row, children
    for row in range(1, len(texts) + 1):
        shared = _shared_length(texts[row - 1], texts[row]) if row < len(texts) else -1
        first, orphans = row - 1, list[int]()
        while open_nodes and open_nodes[-1][0] > shared:
            length, first, children = open_nodes.pop()
            children.extend(orphans)
            orphans = children
            if length > 0 and row - first >= min_rows:
                node = _node(texts[first][:length], first, row, are_reversed=are_reversed)
                orphans = [_add(nodes, node, children)]
        if shared < 0:
            break
        if open_nodes and open_nodes[-1][0] == shared:
            open_nodes[-1][2].extend(orphans)
        else:
            open_nodes.append((shared, first, orphans))
    return nodes


def _add(nodes: list[SharedStart], node: SharedStart, children: list[int]) -> int:
    nodes.append(node)
    for child in children:
        nodes[child].parent = len(nodes) - 1
    return len(nodes) - 1


def _node(shared: bytes, start: int, end: int, *, are_reversed: bool) -> SharedStart:
    """Cut what is shared back to whole words, and to whole lines or sentences."""
    cut = max(shared.rfind(b" "), shared.rfind(b"\n"), 0)
    text = whole = shared[:cut]
    while whole and shared[cut : cut + 1] != b"\n" and not _closes(whole, are_reversed=are_reversed):
        cut = max(whole.rfind(b" "), whole.rfind(b"\n"), 0)
        whole = shared[:cut]
    return SharedStart(start, end, text, whole)


def _closes(text: bytes, *, are_reversed: bool) -> bool:
    return text[-1:].isupper() if are_reversed else text.endswith(_SENTENCE_ENDS)


def _shared_length(one: bytes, other: bytes) -> int:
    """Return how many bytes two texts begin with alike."""
    least, most = 0, min(len(one), len(other))
    step = 16
    while least + step <= most and one[least : least + step] == other[least : least + step]:
        least += step
        step *= 2
    most = min(most, least + step)
    while least < most:
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least
