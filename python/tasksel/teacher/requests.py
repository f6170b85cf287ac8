"""From prompts to requests: equal prompts are asked once, each sample and each try under a key of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tasksel.providers import Ask, ChatRequest, Message
from tasksel.reply_journal import request_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

    from tasksel.providers import Provider
    from tasksel.reply_journal import JournalEntry
    from tasksel.teacher.settings import TeacherSettings

__all__ = ["MOST_TRIES", "TeacherPrompt", "TeacherRequests", "asked_ids", "gather_prompts"]

MOST_TRIES: Final = 3
"""A reply that cannot be read, such as a gateway's page, is asked for so often in all."""
_IDS: Final = "ids"
_PROMPT: Final = "prompt_sha256"


@dataclass(frozen=True)
class TeacherPrompt:
    """A text that is asked, and the rows that it is the prompt of.

    Parameters
    ----------
    text : str
        The prompt.
    sha256 : str
        Of the text.
    ids : tuple of str
        Rows with this prompt, best first.
    """

    text: str
    sha256: str
    ids: tuple[str, ...]


def gather_prompts(frame: pl.DataFrame) -> list[TeacherPrompt]:
    """Put the rows of equal prompts together, in the order of the first of each.

    Parameters
    ----------
    frame : DataFrame
        ``id``, ``prompt`` and ``prompt_sha256``.
    """
    ids: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for identifier, text, sha256 in frame.select("id", "prompt", "prompt_sha256").iter_rows():
        ids.setdefault(sha256, []).append(identifier)
        texts[sha256] = text
    return [TeacherPrompt(texts[sha256], sha256, tuple(found)) for sha256, found in ids.items()]


def asked_ids(entries: Mapping[str, JournalEntry]) -> dict[str, set[str]]:
    """Return the rows that requests in a journal were for, by the hash of their prompt."""
    found: dict[str, set[str]] = {}
    for entry in entries.values():
        sha256, ids = entry.facts.get(_PROMPT), entry.facts.get(_IDS, ())
        if isinstance(sha256, str) and isinstance(ids, list):
            found.setdefault(sha256, set()).update(ids)
    return found


@dataclass
class TeacherRequests:
    """Writes the requests of a teacher.

    Parameters
    ----------
    settings : TeacherSettings
        How it is asked.
    provider : Provider
        Writes bodies; nothing is sent here.
    """

    settings: TeacherSettings
    provider: Provider
    _keys: dict[tuple[str, int, int], str] = field(default_factory=dict, repr=False)

    def messages(self, prompt: TeacherPrompt) -> tuple[Message, ...]:
        """Return what the model reads."""
        user = Message("user", self.settings.render(prompt.text))
        return (Message("system", self.settings.system), user) if self.settings.system.strip() else (user,)

    def key(self, prompt: TeacherPrompt, sample: int, tries: int = 0) -> str:
        """Return the key of a request.

        Parameters
        ----------
        prompt : TeacherPrompt
            What is asked.
        sample, tries : int
            Which answer, and how often it was asked for before; both from 0.
        """
        place = (prompt.sha256, sample, tries)
        if place not in self._keys:
            attempt = sample + self.settings.samples * tries
            self._keys[place] = request_key(self._body(prompt, sample), attempt=attempt)
        return self._keys[place]

    def ask(self, prompt: TeacherPrompt, sample: int, tries: int = 0) -> Ask:
        """Return a request with what the journal keeps of it."""
        facts = {_PROMPT: prompt.sha256, _IDS: list(prompt.ids), "sample": sample}
        return Ask(
            self.key(prompt, sample, tries),
            self._body(prompt, sample),
            self.messages(prompt),
            self.settings.max_tokens,
            facts,
        )

    def first_asks(self, prompts: Iterable[TeacherPrompt]) -> list[Ask]:
        """Return the first try of every sample, all samples of a prompt side by side."""
        return [self.ask(prompt, sample) for prompt in prompts for sample in range(self.settings.samples)]

    def _body(self, prompt: TeacherPrompt, sample: int) -> dict[str, Any]:
        settings = self.settings
        request = ChatRequest(
            self.messages(prompt),
            temperature=float(settings.temperature or 0.0),
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
            seed=None if settings.seed is None else settings.seed + sample,
        )
        return self.provider.make_body(request)
