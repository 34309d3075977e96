"""What else turns texts into encoder inputs: Hugging Face's tokenizers, stock tensorflow_text,
keras-hub.

Each peer is set up from the same files, by its own means, to give int32 [batch, 128] arrays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text as text
import tokenizers
from tokenizers import normalizers, pre_tokenizers, processors

LENGTH = 128
Peer = Callable[[Sequence[str]], Any]


def hugging_face(rust: tokenizers.Tokenizer, parallel: bool, **padding: Any) -> Peer:
    """`encode_batch` to numpy, on one thread or on all."""
    rust.enable_truncation(LENGTH)
    rust.enable_padding(length=LENGTH, **padding)

    def peer(texts: Sequence[str]) -> Any:
        os.environ["TOKENIZERS_PARALLELISM"] = "true" if parallel else "false"
        encodings = rust.encode_batch(texts)
        return [
            np.array([getattr(encoding, name) for encoding in encodings], np.int32)
            for name in ("ids", "attention_mask", "type_ids")
        ]

    return peer


def wordpiece(vocabulary: Path, lowercase: bool) -> tokenizers.Tokenizer:
    rust = tokenizers.BertWordPieceTokenizer(str(vocabulary), lowercase=lowercase)
    return tokenizers.Tokenizer.from_str(rust.to_str())


def byte_level(vocabulary: Path, merges: Path) -> tokenizers.Tokenizer:
    """RoBERTa's."""
    rust = tokenizers.ByteLevelBPETokenizer(str(vocabulary), str(merges))
    rust = tokenizers.Tokenizer.from_str(rust.to_str())
    rust.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    rust.add_special_tokens(
        [tokenizers.AddedToken("<mask>", lstrip=True), "<s>", "<pad>", "</s>", "<unk>"]
    )
    return rust


def gpt(vocabulary: Path, merges: Path) -> tokenizers.Tokenizer:
    from transformers import OpenAIGPTTokenizer

    pairs = [tuple(line.split()) for line in merges.read_text("utf-8").split("\n")[1:] if line]
    loaded = OpenAIGPTTokenizer(vocab=json.loads(vocabulary.read_text("utf-8")), merges=pairs)
    return tokenizers.Tokenizer.from_str(loaded.backend_tokenizer.to_str())


def xlnet(model: Path) -> tokenizers.Tokenizer:
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(model))
    scores = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(len(pieces))]
    rust = tokenizers.Tokenizer(tokenizers.models.Unigram(scores, pieces.unk_id(), False))
    rust.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.Replace("''", '"'),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Replace(tokenizers.Regex(" {2,}"), " "),
        ]
    )
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    rust.post_processor = processors.TemplateProcessing(
        single="$A:0 <sep>:0 <cls>:2",
        pair="$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2",
        special_tokens=[("<sep>", 4), ("<cls>", 3)],
    )
    return rust


def t5(model: Path) -> tokenizers.Tokenizer:
    from transformers import T5Tokenizer

    loaded = T5Tokenizer.from_pretrained(str(model.parent), vocab_file=str(model))
    return tokenizers.Tokenizer.from_str(loaded.backend_tokenizer.to_str())


def packed(tokenize: Callable[[tf.Tensor], tf.RaggedTensor], start: int, end: int) -> Peer:
    """A stock tokenizer with tensorflow_text's own packing."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def call(texts: tf.Tensor) -> Any:
        ids = tokenize(texts)
        ids = ids.merge_dims(1, -1) if ids.ragged_rank > 1 else ids
        (ids,) = text.RoundRobinTrimmer(LENGTH - 2).trim([tf.cast(ids, tf.int32)])
        ids, types = text.combine_segments([ids], start, end)
        return text.pad_model_inputs(ids, LENGTH), text.pad_model_inputs(types, LENGTH)

    return call


def stock_wordpiece(vocabulary: Path, lowercase: bool) -> dict[str, Peer]:
    pieces = vocabulary.read_text("utf-8").removesuffix("\n").split("\n")
    fast = text.FastBertTokenizer(
        vocab=pieces, lower_case_nfd_strip_accents=lowercase, token_out_type=tf.int32
    )
    slow = text.BertTokenizer(str(vocabulary), lower_case=lowercase)
    ids = pieces.index("[CLS]"), pieces.index("[SEP]")
    return {
        "FastBertTokenizer": packed(fast.tokenize, *ids),
        "BertTokenizer": packed(slow.tokenize, *ids),
    }


def stock_sentencepiece(model: Path, start: int, end: int) -> dict[str, Peer]:
    """Without the normalization that XLNet and ALBERT do first."""
    tokenizer = text.SentencepieceTokenizer(model.read_bytes(), out_type=tf.int32)
    return {"SentencepieceTokenizer": packed(tokenizer.tokenize, start, end)}


def keras_hub_byte_level(vocabulary: Path, merges: Path) -> dict[str, Peer]:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        import keras_hub
    except ImportError:
        print("keras-hub is not installed: left out")
        return {}
    tokenizer = keras_hub.tokenizers.BytePairTokenizer(str(vocabulary), str(merges))
    return {"keras-hub": packed(tokenizer.tokenize, 0, 2)}
