"""What is run on what: decided from files alone, before TensorFlow is imported."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from hubexport.errors import HubexportError, UsageError, some_of
from hubexport.running.writers import check_format
from hubexport.saved_model.ops import CORE, IMPORTS, UNKNOWN
from hubexport.saved_model.reading import SavedModelSummary, Signature, read_saved_model

DEFAULT_SIGNATURE = "serving_default"
ONE_TEXT = ("text",)
TWO_TEXTS = ("text", "text_pair")
"""What a preprocessor's texts are called: it takes one, or packs two."""

_ORDERS = (TWO_TEXTS, ("question", "context"))
"""Texts that go together, in the order of their columns: a SavedModel keeps none."""
_DEFAULT = "default"


@dataclasses.dataclass(frozen=True)
class Plan:
    """How texts become outputs.

    Attributes:
      saved_model: directory of what gives the outputs.
      preprocessor: directory of what makes its inputs, where it takes no text.
      signature: of the SavedModel; None where the preprocessor itself packs two texts.
      inputs: of the signature: its names.
      columns: what the texts of a line are called, in their order.
      outputs: names of those that are written.
      imports: modules that register ops.
    """

    saved_model: Path
    preprocessor: Path | None
    signature: str | None
    inputs: tuple[str, ...]
    columns: tuple[str, ...]
    outputs: tuple[str, ...]
    imports: tuple[str, ...]


def make_plan(
    saved_model: Path,
    preprocessor: Path | None = None,
    signature: str = DEFAULT_SIGNATURE,
    columns: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    output: Path | None = None,
) -> Plan:
    """Reads the SavedModels' descriptions and decides.

    Args:
      saved_model: a SavedModel with a signature that takes text; or an encoder.
      preprocessor: for an encoder: what makes its inputs of text.
      signature: the name of one.
      columns: what the texts of a line are called; None for one text, or for those of the
        signature where their order is known.
      outputs: names of those to be written; None for `default`, or for all where there is none.
      output: the file to be written; None for JSON lines.

    Raises:
      HubexportError: a SavedModel is not there, or does not do what is asked for.
      UsageError: arguments do not go together.
    """
    summary = read_saved_model(saved_model)
    chosen = _signature(summary, signature)
    summaries = [summary]
    packs: str | None = signature
    if preprocessor is not None:
        before = read_saved_model(preprocessor)
        summaries.append(before)
        _check_pair(summary, signature, chosen, before)
        texts = _texts_of_preprocessor(before, columns)
    elif _is_preprocessor(summary) and tuple(columns or ONE_TEXT) == TWO_TEXTS:
        texts, packs = TWO_TEXTS, None
    else:
        texts = _texts(summary, signature, chosen, columns)
    names = _outputs(summary, signature, chosen, outputs)
    if output is not None:
        check_format(output, {name: chosen.outputs[name] for name in names})
    return Plan(
        saved_model=saved_model,
        preprocessor=preprocessor,
        signature=packs,
        inputs=tuple(chosen.inputs),
        columns=texts,
        outputs=names,
        imports=_imports(summaries),
    )


def _signature(summary: SavedModelSummary, name: str) -> Signature:
    if name not in summary.signatures:
        raise HubexportError(
            "the SavedModel has no such signature",
            [
                ("SavedModel", str(summary.directory)),
                ("--signature", name),
                ("there are", some_of(summary.signatures) or "none"),
            ],
            "pass one of these to --signature."
            if summary.signatures
            else "call it from a program: signatures are what this command runs.",
        )
    return summary.signatures[name]


def _texts(
    summary: SavedModelSummary, name: str, signature: Signature, columns: Sequence[str] | None
) -> tuple[str, ...]:
    """The signature's inputs in the order of the columns."""
    given = ("SavedModel", str(summary.directory)), ("signature", name)
    takes = ", ".join(
        f"{key} {spec.dtype} {_shape(spec.shape)}" for key, spec in signature.inputs.items()
    )
    if not any(spec.dtype == "string" for spec in signature.inputs.values()):
        raise HubexportError(
            "the SavedModel takes no text",
            [*given, ("takes", takes or "nothing")],
            "pass the preprocessor that makes these inputs of text to --preprocessor.",
        )
    others = [
        key
        for key, spec in signature.inputs.items()
        if spec.dtype != "string" or not (spec.shape is None or spec.shape == (None,))
    ]
    if others:
        raise HubexportError(
            "the SavedModel takes more than a batch of texts",
            [*given, ("takes", takes), ("not a batch of texts", ", ".join(others))],
            "pass another signature to --signature, or call it from a program.",
        )
    names = tuple(signature.inputs)
    if columns is None:
        if len(names) == 1:
            return names
        columns = next((order for order in _ORDERS if {*order} == {*names}), None)
        if columns is None:
            raise UsageError(
                "nothing says in which order the texts of a line are",
                [*given, ("takes", ", ".join(names))],
                "pass these to --columns, in the order of your file's columns.",
            )
    if sorted(columns) != sorted(names):
        raise UsageError(
            "--columns are not the texts that the SavedModel takes",
            [*given, ("--columns", ", ".join(columns)), ("takes", ", ".join(names))],
            "pass exactly these to --columns, in the order of your file's columns.",
        )
    return tuple(columns)


def _is_preprocessor(summary: SavedModelSummary) -> bool:
    return {"tokenize", "bert_pack_inputs"} <= {part.name for part in summary.sub_objects}


def _texts_of_preprocessor(
    preprocessor: SavedModelSummary, columns: Sequence[str] | None
) -> tuple[str, ...]:
    chosen = tuple(columns or ONE_TEXT)
    if chosen == TWO_TEXTS and not _is_preprocessor(preprocessor):
        raise HubexportError(
            "the preprocessor cannot pack two texts",
            [
                ("preprocessor", str(preprocessor.directory)),
                ("missing", "tokenize and bert_pack_inputs"),
            ],
            "pass one text on a line, without --columns.",
        )
    if chosen not in (ONE_TEXT, TWO_TEXTS):
        raise UsageError(
            "--columns are not what a preprocessor takes",
            [("--columns", ", ".join(chosen)), ("takes", "text, or text,text_pair")],
            "pass --columns=text,text_pair for two texts on a line, or nothing for one.",
        )
    return chosen


def _check_pair(
    encoder: SavedModelSummary, name: str, signature: Signature, preprocessor: SavedModelSummary
) -> None:
    """Fails where the preprocessor takes no text, or gives not what the encoder takes."""
    of_text = _signature(preprocessor, DEFAULT_SIGNATURE)
    _texts(preprocessor, DEFAULT_SIGNATURE, of_text, None)
    missing = signature.inputs.keys() - of_text.outputs.keys()
    if missing:
        raise HubexportError(
            "the preprocessor does not make all inputs of the SavedModel",
            [
                ("SavedModel", f"{encoder.directory}, signature {name}"),
                ("preprocessor", str(preprocessor.directory)),
                ("makes", ", ".join(of_text.outputs)),
                ("missing", ", ".join(sorted(missing))),
                ("signatures without these", some_of(_fed(encoder, of_text.outputs)) or "none"),
            ],
            "pass one of these to --signature, or call the SavedModel from a program.",
        )


def _fed(encoder: SavedModelSummary, outputs: Mapping[str, object]) -> list[str]:
    """Names of the signatures that take nothing else."""
    return [n for n, each in encoder.signatures.items() if each.inputs.keys() <= outputs.keys()]


def _outputs(
    summary: SavedModelSummary, name: str, signature: Signature, wanted: Sequence[str] | None
) -> tuple[str, ...]:
    names = tuple(signature.outputs)
    if wanted is None:
        return (_DEFAULT,) if _DEFAULT in names else names
    unknown = [each for each in wanted if each not in names]
    if unknown or not wanted:
        raise HubexportError(
            "the SavedModel has no such output",
            [
                ("SavedModel", str(summary.directory)),
                ("signature", name),
                ("--outputs", ", ".join(wanted)),
                ("there are", ", ".join(names)),
            ],
            "pass some of these to --outputs.",
        )
    return tuple(dict.fromkeys(wanted))


def _imports(summaries: Sequence[SavedModelSummary]) -> tuple[str, ...]:
    needed: dict[str, None] = {}
    for summary in summaries:
        packages = summary.packages
        if UNKNOWN in packages:
            raise HubexportError(
                "the SavedModel has ops of a package that is not known",
                [
                    ("SavedModel", str(summary.directory)),
                    ("ops", some_of(packages[UNKNOWN])),
                ],
                "call it from a program that imports what registers them.",
            )
        needed |= dict.fromkeys(IMPORTS[name] for name in packages if name != CORE)
    return tuple(needed)


def _shape(shape: Sequence[int | None] | None) -> str:
    return "of unknown rank" if shape is None else str(list(shape)).replace("None", "?")
