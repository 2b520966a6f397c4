"""One text of a statement for two engines.

Most SQL is written alike. Where the spelling differs, `either(ours, theirs)` puts both into the text between control characters,
and `render` leaves one of them. They nest, so a generator uses them in f-strings without a thought.
"""

OURS, THEIRS = 0, 1
_OPEN, _BETWEEN, _CLOSE = "\x01", "\x02", "\x03"


def either(ours, theirs):
    """`ours` for hourglass, `theirs` for DuckDB."""
    return f"{_OPEN}{ours}{_BETWEEN}{theirs}{_CLOSE}"


def render(text, dialect):
    """The text as one of the engines reads it."""
    # A list of the texts of each open pair, the last of them being written.
    levels = [[[]]]
    for char in text:
        if char == _OPEN:
            levels.append([[]])
        elif char == _BETWEEN:
            levels[-1].append([])
        elif char == _CLOSE:
            chosen = levels.pop()[dialect]
            levels[-1][-1].extend(chosen)
        else:
            levels[-1][-1].append(char)
    return "".join(levels[0][0])
