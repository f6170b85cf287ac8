"""A failure signature: one number that tells whether a selection fails in a known way."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

__all__ = ["BELOW", "SIGNATURE_NAMES", "Signature"]

SIGNATURE_NAMES: Final = (
    "cap-dominated",
    "redundant-heavy-tasks",
    "confidence-is-length",
    "confidence-is-size",
    "few-effective-tasks",
    "like-random",
)
"""All signatures, in the order in which they are told."""
BELOW: Final = frozenset({"few-effective-tasks", "like-random"})
"""Signatures that small values raise; the others are raised by large ones."""


@dataclass(frozen=True)
class Signature:
    """A way in which selections fail, and how far this one does.

    Parameters
    ----------
    name : str
        One of `SIGNATURE_NAMES`.
    value : float or None
        What was measured; None where it could not be, and `sentence` then says what to give.
    threshold : float
        Where the signature begins: values below it raise those of `BELOW`, values of at least it the others.
    is_raised : bool
        Whether the selection shows the signature.
    sentence : str
        What was found, with the number.
    advice : str
        What to do where it is raised.
    """

    name: str
    value: float | None
    threshold: float
    is_raised: bool
    sentence: str
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """Return the signature as a dictionary that `json.dumps` takes."""
        return asdict(self)
