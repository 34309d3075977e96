"""StableHLO programs as MLIR text: made smaller, and their signatures.

Text, because people can read it, locations can be taken out, and the parsers of the JAX releases
that are supported take what TensorFlow's print. TensorFlow cannot write StableHLO's portable
artifacts; its plain bytecode promises nothing between builds of MLIR either.
"""

from __future__ import annotations

import re

# A string, which may hold parentheses, or anything that opens or closes.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[()]')
_LOCATION = re.compile(r" ?\bloc\(")
_ALIAS = re.compile(r"^#loc\d* = .*\n?", re.MULTILINE)
# Said of HLO modules, not of programs: empty or false here, and of a dialect that parsers may lack.
_MODULE = re.compile(r"^module @\S+( attributes \{mhlo\.[^\n]*\})? \{$", re.MULTILINE)
_MAIN = re.compile(r"func\.func (?:public )?@main\(")
_TENSOR = re.compile(r"tensor<([^>]*)>")
_CUSTOM_CALL = re.compile(r"stablehlo\.custom_call @([\w.$-]+)")

_DTYPES = {
    "i1": "bool",
    "ui8": "uint8",
    "bf16": "bfloat16",
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"f{bits}": f"float{bits}" for bits in (16, 32, 64)},
}

Signature = list[tuple[str, tuple[int, ...]]]
"""numpy's (or ml_dtypes') name of the dtype, and the shape, of each value."""


def plain(text: str) -> str:
    """The program without source locations, module attributes, and numbers in the module's name.

    Locations are half of it, and the numbers differ each time.
    """
    text = _ALIAS.sub("", text)
    kept, end = [], 0
    while match := _LOCATION.search(text, end):
        kept.append(text[end : match.start()])
        end = _closing(text, match.end())
    kept.append(text[end:])
    return _MODULE.sub("module @encoder {", "".join(kept), count=1)


def signature(text: str) -> tuple[Signature, Signature]:
    """Types of @main's arguments and of its results, of a program that `plain` gave.

    Raises:
      ValueError: there is no @main, or it has types of other kinds.
    """
    match = _MAIN.search(text)
    if match is None:
        raise ValueError("no function @main")
    end = _closing(text, match.end())
    arguments = text[match.end() : end]
    header_end = text.find("{\n", end)
    return _types(arguments), _types(text[end:header_end])


def custom_calls(text: str) -> list[str]:
    """Names of the functions outside StableHLO that the program calls, without doubles."""
    return sorted(set(_CUSTOM_CALL.findall(text)))


def _closing(text: str, start: int) -> int:
    """Where the parenthesis that was opened just before `start` has been closed."""
    depth = 1
    for token in _TOKEN.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if not depth:
            return token.end()
    raise ValueError("a parenthesis that is not closed")


def _types(text: str) -> Signature:
    found: Signature = []
    for content in _TENSOR.findall(text):
        *dims, element = content.split("x")
        if element not in _DTYPES or not all(dim.isdigit() for dim in dims):
            raise ValueError(f"a value of the type tensor<{content}>")
        found.append((_DTYPES[element], tuple(map(int, dims))))
    return found
