"""How often the language of a text is named rightly, on the translations of any program.

Usage: python scripts/measure_text_language.py FOLDER [--min-chars 60]

FOLDER is searched for ``locale/CODE/LC_MESSAGES/*.mo``, as an installed Django has them. Interface texts are
short and full of names, harder than prose. Prints a Markdown table: texts, right, none, wrong, and the
language most often named instead.
"""

from __future__ import annotations

import argparse
import gettext
import re
from collections import Counter
from pathlib import Path

from tasksel.text_language import LANGUAGES, detect_language, language_code

_CODES = {"zh_Hans": "zh", "zh_Hant": "zh", "sr_Latn": "hr", "bs": "hr"}
_PLACEHOLDER = re.compile(r"%\(\w+\)\w|%\w|<[^>]+>|\{[^}]*\}")


def read_translations(folder: Path) -> dict[str, set[str]]:
    """Read the translated texts of each locale, without their placeholders."""
    texts: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("LC_MESSAGES/*.mo")):
        with path.open("rb") as file:
            catalog = gettext.GNUTranslations(file)._catalog
        found = {_PLACEHOLDER.sub("", text) for key, text in catalog.items() if key}
        texts.setdefault(path.parts[-3], set()).update(found)
    return texts


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--min-chars", type=int, default=60)
    arguments = parser.parse_args()
    print("| locale | texts | right | none | wrong | most often instead |\n|---|--:|--:|--:|--:|---|")
    total: Counter[str] = Counter()
    for locale, texts in sorted(read_translations(arguments.folder).items()):
        wanted = _CODES.get(locale, language_code(locale))
        kept = [text for text in sorted(texts) if len(text) >= arguments.min_chars]
        if wanted not in LANGUAGES or not kept:
            continue
        found = Counter(detect_language(text) for text in kept)
        others = Counter({code: n for code, n in found.items() if code not in (wanted, None)})
        instead = ", ".join(str(code) for code, _ in others.most_common(1))
        counts = {"right": found[wanted], "none": found[None], "wrong": others.total()}
        total.update(counts)
        shares = " | ".join(f"{count / len(kept):.1%}" for count in counts.values())
        print(f"| {locale} | {len(kept):,} | {shares} | {instead} |")
    n_texts = max(1, total.total())
    print(f"| all | {total.total():,} | " + " | ".join(f"{n / n_texts:.1%}" for n in total.values()) + " | |")


if __name__ == "__main__":
    main()
