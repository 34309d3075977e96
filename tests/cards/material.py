"""Small cards for the tests, valid unless a test breaks them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubexport.cards.loading import load_cards
from hubexport.cards.problems import CardError

ROOT = Path(__file__).parents[2]
MODEL_CARDS = ROOT / "model_cards"

ENCODER = """\
kind: encoder
publisher: somebody
name: tiny_bert
version: 2
changelog:
  - version: 2
    changes: [Dropout is applied in training.]
  - version: 1
    changes: [The first one is there.]
title: Tiny BERT
description: A BERT that is small enough for a test.
family: bert
origin:
  released_by: Somebody
  release: https://example.org/tiny
architecture:
  num_hidden_layers: 2
  hidden_size: 8
languages: [en]
casing: uncased
objectives: [mlm]
preprocessor: somebody/tiny_preprocess
tfhub:
  tasks: [text-embedding]
kaggle: {model: tiny-bert, variation: l-2, framework: tensorFlow2}
hugging_face:
  pipeline_tag: fill-mask
"""
LINES = {line.split(":")[0]: n for n, line in enumerate(ENCODER.splitlines(), 1) if line[0] != " "}

PREPROCESSOR = """\
kind: preprocessor
publisher: somebody
name: tiny_preprocess
version: 1
changelog:
  - version: 1
    changes: [The first one is there.]
title: Tiny preprocessor
description: It makes the inputs of a tiny BERT.
tokenizer: wordpiece
model_type: bert
casing: uncased
languages: [en]
vocab_size: 30
origin:
  released_by: Somebody
  release: https://example.org/tiny
tfhub:
  tasks: [text-preprocessing]
kaggle: {model: tiny-bert, variation: preprocess, framework: tensorFlow2}
hugging_face:
  pipeline_tag: feature-extraction
"""

PIPELINE = """\
kind: pipeline
publisher: somebody
name: tiny_pipeline
version: 1
changelog:
  - version: 1
    changes: [The first one is there.]
title: Tiny embeddings
description: It makes vectors of texts with a tiny BERT.
task: embedding
encoder: somebody/tiny_bert
tfhub:
  tasks: [text-embedding]
kaggle: {model: tiny-bert, variation: embedding, framework: tensorFlow2}
hugging_face:
  pipeline_tag: sentence-similarity
"""

PUBLISHER = """\
kind: publisher
publisher: somebody
title: Somebody
description: Small models for tests.
"""

COLLECTION = """\
kind: collection
publisher: somebody
name: tiny
title: Tiny models
description: Models that are small enough for a test.
"""

PAPERS = """\
kind: papers
papers:
  nobody2020:
    title: On Small Things
    authors: [A. Nobody]
    year: 2020
    url: https://example.org/paper
    bibtex: "@article{nobody2020, title={On Small Things}}"
"""

DATASETS = """\
kind: datasets
datasets:
  text:
    title: Text
    description: Some text for tests.
"""


def write(path: Path, text: str | bytes) -> Path:
    """A file with the text or bytes; `path` is a directory, which gets card.yaml, or the file."""
    file = path if path.suffix else path / "card.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return file


def problems(path: Path, text: str | bytes) -> list[tuple[int, int, str, str]]:
    """What is wrong with a file of this content: (line, column, key, message)."""
    file = write(path, text)
    with pytest.raises(CardError) as caught:
        load_cards(file)
    assert caught.value.problems
    for problem in caught.value.problems:
        assert problem.path == file
        assert f"line {problem.mark.line}, column {problem.mark.column}" in str(caught.value)
        assert problem.message in str(caught.value)
    return [(p.mark.line, p.mark.column, p.key, p.message) for p in caught.value.problems]
