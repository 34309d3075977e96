"""A catalogue of cards that speak of a small artifact: what its record says, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hubexport.pipelines.registry import tasks
from tests.cards.material import PUBLISHER, write
from tests.cards.rendering.exported import pre_trained, tag_for

HANDLE, PREPROCESSOR = "somebody/tiny_bert", "somebody/tiny_preprocess"
PIPELINE = "somebody/tiny_pipeline"


def encoder_card(record: Mapping[str, Any]) -> dict[str, Any]:
    """A card with every key that a record contradicts or not, and agreeing with this one."""
    built, heads = record["architecture"], record["heads"]
    sizes = (
        "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size",
        "vocab_size", "max_position_embeddings", "type_vocab_size",
    )  # fmt: skip
    return _common("encoder", "tiny_bert") | {
        "family": record["family"]["name"],
        "origin": {
            "released_by": "Somebody",
            "release": "https://example.org/tiny",
            "layout": record["checkpoint"]["layout"],
        },
        "architecture": {
            **{name: built[name] for name in sizes},
            "stated_parameters": built["num_parameters"],
        },
        "casing": "uncased",
        "objectives": pre_trained(heads) or ["mlm"],
        "training": [
            {
                "source": "https://example.org/tiny",
                "sequence_length": built["max_position_embeddings"],
            }
        ],
        "preprocessor": PREPROCESSOR,
        "tfhub": {"tasks": ["text-embedding"], "network_architecture": "transformer"},
        "hugging_face": {"pipeline_tag": tag_for(heads)},
    }


def preprocessor_card(pieces: int) -> dict[str, Any]:
    """Of a WordPiece vocabulary for text in lower case."""
    return _common("preprocessor", "tiny_preprocess") | {
        "tokenizer": "wordpiece",
        "model_type": "bert",
        "vocab_size": pieces,
        "casing": "uncased",
        "origin": {"released_by": "Somebody", "release": "https://example.org/tiny"},
        "tfhub": {"tasks": ["text-preprocessing"]},
        "hugging_face": {"pipeline_tag": "feature-extraction"},
    }


def pipeline_cards(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of a pipeline, its encoder and its preprocessor."""
    task, tokenizer = record["task"]["name"], record["preprocessor"]["tokenizer"]
    lowers = tokenizer["settings"].get("lower_case", tokenizer["do_lower_case"])
    casing = {"casing": "uncased" if lowers else "cased"}
    pipeline = _common("pipeline", "tiny_pipeline") | {
        "task": task,
        "encoder": HANDLE,
        "tfhub": {"tasks": list(tasks()[task].tfhub_tasks)},
        "hugging_face": {"pipeline_tag": tasks()[task].pipeline_tags[0]},
    }
    del pipeline["languages"]
    encoder = encoder_card(record["encoder"]) | casing
    return [
        pipeline,
        encoder | {"licence": {"spdx": "Apache-2.0", "evidence": "https://example.org/tiny"}},
        preprocessor_card(tokenizer["vocab_size"])
        | casing
        | {"tokenizer": tokenizer["kind"], "model_type": tokenizer["model_type"]},
    ]


def _common(kind: str, name: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "publisher": "somebody",
        "name": name,
        "version": 1,
        "changelog": [{"version": 1, "changes": ["The first one is there."]}],
        "title": "Tiny BERT",
        "description": "A model that is small enough for a test.",
        "languages": ["en"],
        "kaggle": {"model": "tiny-bert", "variation": kind, "framework": "tensorFlow2"},
    }


def write_cards(directory: Path, *cards: Mapping[str, Any]) -> Path:
    """Writes a catalogue; gives the file of the first card."""
    directory.mkdir(parents=True, exist_ok=True)
    write(directory / "publishers.yaml", PUBLISHER)
    for card in cards:
        write(directory / f"{card['kind']}.yaml", yaml.safe_dump(dict(card), sort_keys=False))
    return directory / f"{cards[0]['kind']}.yaml"
