from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel.personal_data import KINDS, count_personal_data, find_personal_data

REAL = {
    "email": ["ann.lee@mail.org", "o'neil+x@sub.host.co.uk", "jörg@bücher.de"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "NO9386011117947"],
    "it_codice_fiscale": ["RSSMRA85T10A562S"],
    "cn_resident": ["11010519491231002X"],
    "card": ["4539 1488 0343 6467", "6011-0009-9013-9424"],
    "fr_nir": ["2 55 08 14 168 025 38"],
    "us_ssn": ["123-45-6789"],
    "br_cpf": ["529.982.247-25"],
    "es_dni": ["12345678Z", "X1234567L"],
    "de_tax_id": ["86 095 742 719"],
    "pl_pesel": ["44051401359"],
    "se_personnummer": ["811218-9876"],
    "uk_nhs": ["401 023 2137"],
    "ip_v4": ["8.8.8.8"],
    "ip_v6": ["2001:4860:4860::8888"],
    "phone": ["+49 30 901820", "(212) 736-5000", "+33 1 42 68 53 00"],
}


@pytest.mark.parametrize(("kind", "raw"), [(kind, raw) for kind, each in REAL.items() for raw in each])
def test_each_kind_is_found_in_a_sentence_and_masked(kind, raw):
    text = f"Please use {raw}, thank you."
    found = find_personal_data(text)
    assert [(each.kind, each.reserved) for each in found] == [(kind, False)]
    assert "*" in found[0].masked
    assert raw not in found[0].masked


def test_every_kind_has_an_example_here():
    assert set(REAL) == set(KINDS)


@pytest.mark.parametrize(
    "raw",
    [
        *(
            "ann@example.com",
            "x@mail.example.org",
            "a@b.test",
            "4111 1111 1111 1111",
            "192.168.0.1",
            "203.0.113.9",
        ),
        *("127.0.0.1", "2001:db8::1", "(212) 555-0123", "+1 212 555 0199", "078-05-1120", "943 476 5919"),
    ],
)
def test_what_is_reserved_for_examples_is_told_apart(raw):
    found = find_personal_data(f"Use {raw} here")
    assert [each.reserved for each in found] == [True]
    assert count_personal_data([raw]).rows == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "v1.2.3",
            "version 1.2.3.456",
            "12:30:45",
            "2024-05-17",
            "4539 1488 0343 6468",
            "user@localhost",
        ),
        *(
            "DE89 3704 0044 0532 0130 01",
            "12345678A",
            "000-12-3456",
            "order 12345678901",
            "@home",
            "a@b",
            "::",
        ),
        *("£1,234,567.89", "10000000", "std::vector", "529.982.247-26", "1111111111", "999.999.999.999"),
        # Two dots, one digit alone, too few digits, and a 31st of April; the checksums are right.
        *("ann..lee@mail.org", "111.111.111-11", "111 111 1111", "+1 234567", "11010519490431002X"),
    ],
)
def test_numbers_without_structure_or_checksum_are_no_personal_data(text):
    assert find_personal_data(text) == []


@given(st.text(max_size=200))
def test_any_text_is_taken_and_findings_do_not_overlap(text):
    found = find_personal_data(text)
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))
    assert all(each.kind in KINDS for each in found)


@pytest.mark.parametrize("unit", ["1", "1 ", "a.", "a@", "1-", ":", "+1", "DE89 ", "a.b@c.", "f:", "(212) "])
def test_long_hostile_texts_take_no_long_time(unit):
    find_personal_data(unit * 13_000)


def test_one_wrong_digit_is_enough_for_a_checksum():
    rng = random.Random(0)
    for kind in ("iban", "es_dni", "it_codice_fiscale", "br_cpf", "fr_nir"):
        raw = REAL[kind][0]
        places = [place for place, char in enumerate(raw) if char.isdigit() and place > 3]
        for place in rng.sample(places, 3):
            broken = raw[:place] + str((int(raw[place]) + 1) % 10) + raw[place + 1 :]
            assert kind not in {each.kind for each in find_personal_data(broken)}


def test_an_account_counts_rows_and_never_quotes():
    texts = ["mail ann.lee@mail.org and bob.ray@mail.org", None, "bob@example.com", "Call (212) 736-5000"]
    found = count_personal_data(texts)
    assert (found.n_texts, found.rows, found.kinds) == (4, [0, 3], {"email": 2, "phone": 1})
    assert found.reserved == {"email": 1}
    assert "ann.lee" not in str(found)
    assert "736" not in str(found)
    assert count_personal_data([]).kinds == {}
