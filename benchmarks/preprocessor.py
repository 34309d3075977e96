"""Texts per second of exported preprocessors, side by side with what people use today.

    python benchmarks/preprocessor.py MATERIAL [--batches=15] [--write]

MATERIAL holds vocabularies and texts:

    wordpiece/{uncased_en,multi_cased}/vocab.txt    bytebpe/roberta/{vocab.json,merges.txt}
    gpt1/openai-gpt-{vocab.json,merges.txt}         sentencepiece/xlnet/spiece.model
    sentencepiece/xlmr_tokenizer_json/*.json.gz     sentencepiece/t5/t5_tokenizer_base.model
    text/udhr/udhr-txt.zip

Every candidate gives int32 [1024, 128] arrays from 1,024 texts; all take turns on each batch.
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import tensorflow as tf  # noqa: E402
import tokenizer_peers as peers  # noqa: E402
import tokenizer_texts as texts  # noqa: E402
import tokenizers  # noqa: E402
from processes import machine  # noqa: E402

from hubexport import export_preprocessor  # noqa: E402

BATCH = 1024
ONE_THREAD = "tokenizers, one thread"
# Times faster than tokenizers on one thread: English, multilingual.
BARS = {
    "BERT uncased": (7, 6),
    "BERT multilingual cased": (7, 6),
    "RoBERTa": (2, 1.3),
    "GPT": (3, 3),
    "XLNet": (4, 4),
    "T5": (4, 4),
    "XLM-R": (4, 4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("material", type=Path)
    parser.add_argument("--batches", type=int, default=15)
    parser.add_argument("--only", nargs="*", help="parts of the tokenizers' names")
    parser.add_argument("--write", action="store_true", help="write preprocessor.md")
    arguments = parser.parse_args()
    count = BATCH * (arguments.batches + 1)
    corpora = {
        "English": texts.english(count),
        "multilingual": texts.multilingual(
            arguments.material / "text" / "udhr" / "udhr-txt.zip", count
        ),
    }
    lines = [
        "# Preprocessors",
        "",
        f"{machine()}; TensorFlow {version('tensorflow')}, tokenizers {version('tokenizers')}; "
        f"{BATCH:,} texts to [{BATCH}, {peers.LENGTH}], median of {arguments.batches} batches, "
        "in turn. x: times as fast as tokenizers on one thread.",
    ]
    with tempfile.TemporaryDirectory() as work:
        for name, make in cases(arguments.material, Path(work)).items():
            if not arguments.only or any(part in name for part in arguments.only):
                lines += ["", f"## {name}", "", *measure(name, *make(), corpora)]
                print("\n".join(lines[-12:]), flush=True)
    if arguments.write:
        (HERE / "preprocessor.md").write_text("\n".join(lines) + "\n", "utf-8")


def cases(material: Path, work: Path) -> dict[str, Any]:
    """Name -> function that gives the artifact, what its export took, and the peers."""

    def exported(name: str, **arguments: Any) -> tuple[Path, float]:
        started = time.perf_counter()
        export_preprocessor(export_path=work / name, **arguments)
        return work / name, time.perf_counter() - started

    def wordpiece(folder: str, lowercase: bool) -> Any:
        file = material / "wordpiece" / folder / "vocab.txt"
        return (
            exported(folder, vocab_file=file),
            lambda: peers.wordpiece(file, lowercase),
            {},
            peers.stock_wordpiece(file, lowercase),
        )

    def roberta() -> Any:
        files = [material / "bytebpe" / "roberta" / name for name in ("vocab.json", "merges.txt")]
        return (
            exported("roberta", tokenizer=files[0].parent),
            lambda: peers.byte_level(*files),
            {"pad_id": 1, "pad_token": "<pad>"},
            peers.keras_hub_byte_level(*files),
        )

    def gpt() -> Any:
        (work / "gpt_files").mkdir()
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(material / "gpt1" / f"openai-gpt-{name}", work / "gpt_files" / name)
        files = [work / "gpt_files" / name for name in ("vocab.json", "merges.txt")]
        return (
            exported("gpt", tokenizer=work / "gpt_files"),
            lambda: peers.gpt(*files),
            {"pad_id": 0, "pad_token": "<unk>"},
            {},
        )

    def xlnet() -> Any:
        file = material / "sentencepiece" / "xlnet" / "spiece.model"
        return (
            exported("xlnet", sp_model_file=file, do_lower_case=False),
            lambda: peers.xlnet(file),
            {"pad_id": 5, "pad_token": "<pad>", "direction": "left", "pad_type_id": 3},
            peers.stock_sentencepiece(file, 4, 3),
        )

    def t5() -> Any:
        file = material / "sentencepiece" / "t5" / "t5_tokenizer_base.model"
        return (
            exported("t5", sp_model_file=file),
            lambda: peers.t5(file),
            {"pad_id": 0, "pad_token": "<pad>"},
            peers.stock_sentencepiece(file, 1, 1),
        )

    def xlm_roberta() -> Any:
        (file,) = (material / "sentencepiece" / "xlmr_tokenizer_json").glob("*.json.gz")
        (work / "xlmr_files").mkdir()
        unpacked = work / "xlmr_files" / "tokenizer.json"
        unpacked.write_bytes(gzip.decompress(file.read_bytes()))
        return (
            exported("xlmr", tokenizer=work / "xlmr_files"),
            lambda: tokenizers.Tokenizer.from_file(str(unpacked)),
            {"pad_id": 1, "pad_token": "<pad>"},
            {},
        )

    return {
        "BERT uncased": lambda: wordpiece("uncased_en", True),
        "BERT multilingual cased": lambda: wordpiece("multi_cased", False),
        "RoBERTa": roberta,
        "GPT": gpt,
        "XLNet": xlnet,
        "T5": t5,
        "XLM-R": xlm_roberta,
    }


def measure(
    name: str,
    artifact: tuple[Path, float],
    rust: Any,
    padding: dict[str, Any],
    stock: dict[str, Any],
    corpora: dict[str, list[str]],
) -> list[str]:
    path, export_seconds = artifact
    started = time.perf_counter()
    preprocessor = tf.saved_model.load(str(path))
    load_seconds = time.perf_counter() - started
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    candidates = {
        ONE_THREAD: peers.hugging_face(rust(), False, **padding),
        "tokenizers, all threads": peers.hugging_face(rust(), True, **padding),
        "hubexport": preprocessor,
        **stock,
    }
    columns = {corpus: rates(candidates, lines) for corpus, lines in corpora.items()}
    table = [
        "| | " + " | ".join(f"{corpus}, texts/s | x" for corpus in corpora) + " |",
        "| --- |" + " ---: | ---: |" * len(corpora),
    ]
    for candidate in candidates:
        cells = [
            f"{column[candidate]:,.0f} | {column[candidate] / column[ONE_THREAD]:.1f}"
            for column in columns.values()
        ]
        table.append(f"| {candidate} | {' | '.join(cells)} |")
    ratios = [column["hubexport"] / column[ONE_THREAD] for column in columns.values()]
    met = all(ratio >= bar for ratio, bar in zip(ratios, BARS[name], strict=True))
    parallel = scaling(preprocessor, corpora["English"])
    return [
        *table,
        "",
        f"- bars: {BARS[name][0]} x English, {BARS[name][1]} x multilingual: "
        f"{'met' if met else 'NOT met'}",
        f"- `Dataset.map` with 2 parallel calls: {parallel:.2f} of the speed of 1",
        f"- export {export_seconds:.1f} s in this process, load {load_seconds:.2f} s, "
        f"{size / 1e6:.1f} MB",
    ]


def rates(candidates: dict[str, Any], lines: list[str]) -> dict[str, float]:
    """Texts per second: the median over batches of different texts, after an uncounted one.

    The order changes from batch to batch: each leaves its traces in caches and idle threads.
    """
    order = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for begin in range(0, len(lines), BATCH):
        batch = lines[begin : begin + BATCH]
        tensor = tf.constant(batch)
        for name, candidate in order.sample(list(candidates.items()), len(candidates)):
            argument = batch if name.startswith("tokenizers") else tensor
            started = time.perf_counter()
            candidate(argument)
            if begin:
                seconds[name].append(time.perf_counter() - started)
    return {name: BATCH / statistics.median(values) for name, values in seconds.items()}


def scaling(preprocessor: Any, lines: list[str]) -> float:
    """Time with one call at a time over time with two, each three times in turn."""
    batches = tf.data.Dataset.from_tensor_slices(lines).batch(BATCH).cache()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(4):
        for calls, values in seconds.items():
            mapped = batches.repeat(4).map(preprocessor, num_parallel_calls=calls)
            started = time.perf_counter()
            for _ in mapped:
                pass
            values.append(time.perf_counter() - started)
    return statistics.median(seconds[1][1:]) / statistics.median(seconds[2][1:])


if __name__ == "__main__":
    main()
