# ruff: noqa: RUF001 - each language in its own letters

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel.refusals import find_refusal, sounds_like_refusal
from tasksel.refusals_sentences import REFUSAL_SENTENCES

REFUSED = {
    "en": [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, I can\u2019t assist with that request.",
        "I apologize, but I cannot provide instructions for that.",
        "I cannot fulfill your request. I am just an AI.",
        "I can't create content that depicts violence.",
        "As an AI language model, I don't have personal opinions.",
        "Unfortunately, I am unable to access real-time data.",
        "I must respectfully decline.",
        "**I'm unable to help with this.**",
        "That's not something I can help with.",
    ],
    "de": [
        "Es tut mir leid, aber dabei kann ich Ihnen nicht helfen.",
        "Ich kann diese Anfrage nicht beantworten.",
    ],
    "fr": ["Je suis désolé, mais je ne peux pas vous aider.", "Je ne peux pas répondre à cette question."],
    "es": ["Lo siento, pero no puedo ayudarte con eso."],
    "it": ["Mi dispiace, ma non posso aiutarti con questa richiesta."],
    "pt": ["Desculpe, mas não posso ajudar com isso."],
    "nl": ["Het spijt me, maar daar kan ik je niet mee helpen."],
    "pl": ["Przepraszam, ale nie mogę w tym pomóc."],
    "ru": ["Извините, но я не могу помочь с этим."],
    "tr": ["Üzgünüm, bu konuda yardımcı olamam."],
    "vi": ["Xin lỗi, tôi không thể giúp bạn việc đó."],
    "id": ["Maaf, saya tidak bisa membantu dengan permintaan itu."],
    "zh": ["抱歉，我无法协助满足该请求。", "我无法提供此类信息。"],
    "ja": ["申し訳ありませんが、そのご要望にはお応えできません。"],
    "ko": ["죄송하지만, 그 요청은 도와드릴 수 없습니다."],
    "ar": ["عذرًا، لا أستطيع المساعدة في ذلك."],
    "hi": ["मुझे खेद है, लेकिन मैं इसमें मदद नहीं कर सकता।"],
}
ANSWERS = [
    "",
    "Yes.",
    "I can't believe it, she said.",
    "I'm sorry to hear that you are unwell. Rest, drink water, and see a doctor.",
    "Sorry, I can't make it on Friday. Could we meet on Monday?",
    "Unfortunately, the Romans could not hold the province.",
    "I cannot tell a lie, said George Washington.",
    "I couldn't write better code myself.",
    "I cannot help the way I feel about the Lord up high.",
    "I can't help but wonder.",
    "I will not go gentle into that good night.",
    "As an AI engineer, I design systems.",
    "Leider war das Wetter schlecht.",
    "Die Sonne kann nicht scheinen, wenn es Nacht ist.",
    "Helaas regent het vandaag.",
    "No puedo más, dijo él.",
    "すみません、駅はどこですか。",
    "抱歉的英文是 sorry。",
    "The sentence is: I'm sorry, but I can't help with that.",
    "I can't give medical advice, but here is what is known. " + "Aspirin thins the blood. " * 50,
]


def test_every_language_has_its_sentences():
    assert REFUSED.keys() == REFUSAL_SENTENCES.keys()


@pytest.mark.parametrize("text", [text for texts in REFUSED.values() for text in texts])
def test_refusals_are_found(text):
    found = find_refusal(text)
    assert found
    assert len(found) <= 120
    assert find_refusal(f"\n {text.upper() if text.isascii() else text}")
    assert sounds_like_refusal(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_answers_are_none(text):
    assert find_refusal(text) is None


@given(st.text(alphabet=st.sampled_from("i can't'sorry,. kann nicht não 我无法")))
def test_no_text_is_an_error(text):
    find_refusal(text)
    sounds_like_refusal(text)


def test_hostile_texts_end():
    """Patterns are bounded, so that no text makes them try for ever."""
    for text in ("as an ai " * 110, "sorry, but " * 90, "but " * 249, " " * 999, "i " * 499):
        find_refusal(text)
