"""Count the responses of a file that read like refusals: how often the sentences of `tasksel.refusals` occur.

    python scripts/find_refusals.py dolly.parquet --column response

prints how many there are and each with the words by which it is known, so that a person can judge them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

from tasksel.refusals import find_refusal


def main() -> None:
    """Read the file, print what is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path, help="Parquet with a column of responses")
    parser.add_argument("--column", default="response")
    parser.add_argument("--shown", type=int, default=10, help="how many to print")
    arguments = parser.parse_args()
    responses = pl.read_parquet(arguments.file, columns=[arguments.column])[arguments.column].drop_nulls()
    found = [(words, text) for text in responses if (words := find_refusal(text)) is not None]
    print(f"{len(found):,} of {len(responses):,} responses read like refusals")
    for words, text in found[: arguments.shown]:
        print(f"- {words} | {' '.join(text.split())[:100]}")


if __name__ == "__main__":
    main()
