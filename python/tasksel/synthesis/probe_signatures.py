"""Error lines of programs, and what of them is the same from one failure to the next."""

from __future__ import annotations

import re
from typing import Final

from tasksel.wording import printable

__all__ = ["error_line", "plain_line", "signature_of"]

MAX_LINE_CHARS: Final = 300
MAX_SIGNATURE_CHARS: Final = 160

_ESCAPE: Final = re.compile(
    r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-_])"  # CSI, OSC, and the two-byte ones
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI as one character
)
_ERROR: Final = re.compile(
    r"\b(\w*(error|exception|panic)|panicked|fatal|aborted|segmentation fault|core dumped|traceback|failed|"
    r"unhandled)\b",
    re.IGNORECASE,
)
_NO_ERROR: Final = re.compile(r"\b(0|no|without) (errors?|exceptions?|failed)\b", re.IGNORECASE)
_QUOTED: Final = re.compile(r"\"([^\"]*)\"|'([^']*)'|`([^`]*)`|“([^”]*)”")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z_.-]{0,31}")
_BEFORE_A_NAME: Final = re.compile(
    r"(keyerror: |\b(attribute|argument|codec|column|field|key|keyword|member|method|module|name|property|"
    r"type|variable) )$",
    re.IGNORECASE,
)
_AFTER_A_NAME: Final = re.compile(
    r" (argument|attribute|codec|column|field|key|module|object|parameter|property|type)\b", re.IGNORECASE
)
_NORMAL_FORMS: Final = (
    (re.compile(r"(?:[A-Za-z]:)?(?:[\\/][^\s\\/:,;()'\"]+){2,}"), "PATH"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "ID"),
    (re.compile(r"\b0x[0-9a-f]+\b|\b(?=[0-9a-f]*[0-9])[0-9a-f]{8,}\b", re.IGNORECASE), "HEX"),
    (re.compile(r"[-+]?\d[\d,._]*(?:e[-+]?\d+|-\d+)*", re.IGNORECASE), "N"),
    (re.compile(r"\s+"), " "),
)


def plain_line(line: str) -> str:
    r"""Return a line of a program's output without control sequences, other control characters escaped.

    Examples
    --------
    >>> plain_line("\x1b[31mError\x1b[0m: no\x07 file \u202etxt")
    'Error: no\\x07 file \\u202etxt'
    """
    text = _ESCAPE.sub("", line[: 4 * MAX_LINE_CHARS]).strip()[:MAX_LINE_CHARS]
    return printable(text, max_chars=MAX_LINE_CHARS)


def error_line(lines: list[str]) -> str | None:
    """Return the last line that speaks of an error, or None.

    Examples
    --------
    >>> error_line(["Traceback (most recent call last):", "KeyError: 'id'", "bye"])
    "KeyError: 'id'"
    >>> error_line(["3 rows, 0 errors"]) is None
    True
    """
    found = (line for line in reversed(lines) if _ERROR.search(_NO_ERROR.sub("", line)))
    return next(found, None)


def signature_of(outcome: str, line: str | None) -> str:
    r"""Return what a failure has in common with others: its outcome, and its error line without particulars.

    Numbers, quoted texts, paths, addresses and ids are particulars; a quoted name of a field, an attribute or
    a type is none.

    Examples
    --------
    >>> signature_of("exit 1", "UnicodeEncodeError: can't encode '\\u2028' in position 17 of /tmp/a/b.txt")
    "exit 1: UnicodeEncodeError: can't encode '…' in position N of PATH"
    >>> signature_of("exit 1", "AttributeError: 'NoneType' object has no attribute 'strip'")
    "exit 1: AttributeError: 'NoneType' object has no attribute 'strip'"
    >>> signature_of("timeout", None)
    'timeout'
    """
    if not line:
        return outcome
    # An apostrophe inside a word opens no quotation.
    text = re.sub(r"(?<=\w)'(?=\w)", "\u2019", line)
    text = _QUOTED.sub(_without_particulars, text)
    for pattern, form in _NORMAL_FORMS:
        text = pattern.sub(form, text)
    text = text.replace("\u2019", "'")
    text = text if len(text) <= MAX_SIGNATURE_CHARS else text[: MAX_SIGNATURE_CHARS - 1] + "…"
    return f"{outcome}: {text}"


def _without_particulars(quoted: re.Match[str]) -> str:
    """Keep a quoted name that the words around it call one; leave anything else out."""
    content = next((group for group in quoted.groups() if group is not None), "")
    before, after = quoted.string[: quoted.start()], quoted.string[quoted.end() :]
    is_called_one = _BEFORE_A_NAME.search(before[-40:]) or _AFTER_A_NAME.match(after)
    return f"'{content}'" if is_called_one and _NAME.fullmatch(content) else "'…'"
