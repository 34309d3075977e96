"""Locations are taken out of programs, and nothing else; signatures are read."""

from __future__ import annotations

import pytest

from hubexport.stablehlo import program_text

TEXT = """#loc1 = loc("x.66")
#loc3 = loc("a(b \\" loc(c")
#loc = loc(unknown)
module @a_inference_encode_12__.4 attributes {mhlo.is_dynamic = false, mhlo.x = []} {
  func.func private @region.1(%arg0: tensor<f32> loc("x.66"), %arg1: tensor<f32> loc("y(")) -> \
tensor<f32> {
    %0 = stablehlo.add %arg0, %arg1 : tensor<f32> loc(#loc3)
    return %0 : tensor<f32> loc(#loc)
  } loc(#loc)
  func.func @main(%arg0: tensor<3x11xi32> loc("XLA_Args"), %arg1: tensor<bf16> \
loc(fused["a", "b"(#loc1)])) -> (tensor<3x11xi32>, tensor<2x0xi1>) {
    %0 = stablehlo.custom_call @mhlo.erf(%arg1) : (tensor<bf16>) -> tensor<bf16> loc(#loc)
    %1 = stablehlo.custom_call @some.library$x(%arg1) : (tensor<bf16>) -> tensor<bf16> loc(#loc)
    return %arg0, %2 : tensor<3x11xi32>, tensor<2x0xi1> loc(#loc)
  } loc(#loc)
} loc(#loc)
#loc9 = loc(fused[#loc1, #loc3])
"""

PLAIN = """module @encoder {
  func.func private @region.1(%arg0: tensor<f32>, %arg1: tensor<f32>) -> tensor<f32> {
    %0 = stablehlo.add %arg0, %arg1 : tensor<f32>
    return %0 : tensor<f32>
  }
  func.func @main(%arg0: tensor<3x11xi32>, %arg1: tensor<bf16>) -> \
(tensor<3x11xi32>, tensor<2x0xi1>) {
    %0 = stablehlo.custom_call @mhlo.erf(%arg1) : (tensor<bf16>) -> tensor<bf16>
    %1 = stablehlo.custom_call @some.library$x(%arg1) : (tensor<bf16>) -> tensor<bf16>
    return %arg0, %2 : tensor<3x11xi32>, tensor<2x0xi1>
  }
}
"""


def test_plain() -> None:
    assert program_text.plain(TEXT) == PLAIN
    assert program_text.plain(PLAIN) == PLAIN


def test_signature() -> None:
    arguments, results = program_text.signature(PLAIN)
    assert arguments == [("int32", (3, 11)), ("bfloat16", ())]
    assert results == [("int32", (3, 11)), ("bool", (2, 0))]


def test_one_result() -> None:
    text = "func.func public @main() -> tensor<4xf16> {\n  return %0 : tensor<4xf16>\n}"
    assert program_text.signature(text) == ([], [("float16", (4,))])


@pytest.mark.parametrize(
    "text",
    [
        "module @encoder {\n}",
        "func.func @main(%arg0: tensor<3xf32>",
        "func.func @main(%arg0: tensor<?xf32>) -> tensor<f32> {\n}",
        "func.func @main(%arg0: tensor<3xcomplex<f32>>) -> tensor<f32> {\n}",
    ],
)
def test_signatures_that_are_not_understood(text: str) -> None:
    with pytest.raises(ValueError, match=r"no function|not closed|of the type"):
        program_text.signature(text)


def test_custom_calls() -> None:
    assert program_text.custom_calls(PLAIN) == ["mhlo.erf", "some.library$x"]
