"""Personal data in texts: found by pattern and checksum, counted by kind, shown masked and never raw.

A number counts only where its structure or checksum makes an accident unlikely. What standards reserve for
examples (``example.com``, ``555-0100``, test cards) is told apart, since synthetic texts are full of it.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["KINDS", "PersonalData", "PersonalDatum", "count_personal_data", "find_personal_data"]

MAX_EXAMPLES: Final = 3
"""Masked examples of each kind in an account."""


class PersonalDatum(NamedTuple):
    """One finding.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    start, end : int
        Characters of the text.
    masked : str
        The first and last characters, asterisks between.
    reserved : bool
        Reserved for examples and tests, and no person's.
    """

    kind: str
    start: int
    end: int
    masked: str
    reserved: bool


@dataclass(frozen=True)
class PersonalData:
    """What a set of texts holds.

    Attributes
    ----------
    n_texts : int
        Texts looked at.
    rows : list of int
        Texts with at least one datum that is not reserved, ascending.
    kinds : dict of str to int
        Data of each kind that are not reserved, the most frequent first.
    reserved : dict of str to int
        Data of each kind that are.
    examples : dict of str to list of str
        Up to three masked examples of each kind.
    """

    n_texts: int = 0
    rows: list[int] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    reserved: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)


def find_personal_data(text: str) -> list[PersonalDatum]:
    """Find personal data in a text, by place; what lies inside another finding is left out.

    Parameters
    ----------
    text : str
        Any length; the patterns take time in proportion to it.

    Returns
    -------
    list of PersonalDatum

    Notes
    -----
    Names, addresses and dates of birth are not looked for: no pattern tells them from other words.

    Examples
    --------
    >>> for each in find_personal_data("Write to ann.lee@mail.org, IBAN DE89 3704 0044 0532 0130 00."):
    ...     print(each.kind, each.masked, each.reserved)
    email a*****e@m******g False
    iban DE******************00 False
    >>> find_personal_data("someone@example.com")[0].reserved
    True
    """
    found: list[PersonalDatum] = []
    if "@" not in text and not any(char.isdigit() for char in text) and "::" not in text:
        return found
    taken = bytearray(len(text))  # a comparison with all that was found would take the square of its number
    for kind, (pattern, check) in _DETECTORS.items():
        for match in pattern.finditer(text):
            start, end = match.span()
            verdict = check(match[0])
            if verdict is not None and taken.find(1, start, end) < 0:
                found.append(PersonalDatum(kind, start, end, _mask(kind, match[0]), verdict))
                taken[start:end] = b"\1" * (end - start)
    return sorted(found, key=lambda each: each.start)


def count_personal_data(texts: Iterable[str | None]) -> PersonalData:
    """Count the personal data of many texts.

    Examples
    --------
    >>> found = count_personal_data(["call +49 30 901820", None, "card 4111 1111 1111 1111"])
    >>> found.rows, found.kinds, found.reserved
    ([0], {'phone': 1}, {'card': 1})
    """
    rows: list[int] = []
    kinds: Counter[str] = Counter()
    reserved: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    n_texts = 0
    for row, text in enumerate(texts):
        n_texts += 1
        data = find_personal_data(text or "")
        reserved.update(each.kind for each in data if each.reserved)
        real = [each for each in data if not each.reserved]
        kinds.update(each.kind for each in real)
        if real:
            rows.append(row)
        for each in real:
            shown = examples.setdefault(each.kind, [])
            if len(shown) < MAX_EXAMPLES and each.masked not in shown:
                shown.append(each.masked)
    return PersonalData(n_texts, rows, dict(kinds.most_common()), dict(reserved.most_common()), examples)


def _mask(kind: str, raw: str) -> str:
    """Keep what tells the format, and too little to find anybody."""
    if kind == "email":
        user, _, host = raw.partition("@")
        return f"{_starred(user, 1)}@{_starred(host, 1)}"
    bare = re.sub(r"[\s().-]", "", raw) if kind not in ("ip_v4", "ip_v6") else raw
    return _starred(bare, 2)


def _starred(text: str, kept: int) -> str:
    if len(text) <= 2 * kept + 1:
        return "*" * len(text)
    return text[:kept] + "*" * (len(text) - 2 * kept) + text[-kept:]


def _digits(raw: str) -> list[int]:
    return [int(char) for char in raw if char in "0123456789"]


def _weighted(digits: list[int], weights: tuple[int, ...]) -> int:
    return sum(digit * weight for digit, weight in zip(digits, weights, strict=False))


def _luhn(digits: list[int]) -> bool:
    doubled = [digit if place % 2 == 0 else 2 * digit for place, digit in enumerate(reversed(digits))]
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        dt.date(year, month, day)
    except ValueError:
        return False
    return True


# Each check returns None for no personal datum, else whether it is reserved for examples.


def _email(raw: str) -> bool | None:
    if ".." in raw:
        return None
    host = raw.rpartition("@")[2].lower()
    top = host.rpartition(".")[2]
    named = re.fullmatch(r"(.*\.)?example\.(com|org|net)", host) is not None
    return named or top in ("example", "test", "invalid", "localhost")  # RFC 2606


def _phone(raw: str) -> bool | None:
    digits = _digits(raw)
    if not (8 if raw.startswith("+") else 10) <= len(digits) <= 15 or len(set(digits)) < 3:
        return None
    national = digits[-10:]
    # 555-0100 to 555-0199 are kept free for fiction in North America.
    return len(digits) in (10, 11) and national[3:8] == [5, 5, 5, 0, 1]


_TEST_CARDS: Final = frozenset(
    (
        *("4111111111111111", "4242424242424242", "4012888888881881", "4000000000000002"),
        *("5555555555554444", "5105105105105100", "378282246310005", "371449635398431"),
        *("6011111111111117", "30569309025904", "3530111333300000"),
    )
)


def _card(raw: str) -> bool | None:
    digits = _digits(raw)
    number = "".join(map(str, digits))
    issued = re.match(r"4|5[1-5]|2[2-7]|3[47]|6(?:011|5)|35|3(?:0|6|8)", number)
    if not issued or not 13 <= len(digits) <= 19 or not _luhn(digits) or len(set(digits)) < 2:
        return None
    return number in _TEST_CARDS


_IBAN_CHARS: Final = {
    "AD": 24,
    "AE": 23,
    "AT": 20,
    "BE": 16,
    "BG": 22,
    "BR": 29,
    "CH": 21,
    "CY": 28,
    "CZ": 24,
    "DE": 22,
    "DK": 18,
    "EE": 20,
    "ES": 24,
    "FI": 18,
    "FR": 27,
    "GB": 22,
    "GI": 23,
    "GR": 27,
    "HR": 21,
    "HU": 28,
    "IE": 22,
    "IL": 23,
    "IS": 26,
    "IT": 27,
    "KW": 30,
    "LI": 21,
    "LT": 20,
    "LU": 20,
    "LV": 21,
    "MC": 27,
    "MT": 31,
    "NL": 18,
    "NO": 15,
    "PL": 28,
    "PT": 25,
    "QA": 29,
    "RO": 24,
    "SA": 24,
    "SE": 24,
    "SI": 19,
    "SK": 24,
    "SM": 27,
    "TR": 26,
    "UA": 29,
}


def _iban(raw: str) -> bool | None:
    code = re.sub(r"\s", "", raw).upper()
    if len(code) != _IBAN_CHARS.get(code[:2]):
        return None
    number = "".join(str(int(char, 36)) for char in code[4:] + code[:4])
    return False if int(number) % 97 == 1 else None


def _ip(raw: str) -> bool | None:
    if not any(char.isalnum() for char in raw):  # "::" is an address, and punctuation
        return None
    try:
        address = ipaddress.ip_address(raw)
    except ValueError:
        return None
    # Loopback, private and documentation ranges are nobody's address (RFC 1918, 5737, 3849).
    return not address.is_global


def _us_ssn(raw: str) -> bool | None:
    area, group, serial = raw.split("-")
    if area in ("000", "666") or area >= "900" or group == "00" or serial == "0000":
        return None
    return raw in ("078-05-1120", "219-09-9999") or (area == "987")


def _es_dni(raw: str) -> bool | None:
    number = raw.upper().replace("-", "")
    body = number[:-1].translate(str.maketrans("XYZ", "012"))
    return False if "TRWAGMYFPDXBNJZSQVHLCKE"[int(body) % 23] == number[-1] else None


_CF_DIGITS: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
_CF_LETTERS: Final = (2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_CF_ODD: Final = dict(
    zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (*_CF_DIGITS, *_CF_DIGITS, *_CF_LETTERS), strict=True)
)


def _it_codice_fiscale(raw: str) -> bool | None:
    code = raw.upper()
    total = sum(
        _CF_ODD[char] if place % 2 == 0 else int(char) if char.isdigit() else ord(char) - 65
        for place, char in enumerate(code[:15])
    )
    return False if chr(65 + total % 26) == code[15] else None


def _fr_nir(raw: str) -> bool | None:
    number = re.sub(r"\s", "", raw).upper().replace("2A", "19").replace("2B", "18")
    return False if 97 - int(number[:13]) % 97 == int(number[13:]) else None


def _de_tax_id(raw: str) -> bool | None:
    digits = _digits(raw)
    counts = sorted(Counter(digits[:10]).values())
    if digits[0] == 0 or counts[-1] not in (2, 3) or counts[-2:] in ([2, 2], [2, 3]):
        return None  # one digit stands twice or three times, all others once at most
    product = 10
    for digit in digits[:10]:  # ISO 7064, mod 11, 10
        product = ((product + digit) % 10 or 10) * 2 % 11
    return False if (11 - product) % 10 == digits[10] else None


def _uk_nhs(raw: str) -> bool | None:
    digits = _digits(raw)
    if len(set(digits)) == 1:
        return None
    check = 11 - _weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return digits[0] == 9 if check % 11 == digits[9] and check != 10 else None  # 999… is for tests


def _br_cpf(raw: str) -> bool | None:
    digits = _digits(raw)
    if len(set(digits)) == 1:
        return None
    first = _weighted(digits[:9], tuple(range(10, 1, -1))) * 10 % 11 % 10
    second = _weighted(digits[:10], tuple(range(11, 1, -1))) * 10 % 11 % 10
    return False if digits[9:] == [first, second] else None


def _cn_resident(raw: str) -> bool | None:
    digits = [int(char) for char in raw[:17]]
    if not _is_date(int(raw[6:10]), int(raw[10:12]), int(raw[12:14])):
        return None
    rest = _weighted(digits, (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) % 11
    return False if "10X98765432"[rest] == raw[17].upper() else None


def _pl_pesel(raw: str) -> bool | None:
    digits = _digits(raw)
    century, month = divmod(int(raw[2:4]), 20)
    year = {4: 1800, 0: 1900, 1: 2000, 2: 2100, 3: 2200}.get(century, 0) + int(raw[:2])
    if not year or not _is_date(year, month, int(raw[4:6])):
        return None
    check = -_weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10
    return False if check == digits[10] else None


def _se_personnummer(raw: str) -> bool | None:
    digits = _digits(raw)[-10:]
    month, day = digits[2] * 10 + digits[3], digits[4] * 10 + digits[5]
    return False if 1 <= month <= 12 and 1 <= day <= 31 and _luhn(digits) else None


_CARD = r"(?:\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{3})?|\d{4}[ -]\d{6}[ -]\d{4,5}|\d{13,19})"
_EDGE, _END = r"(?<![\w.+-])", r"(?![\w-])"

_DETECTORS: Final[dict[str, tuple[re.Pattern[str], Callable[[str], bool | None]]]] = {
    "email": (
        re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[^\W_](?:[\w-]{0,62}\.)){1,6}[^\W\d_]{2,24}(?![\w@-])"),
        _email,
    ),
    "iban": (re.compile(_EDGE + r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?" + _END), _iban),
    "it_codice_fiscale": (
        re.compile(_EDGE + r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]" + _END, re.IGNORECASE),
        _it_codice_fiscale,
    ),
    "cn_resident": (re.compile(_EDGE + r"[1-9]\d{5}(?:18|19|20)\d{9}[\dXx]" + _END, re.ASCII), _cn_resident),
    "card": (re.compile(_EDGE + _CARD + _END, re.ASCII), _card),
    "fr_nir": (
        re.compile(
            _EDGE + r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}" + _END, re.ASCII
        ),
        _fr_nir,
    ),
    "us_ssn": (re.compile(_EDGE + r"\d{3}-\d{2}-\d{4}" + _END, re.ASCII), _us_ssn),
    "br_cpf": (re.compile(_EDGE + r"\d{3}\.\d{3}\.\d{3}-\d{2}" + _END, re.ASCII), _br_cpf),
    "es_dni": (re.compile(_EDGE + r"[\dXYZ]\d{7}-?[A-HJ-NP-TV-Z]" + _END, re.ASCII), _es_dni),
    "de_tax_id": (re.compile(_EDGE + r"\d{2} ?\d{3} ?\d{3} ?\d{3}" + _END, re.ASCII), _de_tax_id),
    "pl_pesel": (re.compile(_EDGE + r"\d{11}" + _END, re.ASCII), _pl_pesel),
    "se_personnummer": (re.compile(_EDGE + r"(?:\d{2})?\d{6}[-+]\d{4}" + _END, re.ASCII), _se_personnummer),
    "uk_nhs": (
        re.compile(r"(?<!\+\d )(?<!\+\d\d )" + _EDGE + r"\d{3} \d{3} \d{4}" + _END, re.ASCII),
        _uk_nhs,
    ),
    "ip_v4": (re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)", re.ASCII), _ip),
    "ip_v6": (re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])"), _ip),
    "phone": (
        re.compile(
            r"(?<![\w.+/-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){5,12}"
            r"|(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4})(?![\w-]|\.\d)",
            re.ASCII,
        ),
        _phone,
    ),
}
KINDS: Final = tuple(_DETECTORS)
"""Kinds that are found, in the order in which they claim characters."""
