"""What sentence-transformers and transformers' pipelines give for texts, and models of theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from hubexport.tokenizers.difficult_texts import DIFFICULT_TEXTS
from tests.oracles.families import build
from tests.oracles.inputs import random_weight

TEXTS = (
    *DIFFICULT_TEXTS,
    "the cat sat on the mat",
    "a query: what is the capital of France?",
    "word " * 60,
    "The Cat",
    "short",
)
"""Empty, short and long ones, in no order of length."""
LENGTH = 48
_TRAINED_ON = [" ".join(w for w in text.split(" ") if len(w) < 24) for text in TEXTS] * 3
_BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def _wordpiece(directory: Path) -> Any:
    vocabulary = str(directory / "vocab.txt")
    if not Path(vocabulary).exists():
        trained = tokenizers.BertWordPieceTokenizer(lowercase=True)
        trained.train_from_iterator(
            _TRAINED_ON, vocab_size=700, min_frequency=1, special_tokens=_BERT
        )
        trained.save_model(str(directory))
    return transformers.BertTokenizer(vocab=vocabulary, do_lower_case=True)


def _byte_level(directory: Path, kind: Any, specials: list[str]) -> Any:
    if not (directory / "vocab.json").exists():
        trained = tokenizers.ByteLevelBPETokenizer()
        trained.train_from_iterator(
            _TRAINED_ON, vocab_size=500, min_frequency=2, special_tokens=specials
        )
        trained.save_model(str(directory))
    return kind(
        vocab=str(directory / "vocab.json"), merges=str(directory / "merges.txt"),
        model_max_length=LENGTH,
    )  # fmt: skip


def _gpt2(directory: Path) -> Any:
    made = _byte_level(directory, transformers.GPT2Tokenizer, ["<|endoftext|>"])
    made.pad_token = made.eos_token
    return made


def _unigram(directory: Path) -> Any:
    trained = tokenizers.SentencePieceUnigramTokenizer()
    trained.train_from_iterator(_TRAINED_ON, vocab_size=300, unk_token="<unk>", show_progress=False)
    pieces = json.loads(trained.to_str())["model"]["vocab"]
    vocabulary = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")]
    vocabulary += [(piece, score) for piece, score in pieces
                   if piece != "<unk>" and "\0" not in piece]  # fmt: skip
    vocabulary += [("<mask>", 0.0)]
    return transformers.XLMRobertaTokenizer(vocab=vocabulary, model_max_length=LENGTH)


TOKENIZERS: Mapping[str, Any] = {
    "Bert": _wordpiece,
    "DistilBert": _wordpiece,
    "Roberta": lambda path: _byte_level(path, transformers.RobertaTokenizer, _ROBERTA),
    "GPT2": _gpt2,
    "XLMRoberta": _unigram,
}
"""Family, as transformers' classes are called -> what makes a tokenizer of files in a directory."""


def save(directory: Path, family: str, head: str = "Model", **config: Any) -> Path:
    """A tiny model of transformers with its tokenizer, every weight random.

    The tokenizer is trained, if its files are not in the directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = TOKENIZERS[family](directory)
    if family == "GPT2":
        sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": LENGTH + 4, **config}
        made_of = getattr(transformers, f"GPT2{head}")
        made = transformers.GPT2Config(vocab_size=len(tokenizer), **sizes)
        model = made_of(made).eval()
        _randomize(model)
    else:
        config = {"max_position_embeddings": LENGTH + 4, **config}
        model = build(f"{family}{head}", vocab_size=len(tokenizer), **config)
    tokenizer.save_pretrained(directory)
    model.save_pretrained(directory)
    return directory


def _randomize(module: torch.nn.Module) -> None:
    generator = np.random.default_rng(5)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            value = random_weight(generator, name, tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(value))


def save_sentence_model(
    directory: Path,
    family: str = "Bert",
    modes: Sequence[str] = ("mean",),
    *,
    include_prompt: bool = True,
    dense: Sequence[tuple[int, Any, bool]] = (),
    normalize: bool = True,
    max_seq_length: int | None = LENGTH,
    prompts: Mapping[str, str] | None = None,
    default_prompt: str | None = None,
) -> Path:
    """A directory of sentence-transformers.

    Args:
      dense: size, activation and whether there is a bias, of each dense layer.
    """
    made = save(directory / "transformers", family)
    first = Transformer(str(made), max_seq_length=max_seq_length)
    size = first.model.config.hidden_size
    parts: list[Any] = [first, Pooling(size, list(modes), include_prompt=include_prompt)]
    size *= len(modes)
    for out, activation, bias in dense:
        layer = Dense(size, out, bias=bias, activation_function=activation)
        _randomize(layer)
        parts.append(layer)
        size = out
    parts += [Normalize()] if normalize else []
    model = sentence_transformers.SentenceTransformer(
        modules=parts, device="cpu", prompts=dict(prompts or {}),
        default_prompt_name=default_prompt,
    )  # fmt: skip
    model.save(str(directory / "model"))
    if max_seq_length is not None:  # as releases before 5 keep it
        file = directory / "model" / "sentence_bert_config.json"
        values = json.loads(file.read_text())
        file.write_text(json.dumps({**values, "max_seq_length": max_seq_length}))
    return directory / "model"


def embeddings(directory: Path, texts: Sequence[str], **options: Any) -> np.ndarray:
    """float32 [B, D], by sentence-transformers."""
    model = sentence_transformers.SentenceTransformer(str(directory), device="cpu")
    vectors: np.ndarray = model.encode(list(texts), show_progress_bar=False, **options)
    return vectors


def classes(
    directory: Path, texts: Sequence[Any], max_length: int = LENGTH
) -> tuple[list[list[str]], np.ndarray]:
    """Labels and scores [B, C], the likeliest first, by transformers' pipeline.

    Args:
      texts: texts, or pairs of them.
    """
    pipeline = transformers.pipeline("text-classification", model=str(directory), device="cpu")
    asked = [
        text if isinstance(text, str) else {"text": text[0], "text_pair": text[1]}
        for text in texts
    ]  # fmt: skip
    found = [pipeline(each, top_k=None, truncation=True, max_length=max_length) for each in asked]
    rows = [row[0] if isinstance(row[0], list) else row for row in found]
    labels = [[each["label"] for each in row] for row in rows]
    return labels, np.array([[each["score"] for each in row] for row in rows], np.float32)


def log_probs(directory: Path, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sums of tokens' log-probabilities, and how many tokens, [B] each, by transformers' loss."""
    model = transformers.AutoModelForCausalLM.from_pretrained(str(directory)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(directory))
    sums, counts = [], []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=LENGTH, return_tensors="pt").input_ids
        count = max(ids.shape[1] - 1, 0)
        with torch.no_grad():
            loss = float(model(ids, labels=ids).loss) if count else 0.0
        sums.append(-loss * count)
        counts.append(count)
    return np.array(sums, np.float32), np.array(counts)


def masks(directory: Path, texts: Sequence[str], top_k: int) -> list[list[list[dict[str, Any]]]]:
    """For each text and each of its masks the likeliest pieces, by transformers' pipeline."""
    pipeline = transformers.pipeline("fill-mask", model=str(directory), device="cpu")
    options = {"truncation": True, "max_length": LENGTH}
    found = [pipeline(text, top_k=top_k, tokenizer_kwargs=options) for text in texts]
    return [each if isinstance(each[0], list) else [each] for each in found]


def entities(
    directory: Path, texts: Sequence[str], aggregation: str, stride: int | None = None
) -> list[list[dict[str, Any]]]:
    """The entities of each text by transformers' pipeline; places are characters of it."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(directory))
    tokenizer.model_max_length = LENGTH
    pipeline = transformers.pipeline(
        "token-classification", model=str(directory), tokenizer=tokenizer, device="cpu",
        aggregation_strategy=aggregation, **({} if stride is None else {"stride": stride}),
    )  # fmt: skip
    # Of a list of texts, transformers 5.24 gives those of one text another form.
    return [pipeline(text) if text else [] for text in texts]
