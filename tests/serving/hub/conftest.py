"""A hub, and servers of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from hubexport.publishing.manifest import Manifest
from tests.serving import trees
from tests.serving.hub import servers
from tests.serving.hub.servers import Served

# The same examples in every run, so that no change fails by what another run happens to find.
# `--hypothesis-profile=default` looks for new ones.
settings.register_profile("suite", derandomize=True)
settings.load_profile("suite")

GCS = "gs://bucket/models"
SECRET = b"nobody is to read this"


@dataclass(frozen=True)
class Hub:
    """A tree and its manifests by handle."""

    root: Path
    manifests: dict[str, Manifest]

    def content(self, handle: str, name: str) -> bytes:
        return (self.root / handle / name).read_bytes()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Hub:
    """Versions of every kind, and beside the hub a file that it must not give away."""
    above = tmp_path_factory.mktemp("hub")
    root = trees.make(above / "root")
    manifests = {
        "pub/tar/1": trees.add(root, "pub/tar/1"),
        "pub/tar/2": trees.add(root, "pub/tar/2"),
        "pub/tar/10": trees.add(root, "pub/tar/10", {"saved_model.pb": bytes(range(256)) * 4000}),
        "pub/Nested/gz.v2/7": trees.add(root, "pub/Nested/gz.v2/7", archive="model.tar.gz"),
        "pub/gone/1": trees.add(root, "pub/gone/1"),
        "pub/gone/2": trees.add(root, "pub/gone/2"),
    }
    trees.retract(root, "pub/gone/2", "wrong <weights>")
    (above / "secret").write_bytes(SECRET)
    (root / "secret").write_bytes(SECRET)
    (root / ".lock").write_bytes(SECRET)
    (root / "pub/tar/2/.model.tar.1234.partial").write_bytes(SECRET)
    (root / "pub/tar/2/other").write_bytes(SECRET)
    (root / "pub/.3.partial").mkdir()
    shutil.copytree(root / "pub/tar/2", root / "pub/.3.partial/3")
    # Beside a file what a server might take for its compressed form.
    (root / "pub/tar/2/model.tar.gz").write_bytes(SECRET)
    (root / "pub/tar/2/index.html.gz").write_bytes(SECRET)
    # Links out of the root: of a publisher, a version, a manifest and an archive.
    outside = trees.make(above / "outside")
    for handle in ("out/side/1", "pub/linked/1"):
        trees.add(outside, handle, {"saved_model.pb": SECRET})
    (root / "out").symlink_to(outside / "out")
    (root / "pub/linked").mkdir()
    (root / "pub/linked/1").symlink_to(outside / "pub/linked/1")
    for number, name in ((2, "manifest.json"), (3, "model.tar"), (4, "index.html")):
        trees.add(root, f"pub/linked/{number}", {"saved_model.pb": SECRET})
        (root / f"pub/linked/{number}/{name}").unlink()
        (root / f"pub/linked/{number}/{name}").symlink_to(outside / f"pub/linked/1/{name}")
    return Hub(root, manifests)


@pytest.fixture(scope="module")
def ours(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    said = tmp_path_factory.mktemp("said") / "said"
    with servers.ours(hub.root, said, f"--uncompressed_root={GCS}/") as served:
        yield served


@pytest.fixture(scope="module")
def nginx(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with servers.nginx(hub.root, tmp_path_factory.mktemp("nginx"), GCS) as served:
        yield served


@pytest.fixture(params=["ours", "nginx"])
def served(request: pytest.FixtureRequest) -> Served:
    """Each of both servers."""
    found: Served = request.getfixturevalue(request.param)
    return found
