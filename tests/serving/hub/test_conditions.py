"""Conditions and ranges, against RFC 9110's own examples and a plain reading of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubexport.serving.conditions import Span, UnsatisfiableError, asked_span, names

ETAG = '"xyzzy"'


class TestNames:
    @pytest.mark.parametrize(
        ("header", "weak", "strong"),
        [
            ('"xyzzy"', True, True),
            ('W/"xyzzy"', True, False),
            ('"r2d2xxxx", "xyzzy" , "c3piozzzz"', True, True),
            ('W/"xyzzy", W/"r2d2xxxx"', True, False),
            ("*", True, True),
            (" * ", True, True),
            ('"other"', False, False),
            ('"XYZZY"', False, False),
            ("xyzzy", False, False),
            ('"xyzzy', False, False),
            ('w/"xyzzy"', False, False),
            ('"a", xyzzy"', False, False),
            ("", False, False),
            (",,", False, False),
            ('"has,comma", "xyzzy"', True, True),
        ],
    )
    def test_lists_of_tags(self, header: str, weak: bool, strong: bool) -> None:
        assert names(header, ETAG, weak=True) == weak
        assert names(header, ETAG, weak=False) == strong

    @given(st.text(max_size=200))
    def test_any_text_has_an_answer(self, header: str) -> None:
        assert names(header, ETAG, weak=True) in (True, False)

    def test_long_lists_take_no_time(self) -> None:
        assert not names('"a",' * 2000 + "x", ETAG, weak=True)
        assert not names(", \t" * 2000 + "x", ETAG, weak=True)


class TestRanges:
    @pytest.mark.parametrize(
        ("header", "span"),
        [
            ("bytes=0-499", Span(0, 500)),
            ("bytes=500-999", Span(500, 500)),
            ("bytes=-500", Span(9500, 500)),
            ("bytes=9500-", Span(9500, 500)),
            ("bytes=0-0", Span(0, 1)),
            ("bytes=-1", Span(9999, 1)),
            ("bytes=-20000", Span(0, 10000)),
            ("bytes=9999-20000", Span(9999, 1)),
            ("Bytes=0-", Span(0, 10000)),
            (f"bytes=0-{'9' * 5000}", Span(0, 10000)),
            (f"bytes=-{'9' * 5000}", Span(0, 10000)),
        ],
    )
    def test_one(self, header: str, span: Span) -> None:
        assert asked_span(header, 10000) == span

    @pytest.mark.parametrize(
        "header",
        [
            "bytes=0-0,-1", "bytes=500-600,601-999", "bytes=0-0, ", "lines=0-5", "bytes", "bytes=",
            "bytes=-", "bytes=a-b", "bytes=5-3", "bytes=+1-3", "bytes=1.5-3", "bytes=0x1-3",
            "bytes=1-3-5", "bytes=\u0661-\u0663", "0-5", "",
        ],
    )  # fmt: skip
    def test_others_are_ignored(self, header: str) -> None:
        assert asked_span(header, 10000) is None

    @pytest.mark.parametrize(
        "header", ["bytes=10000-", "bytes=10000-10005", "bytes=-0", f"bytes={'9' * 5000}-"]
    )
    def test_nothing_of_the_file(self, header: str) -> None:
        with pytest.raises(UnsatisfiableError):
            asked_span(header, 10000)

    @given(
        st.integers(0, 30), st.one_of(st.none(), st.integers(0, 40)),
        st.one_of(st.none(), st.integers(0, 40)),
    )  # fmt: skip
    def test_they_are_what_slices_are(self, size: int, first: int | None, last: int | None) -> None:
        content = bytes(range(size))
        if first is None and last is None:
            expected = None
        elif first is None:
            expected = content[-last:] if last else b""
        elif last is not None and last < first:
            expected = None
        else:
            expected = content[first : None if last is None else last + 1]
        header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
        try:
            span = asked_span(header, size)
        except UnsatisfiableError:
            assert expected == b""
            return
        if span is None:
            assert expected is None
        else:
            assert content[span.start : span.start + span.count] == expected
            assert span.content_range(size).startswith(f"bytes {span.start}-")
