"""What errors tell users to do can be done: the flags, values and commands that they name exist."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import hubexport
from hubexport import cli
from hubexport.checkpoints.opening import open_checkpoint
from hubexport.checkpoints.source import ComputedTensor, TensorSource
from hubexport.errors import HubexportError
from hubexport.exporting.encoder import export_encoder
from hubexport.exporting.heads import choose_heads
from hubexport.exporting.pooler import PoolerChoice
from hubexport.exporting.preprocessor import export_preprocessor
from hubexport.families.configuration import Configuration
from hubexport.families.heads import INTERFACES
from hubexport.families.registry import families
from hubexport.tokenizers.moses.rules import supported_languages
from hubexport.tokenizers.xlm.definition import PRETOKENIZED
from hubexport.validation.gates import NAMES
from hubexport.validation.pjrt.__main__ import _parser as pjrt_parser
from hubexport.validation.references.sources import (
    MAKERS,
    check_arguments,
    check_layout,
    check_packages,
)
from tests import tiny
from tests.advice import HOLE, Package, Text
from tests.dead_ends import Offer, flags_of

ROOT = Path(hubexport.__file__).parent
ABSL = frozenset({"flagfile"})  # read before the commands see their arguments
PJRT = "python -m hubexport.validation.pjrt"
THINGS = {
    "licence", "spdx", "evidence", "collections",  # keys of model cards
    "idx2sym",  # of Transformer-XL's vocabulary
    "n_head",  # key of a GPT's configuration
    "hello", "world",  # pieces of a vocabulary, as an example
}  # fmt: skip
PLACEHOLDERS = ("--name", "--noname")
"""Flags that docstrings write about flags with."""

ALL = (
    "encoder", "preprocessor", "pipeline", "inspect", "run", "reference", "validate", "card",
    "serve", "diff",
)  # fmt: skip
RAISED_BY = {
    "hubexport": ALL,
    "hubexport.cards": ("card",),
    "hubexport.checkpoints": ("encoder", "reference", "inspect"),
    "hubexport.comparison": ("diff",),
    "hubexport.checkpoints.sentence_model": ("pipeline",),
    "hubexport.checkpoints.sentence_transformers": ("encoder",),  # `reference` catches them
    **{f"hubexport.commands.{name}": (name,) for name in ALL},
    "hubexport.exporting": ("encoder",),
    "hubexport.exporting.job": ("encoder", "reference"),
    "hubexport.exporting.belonging": ("pipeline",),
    "hubexport.exporting.pipeline": ("pipeline",),
    "hubexport.exporting.pipeline_options": ("pipeline",),
    "hubexport.exporting.pipeline_test": ("pipeline",),
    "hubexport.exporting.preprocessor": ("preprocessor",),
    "hubexport.exporting.preprocessor_options": ("preprocessor",),
    "hubexport.exporting.preprocessor_record": ("preprocessor",),
    "hubexport.exporting.self_test": ("preprocessor",),
    "hubexport.families": ("encoder", "reference"),
    "hubexport.publishing": ("publish",),
    "hubexport.publishing.archive": ("publish", "pull", "verify", "hub"),
    "hubexport.publishing.artifact": ("publish",),  # of `verify` only what names no flag
    "hubexport.publishing.maintenance": ("hub",),
    "hubexport.publishing.places": ("pull", "verify"),  # `hub mirror` passes the hub
    "hubexport.publishing.pulling": ("pull",),
    "hubexport.publishing.verification": ("verify", "hub"),
    "hubexport.output_file": ("reference", "run"),
    "hubexport.running": ("run",),
    "hubexport.families.family": ("encoder",),  # about overrides, as far as it names flags
    "hubexport.pipelines": ("pipeline",),
    "hubexport.saved_model.saving": ("encoder", "preprocessor"),
    "hubexport.saved_model.target": ("encoder", "preprocessor", "validate"),
    "hubexport.saved_model.weights": ("encoder",),
    "hubexport.serving": ("serve",),
    "hubexport.stablehlo": ("validate",),
    "hubexport.tokenizers": ("encoder", "preprocessor"),
    "hubexport.tokenizers.casing": ("encoder", "preprocessor", "reference"),
    "hubexport.tokenizers.wordpiece.vocabulary": ("encoder", "preprocessor", "reference"),
    "hubexport.validation": ("validate",),
    "hubexport.validation.provenance": ("encoder", "validate"),
    "hubexport.validation.reference_file": ("encoder", "validate", "reference"),
    "hubexport.validation.references": ("reference",),
}
"""Package or module -> the commands that can raise its errors."""


@pytest.fixture(scope="module")
def package() -> Package:
    """All of hubexport, less the programs that made its tables."""
    sources = {}
    for path in sorted(ROOT.rglob("*.py")):
        if not path.name.startswith("generate"):
            parts = path.relative_to(ROOT.parent).with_suffix("").parts
            sources[".".join(parts).removesuffix(".__init__")] = path.read_text("utf-8")
    return Package(sources)


@pytest.fixture(scope="module")
def offer() -> Offer:
    """What hubexport's command line takes."""
    parser = cli.make_parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    parsers = {"hubexport": parser, PJRT: pjrt_parser()}
    parsers |= {f"hubexport {name}": each for name, each in commands.choices.items()}
    flags = {name: flags_of(each) for name, each in parsers.items()}
    values = {
        "family": frozenset(families()),
        "heads": frozenset({"auto", "none", *INTERFACES}),
        "gates": frozenset(NAMES),
        "language": supported_languages() | {PRETOKENIZED},
    }
    for name, action in (pair for each in flags.values() for pair in each.items()):
        if action.choices is not None:
            values[name] = values.get(name, frozenset()) | frozenset(action.choices)
    return Offer(
        {command: frozenset(each) | ABSL for command, each in flags.items()},
        values,
        metadata.metadata("hubexport").get_all("Provides-Extra") or (),
        THINGS,
        {
            module: tuple(f"hubexport {command}" for command in commands)
            for module, commands in RAISED_BY.items()
        },
    )


def test_nothing_leads_to_a_dead_end(package, offer):
    texts = list(package.texts())
    kinds = Counter(text.kind for text in texts)
    assert kinds["advice"] > 200 and kinds["message"] > 2000  # it does look
    found = [
        problem
        for text in texts
        for problem in offer.dead_ends(text)
        if not (text.kind == "docstring" and problem.endswith(PLACEHOLDERS))
    ]
    assert not found, "\n".join(found)


def refusal(call: Callable[..., object], *arguments: object, **options: object) -> HubexportError:
    with pytest.raises(HubexportError) as caught:
        call(*arguments, **options)
    return caught.value


def of_preprocessor(directory: Path, **options: object) -> HubexportError:
    return refusal(export_preprocessor, export_path=directory / "out", **options)


def of_tokenizer(directory: Path, model: dict[str, object]) -> HubexportError:
    """Of a tokenizer.json that does not tell whose it is."""
    (directory / "tokenizer.json").write_text(json.dumps({"model": model}))
    return of_preprocessor(directory, tokenizer=directory)


def of_files(directory: Path) -> HubexportError:
    """Of a vocabulary and merges that do not tell whose they are."""
    (directory / "vocab.json").write_text('{"a": 0}')
    (directory / "merges.txt").write_text("#version: 0.2\n")
    return of_preprocessor(directory, tokenizer=directory)


def of_encoder(directory: Path, config: dict[str, object], **options: object) -> HubexportError:
    prefix = tiny.write_checkpoint(directory / "checkpoint")
    prefix.with_name("bert_config.json").write_text(json.dumps({**tiny.CONFIG, **config}))
    return refusal(export_encoder, checkpoint=prefix, export_path=directory / "out", **options)


def of_two_checkpoints(directory: Path) -> HubexportError:
    (directory / "one.index").touch()
    (directory / "two.index").touch()
    return refusal(open_checkpoint, directory)


def of_source(directory: Path, source: str) -> HubexportError:
    """Of a checkpoint of google-research/bert that this source does not read."""
    tensors = open_checkpoint(tiny.write_checkpoint(directory))
    return refusal(check_layout, source, MAKERS[source], tensors)


def of_packages(source: str, patch: pytest.MonkeyPatch) -> HubexportError:
    maker = MAKERS[source]
    patch.setitem(sys.modules, maker.packages[0], None)  # Python's way to say that there is none
    return refusal(check_packages, source, maker)


def of_ambiguous_head(directory: Path) -> HubexportError:
    """Of a classifier, and nothing that tells whether it is of texts, tokens or choices."""
    shapes = {
        "classifier.weight": (1, 16),
        "classifier.bias": (1,),
        "bert.pooler.dense.bias": (16,),
    }
    tensors = {
        name: ComputedTensor(name, shape, "float32", lambda: np.zeros(0))
        for name, shape in shapes.items()
    }
    source = TensorSource(directory, "safetensors", "hugging_face", (), tensors)
    configuration = Configuration(directory / "config.json", "json", "", tiny.CONFIG)
    family = families()["bert"](configuration, source, {})
    return refusal(choose_heads, "auto", family, source, PoolerChoice("cls"))


def of_validate(directory: Path, patch: pytest.MonkeyPatch) -> HubexportError:
    patch.setattr("importlib.util.find_spec", lambda name: None)
    return of_encoder(directory, {}, validate=True)


Make = Callable[[Path, pytest.MonkeyPatch], HubexportError]
_TYPES = r"pass --model_type, one of (.+)\."
_TWO = r"pass (\w+), the default, or (\w+)\."
_BPE = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
_UNIGRAM = {"type": "Unigram", "vocab": [["a", 0]]}
GENERATED: dict[str, tuple[Make, str, str]] = {
    "type of a unigram": (lambda path, _: of_tokenizer(path, _UNIGRAM), "model_type", _TYPES),
    "type of a BPE": (lambda path, _: of_tokenizer(path, _BPE), "model_type", _TYPES),
    "type of a BPE with ends": (
        lambda path, _: of_tokenizer(path, {**_BPE, "end_of_word_suffix": "</w>"}),
        "model_type",
        _TYPES,
    ),
    "type of files": (lambda path, _: of_files(path), "model_type", _TYPES),
    "normalization": (
        lambda path, _: of_preprocessor(path, normalization="another"),
        "normalization",
        _TWO,
    ),
    "truncation": (
        lambda path, _: of_preprocessor(path, truncation="another"),
        "truncation",
        _TWO,
    ),
    "family": (
        lambda path, _: of_encoder(path, {"model_type": "another"}),
        "family",
        r".* --family: (.+)\.",
    ),
    "activation": (
        lambda path, _: of_encoder(path, {"hidden_act": "another"}),
        "hidden_act",
        r".* one of (.+), pass that to `hubexport encoder` as --hidden_act\.",
    ),
    "a head that could be several": (
        lambda path, _: of_ambiguous_head(path),
        "heads",
        r"pass --heads=(\w+) to `hubexport encoder`, or what else it is\.",
    ),
    "positions": (
        lambda path, _: of_encoder(path, {}, max_position_embeddings=25),
        "",
        r"pass --max_position_embeddings of at most 24\.",
    ),
    "source of TensorFlow's": (
        lambda path, _: of_source(path, "transformers"),
        "source",
        r"pass --source=(\w+) or --source=(\w+)\.",
    ),
    "packages of transformers": (
        lambda _, patch: of_packages("transformers", patch),
        "",
        r"pip install 'hubexport\[.*",
    ),
    "packages of Model Garden": (
        lambda _, patch: of_packages("model_garden", patch),
        "",
        r".*/pip install 'hubexport\[.*",
    ),
    "packages for --validate": (of_validate, "", r".*pip install .*, or .*"),
    "checkpoints": (
        lambda path, _: of_two_checkpoints(path),
        "",
        r"pass one of them, such as .*two\.",
    ),
}
"""Advice that is put together at run time: how to get it, and of which flag it gives values."""


NO_CHOICES = (
    HOLE,  # an error of a child process, raised once more as it was
    "pass the model as it was published",  # names pieces
)
"""Beginnings of generated advice that offers nothing to choose from."""


@pytest.mark.parametrize("name", GENERATED)
def test_generated(tmp_path, monkeypatch, offer, name):
    make, flag, pattern = GENERATED[name]
    advice = make(tmp_path, monkeypatch).hint
    assert advice is not None
    match = re.fullmatch(pattern, advice, re.DOTALL)
    assert match, advice
    values = [value for group in match.groups() for value in group.split(", ")]
    assert bool(values) == bool(flag)
    assert set(values) <= offer.values.get(flag, frozenset())
    assert not list(offer.dead_ends(Text("", 0, advice, "advice")))


def test_all_that_is_generated_is_tested(package, tmp_path):
    made = []
    for number, (make, _, _) in enumerate(GENERATED.values()):
        directory = tmp_path / str(number)
        directory.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            made.append(str(make(directory, patch).hint))
    for text in package.texts():
        if text.kind == "advice" and HOLE in text.text and not text.text.startswith(NO_CHOICES):
            pattern = ".+".join(map(re.escape, text.text.split(HOLE)))
            assert any(re.fullmatch(pattern, each, re.DOTALL) for each in made), str(text)


def of_no_pooler(directory: Path) -> HubexportError:
    def without(values: dict[str, object]) -> None:
        for name in [name for name in values if "pooler" in name]:
            del values[name]

    prefix = tiny.write_checkpoint(directory, heads=False, change=without)
    return refusal(export_encoder, checkpoint=prefix, export_path=directory / "out")


def of_pointless(directory: Path) -> HubexportError:
    of_files(directory)
    options = {"do_lower_case": True, "strip_accents": True, "language": "en"}
    return of_preprocessor(directory, tokenizer=directory, model_type="gpt2", **options)


ARGUMENTS = sorted(set().union(*(maker.takes | maker.needs for maker in MAKERS.values())))
NAMED_BY_ARGUMENTS = {
    "no pooler": (of_no_pooler, [f"--pooler {name}" for name in ("mean", "cls", "identity")]),
    "pointless": (of_pointless, ["--do_lower_case, --strip_accents, --language"]),
    **{
        f"not of {source}": (
            lambda _, source=source: refusal(
                check_arguments, source, dict.fromkeys(ARGUMENTS, "x")
            ),
            [f"--source={source} does not take: --"],
        )
        for source in MAKERS
    },
    "needed by file": (
        lambda _: refusal(check_arguments, "file", {}),
        ["--source=file needs: --outputs"],
    ),
}
"""Errors whose facts make flags of the names of arguments, and what they say."""


@pytest.mark.parametrize("name", NAMED_BY_ARGUMENTS)
def test_flags_that_are_made_of_names(tmp_path, offer, name):
    make, said = NAMED_BY_ARGUMENTS[name]
    text = str(make(tmp_path))
    assert all(each in text for each in said), text
    assert not list(offer.dead_ends(Text("", 0, text, "message")))


class TestFollowed:
    """What advice says to do is of use."""

    def test_hidden_act(self, tmp_path, capsys):
        prefix = tiny.write_checkpoint(tmp_path / "checkpoint")
        config = prefix.with_name("bert_config.json")
        config.write_text(json.dumps({**tiny.CONFIG, "hidden_act": "gelu_as_ever"}))
        export = ["encoder", f"--checkpoint={prefix}", f"--export_path={tmp_path}/out", "--dry_run"]
        assert cli.run(export) == 1
        assert "`hubexport encoder` as --hidden_act." in capsys.readouterr().err
        assert cli.run([*export, "--hidden_act=gelu_tanh"]) == 0
        assert ", gelu_tanh, " in capsys.readouterr().out


ERRORS = "class HubexportError(Exception): ...\nclass UsageError(HubexportError): ...\n"


def advice_in(source: str, **others: str) -> list[str]:
    texts = Package({"errors": ERRORS, "module": source, **others}).texts()
    return [text.text for text in texts if text.kind == "advice"]


class TestCollector:
    @pytest.mark.parametrize(
        ("source", "advice"),
        [
            ("raise UsageError('p', [], 'do it.')", ["do it."]),
            ("raise UsageError('p', hint='do it.')", ["do it."]),
            ("raise errors.UsageError('p', [], 'do ' 'it.')", ["do it."]),
            ("raise UsageError('p')", []),
            ("raise UsageError('p', [])", []),
            ("raise ValueError('p', [], 'do it.')", []),
            ("raise UsageError('p', [], None)", []),
            ("raise UsageError('p', [], f'do {this}.')", [f"do {HOLE}."]),
            ("raise UsageError('p', [], f'do {this!r}.')", [f"do {HOLE}."]),
            ("this = 'it'\nraise UsageError('p', [], f'do {this}.')", ["do it."]),
            ("raise UsageError('p', [], 'do ' + 'it' + this)", [f"do it{HOLE}"]),
            ("raise UsageError('p', [], 'a' if x else 'b')", ["a", "b"]),
            ("raise UsageError('p', [], 'do ' + ('a' if x else 'b'))", ["do a", "do b"]),
            ("raise UsageError('p', [], said or 'b')", [HOLE, "b"]),
            ("raise UsageError('p', [], ' or '.join(['a', 'b']))", ["a or b"]),
            ("raise UsageError('p', [], ', '.join(f'--{n}' for n in names))", [f"--{HOLE}"]),
            ("raise UsageError('p', [], ', '.join(names))", [HOLE]),
            ("raise UsageError('p', [], {'a': 'x', 'b': 'y'}[key])", ["x", "y"]),
            ("T = {'a': 'x', 'b': 'y'}\nraise UsageError('p', [], T[key])", ["x", "y"]),
            ("A = 'a'\ndef f():\n raise UsageError('p', [], A)", ["a"]),
            ("A = 'a'\ndef f():\n A = 'b'\n raise UsageError('p', [], A)", ["b"]),
            ("def f():\n a, b = 'x', 'y'\n raise UsageError('p', [], b)", ["y"]),
            (
                "def f():\n if x: a = 'x'\n else: a = 'y'\n raise UsageError('p', [], a)",
                ["x", "y"],
            ),
            ("if a := 'x':\n raise UsageError('p', [], a)", ["x"]),
            ("from other import A as B\nraise UsageError('p', [], B)", ["of the other"]),
            ("from elsewhere import A\nraise UsageError('p', [], A)", [HOLE]),
            ("def f(a): return UsageError('p', [], a)\nf('x')\nf(a='y')", ["x", "y"]),
            ("def f(a='d'): return UsageError('p', [], a)\nf('x')", ["d", "x"]),
            ("def f(*, a='d'): return UsageError('p', [], a)\nf(a='x')", ["d", "x"]),
            (
                "def f(a): return UsageError('p', [], 'do ' + a)\nf('x' if y else 'z')",
                ["do x", "do z"],
            ),
            ("def f(a): return UsageError('p', [], a)\ndef g(b): return f(b)\ng('x')", ["x"]),
            ("def f(a): return UsageError('p', [], a)", [HOLE]),
            ("def f(a): return UsageError('p', [], a)\nf(*all)", [HOLE]),
            ("class C:\n def m(self, a): raise UsageError('p', [], a)\nc.m('x')", ["x"]),
            (
                "class E(UsageError):\n def __init__(self, a): super().__init__('p', [], a)\n"
                "class F(E): ...\nraise E('x')",
                ["x"],
            ),
            ("class E(UsageError): ...\nclass F(E): ...\nraise F('p', [], 'x')", ["x"]),
        ],
    )
    def test_advice(self, source, advice):
        assert advice_in(source, other="A = 'of the other'") == advice

    def test_a_helper_that_another_module_calls(self):
        helper = "def wrong(a): return UsageError('p', [], f'pass {a}.')"
        caller = "from module import wrong\nraise wrong('x')"
        assert advice_in(helper, other=caller) == ["pass x."]

    def test_everything_else(self):
        source = '"""Doc."""\ndef f(x):\n "Of f."\n print(f"a {x} " + "b", len("c" "d"))'
        texts = [(text.kind, text.text, text.line) for text in Package({"m": source}).texts()]
        assert sorted(texts) == [
            ("docstring", "Doc.", 1),
            ("docstring", "Of f.", 3),
            ("message", f"a {HOLE} b", 4),
            ("message", "cd", 4),
        ]

    def test_names_that_stand_for_themselves(self):
        assert advice_in("a = b\nb = a\nraise UsageError('p', [], a)") == [HOLE]
        recursive = "def f(a): return f(a + 'x') or UsageError('p', [], a)"
        assert all(text.startswith(HOLE) for text in advice_in(recursive))


OFFER = Offer(
    {
        "hubexport": frozenset({"version"}),
        "hubexport encoder": frozenset({"pooler", "model_type", "dtype", "out"}),
        "hubexport inspect": frozenset({"all", "out"}),
        "python -m hubexport.tool": frozenset({"repeat"}),
    },
    {"pooler": frozenset({"mean", "cls"}), "model_type": frozenset({"bert", "t5"})},
    {"site"},
    {"licence"},
    {"m": ("hubexport encoder", "hubexport inspect"), "m.e": ("hubexport encoder",)},
)


class TestDeadEnds:
    @pytest.mark.parametrize(
        "text",
        [
            "pass --out.",
            "pass --out, or --out=x.",
            "pass --out to do it.",
            "read the text -- a--b",
            "pass --pooler=mean to `hubexport encoder`.",
            "pass --pooler mean, as `encoder --out` says.",
            "`hubexport encoder --pooler=mean,cls`.",
            "`hubexport encoder --pooler=NAME` takes one.",
            f"`hubexport encoder --pooler={HOLE}`.",
            f"`hubexport encoder` takes --{HOLE} and --no{HOLE}.",
            "pip install 'hubexport[site]'",
            "add `licence`.",
            "`hubexport --version` tells.",
            "`hubexport COMMAND --out`.",
            "`python -m hubexport.tool DIR` has --repeat.",
            'a model_type "bert"',
            "style: var(--ink)",
            "`python -m hubexport encoder --pooler=cls`",
        ],
    )
    def test_none(self, text):
        assert list(OFFER.dead_ends(Text("m.other", 1, text, "advice"))) == []

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("pass --oot.", "no command has --oot"),
            ("pass --out_", "no command has --out_"),
            ("pass --out-put", "no command has --out-put"),
            ("`hubexport encoder --pooler=max`.", "--pooler does not take 'max'"),
            ("`hubexport encoder --pooler=mean,max`.", "--pooler does not take 'max'"),
            ("pass --pooler max.", "--pooler does not take 'max'"),
            ('pass model_type "gpt".', "--model_type does not take 'gpt'"),
            ('"gpt" is one.', "'gpt' is neither a value of a flag"),
            ("add `license`.", "'license' is neither a value of a flag"),
            ("`hubexport export` does it.", "there is no command 'hubexport export'"),
            ("`hubexport inspect --pooler`.", "`hubexport inspect` has no --pooler"),
            ("`python -m hubexport.tol`.", "there is no command 'python -m hubexport.tol'"),
            ("pip install 'hubexport[sites]'", "there is no extra sites"),
            ("pass --pooler=mean.", "hubexport inspect can raise this and has no --pooler"),
            ("pass --all.", "hubexport encoder can raise this and has no --all"),
            ("pass --repeat.", "hubexport encoder, hubexport inspect can raise this"),
        ],
    )
    def test_planted(self, text, problem):
        found = list(OFFER.dead_ends(Text("m.other", 7, text, "advice")))
        assert found and found[0].startswith("m.other:7: ") and problem in found[0]

    def test_who_can_raise_it(self):
        text = "pass --pooler=mean."
        assert not list(OFFER.dead_ends(Text("m.e.deep", 1, text, "advice")))
        assert not list(OFFER.dead_ends(Text("m.other", 1, text, "message")))

    @pytest.mark.parametrize(
        "source",
        [
            "raise UsageError('p', [], 'pass --oot.')",
            "raise UsageError('p', [], f'`hubexport encoder --pooler={\"max\"}`.')",
            "BAD = 'max'\nraise UsageError('p', [], f'`hubexport encoder --pooler={BAD}`.')",
            "def wrong(advice): return UsageError('p', [], advice)\nraise wrong('pass --oot.')",
            "def wrong(flag): return UsageError('p', [], f'pass --{flag}.')\nwrong('oot')",
            "raise UsageError('p', [], 'pass --out.' if x else 'pass --oot.')",
            "warnings.append(f'{name}: --oot was passed')",
            "def f():\n '''Takes --oot.'''",
        ],
    )
    def test_planted_in_source(self, source):
        found = {
            problem
            for text in Package({"errors": ERRORS, "m": source}).texts()
            for problem in OFFER.dead_ends(text)
        }
        assert found and all(re.search("no command has --oot|'max'", each) for each in found)
