"""Transformer-XL's reference: the original's checkpoints translated, and releases without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hubexport
from hubexport.checkpoints.opening import open_checkpoint
from hubexport.errors import CheckpointError
from hubexport.packages import MissingPackageError
from hubexport.validation.gates import numerics
from hubexport.validation.reference_file import read_reference
from hubexport.validation.references import transformer_xl
from hubexport.validation.references.sources import MAKERS, layout_of
from tests.artifacts import export_encoder
from tests.oracles import transformer_xl as oracle
from tests.validation.faults import failing, judged
from tests.validation.gates.contexts import context

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

HAS_IT = hasattr(transformers, "TransfoXLModel")


@pytest.mark.parametrize("name", oracle.OF_TF1)
def test_the_original(name: str, tmp_path: Path) -> None:
    """Its variables are transformers' tensors, those that are tied left out."""
    source = open_checkpoint(oracle.write_tf1(tmp_path / "model", name))
    assert layout_of(source) == "adaptive"
    assert [key for key, maker in MAKERS.items() if "adaptive" in maker.layouts] == [
        "transformers", "file",
    ]  # fmt: skip
    flags = {key: oracle.config(name)[key] for key in oracle.FLAGS}
    values = transformer_xl.configuration({**flags, "cutoffs": oracle.config(name)["cutoffs"]})
    state = transformer_xl.read_state_dict(source, values)
    expected = oracle.weights(name)
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(state[key].numpy(), value)


def test_flags() -> None:
    """As corpus_info.json and the program have them, to transformers' own."""
    given = {"cutoffs": [0, 8, 18, 30], "mem_len": 4, "same_length": True, "d_model": 16}
    values = transformer_xl.configuration(given)
    assert (values["cutoffs"], values["mem_len"], values["d_model"]) == ([8, 18], 5, 16)
    assert (values["layer_norm_epsilon"], values["untie_r"]) == (1e-12, False)
    without = transformer_xl.configuration({**given, "cutoffs": [8, 18], "same_length": False})
    assert (without["cutoffs"], without["mem_len"]) == ([8, 18], 4)


def test_other_variables(tmp_path: Path) -> None:
    others = {"transformer/layer_0/other": np.zeros(3, np.float32)}
    source = open_checkpoint(oracle.write_tf1(tmp_path / "model", "wt103", others=others))
    values = transformer_xl.configuration(oracle.config("wt103"))
    with pytest.raises(CheckpointError, match="transformer/layer_0/other"):
        transformer_xl.read_state_dict(source, values)


def test_what_transformers_does_not_find_out() -> None:
    state = {key: torch.from_numpy(v) for key, v in oracle.weights("shared biases").items()}
    completed = transformer_xl.completed(state)
    added = completed.keys() - state.keys()
    biases = {copy for copy in oracle.copies("shared biases") if ".dec_attn." in copy}
    assert added == {*biases, "transformer.pos_emb.inv_freq"}
    for copy in biases:
        assert completed[copy] is state[oracle.copies("shared biases")[copy]]
    assert transformer_xl.completed({"bert.weight": 1}) == {"bert.weight": 1}


@pytest.mark.skipif(HAS_IT, reason="the installed transformers has Transformer-XL")
def test_a_release_without_it(tmp_path: Path) -> None:
    checkpoint = oracle.write_hugging_face(tmp_path / "model", "wt103")
    with pytest.raises(MissingPackageError, match="has no Transformer-XL") as caught:
        hubexport.make_reference(
            source="transformers", checkpoint=checkpoint, output=tmp_path / "reference"
        )
    message = str(caught.value)
    assert transformers.__version__ in message
    assert "'transformers>=4.36,<4.58'" in message and "--source=file" in message


@pytest.mark.skipif(not HAS_IT, reason="needs transformers 4.36 to 4.57")
@pytest.mark.parametrize("name", oracle.VARIANTS)
def test_a_release_with_it(name: str, tmp_path: Path) -> None:
    """Of both layouts: every output is that of transformers, with a memory and without."""
    made = {"hugging_face": oracle.write_hugging_face(tmp_path / "model", name)}
    if name in oracle.OF_TF1:
        made["tf1"] = oracle.write_tf1(tmp_path / "original", name)
    for layout, checkpoint in made.items():
        reference = tmp_path / f"{layout} reference"
        hubexport.make_reference(source="transformers", checkpoint=checkpoint, output=reference)
        export_encoder(checkpoint=checkpoint, export_path=tmp_path / layout)
        given = context(tmp_path / layout, reference=read_reference(reference))
        report = judged(given, numerics)
        assert not failing(report), [gate.failures for gate in report.gates]
        measured = {each.what for gate in report.gates for each in gate.measurements}
        assert "with_mems: new_mems, max abs" in measured
