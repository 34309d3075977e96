"""Makes `question_answering.json`: answers of transformers 4.57.6. Release 5 has no such pipeline.

In an environment of its own, for the models that the tests' environment saves:

    python -m tests.oracles.question_answering_goldens save DIRECTORY
    python -m venv ENV && ENV/bin/pip install transformers==4.57.6 torch
    ENV/bin/python -m tests.oracles.question_answering_goldens answer DIRECTORY
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.oracles.question_answering import CASES, FAMILIES, FILES, GOLDENS, LENGTH, PAIRS, digest

NAMES = {"top_k": "top_k", "stride": "doc_stride", "max_answer_length": "max_answer_len",
         "handle_impossible_answer": "handle_impossible_answer"}  # fmt: skip
"""Options of hubexport -> those of the pipeline."""


def save(directory: Path) -> None:
    from tests.oracles import pipelines

    for family in FAMILIES:
        pipelines.save(directory / family, family, "ForQuestionAnswering")


def answers(directory: Path) -> list[list[list[dict[str, Any]]]]:
    import transformers

    pipeline = transformers.pipeline("question-answering", model=str(directory), device="cpu")
    found = []
    for case in CASES:
        options = {NAMES[name]: value for name, value in case.items()}
        rows = []
        for question, context in PAIRS:
            given = pipeline(question=question, context=context, max_seq_len=LENGTH, **options)
            row = [given] if isinstance(given, dict) else given
            # What is no answer but fills up the list has no score.
            rows.append([each for each in row if each["score"] > 0])
        found.append(rows)
    return found


def main(what: str, directory: Path) -> None:
    if what == "save":
        save(directory)
        return
    found = {}
    for family in FAMILIES:
        model = directory / family
        files = {name: (model / name).read_text("utf-8") for name in FILES[family]}
        found[family] = {"files": files, "weights": digest(model), "answers": answers(model)}
    GOLDENS.write_text(json.dumps(found, ensure_ascii=False, indent=0) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
