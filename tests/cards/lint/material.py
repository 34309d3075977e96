"""Pages and metadata without a fault, and how to break a line of them."""

from __future__ import annotations

import json
from typing import Any

ENCODER = """\
# Module example-lab/bert_en_uncased_L-2_H-128_A-2/1

Transformer encoder for English text, trained on Wikipedia and books.

<!-- asset-path: https://storage.example.org/bert_en_uncased_L-2_H-128_A-2_1.tar.gz -->
<!-- task: text-embedding -->
<!-- fine-tunable: true -->
<!-- format: saved_model_2 -->
<!-- network-architecture: transformer -->
<!-- dataset: wikipedia -->
<!-- dataset: bookscorpus -->
<!-- language: en -->
<!-- language: de -->
<!-- license: apache-2.0 -->
<!-- colab: https://colab.research.google.com/github/example/repo/blob/main/a.ipynb -->

## Overview

An encoder of two layers. See [usage](#usage) and the [paper][bert].

| output | shape |
|---|---|
| `default` | [B, 128] |

## Usage

### As a layer

```python
import tensorflow as tf

encoder = tf.saved_model.load("encoder")
```

### From a shell

```sh
pip install tensorflow
```

## Changelog

Version 1: first release.

[bert]: https://arxiv.org/abs/1810.04805
"""

PREPROCESSOR = (
    ENCODER.replace("task: text-embedding", "task: text-preprocessing")
    .replace("fine-tunable: true", "fine-tunable: false")
    .replace("# Module example-lab/bert_en_uncased_L-2_H-128_A-2/1", "# Module example-lab/en/1")
)

COLLECTION = """\
# Collection example-lab/bert/1
Encoders of several sizes
and their preprocessors.

<!-- task: text-embedding -->
<!-- task: text-preprocessing -->
<!-- language: en -->

## Models

| model | layers |
|---|---|
| [tiny](https://tfhub.dev/example-lab/bert_tiny/1) | 2 |
| [mini](https://tfhub.dev/example-lab/bert_mini) | 4 |
"""

PUBLISHER = """\
# Publisher example-lab
A laboratory for examples.

[![Icon URL]](https://example.org/icon.png)

## About us

We make examples.
"""

CARD = """\
---
language:
- en
- deu
- multilingual
license: apache-2.0
library_name: tf-keras
pipeline_tag: feature-extraction
base_model: google-bert/bert-base-uncased
base_model_relation: finetune
tags:
- sentence-similarity
- tensorflow
datasets:
- wikimedia/wikipedia
- glue
metrics:
- accuracy
model-index:
- name: bert-tiny
  results:
  - task:
      type: text-classification
      name: Text classification
    dataset:
      type: nyu-mll/glue
      name: GLUE MRPC
      config: mrpc
      split: validation
      args:
        language: en
    metrics:
    - type: accuracy
      value: 0.85
      name: Accuracy
    - type: f1
      value: 89.1 ± 0.2
    source:
      name: Measured
      url: https://example.org/results
---

# bert-tiny

An encoder of two layers.
"""

MODEL: dict[str, Any] = {
    "ownerSlug": "example_lab",
    "title": "BERT of two layers",
    "slug": "bert-tiny",
    "subtitle": "",
    "isPrivate": True,
    "description": "# Model Summary\n\nAn encoder of two layers.\n",
    "publishTime": "2024-02-29",
    "provenanceSources": "",
}

INSTANCE: dict[str, Any] = {
    "ownerSlug": "example_lab",
    "modelSlug": "bert-tiny",
    "instanceSlug": "en-uncased-l-2-h-128-a-2",
    "framework": "tensorFlow2",
    "overview": "English, lower case",
    "usage": '# Model Usage\n\n```python\npath = "${PATH}"\n```\nVersion ${VERSION_NUMBER}.\n',
    "licenseName": "Apache 2.0",
    "fineTunable": True,
    "trainingData": ["Wikipedia", "https://example.org/books"],
    "modelInstanceType": "ExternalVariant",
    "baseModelInstance": "",
    "externalBaseModelUrl": "https://github.com/google-research/bert",
}


def line_of(text: str, part: str) -> int:
    """The line, counted from 1, of the first place of `part`, which must be there."""
    return text.count("\n", 0, text.index(part)) + 1


def replaced(text: str, old: str, new: str) -> str:
    """The text with the first `old`, which must be there, replaced."""
    assert old in text, old
    return text.replace(old, new, 1)


def as_json(values: dict[str, Any]) -> str:
    """A file as `kaggle models init` writes it: one key on a line."""
    return json.dumps(values, indent=2)
