"""Hooks of ``mkdocs build``: files of the repository that pages link to become pages of the site.

On a plain view of the repository a page in ``docs/`` links to ``../../studies/base.toml`` or
``../ARCHITECTURE.md``. Those stand outside of what mkdocs builds, so that the links would break. Here each
such file is added to the site under ``repository/``, Markdown as it is and anything else in a block of code,
and the links are turned to it. Links stay as they are in the files.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from mkdocs.structure.files import File, InclusionLevel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

FOLDER: Final = "repository"
"""Folder of the site that holds what stands outside ``docs/``."""
_LINK = re.compile(r"(?<=\]\()(?P<path>[^)\s#:]+)(?=[)#])")
_FENCED = re.compile(r"^(```|~~~).*?^\1\s*$", flags=re.MULTILINE | re.DOTALL)
_LANGUAGES: Final = {".toml": "toml", ".json": "json", ".py": "python", ".yml": "yaml"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every file outside ``docs/`` that a page links to, and those that these link to."""
    root, docs = Path(config.config_file_path).parent, Path(config.docs_dir)
    waiting = [(docs / each.src_uri).resolve() for each in files if each.is_documentation_page()]
    seen: set[Path] = set()
    while waiting:
        source = waiting.pop()
        for target in _targets(source):
            if target in seen or target.is_relative_to(docs) or not target.is_relative_to(root):
                continue
            seen.add(target)
            files.append(_page_of(target, root, config))
            waiting += [target] if target.suffix == ".md" else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files outside ``docs/`` to their pages; links of such pages start where they stand."""
    root, docs = Path(config.config_file_path).parent, Path(config.docs_dir)
    here = page.file.src_uri
    inside = PurePosixPath(here).is_relative_to(FOLDER)
    folder = (root / PurePosixPath(here).relative_to(FOLDER) if inside else docs / here).parent

    def turn(match: re.Match[str]) -> str:
        target = (folder / match["path"]).resolve()
        uri = _site_uri(target, root, docs)
        if uri is None or files.get_file_from_path(uri) is None:
            return match["path"]
        return posixpath.relpath(uri, posixpath.dirname(here) or ".")

    return _outside_code(markdown, lambda text: _LINK.sub(turn, text))


def _targets(source: Path) -> Iterator[Path]:
    text = _FENCED.sub("", source.read_text(encoding="utf-8"))
    for match in _LINK.finditer(text):
        target = (source.parent / match["path"]).resolve()
        if target.is_file():
            yield target


def _site_uri(target: Path, root: Path, docs: Path) -> str | None:
    """Return where a file of the repository stands in the site; None for what is not in the repository."""
    if target == root / "README.md":
        return "index.md"
    if target.is_relative_to(docs):
        return target.relative_to(docs).as_posix()
    if not target.is_relative_to(root):
        return None
    path = target.relative_to(root).as_posix()
    return f"{FOLDER}/{path}" if path.endswith(".md") else f"{FOLDER}/{path}.md"


def _page_of(target: Path, root: Path, config: MkDocsConfig) -> File:
    uri = _site_uri(target, root, Path(config.docs_dir)) or ""
    text = target.read_text(encoding="utf-8")
    if target.suffix != ".md":
        language = _LANGUAGES.get(target.suffix, "text")
        text = f"# {target.name}\n\n`{target.relative_to(root).as_posix()}`\n\n````{language}\n{text}\n````\n"
    # Most of these files are reached by links alone.
    return File.generated(config, uri, content=text, inclusion=InclusionLevel.NOT_IN_NAV)


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    parts, end = [], 0
    for block in _FENCED.finditer(markdown):
        parts += [change(markdown[end : block.start()]), block.group()]
        end = block.end()
    return "".join([*parts, change(markdown[end:])])
