"""`hubexport serve` says what is wrong before it serves, and writes configurations."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hubexport import cli
from hubexport.publishing.tree import Tree
from hubexport.serving.nginx import nginx_configuration
from tests.serving import trees
from tests.serving.hub import servers
from tests.serving.hub.requests import ask


@pytest.fixture
def root(tmp_path: Path) -> Path:
    trees.make(tmp_path / "hub")
    trees.add(tmp_path / "hub", "pub/model/1")
    return tmp_path / "hub"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--port=65536"], "no such port"),
        (["--port=-1"], "no such port"),
        (["--drain_seconds=-1"], "--drain_seconds"),
        (["--drain_seconds=nan"], "--drain_seconds"),
        (["--uncompressed_root=s3://bucket"], "gs://BUCKET"),
        (['--uncompressed_root=gs://b/"; evil'], "gs://BUCKET"),
        (["--output=x"], "--emit=nginx"),
        (["--emit=nginx", "--port=0"], "port"),
        (["--emit=nginx", "--access_log=x"], "--access_log"),
    ],
)
def test_flags_that_do_not_fit(
    root: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["serve", f"--root={root}", *flags]) == 2
    assert said in capsys.readouterr().err


def test_there_must_be_a_hub(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["serve", f"--root={tmp_path}"]) == 1
    assert "there is no hub" in capsys.readouterr().err


def test_an_address_in_use(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.run(["serve", f"--root={root}", f"--port={port}"]) == 1
    said = capsys.readouterr().err
    assert f"--port: {port}" in said and "or 0, which lets the system choose" in said


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a" * 300, "ä" * 70 + "."])
def test_an_address_of_others(root: Path, host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["serve", f"--root={root}", f"--host={host}", "--port=0"]) == 1
    assert "cannot be listened at" in capsys.readouterr().err


def test_a_log_that_cannot_be_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = root / "absent" / "log"
    assert cli.run(["serve", f"--root={root}", "--port=0", f"--access_log={log}"]) == 1
    assert str(log) in capsys.readouterr().err


def test_ipv6_addresses_are_written_as_in_urls(root: Path, tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("needs IPv6")
    with servers.ours(root, tmp_path / "said", "--host=::1") as served:
        assert served.url.startswith("http://[::1]:")
        assert ask(served.url, "/healthz").status == 200


class TestConfiguration:
    def test_to_a_file_and_to_standard_output(
        self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        expected = nginx_configuration(root.resolve(), "::1", 81, None)
        command = ["serve", f"--root={root}", "--emit=nginx", "--host=::1", "--port=81"]
        assert cli.run(command) == 0
        assert capsys.readouterr().out == expected
        target = tmp_path / "hub.conf"
        assert cli.run([*command, f"--output={target}"]) == 0
        assert target.read_text() == expected
        assert "listen [::1]:81;" in expected and "@" not in expected.replace("error_page", "")

    @pytest.mark.parametrize(
        "name", ['we"ird $uri [x]*?', "back\\slash", "\\n", "semi;colon}", "'quotes'", "ä"]
    )
    def test_any_directory(self, root: Path, tmp_path: Path, name: str) -> None:
        moved = root.rename(tmp_path / name)
        with servers.nginx(moved, tmp_path / "nginx") as served:
            assert ask(served.url, "/pub/model").headers["location"].endswith("/pub/model/1")
            assert ask(served.url, "/pub/model/1").status == 200
            answer = ask(served.url, "/pub/model/1?tf-hub-format=uncompressed")
            assert answer.status == 404

    def test_a_directory_that_it_cannot_have(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        root = trees.make(tmp_path / "two\nlines")
        assert cli.run(["serve", f"--root={root}", "--emit=nginx"]) == 2
        assert "cannot have this path" in capsys.readouterr().err

    def test_a_hub_without_publications(self, root: Path, tmp_path: Path) -> None:
        shutil.rmtree(root / "pub")
        with servers.nginx(root, tmp_path / "nginx") as served:
            (root / "newest.map").unlink()
            assert served.process.poll() is None
            program = servers.nginx_program()
            assert program
            test = [program, "-t", "-p", str(tmp_path / "nginx")]
            test += ["-c", str(tmp_path / "nginx/nginx.conf")]
            assert subprocess.run(test, capture_output=True).returncode == 0

    def test_publications_are_seen_when_it_reloads(self, root: Path, tmp_path: Path) -> None:
        from hubexport.publishing.catalogue import index_of, newest_map

        with servers.nginx(root, tmp_path / "nginx") as served:
            trees.add(root, "pub/model/2")
            (root / "newest.map").write_text(newest_map(index_of(Tree(root))))
            served.process.send_signal(1)
            for _ in range(500):
                if ask(served.url, "/pub/model").headers["location"].endswith("/2"):
                    return
            raise AssertionError("the newest version is still the old one")


def test_help_needs_neither_tensorflow_nor_a_server() -> None:
    code = (
        "import contextlib, sys\n"
        "from hubexport import cli\n"
        "with contextlib.suppress(SystemExit):\n    cli.run(['serve', '--help'])\n"
        "assert not {'tensorflow', 'aiohttp', 'jinja2'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_serving_needs_no_tensorflow() -> None:
    code = (
        "import sys, hubexport.cli, hubexport.serving.running, hubexport.publishing.html\n"
        "assert not {'tensorflow', 'keras', 'torch', 'jax'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
