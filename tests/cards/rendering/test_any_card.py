"""Files of cards with anything in them: `hubexport card` writes a page or says what is wrong."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hubexport import cli
from hubexport.cards.lint import check_card, check_page, errors
from hubexport.saved_model.record import RECORD_PATH
from tests.cards.material import MODEL_CARDS

LAMBERT = "tensorflow/lambert_en_uncased_L-24_H-1024_A-16"
PREPROCESSOR = "tensorflow/bert_en_uncased_preprocess"
OWN = {LAMBERT: "encoders/lambert.yaml", PREPROCESSOR: "preprocessors/bert.yaml"}
TABLES = ("collections.yaml", "datasets.yaml", "papers.yaml", "publishers.yaml")
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 0.5, float("nan"), "", " ", "no", "x" * 3000, "{L}", "{{ x }}",
    "${PATH}", "<script>", "a | b", "```", "\u202e", "2020-02-30", "https://", [], {}, [None], "-",
    {"a": {"b": []}}, [[[]]],
)  # fmt: skip
BYTES = (b"", b"\0", b"\xff", b"\t", b"\n", b": ", b"- ", b"'", b'"', b"&a *a", b"!!x ", b"{", b"#")


def with_other_bytes(content: bytes, choose: random.Random) -> bytes:
    for _ in range(choose.randint(1, 4)):
        start = choose.randrange(len(content))
        end = start + choose.choice((0, 1, 5, 80))
        piece = choose.choice((choose.choice(BYTES), content[start:end] * 2, content[-end:][:40]))
        content = content[:start] + piece + content[end:]
    return content


def with_other_values(content: bytes, choose: random.Random) -> bytes:
    document = yaml.safe_load(content)
    for _ in range(choose.randint(1, 3)):
        parent, key = choose.choice(list(_places(document)))
        other, there = choose.choice(list(_places(document)))
        value = choose.choice([*VALUES, other[there], [parent[key]]])
        if choose.random() < 0.2:
            del parent[key]
        else:
            parent[key] = json.loads(json.dumps(value))  # without cycles
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode()


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _places(node[key])


@pytest.mark.parametrize("times", [6, pytest.param(40, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("change", [with_other_bytes, with_other_values])
@pytest.mark.parametrize("name", [*OWN.values(), *TABLES])
def test_any_card_gives_a_page_or_a_message(
    name: str, change: Callable[[bytes, random.Random], bytes], times: int,
    records: Mapping[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    cards = tmp_path / "cards"
    for file in (*TABLES, *OWN.values()):
        (cards / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(MODEL_CARDS / file, cards / file)
    model = PREPROCESSOR if name == OWN[PREPROCESSOR] else LAMBERT
    made = tmp_path / "artifact"
    (made / RECORD_PATH).parent.mkdir(parents=True)
    (made / RECORD_PATH).write_text(json.dumps(records[model]), "utf-8")
    choose = random.Random(f"{name} {change.__name__}")
    content = (cards / name).read_bytes()
    check = {"tfhub": lambda text: check_page(text, "encoder"), "huggingface": check_card}
    codes = []
    for number in range(times):
        (cards / name).write_bytes(change(content, choose))
        form = choose.choice(list(check))
        page = tmp_path / f"{number}.md"
        argv = [f"--card={cards / OWN[model]}", f"--saved_model={made}", f"--format={form}"]
        code = cli.run(["card", *argv, f"--output={page}", "--asset_url=https://example.org"])
        error = capsys.readouterr().err
        codes.append(code)
        assert code in (0, 1) and page.exists() == (code == 0), error
        assert "Traceback" not in error
        if code == 0:
            assert not errors(check[form](page.read_text("utf-8")))
    assert 1 in codes
