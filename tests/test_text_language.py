# ruff: noqa: RUF001 - texts in other scripts are what is tested
from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel.text_language import LANGUAGES, count_languages, detect_language, language_code
from tasksel.text_language_words import LETTERS, WORDS

REVIEWS = {
    "en": "I bought this phone last month and the battery does not last a day.",
    "de": "Ich habe das Telefon letzten Monat gekauft und der Akku hält keinen Tag.",
    "fr": "J'ai acheté ce téléphone le mois dernier et la batterie ne tient pas une journée.",
    "es": "Compré este teléfono el mes pasado y la batería no me dura ni un día.",
    "pt": "Comprei este telefone no mês passado e a bateria não dura um dia.",
    "it": "Ho comprato questo telefono il mese scorso e la batteria non dura un giorno.",
    "nl": "Ik heb deze telefoon vorige maand gekocht en de batterij gaat nog geen dag mee.",
    "sv": "Jag köpte telefonen förra månaden och batteriet räcker inte en dag.",
    "da": "Jeg købte telefonen sidste måned, og batteriet holder ikke engang en dag, hvad gør man nu?",
    "no": "Jeg kjøpte telefonen forrige måned, og batteriet varer ikke en dag nå, hva gjør jeg etter det?",
    "fi": "Ostin puhelimen viime kuussa, mutta akku ei kestä päivää ja se on nyt rikki.",
    "pl": "Kupiłem ten telefon w zeszłym miesiącu i bateria nie wytrzymuje jednego dnia.",
    "cs": "Telefon jsem koupil minulý měsíc a baterie nevydrží ani den.",
    "ro": "Am cumpărat acest telefon luna trecută și bateria nu ține o zi.",
    "hu": "Múlt hónapban vettem ezt a telefont, és az akkumulátor nem bírja egy napig.",
    "tr": "Bu telefonu geçen ay aldım ve pili bir gün bile dayanmıyor.",
    "id": "Saya membeli ponsel ini bulan lalu dan baterainya tidak bertahan satu hari.",
    "vi": "Tôi mua điện thoại này tháng trước và pin không dùng được một ngày.",
    "ru": "Я купил этот телефон в прошлом месяце, и батарея не держит даже один день.",
    "uk": "Я купив цей телефон минулого місяця, і батарея не тримає навіть один день.",
    "bg": "Купих този телефон миналия месец и батерията не издържа един ден.",
    "ar": "اشتريت هذا الهاتف في الشهر الماضي والبطارية لا تدوم يوما واحدا.",
    "fa": "این گوشی را ماه پیش خریدم و باتری آن یک روز هم دوام نمی‌آورد.",
    "hi": "मैंने यह फ़ोन पिछले महीने खरीदा था और इसकी बैटरी एक दिन भी नहीं चलती है।",
    "ja": "先月この電話を買いましたが、電池が一日もちません。",
    "zh": "我上个月买了这部手机，电池用不了一天。",
    "ko": "지난달에 이 전화기를 샀는데 배터리가 하루도 가지 않습니다.",
    "el": "Αγόρασα αυτό το τηλέφωνο τον περασμένο μήνα.",
    "he": "קניתי את הטלפון הזה בחודש שעבר.",
    "th": "ฉันซื้อโทรศัพท์เครื่องนี้เมื่อเดือนที่แล้ว",
}


@pytest.mark.parametrize("code", REVIEWS)
def test_a_review_is_in_its_language(code):
    assert detect_language(REVIEWS[code]) == code
    assert detect_language(unicodedata.normalize("NFD", REVIEWS[code])) == code


MIXED = "the cat и собака מים ועוד דבר and that was все что было"
"""Three scripts, none of which has half of the letters."""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "\x00\x1b[31m",
        "12345 - 66%",
        "SKU 4411-B",
        "Anna Schmidt Tokyo",
        "x" * 26_000,
        "🎉🎉",
        MIXED,
    ],
)
def test_what_is_no_prose_has_no_language(text):
    assert detect_language(text) is None


def test_a_quotation_does_not_change_the_language():
    assert detect_language(f"{REVIEWS['en']} He said: “das ist gut”. {REVIEWS['en']}") == "en"


def test_the_language_of_a_long_text_is_found_in_its_beginning():
    assert detect_language((REVIEWS["de"] + " ") * 400) == "de"


@given(st.text(max_size=300))
def test_any_text_gets_a_known_language_or_none(text):
    assert detect_language(text) in (None, *LANGUAGES)


def test_tags_of_regions_are_their_language():
    assert [language_code(tag) for tag in ("en", "en-GB", "zh_Hans", " NB ", "nn-NO")] == [
        "en",
        "en",
        "zh",
        "no",
        "no",
    ]


def test_counts_are_ordered_and_complete():
    counts = count_languages([REVIEWS["de"], REVIEWS["en"], REVIEWS["de"], None, "77"])
    assert list(counts.items()) == [("de", 2), ("unknown", 2), ("en", 1)]
    assert count_languages([]) == {}


def test_the_tables_hold_lower_case_words_of_known_languages():
    assert set(LETTERS) <= set(WORDS)
    for code, words in WORDS.items():
        assert words == words.lower(), code
        assert unicodedata.is_normalized("NFC", words), code
