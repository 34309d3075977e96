"""The record is written once, reproducibly, and read only by a program that understands it."""

from __future__ import annotations

import datetime
import hashlib
import json

import pytest

from hubexport import load_record
from hubexport.errors import HubexportError
from hubexport.saved_model.record import (
    RECORD_PATH,
    SCHEMA_VERSION,
    environment,
    source_file,
    write_record,
)


def problem(directory) -> str:
    with pytest.raises(HubexportError) as caught:
        load_record(directory)
    return str(caught.value)


def put(directory, content: bytes) -> None:
    (directory / RECORD_PATH).parent.mkdir(exist_ok=True)
    (directory / RECORD_PATH).write_bytes(content)


class TestWriting:
    def test_round_trip(self, tmp_path):
        record = {"kind": "encoder", "names": ["Ä", "日本"], "none": None, "eps": 1e-12}
        written = write_record(tmp_path, record)
        assert load_record(tmp_path) == load_record(str(tmp_path)) == written
        assert written.items() >= record.items()
        assert written["schema_version"] == SCHEMA_VERSION
        text = (tmp_path / "assets.extra" / "hubexport.json").read_text("utf-8")
        assert "日本" in text and text.endswith("}\n")  # for people's eyes too

    @pytest.mark.parametrize(
        ("epoch", "created"),
        [
            ("0", "1970-01-01T00:00:00Z"),
            ("1700000000", "2023-11-14T22:13:20Z"),
            ("4102444800", "2100-01-01T00:00:00Z"),
        ],
    )
    @pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles"])
    def test_source_date_epoch(self, tmp_path, monkeypatch, epoch, created, zone):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        monkeypatch.setenv("TZ", zone)
        assert write_record(tmp_path, {})["created"] == created

    @pytest.mark.parametrize("epoch", ["yesterday", "1.5"])
    def test_source_date_epoch_that_is_no_time(self, tmp_path, monkeypatch, epoch):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        with pytest.raises(HubexportError, match="SOURCE_DATE_EPOCH is not a time"):
            write_record(tmp_path, {})
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("epoch", [None, ""])
    def test_the_time_otherwise(self, tmp_path, monkeypatch, epoch):
        monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
        if epoch is not None:
            monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        created = write_record(tmp_path, {})["created"]
        moment = datetime.datetime.strptime(created, "%Y-%m-%dT%H:%M:%S%z")
        age = datetime.datetime.now(datetime.timezone.utc) - moment
        assert abs(age) < datetime.timedelta(minutes=5)

    def test_beside_other_extra_assets(self, tmp_path):
        (tmp_path / "assets.extra").mkdir()
        (tmp_path / "assets.extra" / "tf_serving_warmup_requests").touch()
        write_record(tmp_path, {})
        assert len(list((tmp_path / "assets.extra").iterdir())) == 2


class TestLoading:
    def test_missing(self, tmp_path):
        text = problem(tmp_path)
        assert "the SavedModel has no readable record" in text
        assert f"looked for: {tmp_path / RECORD_PATH}" in text
        assert "No such file" in text
        assert "no readable record" in problem(tmp_path / "nowhere")

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{}", b"{'a': 1}"])
    def test_not_json(self, tmp_path, content):
        put(tmp_path, content)
        assert "the SavedModel has no readable record" in problem(tmp_path)

    @pytest.mark.parametrize(
        ("value", "found"),
        [
            ({"schema_version": 1, "kind": "encoder"}, "schema_version 1"),
            ({"schema_version": SCHEMA_VERSION + 1, "kind": "encoder"}, "schema_version 3"),
            ({"schema_version": 0}, "schema_version 0"),
            ({"schema_version": "1"}, "schema_version 1"),
            ({"kind": "encoder"}, "schema_version None"),
            ([], "schema_version None"),
            ("text", "schema_version None"),
            (None, "schema_version None"),
        ],
    )
    def test_other_versions(self, tmp_path, value, found):
        put(tmp_path, json.dumps(value).encode())
        text = problem(tmp_path)
        assert "the record is of another version" in text
        assert f"found: {found}\n" in text
        assert f"readable: schema_version {SCHEMA_VERSION}\n" in text
        assert "hint: use the hubexport that wrote it, or a newer one." in text


class TestSourceFile:
    @pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, (5 << 20) + 3])
    def test_hash(self, tmp_path, size):
        content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        (tmp_path / "vocab.txt").write_bytes(content)
        assert source_file(tmp_path / "vocab.txt") == {
            "name": "vocab.txt",
            "bytes": size,
            "sha256": hashlib.sha256(content).hexdigest(),
        }

    def test_a_known_hash(self, tmp_path):
        (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
        assert source_file(tmp_path / "abc")["sha256"] == (
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        )

    def test_unreadable(self, tmp_path):
        for path, system in ((tmp_path / "gone", "No such file"), (tmp_path, "Is a directory")):
            with pytest.raises(HubexportError) as caught:
                source_file(path)
            text = str(caught.value)
            assert "a source file cannot be read" in text
            assert f"file: {path}" in text and f"system: {system}" in text


def test_environment_names_what_numbers_depend_on():
    versions = environment()
    assert {"hubexport", "python", "tensorflow", "numpy", "protobuf"} <= versions.keys()
    assert all(isinstance(version, str) and version for version in versions.values())
