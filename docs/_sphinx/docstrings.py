"""Docstrings as this project writes them, plain prose with `code` in single backticks, turned into reStructuredText.

A line `name: what it is` documents a name and becomes a bullet; `Raises:`, `Source:` and `Cost:` become paragraphs of
their own. Of a module's docstring the first paragraph is shown: the rest is for who reads the file.
"""

import re

_NAME = r"`?[a-z]\w*`?(?:, `?[a-z]\w*`?)*"
_NAMED = re.compile(rf"^({_NAME}): (.+)$")
_HEADED = re.compile(r"^([A-Z][a-z]+): (.+)$")
# Several names may be documented in one line, sentence by sentence.
_NEXT_NAME = re.compile(rf"(?<=[.;]) (?={_NAME}: )")
_CODE = re.compile(r"(`+[^`]+`+)")
_SPECIAL = re.compile(r"([\\*|_])")


def to_rst(app: object, what: str, name: str, documented: object, options: object, lines: list[str]) -> None:
    """Rewrite `lines` in place: the handler of autodoc-process-docstring."""
    lines[:] = converted(lines[: lines.index("")] if what == "module" and "" in lines else lines)


def converted(lines: list[str]) -> list[str]:
    """Return a docstring's lines as lines of reStructuredText.

    A line that goes on in the next one, indented or not, is joined with it.
    """
    made: list[str] = []
    for paragraph in "\n".join(lines).strip().split("\n\n"):
        for item in _items(paragraph):
            named, headed = _NAMED.match(item), _HEADED.match(item)
            if named:
                names = ", ".join(f"``{name.strip('`')}``" for name in named[1].split(", "))
                made.append(f"- {names}: {_escaped(named[2])}")
            else:
                made.append(f"**{headed[1]}:** {_escaped(headed[2])}" if headed else _escaped(item))
            made.append("")
    return made


def _items(paragraph: str) -> list[str]:
    """Return what a paragraph says, one string for each name that it documents and for each prose in between."""
    items: list[str] = []
    for line in paragraph.split("\n"):
        for part in _NEXT_NAME.split(line.strip()):
            # "… is" at the end of one line and "possible: …" in the next are a sentence.
            begins = not items or (items[-1].endswith((".", ";", ":")) and _NAMED.match(part)) or _HEADED.match(part)
            if begins:
                items.append(part)
            else:
                items[-1] = f"{items[-1]} {part}"
    return items


def _escaped(text: str) -> str:
    """Return prose with its `code` as literals and nothing else of it read as markup."""
    parts = _CODE.split(text)
    return "".join(f"``{part.strip('`')}``" if _CODE.fullmatch(part) else _SPECIAL.sub(r"\\\1", part) for part in parts)
