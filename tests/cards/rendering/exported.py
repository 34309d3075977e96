"""Small artifacts of every kind that hubexport makes, and records of models of any size."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

import hubexport
from hubexport.cards.agreement import heads_for
from hubexport.cards.loading import Catalogue
from hubexport.cards.parts import Architecture
from hubexport.cards.schema import EncoderCard, Model, PipelineCard
from hubexport.families.heads import INTERFACES
from hubexport.pipelines.task import TaskOptions
from tests import artifacts, tiny

SIZES = tuple(f.name for f in dataclasses.fields(Architecture) if f.name not in (
    "stated_parameters", "source"
))  # fmt: skip
LENGTH = 128  # of the longest sequence: the default of preprocessors, and over that of the pages
CONFIG = {**tiny.CONFIG, "max_position_embeddings": LENGTH}
BERT: Mapping[str, Any] = {"max_position_embeddings": LENGTH, "type_vocab_size": 2}
DISTILBERT: Mapping[str, Any] = {"max_position_embeddings": LENGTH}
ROBERTA: Mapping[str, Any] = {"max_position_embeddings": LENGTH + 2, "vocab_size": 320}
"""What models of transformers are configured with; RoBERTa's as its preprocessor needs it."""
LABELS = ("contradiction", "neutral", "entailment")
TEXTS = ["Who wrote it? Nobody knows who did.", "A sentence. And one more, a little longer."] * 20


@dataclasses.dataclass(frozen=True)
class Exported:
    """An artifact and its record."""

    path: Path
    record: dict[str, Any]


class Artifacts:
    """Artifacts by name, each made when it is first asked for."""

    def __init__(self, work: Path):
        self._work = work

    @functools.cache  # noqa: B019  as long as the tests run
    def __getitem__(self, name: str) -> Exported:
        work = self._work / name.replace(" ", "_").replace(",", "")
        work.mkdir(exist_ok=True)
        path = work / "artifact"
        {**MAKERS, **PIPELINES}[name](work, path)
        return Exported(path, hubexport.load_record(path))


def _tf1(work: Path, path: Path, *, heads: bool, config: Any = CONFIG, **options: Any) -> None:
    artifacts.export_encoder(
        checkpoint=tiny.write_checkpoint(work / "checkpoint", config, heads=heads),
        export_path=path,
        vocab_file=tiny.write_vocabulary(work / "vocab.txt"),
        do_lower_case=True,
        **options,
    )


def _garden(
    work: Path, path: Path, *, encoder: str, heads: bool, nsp: bool = False, **options: Any
) -> None:
    pytest.importorskip("official.nlp.modeling", reason="Model Garden is not installed")
    import tensorflow as tf

    from tests.oracles import model_garden

    sizes = model_garden.Sizes(max_position_embeddings=LENGTH, type_vocab_size=2)
    model = model_garden.trained(sizes, encoder, next_sentence=nsp)
    items = {"pretrainer": model} if heads else {"encoder": model.encoder_network}
    tf.train.Checkpoint(**items).write(str(work / "ckpt"))
    configuration = model_garden.write_configuration("bert_config.json", sizes, work)
    artifacts.export_encoder(checkpoint=work / "ckpt", export_path=path, **configuration, **options)


def _hugging_face(
    work: Path, path: Path, *, model: str, embedding: bool = False,
    config: Mapping[str, Any] = BERT, **options: Any,
) -> None:  # fmt: skip
    pytest.importorskip("transformers")
    from tests.oracles import hugging_face

    hugging_face.build(model, **config).save_pretrained(work / "checkpoint")
    if embedding:
        pooling = {"pooling_mode_mean_tokens": True}
        hugging_face.write_sentence_transformers(
            work / "checkpoint", pooling, normalize=True, newer=False
        )
    artifacts.export_encoder(checkpoint=work / "checkpoint", export_path=path, **options)


def _causal(work: Path, path: Path, *, model: str) -> None:
    pytest.importorskip("transformers")
    from tests.oracles import causal

    sizes = {"n_positions": LENGTH, "vocab_size": 320}
    causal.build(model, **sizes).save_pretrained(work / "checkpoint")
    artifacts.export_encoder(checkpoint=work / "checkpoint", export_path=path)


def _xlnet_encoder(work: Path, path: Path, *, model: str) -> None:
    pytest.importorskip("transformers")
    from tests.oracles import xlnet

    xlnet.build(model, vocab_size=60, pad_token_id=5).save_pretrained(work / "checkpoint")
    artifacts.export_encoder(checkpoint=work / "checkpoint", export_path=path)


def _transformer_xl_encoder(work: Path, path: Path) -> None:
    from tests.oracles import transformer_xl

    checkpoint = transformer_xl.write_hugging_face(work / "checkpoint", "wt103")
    artifacts.export_encoder(checkpoint=checkpoint, export_path=path)


def _xlm(
    work: Path, path: Path, *, model: str, causal: bool | None = None, language: str | None = None
) -> None:
    pytest.importorskip("transformers")
    from tests.oracles import xlm

    xlm.build(model, max_position_embeddings=LENGTH).save_pretrained(work / "checkpoint")
    artifacts.export_encoder(
        checkpoint=work / "checkpoint", export_path=path, causal=causal, language=language
    )


def _wordpiece(work: Path, path: Path, *, lower: bool, **options: Any) -> None:
    vocabulary = tiny.write_vocabulary(work / "vocab.txt", upper=not lower)
    artifacts.export_preprocessor(
        export_path=path, vocab_file=vocabulary, do_lower_case=lower, **options
    )


def _byte_level(work: Path, path: Path, *, model_type: str, specials: list[str]) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(TEXTS, 300, 1, show_progress=False, special_tokens=specials)
    trained.save_model(str(work))
    artifacts.export_preprocessor(export_path=path, tokenizer=work, model_type=model_type)


def _merged(work: Path, path: Path, *, specials: list[str], **options: Any) -> None:
    """GPT's and XLM's files: letters inside and at the end of words, and two merges."""
    symbols = [letter + end for letter in "abcdehinotw.,?" for end in ("", "</w>")]
    pieces = [*specials, *symbols, "th", "the</w>"]
    (work / "vocab.json").write_text(json.dumps({p: i for i, p in enumerate(pieces)}))
    (work / "merges.txt").write_text("#version: 0.2\nt h\nth e</w>\n")
    artifacts.export_preprocessor(export_path=path, tokenizer=work, **options)


def _transformer_xl(work: Path, path: Path) -> None:
    words = dict.fromkeys(word for text in TEXTS for word in text.split())
    (work / "vocab.txt").write_text("\n".join(["<eos>", "<unk>", *words]) + "\n", "utf-8")
    artifacts.export_preprocessor(
        export_path=path, vocab_file=work / "vocab.txt", model_type="transfo-xl",
        do_lower_case=False,
    )  # fmt: skip


def _xlnet(work: Path, path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    rust, steps = tokenizers.Tokenizer(tokenizers.models.Unigram()), tokenizers.normalizers
    rust.normalizer = steps.Sequence(
        [
            *(steps.Replace(quotes, '"') for quotes in ("``", "''")),
            *(steps.NFKD(), steps.StripAccents()),
            steps.Replace(tokenizers.Regex(" {2,}"), " "),
        ]
    )
    rust.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    rust.decoder = tokenizers.decoders.Metaspace()
    specials = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<eop>", "<eod>", "<mask>"]
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=60, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    rust.train_from_iterator(TEXTS, trainer)
    rust.save(str(work / "tokenizer.json"))
    (work / "config.json").write_text('{"model_type": "xlnet"}')
    artifacts.export_preprocessor(export_path=path, tokenizer=work)


def _xlm_roberta(work: Path, path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    letters = sorted({letter for text in TEXTS for letter in text if letter != " "})
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -1.0)]
    pieces += [(letter, -3.0) for letter in letters] + [("<mask>", 0.0)]
    transformers.XLMRobertaTokenizer(vocab=pieces).save_pretrained(work)
    artifacts.export_preprocessor(export_path=path, tokenizer=work)


def _pipeline(work: Path, path: Path, *, family: str, head: str, **config: Any) -> None:
    pytest.importorskip("sentence_transformers")
    from tests.oracles import pipelines

    of_task = {name: config.pop(name) for name in TASK_OPTIONS if name in config}
    model = pipelines.save(work / "model", family, head, **config)
    artifacts.export_pipeline(
        checkpoint=model, export_path=path, max_seq_length=pipelines.LENGTH, **of_task
    )


def _sentences(work: Path, path: Path, *, truncate_dim: int | None = None, **options: Any) -> None:
    pytest.importorskip("sentence_transformers")
    from tests.oracles import pipelines

    model = pipelines.save_sentence_model(work, **options)
    artifacts.export_pipeline(checkpoint=model, export_path=path, truncate_dim=truncate_dim)


_XLM = ["<s>", "</s>", "<pad>", "<unk>", *(f"<special{number}>" for number in range(10))]
_ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
MAKERS: Mapping[str, Callable[[Path, Path], None]] = {
    "bert tf1": functools.partial(_tf1, heads=True),
    "bert tf1, no heads": functools.partial(_tf1, heads=False),
    "bert tf1, one segment type": functools.partial(
        _tf1, heads=True, config={**CONFIG, "type_vocab_size": 1, "num_hidden_layers": 1}
    ),
    "bert tf1, stored in bfloat16": functools.partial(
        _tf1, heads=True, dtype="bfloat16", variable_dtype="bfloat16"
    ),
    "bert tf2": functools.partial(_garden, encoder="v2", heads=True, nsp=True),
    "bert hugging_face": functools.partial(_hugging_face, model="BertForPreTraining"),
    "bert hugging_face, no heads": functools.partial(_hugging_face, model="BertModel"),
    "bert hugging_face, no pooler": functools.partial(
        _hugging_face, model="BertForMaskedLM", pooler="identity"
    ),
    "bert hugging_face, sentence embedding": functools.partial(
        _hugging_face, model="BertModel", embedding=True
    ),
    "bert hugging_face, classifier": functools.partial(
        _hugging_face, model="BertForSequenceClassification",
        config={**BERT, "id2label": dict(enumerate(LABELS))},
    ),
    "bert hugging_face, token classifier": functools.partial(
        _hugging_face, model="BertForTokenClassification", pooler="cls"
    ),
    "bert hugging_face, multiple choice": functools.partial(
        _hugging_face, model="BertForMultipleChoice"
    ),
    "roberta": functools.partial(_hugging_face, model="RobertaForMaskedLM", config=ROBERTA),
    "roberta, classifier": functools.partial(
        _hugging_face, model="RobertaForSequenceClassification",
        config={**ROBERTA, "problem_type": "multi_label_classification"},
    ),
    "distilbert": functools.partial(
        _hugging_face, model="DistilBertForQuestionAnswering", config=DISTILBERT
    ),
    "gpt": functools.partial(_causal, model="OpenAIGPTLMHeadModel"),
    "gpt, double heads": functools.partial(_causal, model="OpenAIGPTDoubleHeadsModel"),
    "gpt2": functools.partial(_causal, model="GPT2LMHeadModel"),
    "gpt2, classifier": functools.partial(_causal, model="GPT2ForSequenceClassification"),
    "transformer_xl": _transformer_xl_encoder,
    "xlnet": functools.partial(_xlnet_encoder, model="XLNetLMHeadModel"),
    "xlnet, classifier": functools.partial(
        _xlnet_encoder, model="XLNetForSequenceClassification"
    ),
    "xlm": functools.partial(_xlm, model="XLMWithLMHeadModel", language="en"),
    "xlm, causal": functools.partial(_xlm, model="XLMWithLMHeadModel", causal=True),
    "xlm, beam": functools.partial(_xlm, model="XLMForQuestionAnswering"),
    "lambert": functools.partial(_garden, encoder="v2", heads=True, family="lambert"),
    "lambert, no heads": functools.partial(
        _garden, encoder="v2", heads=False, family="lambert"
    ),
    "talking_heads": functools.partial(_garden, encoder="talking_heads", heads=True),
    "talking_heads, no heads": functools.partial(
        _garden, encoder="talking_heads", heads=False
    ),
    "wordpiece bert uncased": functools.partial(
        _wordpiece, lower=True, tokenize_with_offsets=True
    ),
    "wordpiece bert cased": functools.partial(_wordpiece, lower=False),
    "byte_level_bpe gpt2 cased": functools.partial(
        _byte_level, model_type="gpt2", specials=["<|endoftext|>"]
    ),
    "byte_level_bpe roberta cased": functools.partial(
        _byte_level, model_type="roberta", specials=_ROBERTA
    ),
    "bpe openai-gpt uncased": functools.partial(
        _merged, specials=["<unk>"], model_type="openai-gpt"
    ),
    "xlm xlm uncased": functools.partial(
        _merged, specials=_XLM, model_type="xlm", language="en", do_lower_case=True
    ),
    "transformer_xl transfo-xl cased": _transformer_xl,
    "sentencepiece xlnet cased": _xlnet,
    "sentencepiece xlm-roberta cased": _xlm_roberta,
}  # fmt: skip
"""Name -> what makes the artifact; those of preprocessors are tokenizer, model type and casing."""

TASK_OPTIONS = [field.name for field in dataclasses.fields(TaskOptions)]
PIPELINES: Mapping[str, Callable[[Path, Path], None]] = {
    "embedding": _sentences,
    "embedding, prompts": functools.partial(
        _sentences, prompts={"query": "query: ", "passage": ""}, default_prompt="query",
        include_prompt=False, modes=("mean", "cls"), truncate_dim=9,
    ),
    "classification": functools.partial(
        _pipeline, family="Bert", head="ForSequenceClassification",
        id2label=dict(enumerate(LABELS)),
    ),
    "classification, several at once": functools.partial(
        _pipeline, family="DistilBert", head="ForSequenceClassification", num_labels=7,
        problem_type="multi_label_classification",
    ),
    "classification, a number": functools.partial(
        _pipeline, family="Roberta", head="ForSequenceClassification", num_labels=1,
        problem_type="regression",
    ),
    "perplexity": functools.partial(_pipeline, family="GPT2", head="LMHeadModel"),
    "fill-mask": functools.partial(_pipeline, family="Bert", head="ForMaskedLM"),
    "fill-mask, byte-level": functools.partial(_pipeline, family="Roberta", head="ForMaskedLM"),
    "token-classification": functools.partial(
        _pipeline, family="Bert", head="ForTokenClassification",
        id2label=dict(enumerate(("O", "B-PER", "I-PER", "B-LOC", "I-LOC"))),
    ),
    "token-classification, tokens": functools.partial(
        _pipeline, family="DistilBert", head="ForTokenClassification", aggregation="none",
    ),
    "question-answering": functools.partial(_pipeline, family="Bert", head="ForQuestionAnswering"),
    "question-answering, several answers": functools.partial(
        _pipeline, family="Roberta", head="ForQuestionAnswering", top_k=3,
        handle_impossible_answer=True,
    ),
}  # fmt: skip
"""Task, and what is special -> what makes a pipeline of it."""

GPTS = ("gpt", "gpt2", "transformer_xl", "xlm")
"""Families whose artifacts may have a causal language model."""
PRE_TRAINED = ("mlm", "nsp")
TAGS = (
    "fill-mask", "text-classification", "token-classification", "question-answering",
    "multiple-choice",
)  # fmt: skip
"""Pipeline tags that ask for a head."""

UNSTATED = {"vocab_size": 30_522, "max_position_embeddings": 512}
"""Sizes of a model whose card does not say them."""

BASIC = ("bert tf1", "wordpiece bert uncased")
"""An encoder and a preprocessor of which records of others are made."""

PREPROCESSORS = {
    "roberta": "byte_level_bpe roberta cased",
    "gpt": "bpe openai-gpt uncased",
    "gpt2": "byte_level_bpe gpt2 cased",
    "transformer_xl": "transformer_xl transfo-xl cased",
    "xlnet": "sentencepiece xlnet cased",
    "xlm": "xlm xlm uncased",
}
"""Family -> the preprocessor of its artifacts; `BASIC`'s for those that are not listed."""

KINDS_OF_TOKENIZERS = {
    "huggingface/roberta_preprocess": "byte_level_bpe",
    "huggingface/xlm_roberta_preprocess": "sentencepiece",
    "huggingface/openai_gpt_preprocess": "bpe",
    "huggingface/gpt2_preprocess": "byte_level_bpe",
    "huggingface/transfo_xl_preprocess": "transformer_xl",
    "huggingface/xlnet_cased_preprocess": "sentencepiece",
    **{
        f"huggingface/xlm_{which}_preprocess": "xlm"
        for which in ("en", "ende", "enfr", "enro", "xnli15")
    },
}
"""Of the preprocessors of encoders that are exported; WordPiece where they are not listed."""


def artifacts_for(card: Model) -> list[str]:
    """Names of the artifacts whose kind is the card's; none where no such model is exported."""
    if not isinstance(card, EncoderCard):
        return [f"{card.tokenizer} {card.model_type} {card.casing}"]
    name = card.family if card.family != "bert" else f"bert {card.origin.layout}"
    return [each for each in MAKERS if each.split(",")[0] == name]


def fitted(card: Any, record: Mapping[str, Any]) -> Any:
    """The card as a small artifact's would be: what the record knows as the record has it."""
    if not isinstance(card, EncoderCard):
        return dataclasses.replace(card, vocab_size=record["tokenizer"]["vocab_size"])
    built = {name: record["architecture"][name] for name in SIZES}
    return dataclasses.replace(
        card,
        architecture=Architecture(**built),
        training=(),
        pooler=None,
        objectives=tuple(dict.fromkeys((*card.objectives, *pre_trained(record["heads"])))),
        labels=(),
        problem_type=None,
        tfhub=dataclasses.replace(card.tfhub, tasks=("text-embedding",)),
        hugging_face=dataclasses.replace(card.hugging_face, pipeline_tag=tag_for(record["heads"])),
    )


def pre_trained(heads: Iterable[str]) -> list[str]:
    """The heads that an objective of pre-training is named after."""
    return [head for head in heads if head in PRE_TRAINED]


def tag_for(heads: Collection[str]) -> str:
    """The pipeline tag of an encoder with these heads."""
    found = (tag for tag in TAGS if {*heads_for(tag)} & {*heads})
    return next(found, "feature-extraction")


def head_entry(name: str, num_parameters: int, **sizes: int) -> dict[str, Any]:
    """What a record says of a head with V pieces or K classes; of a beam, the usual sizes."""
    interface = INTERFACES[name].sized(**sizes, **{"T": 5, "E * T": 25})
    return {"num_parameters": num_parameters, **interface.record()}


def parameters(sizes: Mapping[str, int], heads: Collection[str] = ("mlm", "nsp")) -> int:
    """Of a BERT with its pooler, counted from its sizes: matrices, biases and norms one by one."""
    H, I = sizes["hidden_size"], sizes["intermediate_size"]  # noqa: E741
    V, P = sizes["vocab_size"], sizes["max_position_embeddings"]
    norm, square = 2 * H, H * H + H
    embeddings = (V + P + sizes["type_vocab_size"]) * H + norm
    block = 4 * square + norm + (H * I + I) + (I * H + H) + norm
    encoder = embeddings + sizes["num_hidden_layers"] * block + square
    return encoder + (square + norm + V) * ("mlm" in heads) + 2 * (H + 1) * ("nsp" in heads)


def enlarged(record: Mapping[str, Any], card: Model) -> dict[str, Any]:
    """A copy of a small artifact's record that says it is the card's model."""
    changed = copy.deepcopy(dict(record))
    assert not isinstance(card, PipelineCard)
    if not isinstance(card, EncoderCard):
        tokenizer = changed["tokenizer"]
        tokenizer |= {"kind": card.tokenizer, "model_type": card.model_type}
        tokenizer["do_lower_case"] = lowers = card.casing == "uncased"
        tokenizer["settings"] |= {"lower_case": lowers, "strip_accents": lowers}
        if card.text_language is not None:
            tokenizer["settings"]["language"] = card.text_language
        tokenizer["vocab_size"] = card.vocab_size or tokenizer["vocab_size"]
        return changed
    built = changed["architecture"]
    stated = {name: getattr(card.architecture, name) for name in SIZES}
    built |= UNSTATED | {name: value for name, value in stated.items() if value is not None}
    built["embedding_size"] = built["hidden_size"]
    built["intermediate_size"] = stated["intermediate_size"] or 4 * built["hidden_size"]
    tag = card.hugging_face.pipeline_tag
    tuned = heads_for(tag)[:1] if tag != "fill-mask" else []
    objectives = {"mlm": "mlm", "nsp": "nsp", "lm": "clm" if card.family in GPTS else ""}
    heads = tuned or [head for head, name in objectives.items() if name in card.objectives]
    built["num_parameters"] = parameters(built, heads)
    without = parameters(built, ())
    classes = len(card.labels) or 2
    changed["heads"] = {
        head: head_entry(
            head, parameters(built, (head,)) - without, V=built["vocab_size"], K=classes
        )
        for head in heads
    }
    changed["family"]["name"] = card.family
    changed["checkpoint"]["layout"] = card.origin.layout
    if card.pooler is not None and card.pooler.status == "untrained":
        changed["pooler"] |= {"trained": None, "doubts": ["the pooler's bias is all zeros"]}
    if card.pooler is not None and card.pooler.status == "absent":
        changed["pooler"] |= {"pooled_output": "cls", "trained": None}
        rows = changed["tensors"]
        changed["tensors"] = [row for row in rows if "pooler" not in row["variable"]]
    vocabulary = built["vocab_size"]
    changed["tokenizer"] = (changed["tokenizer"] or {}) | {
        "kind": KINDS_OF_TOKENIZERS.get(card.preprocessor, "wordpiece"),
        "vocab_size": vocabulary,
        "do_lower_case": card.casing == "uncased",
    }
    signatures = changed["saved_model"]["signatures"]
    for output in signatures["serving_default"]["outputs"].values():
        output["shape"][-1] = built["hidden_size"]
    changed["saved_model"]["signatures"] = {
        "serving_default": signatures["serving_default"],
        **{name: {"inputs": {}, "outputs": {}} for name in changed["heads"]},
    }
    return changed


def enlarged_pipeline(
    record: Mapping[str, Any], card: PipelineCard, catalogue: Catalogue
) -> dict[str, Any]:
    """A copy of a small pipeline's record that says it is the card's model."""
    encoder = catalogue.encoders[card.encoder]
    text = catalogue.preprocessors[encoder.preprocessor]
    held = enlarged(record["encoder"], encoder)
    del held["tensors"]  # of which the small model may lack the pooler
    return {
        **copy.deepcopy(dict(record)),
        "encoder": held,
        "preprocessor": enlarged(record["preprocessor"], text),
    }
