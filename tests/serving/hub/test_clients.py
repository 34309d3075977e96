"""tensorflow_hub and curl, as people have them, against our server and nginx."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_hub as hub_library
from tensorflow_hub import resolver

from tests.serving import trees
from tests.serving.hub.conftest import GCS, Hub
from tests.serving.hub.servers import Served


class Adder(tf.Module):
    """A reusable SavedModel that is told from others by what it adds."""

    def __init__(self, number: float):
        super().__init__()
        self.number = tf.Variable(number)
        self.variables_ = [self.number]

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    def __call__(self, x: Any) -> Any:
        return x + self.number


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Hub:
    """Models of which each adds its version."""
    above = tmp_path_factory.mktemp("hub")
    root = trees.make(above / "root")
    for handle, archive in (
        ("pub/adder/2", "model.tar"),
        ("pub/adder/11", "model.tar"),
        ("pub/deep/adder.v2/3", "model.tar.gz"),
    ):
        saved = above / "unpacked" / handle
        tf.saved_model.save(Adder(float(handle.rpartition("/")[2])), str(saved))
        files = {
            str(path.relative_to(saved)): path.read_bytes()
            for path in saved.rglob("*")
            if path.is_file()
        }
        trees.add(root, handle, files, archive)
    return Hub(root, {})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


HANDLES = {"pub/adder/2": 2, "pub/adder": 11, "pub/deep/adder.v2/3": 3, "pub/deep/adder.v2": 3}


@pytest.mark.parametrize("handle", HANDLES)
def test_load(served: Served, handle: str) -> None:
    loaded = hub_library.load(f"{served.url}/{handle}")
    assert loaded(tf.zeros([1, 2])).numpy().tolist() == [[HANDLES[handle]] * 2]


def test_a_query_and_a_slash_are_forgiven(served: Served) -> None:
    for handle in ("pub/adder/2/", "pub/adder?token=a%20b"):
        assert hub_library.load(f"{served.url}/{handle}").number.numpy() in (2, 11)


def test_the_archive_has_an_address_too(served: Served) -> None:
    """The one that works where files are all that is served, as in object storage."""
    assert hub_library.load(f"{served.url}/pub/adder/2/model.tar").number.numpy() == 2


@pytest.mark.parametrize("handle", ["pub/adder", "pub/deep/adder.v2/3"])
def test_keras_layer(served: Served, handle: str) -> None:
    layer = hub_library.KerasLayer(f"{served.url}/{handle}")
    assert layer(tf.zeros([3, 2])).numpy().tolist() == [[HANDLES[handle]] * 2] * 3


@pytest.mark.parametrize("handle", ["pub/adder/2", "pub/adder"])
def test_uncompressed(
    served: Served, hub: Hub, handle: str, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("TFHUB_MODEL_LOAD_FORMAT", "UNCOMPRESSED")
    unpacked = hub.root.parent / "unpacked"
    asked = []

    def here(self: Any, place: str) -> str:
        # There is no Google Cloud Storage here: the directory stands for it.
        asked.append(place)
        return place.replace(GCS, str(unpacked))

    monkeypatch.setattr(resolver.PathResolver, "__call__", here)
    loaded = hub_library.load(f"{served.url}/{handle}")
    assert loaded.number.numpy() == HANDLES[handle]
    assert asked == [f"{GCS}/pub/adder/{HANDLES[handle]}"]
    assert not cache.exists()


def test_what_is_not_there_fails_and_leaves_nothing(served: Served, cache: Path) -> None:
    with pytest.raises(Exception, match="404"):
        hub_library.load(f"{served.url}/pub/adder/3")
    assert not [path for path in cache.rglob("*") if path.name == "saved_model.pb"]


class TestCurl:
    @pytest.fixture(autouse=True)
    def program(self) -> None:
        if shutil.which("curl") is None:
            pytest.skip("needs curl")

    def curl(self, *arguments: str) -> str:
        command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "60", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def test_a_download_goes_on_where_it_was_cut(
        self, served: Served, hub: Hub, tmp_path: Path
    ) -> None:
        whole = hub.content("pub/adder/11", "model.tar")
        target = tmp_path / "model.tar"
        target.write_bytes(whole[:5000])
        code = self.curl(
            "--location", "--continue-at", "-", "--output", str(target), "--write-out",
            "%{http_code} %{size_download}", f"{served.url}/pub/adder?tf-hub-format=compressed",
        )  # fmt: skip
        assert code.split() == ["206", str(len(whole) - 5000)]
        assert target.read_bytes() == whole

    def test_parts_make_up_the_whole(self, served: Served, hub: Hub, tmp_path: Path) -> None:
        whole = hub.content("pub/adder/11", "model.tar")
        url = f"{served.url}/pub/adder/11/model.tar"
        middle = len(whole) // 2
        for number, span in enumerate((f"0-{middle - 1}", f"{middle}-")):
            self.curl("--range", span, "--output", str(tmp_path / str(number)), url)
        parts = [(tmp_path / str(number)).read_bytes() for number in range(2)]
        assert b"".join(parts) == whole

    def test_an_entity_tag_saves_a_download(self, served: Served, tmp_path: Path) -> None:
        url = f"{served.url}/pub/adder/11/README.md"
        tag, target = str(tmp_path / "tag"), str(tmp_path / "README.md")
        kept = ("--etag-save", tag, "--etag-compare", tag, "--output", target)
        codes = [self.curl(*kept, "--write-out", "%{http_code}", url) for _ in range(2)]
        assert codes == ["200", "304"]
