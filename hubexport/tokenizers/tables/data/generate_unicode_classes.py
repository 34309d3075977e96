r"""Writes unicode_classes.json: letters, numbers and white space, as Hugging Face sees them.

    python hubexport/tokenizers/tables/data/generate_unicode_classes.py

These are \p{L}, \p{N} and \s of the regular expressions inside the package `tokenizers`, whose
Unicode version is its own affair. The pre-tokenizer that they matter for is asked about each code
point, so that the answers are those of the very expression that is to be followed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

UNICODE_CLASSES = Path(__file__).with_name("unicode_classes.json")
_AT_ONCE = 256


def classes() -> dict[str, Any]:
    """The content of unicode_classes.json; ranges are [first, last]."""
    import tokenizers

    from hubexport.tokenizers.tables.characters import CODE_POINTS, ranges

    with_letters = set(_joined("a{}1!", 1))
    with_numbers = set(_joined("a{}1!", 2))
    with_others = set(_joined("!{}!a", 1))
    white_space = set(CODE_POINTS) - with_letters - with_numbers - with_others
    return {
        "tokenizers": tokenizers.__version__,
        "letters": ranges(with_letters),
        # A space goes with a number behind it, too.
        "numbers": ranges(with_numbers - {ord(" ")}),
        "white_space": ranges(white_space | {ord(" ")}),
    }


def _joined(form: str, place: int) -> Iterable[int]:
    """The code points that, put into a form of 4 characters, are joined to the one before."""
    from tokenizers import pre_tokenizers

    from hubexport.tokenizers.tables.characters import CODE_POINTS

    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True).pre_tokenize_str
    for begin in range(0, len(CODE_POINTS), _AT_ONCE):
        part = CODE_POINTS[begin : begin + _AT_ONCE]
        starts = {start for _, (start, _) in split("".join(form.format(chr(c)) for c in part))}
        yield from (c for i, c in enumerate(part) if 4 * i + place not in starts)


def main() -> None:
    """Writes the file, one class a line."""
    rows = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in classes().items()]
    UNICODE_CLASSES.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
