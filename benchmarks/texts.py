"""Texts to embeddings: exported encoders with their preprocessor against what people use instead.

    python benchmarks/texts.py MODEL TEXTS.json
    python benchmarks/texts.py MODEL TEXTS.json --kinds=questions --count=128 --turns=3

MODEL is a directory of sentence-transformers whose embedding is the tokens' mean, scaled to length
1; TEXTS.json has the form of SQuAD. Contenders are processes, one of which computes at a time, and
each embeds all texts in batches of 32, cut at 128 tokens:

- a pipeline of ours: all texts in one call, sorted and batched in the graph
- ours, with padding computed or skipped: every batch as it comes, padded to 128
- sentence-transformers on PyTorch: sorts texts by length, pads to the longest of a batch
- the same network in ONNX Runtime, and in OpenVINO: sorted and padded in the same way
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from processes import Worker, machine, work

PIPELINE, SKIP, COMPUTE, PEER = "pipeline", "skip", "compute", "sentence-transformers"
KINDS = ("questions", "sentences", "paragraphs")
BATCH, TOKENS = 32, 128
CLOSE = 1e-4
"""Largest difference of embeddings of length 1; other kernels round otherwise."""

Embed = Callable[[Sequence[str]], np.ndarray]


def read_texts(path: Path, kind: str, count: int) -> list[str]:
    """Texts of a kind, of all parts of the file."""
    articles = json.loads(path.read_text("utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    found = [text for paragraph in paragraphs for text in _texts(paragraph, kind)]
    np.random.default_rng(0).shuffle(found)
    return found[:count]


def _texts(paragraph: Mapping[str, Any], kind: str) -> Iterator[str]:
    if kind == "questions":
        yield from (each["question"] for each in paragraph["qas"])
    elif kind == "sentences":
        yield from (f"{each}." for each in paragraph["context"].split(". ") if each)
    else:
        yield paragraph["context"]


def pipeline(path: str) -> Embed:
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the ops

    embed = tf.saved_model.load(path)
    return lambda texts: embed(tf.constant(texts)).numpy()


def ours(encoder: str, preprocessor: str) -> Embed:
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the ops

    encode, preprocess = (tf.saved_model.load(path) for path in (encoder, preprocessor))

    @tf.function
    def embed(texts: tf.Tensor) -> tf.Tensor:
        return encode(preprocess(texts), training=False)["default"]

    def run(texts: Sequence[str]) -> np.ndarray:
        batches = [texts[i : i + BATCH] for i in range(0, len(texts), BATCH)]
        return np.concatenate([embed(tf.constant(batch)).numpy() for batch in batches])

    return run


def sentence_transformers(model: str) -> Embed:
    import sentence_transformers

    loaded = sentence_transformers.SentenceTransformer(model, device="cpu")
    loaded.max_seq_length = TOKENS
    return lambda texts: loaded.encode(list(texts), batch_size=BATCH, show_progress_bar=False)


def onnx_runtime(model: str, network: str) -> Embed:
    import onnxruntime

    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    return _sorted(model, lambda fed: session.run(["last"], fed)[0])


def openvino(model: str, network: str) -> Embed:
    import openvino as ov

    compiled = ov.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return _sorted(model, lambda fed: compiled(fed)[0])


def _sorted(model: str, run: Callable[[dict[str, np.ndarray]], np.ndarray]) -> Embed:
    """Tokenized as they come, computed by length, the mean of tokens normalized."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    names = ("input_ids", "attention_mask", "token_type_ids")

    def embed(texts: Sequence[str]) -> np.ndarray:
        order = np.argsort([-len(text) for text in texts])
        found: list[Any] = [None] * len(texts)
        for start in range(0, len(texts), BATCH):
            chosen = order[start : start + BATCH]
            fed = tokenizer([texts[i] for i in chosen], padding=True, truncation=True,
                            max_length=TOKENS, return_tensors="np")  # fmt: skip
            hidden = run({name: fed[name].astype(np.int64) for name in names})
            mask = fed["attention_mask"][..., np.newaxis]
            vectors = (hidden * mask).sum(1) / mask.sum(1)
            for i, vector in zip(chosen, vectors, strict=True):
                found[i] = vector / np.linalg.norm(vector)
        return np.stack(found)

    return embed


CONTENDERS: Mapping[str, Callable[..., Embed]] = {
    PIPELINE: pipeline, SKIP: ours, COMPUTE: ours, PEER: sentence_transformers,
    "ONNX Runtime": onnx_runtime, "OpenVINO": openvino,
}  # fmt: skip


def contender(name: str, arguments: Sequence[str]) -> None:
    """Answers each list of texts: once a file of embeddings, then seconds."""
    embed = CONTENDERS[name](*arguments)

    def answer(request: Mapping[str, Any]) -> float:
        started = time.perf_counter()
        vectors = embed(request["texts"])
        seconds = time.perf_counter() - started
        if "save" in request:
            np.save(request["save"], vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        return seconds

    work(answer)


def worker(name: str, arguments: Sequence[str]) -> Worker:
    """A contender in a process of its own."""
    return Worker([sys.executable, __file__, f"--contender={name}", *arguments])


def export_onnx(model: str, out: str) -> None:
    """The network of a directory of transformers, of any batch and length."""
    import torch
    import transformers

    names = ["input_ids", "attention_mask", "token_type_ids"]
    network = transformers.AutoModel.from_pretrained(model).eval()

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return self.network(**dict(zip(names, inputs, strict=True))).last_hidden_state

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    fed = tokenizer(["hello there", "a"], padding=True, return_tensors="pt")
    torch.onnx.export(
        Network(), tuple(fed[name] for name in names), out, input_names=names,
        output_names=["last"], opset_version=17, dynamo=False,
        dynamic_axes={name: {0: "batch", 1: "sequence"} for name in [*names, "last"]},
    )  # fmt: skip


def prepared(model: Path, place: Path) -> dict[str, list[str]]:
    """Exports everything; contender -> its arguments."""
    hubexport = [sys.executable, "-m", "hubexport"]
    preprocessor, network = place / "preprocessor", place / "network.onnx"
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run(
        [*hubexport, "preprocessor", f"--tokenizer={model}", f"--export_path={preprocessor}"],
        **quiet,
    )
    flags = [f"--checkpoint={model}", f"--max_seq_length={TOKENS}", f"--batch_size={BATCH}"]
    subprocess.run([*hubexport, "pipeline", *flags, f"--export_path={place / PIPELINE}"], **quiet)
    found = {PIPELINE: [str(place / PIPELINE)]}
    for padding in (SKIP, COMPUTE):
        flags = [f"--checkpoint={model}", f"--padding={padding}", "--heads=none"]
        subprocess.run([*hubexport, "encoder", *flags, f"--export_path={place / padding}"], **quiet)
        found[padding] = [str(place / padding), str(preprocessor)]
    subprocess.run(
        [sys.executable, __file__, "--onnx", str(model), str(network)],
        stderr=subprocess.DEVNULL, **quiet,
    )  # fmt: skip
    found[PEER] = [str(model)]
    return found | {name: [str(model), str(network)] for name in ("ONNX Runtime", "OpenVINO")}


def measured(
    processes: Mapping[str, Worker], texts: Sequence[str], turns: int, directory: Path
) -> dict[str, list[float]]:
    """Seconds of every turn, A B C A B C ...; embeddings are compared first.

    Raises:
      RuntimeError: a contender gives other embeddings than the peer.
    """
    vectors = {}
    for name, process in processes.items():
        process.ask({"texts": texts, "save": str(directory / "vectors.npy")})
        vectors[name] = np.load(directory / "vectors.npy")
    for name, value in vectors.items():
        if (apart := float(np.abs(value - vectors[PEER]).max())) > CLOSE:
            raise RuntimeError(f"{name} gives other embeddings than {PEER}: {apart:.1e} apart")
    found: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(turns):
        for name, process in processes.items():
            found[name].append(process.ask({"texts": texts}))
    return found


def row(kind: str, tokens: float, found: Mapping[str, Sequence[float]], count: int) -> str:
    """Of Markdown: texts per second, and how many times the peer's."""
    cells = [f"{kind}, {tokens:.0f} tokens"]
    for seconds in found.values():
        times = sorted(b / a for a, b in zip(seconds, found[PEER], strict=True))
        speed = count / statistics.median(seconds)
        cells.append(
            f"{speed:,.0f} ({statistics.median(times):.2f}, {times[0]:.2f} to {times[-1]:.2f})"
        )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    if sys.argv[1:] and sys.argv[1].startswith("--contender="):
        contender(sys.argv[1].partition("=")[2], sys.argv[2:])
        return
    if sys.argv[1:2] == ["--onnx"]:
        export_onnx(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--count", type=int, default=384, help="texts of each kind (default 384)")
    parser.add_argument("--turns", type=int, default=5, help="counted turns (default 5)")
    parser.add_argument("--without", default="", help="contenders to leave out, by commas")
    parser.add_argument("--output", type=Path, help="a Markdown file to write")
    arguments = parser.parse_args()
    without = arguments.without.split(",")
    with tempfile.TemporaryDirectory(prefix="hubexport-benchmark-") as directory:
        place = Path(directory)
        commands = prepared(arguments.model.absolute(), place)
        names = [name for name in CONTENDERS if name not in without]
        rows = [f"| texts | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
        processes: dict[str, Worker] = {}
        try:
            processes |= {name: worker(name, commands[name]) for name in names}
            for kind in arguments.kinds.split(","):
                texts = read_texts(arguments.texts, kind, arguments.count)
                found = measured(processes, texts, arguments.turns, place)
                rows.append(row(kind, mean_tokens(arguments.model, texts), found, len(texts)))
                print(rows[-1], flush=True)
        finally:
            for process in processes.values():
                process.close()
    caption = (
        f"{machine()}. {arguments.model.name}; texts per second (x {PEER}, lowest to highest)."
    )
    text = "\n".join([caption, "", *rows]) + "\n"
    print(text)
    if arguments.output:
        arguments.output.write_text(text)


def mean_tokens(model: Path, texts: Sequence[str]) -> float:
    """Of a text, special tokens included, before it is cut."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    return statistics.fmean(len(ids) for ids in tokenizer(list(texts))["input_ids"])


if __name__ == "__main__":
    main()
