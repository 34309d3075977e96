"""What sentence-transformers directories say of pooling, in the forms that their versions wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hubexport.checkpoints.sentence_transformers import read_pipeline, transformer_directory
from hubexport.errors import ConfigurationError

OLD = "sentence_transformers.models"
FLAGS = {
    "word_embedding_dimension": 384,
    "pooling_mode_cls_token": False,
    "pooling_mode_mean_tokens": True,
    "pooling_mode_max_tokens": False,
    "pooling_mode_mean_sqrt_len_tokens": False,
}


def write(
    directory: Path,
    steps=("Transformer", "Pooling", "Normalize"),
    pooling: object = FLAGS,
    package: str = OLD,
    paths=("", "1_Pooling", "2_Normalize"),
) -> Path:
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"{package}.{step}"}
        for i, (step, path) in enumerate(zip(steps, paths, strict=False))
    ]
    (directory / "modules.json").write_text(json.dumps(modules))
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return directory


def test_no_pipeline(tmp_path):
    assert read_pipeline(tmp_path) is None
    assert transformer_directory(tmp_path) == tmp_path


def test_mean_and_normalize(tmp_path):
    embedding = read_pipeline(write(tmp_path))
    assert embedding is not None
    assert (embedding.modes, embedding.normalize) == (("mean",), True)
    assert [file.name for file in embedding.files] == ["modules.json", "config.json"]


@pytest.mark.parametrize(
    ("pooling", "modes"),
    [
        ({"pooling_mode": "cls"}, ("cls",)),
        ({"pooling_mode": ["mean", "max"]}, ("mean", "max")),
        ({**FLAGS, "pooling_mode_cls_token": True}, ("cls", "mean")),
        ({**FLAGS, "pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True},
         ("lasttoken",)),
    ],
)  # fmt: skip
def test_pooling_modes(tmp_path, pooling, modes):
    embedding = read_pipeline(write(tmp_path, ("Transformer", "Pooling"), pooling))
    assert embedding is not None
    assert (embedding.modes, embedding.normalize) == (modes, False)


def test_newer_module_names(tmp_path):
    assert read_pipeline(write(tmp_path, package="sentence_transformers.base.modules.x"))


def test_older_directories_keep_the_encoder_apart(tmp_path):
    write(tmp_path, paths=("0_Transformer", "1_Pooling"), steps=("Transformer", "Pooling"))
    assert transformer_directory(tmp_path) == tmp_path / "0_Transformer"


def test_links_of_a_download_cache_are_followed(tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    write(snapshot)
    for path in (snapshot / "modules.json", snapshot / "1_Pooling" / "config.json"):
        blob = blobs / path.name
        path.rename(blob)
        path.symlink_to(blob)
    assert read_pipeline(snapshot)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"steps": ("Transformer", "Pooling", "Dense")}, "Transformer -> Pooling -> Dense"),
        ({"pooling": {**FLAGS, "pooling_mode_mean_tokens": False}}, "no known pooling mode"),
        ({"pooling": {"pooling_mode": "attention"}}, "attention"),
        ({"pooling": []}, "no known pooling mode"),
        ({"paths": ("", "../elsewhere")}, "outside its own"),
        ({"paths": ("", "/etc")}, "outside its own"),
    ],
)
def test_what_is_not_reproduced_is_refused(tmp_path, change, problem):
    steps = {} if "steps" in change or "paths" not in change else {
        "steps": ("Transformer", "Pooling")
    }  # fmt: skip
    with pytest.raises(ConfigurationError, match=problem):
        read_pipeline(write(tmp_path, **{**steps, **change}))


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"path": ""}]'])
def test_unreadable_modules(tmp_path, text):
    (tmp_path / "modules.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"modules\.json|cannot be read"):
        read_pipeline(tmp_path)
