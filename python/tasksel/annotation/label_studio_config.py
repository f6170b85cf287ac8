"""The labelling interface of Label Studio, as XML, for a pool's prompts."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import quoteattr

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NOTE", "PROMPT", "REJECTED_CHOICE", "RESPONSE", "VERDICT", "labelling_config", "shown_guidelines"]

PROMPT: Final = "prompt"
RESPONSE: Final = "response"
VERDICT: Final = "verdict"
NOTE: Final = "note"
"""Names of the tags, under which an export has what was entered."""
REJECTED_CHOICE: Final = "rejected"
_ANSWER_ROWS: Final = 8
_AS_IT_STANDS: Final = "white-space: pre-wrap; max-width: 100%"
"""Code and tables are read by their white space, which a browser would fold."""


def labelling_config(*, choices: Sequence[str] = (), has_tasks: bool) -> str:
    """Write the interface: the prompt, a place for the answer, and a way to say that there can be none.

    Parameters
    ----------
    choices : sequence of str
        The answers that there are, as buttons; without any the answer is typed.
    has_tasks : bool
        Show the task above the prompt.

    Returns
    -------
    str
        XML. Prompts and tasks are not in it: Label Studio fills in ``$prompt`` and ``$task`` as text.

    Examples
    --------
    >>> print(labelling_config(choices=['a "<b>"', "c"], has_tasks=False).splitlines()[6].strip())
    <Choice value='a "&lt;b&gt;"'/>
    """
    lines = ['<View className="tasksel">']
    if has_tasks:
        lines.append('  <Header value="$task" size="5"/>')
    lines += [
        f'  <View style="{_AS_IT_STANDS}">',
        f'    <Text name="{PROMPT}" value="$prompt"/>',
        "  </View>",
        '  <Header value="Answer" size="5"/>',
    ]
    if choices:
        lines.append(f'  <Choices name="{RESPONSE}" toName="{PROMPT}" choice="single-radio">')
        lines += [f"    <Choice value={quoteattr(choice)}/>" for choice in choices]
        lines.append("  </Choices>")
    else:
        lines.append(
            f'  <TextArea name="{RESPONSE}" toName="{PROMPT}" rows="{_ANSWER_ROWS}" maxSubmissions="1" '
            'editable="true" placeholder="The whole answer"/>'
        )
    lines += [
        '  <Header value="No answer is possible" size="5"/>',
        f'  <Choices name="{VERDICT}" toName="{PROMPT}" choice="single">',
        f'    <Choice value="This prompt cannot be used" alias="{REJECTED_CHOICE}"/>',
        "  </Choices>",
        (
            f'  <TextArea name="{NOTE}" toName="{PROMPT}" rows="1" maxSubmissions="1" editable="true" '
            'placeholder="A note, if there is something to say"/>'
        ),
        "</View>",
    ]
    return "\n".join(lines) + "\n"


def shown_guidelines(text: str) -> str:
    r"""Return guidelines as the HTML that Label Studio shows before the first task: text, and nothing else.

    Examples
    --------
    >>> shown_guidelines("Be brief.\n\n<script>")
    '<p>Be brief.</p><p>&lt;script&gt;</p>'
    """
    paragraphs = [each.strip() for each in text.replace("\r\n", "\n").split("\n\n") if each.strip()]
    return "".join(f"<p>{html.escape(each).replace(chr(10), '<br>')}</p>" for each in paragraphs)
