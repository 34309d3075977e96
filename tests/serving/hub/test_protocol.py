"""What our server and nginx answer: the same, where nginx can."""

from __future__ import annotations

import base64
import hashlib
import json
from urllib.parse import urljoin

import pytest

from hubexport.publishing.catalogue import PAGE_SIZE
from tests.serving import trees
from tests.serving.hub.conftest import GCS, SECRET, Hub
from tests.serving.hub.requests import Answer, ask
from tests.serving.hub.servers import Served

COMPRESSED = "?tf-hub-format=compressed"
FOREVER = "public, max-age=31536000, immutable"
TEXTS = {
    "manifest.json": "application/json",
    "hubexport.json": "application/json",
    "README.md": "text/markdown; charset=utf-8",
    "index.html": "text/html; charset=utf-8",
}


class TestBothServers:
    @pytest.mark.parametrize(
        ("handle", "name", "kind"),
        [
            ("pub/tar/2", "model.tar", "application/x-tar"),
            ("pub/tar/10", "model.tar", "application/x-tar"),
            ("pub/Nested/gz.v2/7", "model.tar.gz", "application/gzip"),
        ],
    )
    @pytest.mark.parametrize(
        "headers", [{}, {"Accept-Encoding": "gzip, br"}], ids=["plain", "gzip"]
    )
    def test_archives(
        self, served: Served, hub: Hub, handle: str, name: str, kind: str, headers: dict[str, str]
    ) -> None:
        content = hub.content(handle, name)
        for query in (COMPRESSED, f"?x=%C3%A4&y{COMPRESSED.replace('?', '&')}"):
            answer = ask(served.url, f"/{handle}{query}", headers=headers)
            assert (answer.status, answer.body) == (200, content)
            assert answer.headers["content-type"] == kind
            assert answer.headers["cache-control"] == FOREVER
            assert answer.headers["accept-ranges"] == "bytes"
            assert "content-encoding" not in answer.headers
        head = ask(served.url, f"/{handle}{COMPRESSED}", "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(content))
        assert head.headers["etag"] == answer.headers["etag"]

    @pytest.mark.parametrize("handle", ["pub/tar/2", "pub/Nested/gz.v2/7"])
    @pytest.mark.parametrize("query", ["", "?", "?utm=1&tf-hub=compressed"])
    def test_pages(self, served: Served, hub: Hub, handle: str, query: str) -> None:
        answer = ask(served.url, f"/{handle}{query}", headers={"Accept-Encoding": "gzip"})
        assert (answer.status, answer.body) == (200, hub.content(handle, "index.html"))
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == FOREVER
        assert "default-src 'none'" in answer.headers["content-security-policy"]

    @pytest.mark.parametrize("name", [*TEXTS, "SHA256SUMS", "model.tar"])
    def test_files_by_name(self, served: Served, hub: Hub, name: str) -> None:
        answer = ask(served.url, f"/pub/tar/2/{name}")
        assert (answer.status, answer.body) == (200, hub.content("pub/tar/2", name))
        assert answer.headers["x-content-type-options"] == "nosniff"
        if name in TEXTS:
            assert answer.headers["content-type"] == TEXTS[name]

    @pytest.mark.parametrize(
        ("target", "wanted"),
        [
            ("/pub/tar", "/pub/tar/10"),
            (f"/pub/tar{COMPRESSED}", f"/pub/tar/10{COMPRESSED}"),
            ("/pub/Nested/gz.v2?x=%20&y", "/pub/Nested/gz.v2/7?x=%20&y"),
            ("/pub/gone", "/pub/gone/1"),
        ],
    )  # fmt: skip
    def test_models_lead_to_their_newest_version(
        self, served: Served, target: str, wanted: str
    ) -> None:
        answer = ask(served.url, target)
        assert answer.status == 302
        assert answer.headers["cache-control"] == "no-cache"
        there = urljoin(f"http://h{target}", answer.headers["location"])
        assert there == f"http://h{wanted}"

    def test_a_slash_at_the_end_is_forgiven(self, served: Served) -> None:
        answer = ask(served.url, f"/pub/tar/2/{COMPRESSED}")
        assert answer.status == 301
        there = urljoin(f"http://h/pub/tar/2/{COMPRESSED}", answer.headers["location"])
        assert there == f"http://h/pub/tar/2{COMPRESSED}"

    def test_what_was_retracted_is_gone_with_the_reason(self, served: Served) -> None:
        for target in ("", COMPRESSED, "/model.tar", "/manifest.json"):
            answer = ask(served.url, f"/pub/gone/2{target}")
            assert answer.status == 410 and b"wrong <weights>" in answer.body
            assert answer.headers["content-type"].split(";")[0] in (
                "text/plain",
                "application/json",
            )
            assert answer.headers["cache-control"] == "no-cache"

    @pytest.mark.parametrize(
        "target",
        [
            "/pub/tar/3", "/pub/none", "/pub/none/1", "/none", "/pub", "/pub/", "/hub.json",
            "/.lock", "/newest.map", "/secret", "/pub/tar/2/other", "/pub/tar/2/retracted.json",
            "/pub/tar/2/.model.tar.1234.partial", "/pub/.3.partial/3",
            "/pub/.3.partial/3/model.tar",
            "/pub/gone/2/retracted.json/", "/pub/tar/02", "/pub/tar/2/model.tar/", "/pub/Tar/2",
            "/favicon.ico", "/pub/tar/2/assets/handle.txt",
        ],
    )  # fmt: skip
    def test_nothing_else_is_there(self, served: Served, target: str) -> None:
        for query in ("", COMPRESSED):
            answer = ask(served.url, target + query)
            assert answer.status == 404
            assert SECRET not in answer.body
            assert FOREVER not in answer.headers.get("cache-control", "")

    @pytest.mark.parametrize(
        "target",
        [
            "/out/side/1", "/out/side", "/out/side/1/model.tar", "/pub/linked/1",
            "/pub/linked/1/manifest.json", "/pub/linked/2/manifest.json", "/pub/linked/3/model.tar",
            f"/pub/linked/3{COMPRESSED}", "/pub/linked/4", "/pub/linked/4/index.html",
        ],
    )  # fmt: skip
    def test_links_lead_nowhere(self, served: Served, target: str) -> None:
        answer = ask(served.url, target)
        # Ours says that the version is damaged where a manifest has the file.
        assert answer.status in (403, 404, 500)
        assert SECRET not in answer.body and len(answer.body) < 500

    def test_unpacked_models_lie_elsewhere(self, served: Served) -> None:
        answer = ask(served.url, "/pub/tar/2?tf-hub-format=uncompressed")
        assert (answer.status, answer.body.decode()) == (303, f"{GCS}/pub/tar/2")
        assert "location" not in answer.headers

    def test_other_formats_are_refused(self, served: Served) -> None:
        assert ask(served.url, "/pub/tar/2?tf-hub-format=zip").status == 400

    def test_ranges(self, served: Served, hub: Hub) -> None:
        content = hub.content("pub/tar/10", "model.tar")
        size, target = len(content), f"/pub/tar/10{COMPRESSED}"
        etag = ask(served.url, target, "HEAD").headers["etag"]

        def ranged(asked: str, **more: str) -> Answer:
            headers = {"Range": asked, **{k.replace("_", "-"): v for k, v in more.items()}}
            return ask(served.url, target, headers=headers)

        for asked, first, last in (
            ("bytes=0-0", 0, 0),
            ("bytes=100000-", 100000, size - 1),
            ("bytes=-7", size - 7, size - 1),
            (f"bytes=20000-{size * 2}", 20000, size - 1),
        ):
            for more in ({}, {"If_Range": etag}):
                answer = ranged(asked, **more)
                assert answer.status == 206
                assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}"
                assert answer.body == content[first : last + 1]
        whole = [
            ranged("bytes=0-0", If_Range='"other"'),
            ranged("bytes=0-0,5-9"),
            ranged("lines=0-5"),
            ranged("bytes=0-0", If_Range="Thu, 01 Jan 1970 00:00:00 GMT"),
        ]
        assert all(answer.status == 200 and answer.body == content for answer in whole)
        beyond = ranged(f"bytes={size}-")
        assert beyond.status == 416 and beyond.headers["content-range"] == f"bytes */{size}"
        assert ranged(f"bytes={size}-", If_Range='"other"').status == 200

    def test_what_is_known_is_not_sent_again(self, served: Served) -> None:
        for target in (f"/pub/tar/10{COMPRESSED}", "/pub/tar/10", "/index.json", "/"):
            etag = ask(served.url, target).headers["etag"]
            for known in (etag, f'"x", {etag}', "*", f"W/{etag}"):
                answer = ask(served.url, target, headers={"If-None-Match": known})
                assert (answer.status, answer.body) == (304, b"")
                assert answer.headers["etag"] == etag
            assert ask(served.url, target, headers={"If-None-Match": '"x"'}).status == 200
            assert ask(served.url, target, headers={"If-Match": '"x"'}).status == 412
            assert ask(served.url, target, headers={"If-Match": etag}).status == 200

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_a_hub_is_only_read(self, served: Served, method: str) -> None:
        for target in ("/", "/pub/tar/2", f"/pub/tar/2{COMPRESSED}", "/index.json"):
            assert ask(served.url, target, method).status == 405

    def test_the_index(self, served: Served) -> None:
        answer = ask(served.url, "/index.json")
        handles = [model["handle"] for model in json.loads(answer.body)["models"]]
        assert {"pub/Nested/gz.v2", "pub/gone", "pub/tar"} <= set(handles)
        assert not any("side" in handle for handle in handles)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-cache"

    def test_the_catalogue(self, served: Served) -> None:
        answer = ask(served.url, "/")
        assert ask(served.url, "/index.html").body == answer.body
        assert answer.status == 200 and b">pub/Nested/gz.v2</a>" in answer.body
        assert answer.headers["cache-control"] == "no-cache"
        assert "default-src 'none'" in answer.headers["content-security-policy"]

    def test_health(self, served: Served) -> None:
        answer = ask(served.url, "/healthz")
        assert (answer.status, answer.body) == (200, b"ok\n")


class TestOurs:
    @pytest.mark.parametrize(
        "target",
        [f"/pub/tar/10{COMPRESSED}", "/pub/tar/10", "/pub/tar/10/manifest.json",
         "/pub/tar/10/README.md", "/pub/tar/10/SHA256SUMS", "/index.json", "/", "/api/models"],
    )  # fmt: skip
    def test_digests_are_of_what_is_sent(self, ours: Served, target: str) -> None:
        answer = ask(ours.url, target)
        digest = hashlib.sha256(answer.body)
        assert answer.headers["etag"] == f'"{digest.hexdigest()}"'
        encoded = base64.b64encode(digest.digest()).decode()
        assert answer.headers["repr-digest"] == f"sha-256=:{encoded}:"
        # Of the whole, whatever part of it is sent.
        part = ask(ours.url, target, headers={"Range": "bytes=3-9"})
        assert part.headers["repr-digest"] == answer.headers["repr-digest"]

    def test_the_manifest_is_what_digests_come_from(self, ours: Served, hub: Hub) -> None:
        answer = ask(ours.url, f"/pub/tar/10{COMPRESSED}", "HEAD")
        assert answer.headers["etag"] == f'"{hub.manifests["pub/tar/10"].archive.sha256}"'

    def test_a_model_with_a_slash_at_its_end(self, ours: Served) -> None:
        answer = ask(ours.url, f"/pub/tar/{COMPRESSED}")
        there = urljoin("http://h/pub/tar/", answer.headers["location"])
        assert (answer.status, there) == (302, f"http://h/pub/tar/10{COMPRESSED}")

    def test_head_has_no_range(self, ours: Served) -> None:
        assert ask(ours.url, "/pub/tar/10", "HEAD", {"Range": "bytes=0-0"}).status == 200

    def test_searching(self, ours: Served) -> None:
        found = json.loads(ask(ours.url, "/api/models?q=NESTED%20encoder").body)
        assert [model["handle"] for model in found["models"]] == ["pub/Nested/gz.v2"]
        assert (found["total"], found["next"]) == (1, None)
        page = ask(ours.url, "/?q=nested").body
        assert b">pub/Nested/gz.v2</a>" in page and b">pub/tar</a>" not in page
        assert b"No models match" in ask(ours.url, "/?q=absent").body
        strange = ask(ours.url, "/?q=%ff%00%22%3E%3Cscript%3E")
        assert strange.status == 200 and b"<script" not in strange.body

    def test_absolute_targets_are_taken(self, ours: Served) -> None:
        assert ask(ours.url, "http://other.example/healthz").status == 200

    def test_damage_is_said_and_not_sent(self, ours: Served, hub: Hub) -> None:
        for number, damage in enumerate(("cut", "missing", "manifest", "misplaced"), 1):
            handle = f"pub/damaged-{damage}/{number}"
            trees.add(hub.root, handle)
            place = hub.root / handle
            if damage == "cut":
                (place / "model.tar").write_bytes((place / "model.tar").read_bytes()[:5120])
            elif damage == "missing":
                (place / "model.tar").unlink()
            elif damage == "manifest":
                (place / "manifest.json").write_text("{}")
            else:
                text = (place / "manifest.json").read_text()
                (place / "manifest.json").write_text(text.replace(handle, "pub/other/1"))
            answer = ask(ours.url, f"/{handle}{COMPRESSED}")
            assert answer.status == 500 and b"damaged" in answer.body
            assert "immutable" not in answer.headers["cache-control"]
            assert handle in ours.errors


class TestPublications:
    def test_a_new_version_is_served_at_once(self, ours: Served, hub: Hub) -> None:
        assert ask(ours.url, "/fresh/model").status == 404
        trees.add(hub.root, "fresh/model/1")
        assert ask(ours.url, "/fresh/model").headers["location"] == "model/1"
        assert ask(ours.url, f"/fresh/model/1{COMPRESSED}").status == 200
        trees.add(hub.root, "fresh/model/2")
        assert ask(ours.url, "/fresh/model").headers["location"] == "model/2"

    def test_the_index_follows_publications(self, ours: Served, hub: Hub) -> None:
        before = ask(ours.url, "/index.json").headers["etag"]
        for each in range(PAGE_SIZE + 1):
            trees.add(hub.root, f"many/model-{each}/1")
        (hub.root / "index.json").write_text("written anew")
        assert ask(ours.url, "/index.json").headers["etag"] != before
        first = json.loads(ask(ours.url, "/api/models?q=many/").body)
        second = json.loads(ask(ours.url, f"/api/models?q=many/&cursor={first['next']}").body)
        assert (len(first["models"]), len(second["models"])) == (PAGE_SIZE, 1)
        assert first["total"] == PAGE_SIZE + 1 and second["next"] is None

    def test_retractions_hold_at_once(self, ours: Served, hub: Hub) -> None:
        trees.add(hub.root, "late/model/1")
        assert ask(ours.url, "/late/model/1").status == 200
        trees.retract(hub.root, "late/model/1", "it was late")
        for target in ("/late/model/1", "/late/model/1/README.md", "/late/model"):
            answer = ask(ours.url, target)
            assert answer.status == 410 and b"it was late" in answer.body


def test_without_unpacked_models_clients_are_told_what_to_do(
    hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tests.serving.hub import servers

    with servers.ours(hub.root, tmp_path_factory.mktemp("said") / "said") as served:
        answer = ask(served.url, "/pub/tar/2?tf-hub-format=uncompressed")
        assert answer.status == 404 and b"--uncompressed_root" in answer.body
        assert ask(served.url, "/pub/none/2?tf-hub-format=uncompressed").status == 404
