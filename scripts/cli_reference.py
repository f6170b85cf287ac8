"""Write docs/reference/cli.md: every verb of the command line with its arguments and options.

``python scripts/cli_reference.py`` writes the page, ``--check`` only says whether it is up to date (exit
code 1 where it is not).
"""

from __future__ import annotations

import argparse
import inspect
import sys
import typing
from pathlib import Path
from typing import Any

import typer

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
_TYPE_NAMES = {int: "INT", float: "NUMBER", str: "TEXT", Path: "PATH"}
_INTRODUCTION = """\
# Command line

<!-- made by scripts/cli_reference.py -->

`tasksel VERB --help` shows the same in a terminal. In Python the options have these names with `_` for `-`.

What holds of every verb (exit codes, output, stopping, completion) stands in
[In a terminal and in scripts](../terminal.md).
"""


def reference() -> str:
    """Return the page."""
    from tasksel.cli import app

    parts = [_INTRODUCTION]
    parts += [
        _verb(command, f"tasksel {name}", 2) for name, command in _commands(typer.main.get_command(app))
    ]
    return "\n".join(parts)


def _commands(group: Any) -> list[tuple[str, Any]]:
    return [(name, command) for name, command in group.commands.items() if not command.hidden]


def _verb(command: Any, path: str, level: int) -> str:
    """Return the section of a verb, and of the verbs below it."""
    head = f"{'#' * level} {path}\n\n{_paragraphs(command.help)}\n"
    if hasattr(command, "commands"):
        return (
            head
            + "\n"
            + "\n".join(_verb(sub, f"{path} {name}", level + 1) for name, sub in _commands(command))
        )
    hints = typing.get_type_hints(inspect.unwrap(command.callback))
    shown = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = [each for each in shown if not each.opts[0].startswith("-")]
    options = [each for each in shown if each.opts[0].startswith("-")]
    usage = " ".join([path, *map(_argument_name, arguments), *(["[OPTIONS]"] if options else [])])
    parts = [head, f"```text\n{usage}\n```\n"]
    argument_rows = [f"| `{_argument_name(each)}` | {_cell(each.help)} |" for each in arguments]
    option_rows = [_option_row(each, hints.get(each.name)) for each in options]
    parts += _table("| argument | what it is |\n|---|---|", argument_rows)
    parts += _table("| option | default | what it does |\n|---|---|---|", option_rows)
    return "\n".join(parts)


def _table(head: str, rows: list[str]) -> list[str]:
    return ["\n".join([head, *rows]) + "\n"] if rows else []


def _paragraphs(text: str | None) -> str:
    return inspect.cleandoc(text or "").replace("\b", "").strip()


def _argument_name(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    name = name.strip("[]").removesuffix("...")
    many = "..." if argument.nargs == -1 else ""
    return f"{name}{many}" if argument.required else f"[{name}{many}]"


def _option_row(option: Any, hint: Any) -> str:
    names = " ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if not option.is_flag and not option.count:
        names += f" `{option.metavar or _type_name(hint)}`"
    return f"| {names} | {_default(option)} | {_cell(option.help)}{_repeatable(option)} |"


def _type_name(hint: Any) -> str:
    """Return what stands for the value: of ``int | None`` and ``list[int] | None`` it is that of ``int``."""
    members = [each for each in typing.get_args(hint) if each is not type(None)] or [hint]
    inner = typing.get_args(members[0]) or (members[0],)
    return _TYPE_NAMES.get(inner[0], "TEXT")


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if option.is_flag or option.default is None or option.default in ("", [], ()):
        return ""
    return f"`{option.default}`"


def _repeatable(option: Any) -> str:
    return " May be given several times." if option.multiple else ""


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;")


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where it would change")
    check = parser.parse_args(arguments).check
    page = reference()
    if not check:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page, encoding="utf-8")
        return 0
    return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page)


if __name__ == "__main__":
    sys.exit(main())
