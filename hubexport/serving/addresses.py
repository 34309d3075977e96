"""What a request asks for, from its target alone; nothing here looks at files.

Names are taken for handles or refused by `publishing.handle`, so that no other name, such as `..`,
ever gets as far as a path.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from hubexport.errors import UsageError
from hubexport.publishing.handle import Handle, Model, parse_either, parse_handle

FORMAT = "tf-hub-format"
"""The field of a query by which clients say that they want a model, and not its page."""


@dataclass(frozen=True)
class Address:
    """The target of a request.

    Attributes:
      path: decoded, from the first slash on.
      query: as it was sent.
      raw_path: as it was sent.
    """

    path: str
    query: str
    raw_path: str

    @property
    def fields(self) -> dict[str, str]:
        """Of the query; where one is given several times, the last: clients append theirs."""
        # What is no UTF-8 becomes question marks, here as in what is escaped.
        query = self.query.encode("utf-8", "replace").decode()
        try:
            return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=100))
        except ValueError:
            return {}

    def relative(self, target: str) -> str:
        """A reference to `target`, which is relative to this address, with the query kept.

        Only characters that a URL may have are in it, whatever was sent.
        """
        try:
            sent = self.query.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # what stands for no byte that could have been sent
            sent = self.query.encode("utf-8", "replace")
        query = quote(sent, safe="%!$&'()*+,;=:@/?-._~")
        return f"{target}?{query}" if query else target


@dataclass(frozen=True)
class File:
    """A file of a version; `name` may be of none."""

    handle: Handle
    name: str


def read_target(target: str) -> Address | None:
    """The parts of a request's target; None where it cannot be one of ours.

    Args:
      target: `/path?query` as sent, or a whole URL, which servers must take, too.
    """
    if not target.startswith("/"):
        _, found, rest = target.partition("://")
        if not found:
            return None
        target = "/" + rest.partition("/")[2]
    raw_path, _, query = target.partition("#")[0].partition("?")
    try:
        # Not what `surrogateescape` made of other bytes: they are not a name of ours.
        path = unquote_to_bytes(raw_path).decode("utf-8")
    except ValueError:
        return None
    return Address(path, query, raw_path)


def read_name(path: str) -> Handle | Model | File | None:
    """What a path without its first slash names; None where it can be no such name."""
    try:
        model, version = parse_either(path)
    except UsageError:
        model, version = None, None
    if model is not None and version is not None:
        return Handle(model, version)
    head, _, name = path.rpartition("/")
    try:
        return File(parse_handle(head), name)
    except UsageError:
        return model
