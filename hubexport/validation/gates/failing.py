"""An artifact's own errors as measurements that do not hold."""

from __future__ import annotations

import re

from hubexport.validation.results import Measurement

_LONGEST = 300
_OF_NODE = re.compile(r"^(.+)\n\s*\[\[\{\{", re.MULTILINE)


def failure(what: str, error: BaseException) -> Measurement:
    """What did not work, with the line of the error that says why."""
    return Measurement(what, False, in_a_line(error))


def in_a_line(error: BaseException) -> str:
    """What an error says: of those of graphs the line in front of the node's name, or the first."""
    of_node = _OF_NODE.search(str(error))
    lines = [of_node[1]] if of_node else str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip() if lines else ''}"[:_LONGEST]
