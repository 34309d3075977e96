"""What tensorflow_hub makes of archives that were cut off, and of a cache that `pull` filled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

tf = pytest.importorskip("tensorflow")
hub = pytest.importorskip("tensorflow_hub")

from hubexport.errors import HubexportError  # noqa: E402
from hubexport.publishing.publication import publish  # noqa: E402
from hubexport.publishing.pulling import pull  # noqa: E402
from hubexport.publishing.verification import verify  # noqa: E402
from hubexport.saved_model.identity import RECORD, file_digests  # noqa: E402
from tests.publishing.making import make_artifact, place_in  # noqa: E402
from tests.publishing.servers import Faults, served  # noqa: E402

HANDLE = "example/doubling/1"


class Doubling(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = tf.Variable([2.0] * 1000)

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
    def __call__(self, x: Any) -> Any:
        return self.factor[0] * x


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A hub with a SavedModel that can be run."""
    artifact = tmp_path / "artifact"
    record = json.loads((make_artifact(tmp_path / "other") / RECORD).read_text())
    tf.saved_model.save(Doubling(), str(artifact))
    record["validation"][0]["files"] = file_digests(artifact)
    (artifact / RECORD).parent.mkdir()
    (artifact / RECORD).write_text(json.dumps(record))
    publish(saved_model=artifact, handle=HANDLE, to=[tmp_path / "hub"])
    return tmp_path / "hub"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("where", "taken"), [("boundary", True), ("header", True), ("member", False)]
)
def test_an_archive_that_was_cut(where: str, taken: bool, root: Path, tmp_path: Path) -> None:
    archive = root / HANDLE / "model.tar"
    data = archive.read_bytes()
    header = place_in(archive, "variables/variables.data-00000-of-00001")
    archive.write_bytes(data[: header + {"boundary": 0, "header": 300, "member": 700}[where]])
    with served(root, Faults()) as url:
        if taken:  # and kept in its cache for ever, without the variables
            kept = Path(hub.resolve(f"{url}/{HANDLE}"))
            assert not list(kept.rglob("variables.data*"))
        else:
            with pytest.raises(OSError):  # noqa: PT011  it says no more
                hub.resolve(f"{url}/{HANDLE}")
        with pytest.raises(HubexportError, match="less than the archive"):
            pull(source=f"{url}/{HANDLE}", output=tmp_path / "out")
        assert verify(source=f"{url}/{HANDLE}").problems
        archive.write_bytes(data)
        # What was kept is found, and can be replaced.
        pull(source=f"{url}/{HANDLE}", into_cache=True, overwrite=taken)
        assert float(hub.load(f"{url}/{HANDLE}")(3.0)) == 6.0


def test_the_cache(root: Path) -> None:
    faults = Faults()
    with served(root, faults) as url:
        urls = [f"{url}/{HANDLE}", f"{url}/example/doubling"]
        for each in urls:
            pull(source=each, into_cache=True)
    for each in urls:  # nobody serves it any more
        assert float(hub.load(each)(3.0)) == 6.0
    assert not any("tf-hub-format" in path for path, _ in faults.asked)
