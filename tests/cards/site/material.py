"""Records and texts made up for the site's tests: plausible numbers, no artifacts."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hubexport.cards.loading import Catalogue, load_catalogue
from hubexport.cards.schema import Card, EncoderCard
from hubexport.cards.site.rendering import render_site
from tests.cards.material import MODEL_CARDS, ROOT
from tests.cards.rendering.exported import head_entry

TEMPLATES = ROOT / "templates"
SMALL = "tensorflow/small_bert"
LAYERS, HIDDEN = (2, 4, 6, 8, 10, 12), (128, 256, 512, 768)

BODY = """\
## Overview

An *encoder* of text. See [its preprocessor](#inputs) and [the release](https://example.org/bert).

## Usage

```python
import tensorflow as tf
import tensorflow_hub as hub

encoder = hub.KerasLayer("path/of/the/encoder/that/is/long/enough/to/scroll", trainable=True)
outputs = encoder({"input_word_ids": ids, "input_mask": mask, "input_type_ids": types})  # 1 of 3
pooled = outputs["pooled_output"]
```

### Inputs

- `input_word_ids`: ids of pieces.
- `input_mask`: 1 where there is a piece.

### Outputs

| output | dtype | shape | what it is |
|---|---|---|---|
| `pooled_output` | float32 | [batch, hidden size] | a vector for each text, from its first token |
| `sequence_output` | float32 | [batch, length, hidden size] | a vector for each piece |

## Limitations

1. Texts are cut off at 512 pieces.
2. Only some languages were trained on.

> What it guesses for hidden words repeats stereotypes of its training text.

## Citation

```bibtex
@article{nobody2020, title={On Small Things}}
```
"""


def body(card: Card) -> str:
    """The same text for every model."""
    return BODY


@functools.cache
def catalogue() -> Catalogue:
    return load_catalogue(MODEL_CARDS)


def small_handle(layers: int, hidden: int) -> str:
    return f"{SMALL}/bert_en_uncased_L-{layers}_H-{hidden}_A-{hidden // 64}"


def parameters(layers: int, hidden: int) -> int:
    """Of a BERT with a vocabulary of 30,522 pieces."""
    return 30_522 * hidden + 514 * hidden + layers * (12 * hidden**2 + 13 * hidden)


def record(layers: int, hidden: int) -> dict[str, Any]:
    """What the record of a BERT might say."""
    return {
        "kind": "encoder",
        "architecture": {
            "num_hidden_layers": layers,
            "hidden_size": hidden,
            "num_attention_heads": hidden // 64,
            "num_parameters": parameters(layers, hidden),
        },
        "heads": {"mlm": head_entry("mlm", 1000, V=30_522), "nsp": head_entry("nsp", 1538)},
        "throughput": [
            throughput(
                "cpu", "Intel(R) Xeon(R), 2 cores", 32, 9e9 / (layers * (hidden + 100) ** 2)
            ),
            throughput("gpu", "NVIDIA H200", 256, 8e11 / (layers * (hidden + 400) ** 2)),
        ],
        "validation": [validation(layers)],
    }


def throughput(device: str, hardware: str, batch_size: int, rate: float) -> dict[str, Any]:
    return {
        "device": device,
        "hardware": hardware,
        "batch_size": batch_size,
        "sequence_length": 128,
        "sequences_per_second": rate,
    }


def validation(layers: int, gate: str = "numerics") -> dict[str, Any]:
    names = [f"encoder_outputs[{number}]" for number in range(layers)]
    names += ["sequence_output", "pooled_output", "default", "mlm_logits", "nsp_logits"]
    errors = {
        name: {"relative_frobenius": 2.5e-7 * (rank + 1) ** 0.5, "max_abs": 1e-6 * (rank + 1)}
        for rank, name in enumerate(names)
    }
    worst = {
        "what": "one_token: mlm_logits, relative Frobenius",
        "passed": True,
        "figure": 9.4e-7,
        "limit": 4.67e-6,
    }
    return {
        "runtime": "tensorflow",
        "device": "cpu",
        "hardware": "Intel(R) Xeon(R) Processor, 2 cores",
        "gates": [
            {"name": "integrity", "worst": None, "outputs": {}},
            {"name": gate, "worst": worst, "outputs": errors},
        ],
    }


def records() -> dict[str, dict[str, Any]]:
    """Of all 24 small BERTs, as if they had been exported, measured and validated."""
    return {small_handle(*size): record(*size) for size in sizes()}


def sizes() -> Iterator[tuple[int, int]]:
    for layers in LAYERS:
        for hidden in HIDDEN:
            yield layers, hidden


@functools.cache
def site() -> Mapping[str, str]:
    """The whole catalogue with these records."""
    return render_site(catalogue(), records(), body, TEMPLATES)


def write(files: Mapping[str, str], directory: Path) -> Path:
    for path, text in files.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return directory


def encoder(**changes: Any) -> EncoderCard:
    """A small BERT's card with other values; its types are not checked."""
    card = catalogue().encoders[small_handle(2, 128)]
    return EncoderCard(**{**vars(card), **changes})
