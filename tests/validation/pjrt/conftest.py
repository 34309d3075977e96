"""An exported encoder with heads, its reference by transformers, and its bundle."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.artifacts import export_encoder
from tests.validation.pjrt.support import Exported, flat, make_context, one_case, some_cases


@pytest.fixture(scope="session")
def pretraining(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """transformers' BertForPreTraining, random, and its checkpoint: (model, directory)."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from tests.oracles import hugging_face

    model = hugging_face.build("BertForPreTraining")
    return model, hugging_face.save_safetensors(model, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def expected(pretraining: Any) -> Callable[[], dict[str, dict[str, np.ndarray]]]:
    """Computes the outputs of every case by transformers."""
    from tests.oracles import hugging_face

    return functools.cache(
        lambda: {
            case.name: flat(hugging_face.expected_outputs(pretraining[0], case.inputs))
            for case in some_cases()
        }
    )


@pytest.fixture(scope="session")
def exported(
    pretraining: Any, expected: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    """The exported artifact with both heads."""
    artifact = tmp_path_factory.mktemp("exported") / "encoder"
    export_encoder(checkpoint=pretraining[1], export_path=artifact)
    return Exported(artifact, make_context(artifact, some_cases(), expected()), expected())


@pytest.fixture(scope="session")
def bundle(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact's bundle; not to be changed."""
    pytest.importorskip("jax", reason="JAX is not installed")
    from hubexport.validation.pjrt.bundle import write_bundle

    directory = tmp_path_factory.mktemp("bundles") / "bundle"
    write_bundle(exported.context, directory)
    return directory


@pytest.fixture(scope="session")
def seeded(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for timing, without values; not to be changed."""
    from hubexport.validation.pjrt.bundle import write_bundle

    directory = tmp_path_factory.mktemp("bundles") / "seeded"
    assert write_bundle(one_case(exported), directory, weights="seed").seed == 0
    return directory


@pytest.fixture(scope="session")
def client() -> Any:
    """JAX's CPU device in this process, which compiles a program once only."""
    pytest.importorskip("jax", reason="JAX is not installed")
    from hubexport.stablehlo.client import Client

    class CachingClient(Client):
        compiled: ClassVar[dict[str, Any]] = {}

        def compile(self, text: str) -> Any:
            if text not in self.compiled:
                self.compiled[text] = super().compile(text)
            return self.compiled[text]

    return CachingClient("cpu")
