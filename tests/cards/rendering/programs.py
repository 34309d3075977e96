"""The Python programs of pages: found, taken apart, and run as a reader of the page would."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hubexport.cards.lint import python_snippets
from hubexport.cards.lint.snippets import Snippet
from hubexport.cards.loading import Catalogue
from hubexport.cards.rendering import platforms
from hubexport.cards.rendering.formats import FORMATS
from hubexport.cards.rendering.platforms import HUB_URL, Addresses
from hubexport.cards.schema import EncoderCard, Model
from tests import forks
from tests.cards.rendering.exported import Exported
from tests.forks import ROOT

ADDRESSES = Addresses(HUB_URL, "https://storage.example.org/models")
_PLATFORMS = {
    "tfhub": platforms.tfhub(),
    "kaggle": platforms.kaggle(),
    "huggingface": platforms.hugging_face(),
}
_COMMIT = "0" * 40
_ENVIRONMENT: Mapping[str, str | None] = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "HF_HUB_OFFLINE": "1",
    **dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9"),
    **dict.fromkeys(("TF_USE_LEGACY_KERAS", "KERAS_BACKEND", "PYTHONPATH", "PYTHONWARNINGS")),
}
_PRELOAD = f"""
import gc, os, sys, warnings
for name, value in {_ENVIRONMENT!r}.items():
    os.environ.pop(name, None) if value is None else os.environ.update({{name: value}})
sys.path.remove({str(ROOT)!r})  # hubexport
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tensorflow_hub  # and with it TensorFlow and tf_keras
# Of the program itself, not of the packages that it imports.
for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, SyntaxWarning):
    warnings.filterwarnings("error", category=kind, module="__main__")
import tensorflow
{forks.UNOPTIMIZED}gc.freeze()  # what was imported stays
gc.set_threshold(100_000, 50, 50)
"""
"""What each page imports, and has not used: that takes longer than most programs. tensorflow_text,
which pages may forget, is left to them."""


@dataclasses.dataclass(frozen=True)
class Program:
    """The snippets of a page, or some of them.

    Attributes:
      page: where it is from, for messages.
      snippets: those of the page, in order.
      artifacts: handle, as the program writes it -> what it stands for.
    """

    page: str
    snippets: tuple[Snippet, ...]
    artifacts: Mapping[str, Exported]

    @property
    def text(self) -> str:
        """Each snippet is on the lines that it has on the page, so that errors have them too."""
        lines: list[str] = []
        for snippet in self.snippets:
            lines += [""] * (snippet.line - 1 - len(lines)) + snippet.code.splitlines()
        return "\n".join(lines) + "\n"

    @property
    def keys(self) -> list[str]:
        """One for each snippet: snippets with the same key do the same.

        It is the code of the snippet and of all that it depends on, with other words for how the
        models are loaded.
        """
        codes = [self._without_handles(snippet.code) for snippet in self.snippets]
        return ["\n\n".join(codes[n] for n in sorted(needed)) for needed in self._needed]

    def without(self, known: Collection[str]) -> Program | None:
        """The snippets whose keys are not among these, and what they depend on; None: there are
        none."""
        new = [
            needed for key, needed in zip(self.keys, self._needed, strict=True) if key not in known
        ]
        kept = sorted(set().union(*new))
        snippets = tuple(self.snippets[n] for n in kept)
        return dataclasses.replace(self, snippets=snippets) if kept else None

    @property
    def _needed(self) -> list[set[int]]:
        """Numbers of the snippets that each depends on, itself included.

        These are the first, which imports, and those that give its names their values.
        """
        found: list[set[int]] = []
        giver: dict[str, int] = {}
        for number, snippet in enumerate(self.snippets):
            given, taken = _names(snippet.code)
            before = {0, *(giver[name] for name in taken if name in giver)} if number else set()
            found.append({number}.union(*(found[n] for n in before)))
            giver |= dict.fromkeys(given, number)
        return found

    def _without_handles(self, code: str) -> str:
        code = code.replace("from huggingface_hub import snapshot_download\n", "")
        for number, handle in enumerate(map(json.dumps, self.artifacts)):
            code = code.replace(f"snapshot_download({handle})", handle)
            code = code.replace(handle, f'"handle {number}"')
        return code


def _names(code: str) -> tuple[set[str], set[str]]:
    """Names that a snippet gives values to, and those that it reads."""
    given, taken = set(), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name):
            (taken if isinstance(node.ctx, ast.Load) else given).add(node.id)
        elif isinstance(node, ast.alias):
            given.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            given.add(node.name)
    return given, taken


def page_text(name: str, card: Model, catalogue: Catalogue, record: Mapping[str, object]) -> str:
    """The text of a model's page that has its snippets."""
    records = {card.handle: record}
    files = FORMATS[name].page(card, catalogue, records, ADDRESSES)
    if name != "kaggle":
        return next(iter(files.values()))
    usage = json.loads(files["model-instance-metadata.json"])["usage"]
    assert isinstance(usage, str)
    return usage


def program_of(page: str, text: str, artifacts: Mapping[str, Exported]) -> Program:
    """The program of a page's text."""
    return Program(page, tuple(python_snippets(text)), artifacts)


def handles(name: str, card: Model, catalogue: Catalogue) -> list[str]:
    """What the page's program calls the card's model and, of an encoder, its preprocessor."""
    models: list[Model] = [card]
    if isinstance(card, EncoderCard):
        models.append(catalogue.preprocessors[card.preprocessor])
    found = [re.findall(r'"([^"]+)"', _PLATFORMS[name].load(model)) for model in models]
    return [handle for (handle,) in found]


class Runner:
    """Runs programs as a reader would: without hubexport and without a network."""

    def __init__(self, work: Path, number: int = 2):
        """`number` is how many programs run at once."""
        self._work, self._count, self._number = work, itertools.count(), number

    def run(self, programs: Sequence[Program]) -> list[str]:
        """What is wrong with each, with page and line; "" where nothing is."""
        with ThreadPoolExecutor(self._number) as pool:
            return list(pool.map(self._run, programs))

    def _run(self, program: Program) -> str:
        work = self._work / str(next(self._count))
        work.mkdir()
        (work / "page.py").write_text(program.text, "utf-8")
        for handle, artifact in program.artifacts.items():
            _place(handle, artifact.path, work)
        caches = {
            "TFHUB_CACHE_DIR": str(work / "tfhub"),
            "HF_HOME": str(work / "huggingface"),
            "HF_HUB_CACHE": str(work / "huggingface"),
        }
        process = forks.start(
            str(work / "page.py"),
            environment={**_ENVIRONMENT, **caches}, directory=work, preload=_PRELOAD,
        )  # fmt: skip
        return _verdict(program, work, process)


def _verdict(program: Program, work: Path, process: forks.Process) -> str:
    code, said = process.wait(), process.stdout + process.stderr
    file = re.escape(str(work / "page.py"))
    # TensorFlow says so in its log, with the place that called what is deprecated.
    lines = list(dict.fromkeys(re.findall(rf"From {file}:(\d+): .* deprecated", said)))
    if code == 0 and not lines:
        return ""
    lines = lines or re.findall(rf'File "{file}", line (\d+)', said)[-1:] or ["?"]
    return f"{program.page}, line {', '.join(lines)}: {said.strip()[-1500:]}"


def _place(handle: str, artifact: Path, work: Path) -> None:
    """Puts an artifact where tensorflow_hub and huggingface_hub keep what they have downloaded."""
    if handle.startswith("https://"):
        link = work / "tfhub" / hashlib.sha1(handle.encode()).hexdigest()
    else:
        repository = work / "huggingface" / f"models--{handle.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text(_COMMIT)
        link = repository / "snapshots" / _COMMIT
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(artifact)
