"""Docstrings as this project writes them, plain prose with `code` in single backticks, turned into reStructuredText.

A line `name: what it is` documents a name and becomes a bullet; `Raises:`, `Source:` and `Cost:` become paragraphs of
their own. Of a module's docstring the first paragraph is shown: the rest is for who reads the file.
"""

import re

_NAME = r"`?[a-z]\w*`?(?:, `?[a-z]\w*`?)*"
_NAMED = re.compile(rf"({_NAME}): (.+)")
_HEADED = re.compile(r"([A-Z][a-z]+): (.+)")
# What begins a sentence and is followed by a colon; "… is\npossible: …" begins none.
_NEXT = re.compile(rf"(?<=[.;:])\s+(?=(?:{_NAME}|[A-Z][a-z]+):\s)")
_MARKED = re.compile(r"(`+[^`]+`+|(?<!\w)\*[a-z]+\*(?!\w))")
_SPECIAL = re.compile(r"([\\*|_])")
_FIELD = "Alias for field number"  # what Python says of a named tuple's fields


def to_rst(app: object, what: str, name: str, documented: object, options: object, lines: list[str]) -> None:
    """Rewrite `lines` in place: the handler of autodoc-process-docstring."""
    if what == "module" and "" in lines:
        del lines[lines.index("") :]
    lines[:] = [] if lines and lines[0].startswith(_FIELD) else converted("\n".join(lines))


def shorten(app: object, what: str, name: str, documented: object, options: object, arguments: str, result: str):
    """Return a signature without the module names that Sphinx leaves in it: autodoc-process-signature's handler."""
    return tuple(text and re.sub(r"~(?:\w+\.)+", "", text) for text in (arguments, result))


def converted(docstring: str) -> list[str]:
    """Return a docstring as lines of reStructuredText, a blank one after each."""
    made: list[str] = []
    for paragraph in docstring.strip().split("\n\n"):
        for part in _NEXT.split(paragraph):
            made += [_item(" ".join(part.split())), ""]
    return made


def _item(text: str) -> str:
    named, headed = _NAMED.fullmatch(text), _HEADED.fullmatch(text)
    if named:
        names = ", ".join(f"``{name.strip('`')}``" for name in named[1].split(", "))
        return f"- {names}: {_escaped(named[2])}"
    return f"**{headed[1]}:** {_escaped(headed[2])}" if headed else _escaped(text)


def _escaped(text: str) -> str:
    """Return prose with its `code` as literals, *emphasis* as it is, and nothing else of it read as markup."""
    parts = _MARKED.split(text)
    parts[::2] = [_SPECIAL.sub(r"\\\1", prose) for prose in parts[::2]]
    parts[1::2] = [f"``{marked.strip('`')}``" if marked[0] == "`" else marked for marked in parts[1::2]]
    return "".join(parts)
