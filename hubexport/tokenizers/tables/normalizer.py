"""Character maps in the format of tensorflow_text's FastBertNormalizer.

The op replaces each code point by a string. Its own table is NFKC with case folding, which is not
what tokenizers do; with a table of ours it applies any map from code points to strings.

Format: tensorflow_text/core/kernels/fast_bert_normalizer_model.fbs and fast_bert_normalizer.h: a
flatbuffer of a double array (UTF-8 of the code point -> where its replacement lies), the entry
of U+0000, which cannot be a key, and the replacements.
"""

from __future__ import annotations

from collections.abc import Mapping

import flatbuffers
import numpy as np

from hubexport.tokenizers.tables.double_array import build_code_point_array

MAXIMUM_BYTES = 63
"""Of one replacement, in UTF-8."""
_REPLACED = 1 << 30


def build_normalizer(replacements: Mapping[int, str]) -> np.ndarray:
    """The model buffer of a map from code points to what stands in their place.

    Args:
      replacements: code point -> at most 63 bytes of text; "" drops the character. What is not
        among them stays as it is.

    Returns:
      uint8 [bytes], for the argument `model_buffer` of the op.

    Raises:
      ValueError: a replacement is too long.
    """
    pool = bytearray()
    entry_of: dict[str, int] = {}
    entries: dict[int, int] = {}
    for code_point, replacement in sorted(replacements.items()):
        if replacement not in entry_of:
            data = replacement.encode()
            if len(data) > MAXIMUM_BYTES:
                raise ValueError(f"U+{code_point:04X} cannot be replaced by {len(data)} bytes.")
            entry_of[replacement] = _REPLACED | len(pool) << 6 | len(data)
            pool += data
        entries[code_point] = entry_of[replacement]
    of_zero = entries.pop(0, 0)
    units = build_code_point_array(entries)

    builder = flatbuffers.Builder(units.nbytes + len(pool) + 1024)
    pool_vector = builder.CreateByteVector(bytes(pool) or b"\0")
    units_vector = builder.CreateNumpyVector(units)
    builder.StartObject(4)
    # Field 0 only tells what the table was made for; the kernel does not act on it.
    builder.PrependBoolSlot(0, True, False)
    builder.PrependUOffsetTRelativeSlot(1, units_vector, 0)
    builder.PrependInt32Slot(2, of_zero, 0)
    builder.PrependUOffsetTRelativeSlot(3, pool_vector, 0)
    builder.Finish(builder.EndObject())
    return np.frombuffer(bytes(builder.Output()), np.uint8)
