"""Bytes as decisions: the same bytes always decide alike, and a changed byte changes one decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SPECIAL_TEXTS", "Decisions"]

Choice = TypeVar("Choice")

SPECIAL_TEXTS: Final = (
    "",
    " ",
    "a",
    "0",
    "1.0",
    "null",
    "NaN",
    "-",
    "ca978112ca1bbdca",
    "ca978112ca1bbdca-2",
    "a\x00b",
    "\x1b[31m",
    "\u202e\u2066",
    "\ufeff",
    "\U0001f600",
    "^.*$",
    "*",
    "[bold]",
    "=1+1",
    "'",
    '"',
    ",\r\n",
    "\u2028",
    "é" * 70,
)
"""Texts that are more than text to somebody: to a spreadsheet, a terminal, a pattern, a parser."""
_MOST_CHARS: Final = 48


class Decisions:
    """A source of decisions; zeros when it has run out.

    Parameters
    ----------
    data : bytes
        What decides.

    Examples
    --------
    >>> decisions = Decisions(bytes([7, 1, 2]))
    >>> decisions.below(3), decisions.choose("ab"), decisions.below(2), decisions.below(2)
    (1, 'b', 0, 0)
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def below(self, end: int) -> int:
        """Decide on a whole number from 0 to below `end`, which is at most 256."""
        return self._take(1)[0] % end

    def choose(self, among: Sequence[Choice]) -> Choice:
        """Decide on one of several."""
        return among[self.below(len(among))]

    def flag(self) -> bool:
        """Decide on yes or no."""
        return self.below(2) == 1

    def whole(self, n_bytes: int = 8) -> int:
        """Decide on a signed whole number."""
        return int.from_bytes(self._take(n_bytes), "little", signed=True)

    def raw(self, most: int = _MOST_CHARS) -> bytes:
        """Decide on some bytes."""
        return self._take(self.below(most + 1))

    def text(self) -> str:
        """Decide on a text without half surrogates: a special one, or any."""
        which = self.below(2 * len(SPECIAL_TEXTS))
        return SPECIAL_TEXTS[which] if which < len(SPECIAL_TEXTS) else self.raw().decode("utf-8", "replace")

    def rest(self) -> bytes:
        """Return what has decided nothing yet."""
        rest, self._at = self._data[self._at :], len(self._data)
        return rest

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken + bytes(count - len(taken))
