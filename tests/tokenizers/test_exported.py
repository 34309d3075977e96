"""Preprocessors as users meet them: exported by the command, reloaded in a fresh process, and
re-exported. Exact ones against Hugging Face's tokenizers, packing included."""

import io
import json
from pathlib import Path

import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")
tokenizers = pytest.importorskip("tokenizers")
sentencepiece = pytest.importorskip("sentencepiece")
from tensorflow.core.protobuf import saved_model_pb2  # noqa: E402

from hubexport import cli  # noqa: E402
from hubexport.saved_model.ops import not_served, packages_of  # noqa: E402
from hubexport.saved_model.record import load_record  # noqa: E402
from hubexport.tokenizers.difficult_texts import DIFFICULT_TEXTS  # noqa: E402
from tests import forks  # noqa: E402
from tests.tiers import examples  # noqa: E402
from tests.tokenizers.texts import generated  # noqa: E402

EXACT = ("wordpiece", "roberta", "xlnet")
ALL_FORMS = "wordpiece"
"""What is used in every form; tests/tokenizers/test_text_shapes.py has others in Keras."""
DEFAULT = 24
SPECIAL = ("padding_id", "start_of_sequence_id", "end_of_segment_id", "mask_id")
ALWAYS = ("wordpiece", "uncased")
each_exact = pytest.mark.parametrize("name", examples(EXACT, ALWAYS[:1]))
each = pytest.mark.parametrize("name", examples([*EXACT, "uncased"], ALWAYS))
TRAINING = [
    "The quick brown fox jumps over the lazy dog, 1,000 times (at least).",
    "Привет, мир! Как дела? 今日は世界。 안녕하세요 세계 नमस्ते दुनिया",
    "naïve café Ünïcödé, don't they'll we've I'm 'quoted' \"text\"",
    *generated(300, seed=5),
]
TEXTS = [*DIFFICULT_TEXTS, *generated(60, seed=6, words=["[MASK]", "<mask>", " <sep>", "</s>"])]


@pytest.fixture(scope="module")
def names(request):
    """Those of the tests that were selected, and of those that are always run."""
    items = [item for item in request.session.items if item.path == request.path]
    wanted = {item.callspec.params.get("name") for item in items if hasattr(item, "callspec")}
    return [name for name in (*EXACT, "uncased") if name in wanted | {*ALWAYS}]


@pytest.fixture(scope="module")
def references(names, tmp_path_factory):
    """Name -> (a directory with files of that tokenizer, the Rust tokenizer, padding)."""
    work = tmp_path_factory.mktemp("tokenizers")
    return {name: make(work / name) for name, make in MAKERS.items() if name in names}


def wordpiece(directory):
    """vocab.txt only, as google-research/bert has it."""
    directory.mkdir()
    rust = tokenizers.BertWordPieceTokenizer(lowercase=True)
    rust.train_from_iterator(TRAINING, vocab_size=600, min_frequency=1, show_progress=False)
    rust.save_model(str(directory))
    rust = tokenizers.BertWordPieceTokenizer(str(directory / "vocab.txt"), lowercase=True)
    rust = tokenizers.Tokenizer.from_str(rust.to_str())
    return directory, rust, {"pad_id": rust.token_to_id("[PAD]"), "pad_token": "[PAD]"}


def roberta(directory):
    """tokenizer.json."""
    directory.mkdir()
    rust = tokenizers.ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    rust.train_from_iterator(TRAINING, 600, 1, show_progress=False, special_tokens=specials)
    rust = tokenizers.Tokenizer.from_str(rust.to_str())
    rust.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True, normalized=False)])
    rust.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    rust.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer"}')
    return directory, rust, {"pad_id": 1, "pad_token": "<pad>"}


def xlnet(directory):
    """A Unigram tokenizer.json as XLNet's, padding on the left."""
    directory.mkdir()
    rust = tokenizers.Tokenizer(tokenizers.models.Unigram())
    rust.normalizer = tokenizers.normalizers.Sequence(
        [
            tokenizers.normalizers.Replace("``", '"'),
            tokenizers.normalizers.Replace("''", '"'),
            tokenizers.normalizers.NFKD(),
            tokenizers.normalizers.StripAccents(),
            tokenizers.normalizers.Replace(tokenizers.Regex(" {2,}"), " "),
        ]
    )
    rust.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    rust.decoder = tokenizers.decoders.Metaspace()
    specials = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<eop>", "<eod>"]
    specials.append(tokenizers.AddedToken("<mask>", lstrip=True, normalized=False))
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=500, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    rust.train_from_iterator(TRAINING[:3] * 20, trainer)
    ids = {name: rust.token_to_id(name) for name in ("<sep>", "<cls>", "<pad>")}
    rust.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A:0 <sep>:0 <cls>:2",
        pair="$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2",
        special_tokens=[("<sep>", ids["<sep>"]), ("<cls>", ids["<cls>"])],
    )
    rust.save(str(directory / "tokenizer.json"))
    (directory / "config.json").write_text('{"model_type": "xlnet"}')
    padding = {"pad_id": ids["<pad>"], "pad_token": "<pad>", "pad_type_id": 3, "direction": "left"}
    return directory, rust, padding


MAKERS = {"wordpiece": wordpiece, "roberta": roberta, "xlnet": xlnet}


def uncased(directory):
    """A WordPiece vocabulary with special pieces at odd places."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    longer = ["the", "quick", "fox", "##ing", "##ick", "jump", "##ps", "over", "naive", "##zy"]
    singles = [*letters, *(f"##{letter}" for letter in letters), *"漢字中文.,!?()'-@#$%[]"]
    pieces = [singles[0], "[PAD]", *singles[1:9], "[UNK]", "[CLS]", *singles[9:], "[MASK]"]
    directory.mkdir()
    (directory / "vocab.txt").write_text("\n".join([*pieces, *longer, "[SEP]"]), "utf-8")
    return directory / "vocab.txt"


def albert(directory):
    """A SentencePiece model."""
    directory.mkdir()
    train_sentencepiece(directory)
    return directory / "albert.model"


def train_sentencepiece(directory):
    """Writes albert.model."""
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "naive"]
    lines = [" ".join(words[i % 7 :: 1 + i % 3]) for i in range(200)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,  # a file's path would become part of the model
        vocab_size=80,
        hard_vocab_limit=False,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        pad_piece="<pad>",
        control_symbols=["[CLS]", "[SEP]"],
        user_defined_symbols=["[MASK]"],
        minloglevel=2,
    )
    (directory / "albert.model").write_bytes(model.getvalue())


def flags_of(name, source):
    """What `hubexport preprocessor` is told of each."""
    flags = [f"--default_seq_length={DEFAULT}"]
    if name in ("uncased", "albert"):
        kind = "sp_model_file" if name == "albert" else "vocab_file"
        flags += [f"--{kind}={source}", "--do_lower_case", "--normalization=tfhub"]
    else:
        flags += [f"--tokenizer={source}", "--truncation=longest_first"]
        flags += ["--do_lower_case"] if name == "wordpiece" else []
    return [*flags, *([] if name in ("xlnet", "albert") else ["--tokenize_with_offsets"])]


@pytest.fixture(scope="module")
def work(references, tmp_path_factory):
    """The artifacts, made by the command line."""
    work = tmp_path_factory.mktemp("exported")
    sources = {name: directory for name, (directory, _, _) in references.items()}
    sources["uncased"] = uncased(work / "files")
    for name, source in sources.items():
        argv = ["preprocessor", *flags_of(name, source), f"--export_path={work / name}"]
        assert cli.run(argv) == 0
    return work


@pytest.fixture(scope="module")
def used(names, work):
    """What two fresh processes saw, and the records."""
    check_graph(work / "uncased")
    given = {"texts": TEXTS, "all_forms": ALL_FORMS}
    (work / "texts.json").write_text(json.dumps(given), "utf-8")
    records = {name: load_record(work / name) for name in names}
    program = Path(__file__).with_name("preprocessor_user.py").read_text("utf-8")
    environment = {"CUDA_VISIBLE_DEVICES": ""}
    for step in ("first", "second"):
        done = forks.run(
            program, step, work, *records,
            environment=environment, directory=work, preload=forks.TENSORFLOW,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-6000:]
    assert not (work / "wordpiece").exists()
    saw = {step: json.loads((work / f"{step}.json").read_text()) for step in ("first", "second")}
    return {**saw, "records": records}


def flat(tokens):
    return [
        [i for word in row for i in (word if isinstance(word, list) else [word])] for row in tokens
    ]


def packed(encodings):
    return {
        "input_word_ids": [e.ids for e in encodings],
        "input_mask": [e.attention_mask for e in encodings],
        "input_type_ids": [e.type_ids for e in encodings],
    }


@each_exact
def test_ids(used, references, name):
    _, rust, _ = references[name]
    rust.no_padding()
    rust.no_truncation()
    expected = [e.ids for e in rust.encode_batch(TEXTS, add_special_tokens=False)]
    assert flat(used["first"][name]["tokens"]) == expected


@each_exact
def test_packing(used, references, name):
    _, rust, padding = references[name]
    rust.enable_truncation(DEFAULT)
    rust.enable_padding(length=DEFAULT, **padding)
    assert used["first"][name]["root"] == packed(rust.encode_batch(TEXTS))
    rust.enable_truncation(12)
    rust.enable_padding(length=12, **padding)
    pairs = list(zip(TEXTS, TEXTS, strict=True))
    assert used["first"][name]["pair"] == packed(rust.encode_batch(pairs))


@each_exact
def test_detokenize(used, references, name):
    _, rust, _ = references[name]
    if name == "wordpiece":
        rust.decoder = tokenizers.decoders.WordPiece(cleanup=False)
    ids = flat(used["first"][name]["tokens"])
    expected = rust.decode_batch(ids, skip_special_tokens=False)
    assert used["first"][name]["detokenize"] == expected


@each_exact
def test_bytes_that_are_not_text(used, references, name):
    """As Python's replacement gives them; and a text of 100,000 bytes."""
    _, rust, _ = references[name]
    rust.no_padding()
    rust.no_truncation()
    bad = [b"\xff\xfe", b"a\xc3 b", b"\xed\xa0\x80x", b"\x00", b"a\x00b"]
    texts = [text.decode("utf-8", "replace") for text in bad]
    expected = [e.ids for e in rust.encode_batch(texts, add_special_tokens=False)]
    assert used["first"][name]["bad"] == expected
    word = rust.encode("word " * 20_000, add_special_tokens=False).ids
    assert used["first"][name]["bad_length"] == len(word)


@pytest.mark.parametrize("name", examples(["wordpiece", "roberta"], ALWAYS[:1]))
def test_offsets_are_of_the_text_as_given(used, name):
    ids, starts, limits = (flat(part) for part in used["first"][name]["offsets"])
    assert ids == flat(used["first"][name]["tokens"])
    for text, row_starts, row_limits in zip(TEXTS, starts, limits, strict=True):
        size = len(text.encode())
        for start, limit in zip(row_starts, row_limits, strict=True):
            assert 0 <= start <= limit <= size


@each
def test_interface(used, name):
    found = used["first"][name]
    assert found["dtypes"] == ["int32"]
    assert found["empty_batch"] == [[0, DEFAULT]] * 3
    assert found["variables"] == [0, 0, 0]
    assert sorted(found["root"]) == ["input_mask", "input_type_ids", "input_word_ids"]
    assert found["special"].keys() >= {"vocab_size", *SPECIAL}
    assert found["tokens"][TEXTS.index("")] == []
    assert found["serving"] == found["beside_others"] == found["root"]
    assert "shape=(None,), dtype=tf.string, name='text'" in found["serving_input"]


def test_packing_forms_agree(used):
    found = used["first"][ALL_FORMS]
    assert found["single"] == found["root"]
    assert found["other_pairs"] == [found["pair"]] * 3
    assert found["length_as_tensor"] == found["pair"]
    assert {len(row) for row in found["pair"]["input_word_ids"]} == {12}
    assert {len(row) for row in found["pair_as_root"]["input_word_ids"]} == {DEFAULT}


def test_datasets_and_keras(used):
    first, second = used["first"][ALL_FORMS], used["second"][ALL_FORMS]
    assert first["mapped"] == first["root"]["input_word_ids"]
    assert first["mapped_shapes"] == [[None, DEFAULT]] * 3
    assert first["keras_root"] == first["root"]
    assert first["keras_weights"] == 0
    assert {len(row) for row in first["keras_pair"]["input_type_ids"]} == {10}
    assert second["keras_pair"] == first["keras_pair"]
    assert second["again"] == first["root"]


@each
def test_reexport_outlives_the_original(used, name):
    first, second = used["first"][name], used["second"][name]
    for what in ("root", "tokens", "pair"):
        assert second[what] == first[what], what
    assert second["asset"] is True
    files = {"wordpiece": "vocab.txt", "uncased": "vocab.txt"}
    assert first["asset"] == files.get(name, "tokenizer.json")


@each_exact
def test_record_of_exact_ones(used, name):
    record = used["records"][name]
    files = record["self_test"].pop("files")
    assert {"saved_model.pb", "variables/variables.index"} <= set(files)
    assert record["self_test"] == {
        "texts": len(DIFFICULT_TEXTS),
        "reference": f"tokenizers {tokenizers.__version__}",
        "differences": 0,
        "not_compared": "",
    }
    kinds = {"wordpiece": "wordpiece", "roberta": "byte_level_bpe", "xlnet": "sentencepiece"}
    assert record["tokenizer"]["kind"] == kinds[name]
    assert record["tokenizer"]["model_type"] == {"wordpiece": "bert"}.get(name, name)
    assert "Assert" not in record["saved_model"]["ops"]


@each
def test_servers_have_the_ops(used, name):
    ops = used["records"][name]["saved_model"]["ops"]
    assert not_served(ops) == {}
    assert packages_of(ops)["tensorflow-text"]


@each
def test_special_tokens(used, name):
    special, tokenizer = dict(used["first"][name]["special"]), used["records"][name]["tokenizer"]
    assert tokenizer["vocab_size"] == special.pop("vocab_size")
    assert {role: tokenizer["special_tokens"][role]["id"] for role in special} == special


def check_graph(artifact):
    """Of a tfhub one: no assertions, files or devices."""
    data = (artifact / "saved_model.pb").read_bytes()
    assert str(artifact.parent).encode() not in data
    (meta,) = saved_model_pb2.SavedModel.FromString(data).meta_graphs
    library = meta.graph_def.library.function
    nodes = [*meta.graph_def.node, *(node for function in library for node in function.node_def)]
    ops = {node.op for node in nodes}
    assert "Assert" not in ops
    assert not {op for op in ops if "Asset" in op or "TextFile" in op or op.startswith("TFText>")}
    assert not any(node.device for node in nodes)


def test_tfhub_tokens(used):
    """Words are rows of their own; the unknown piece is where the vocabulary has it."""
    first = used["first"]
    assert len(first["uncased"]["tokens_shape"]) == 2
    unknown = used["records"]["uncased"]["tokenizer"]["special_tokens"]["unknown_id"]["id"]
    words = next(text for text in TEXTS if text.startswith("x" * 300))
    assert unknown != 0
    assert first["uncased"]["tokens"][TEXTS.index(words)][0] == [unknown]  # 300 bytes


def test_record_of_tfhub_ones(used):
    record = used["records"]["uncased"]
    tokenizer = record["tokenizer"]
    assert (record["kind"], tokenizer["kind"]) == ("preprocessor", "wordpiece")
    assert (tokenizer["do_lower_case"], tokenizer["do_lower_case_reason"]) == (
        True,
        "--do_lower_case",
    )
    saved = record["saved_model"]
    signature = saved["signatures"]["serving_default"]
    assert signature["inputs"] == {"text": {"dtype": "string", "shape": [None]}}
    assert signature["outputs"]["input_mask"] == {"dtype": "int32", "shape": [None, DEFAULT]}
    assert "unknown" not in saved["required_ops"]
    assert set(saved["sub_objects"]) == {
        "bert_pack_inputs",
        "tokenize",
        "tokenize.get_special_tokens_dict",
        "tokenize_with_offsets",
        "tokenize_with_offsets.get_special_tokens_dict",
    }
    assert tokenizer["files"]["vocab_file"]["name"] == "vocab.txt"
    assert (tokenizer["normalization"], tokenizer["special_tokens_in_text"]) == ("tfhub", [])
    assert not [flag for flag in record["command"] if "/" in flag]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["roberta", "xlnet"])
def test_exported_twice_it_is_the_same(references, name, tmp_path):
    flags = flags_of(name, references[name][0])
    for again in ("a", "b"):
        assert cli.run(["preprocessor", *flags, f"--export_path={tmp_path / again}"]) == 0
    first, second = ((tmp_path / again / "saved_model.pb").read_bytes() for again in "ab")
    assert first == second


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["uncased", "albert"])
def test_tfhub_ones_are_equal_to_model_garden(name, tmp_path):
    export_tfhub_lib = pytest.importorskip("official.nlp.tools.export_tfhub_lib")
    source = {"uncased": uncased, "albert": albert}[name](tmp_path / "files")
    argv = ["preprocessor", *flags_of(name, source), f"--export_path={tmp_path / 'out'}"]
    assert cli.run(argv) == 0
    check_graph(tmp_path / "out")
    ours = tf.saved_model.load(str(tmp_path / "out"))
    theirs = export_tfhub_lib.create_preprocessing(
        vocab_file=str(source) if name == "uncased" else None,
        sp_model_file=str(source) if name == "albert" else None,
        do_lower_case=True,
        tokenize_with_offsets=name == "uncased",
        default_seq_length=DEFAULT,
    )
    texts = tf.constant(TEXTS)
    assert plain(ours(texts)) == plain(theirs(texts))
    tokens = theirs.tokenize(texts)
    assert ours.tokenize(texts).to_list() == tokens.to_list()
    expected = theirs.bert_pack_inputs.__call__([tokens, tokens], seq_length=12)
    assert plain(ours.bert_pack_inputs([tokens, tokens], seq_length=12)) == plain(expected)
    special = plain(theirs.tokenize.get_special_tokens_dict.__call__())
    assert plain(ours.tokenize.get_special_tokens_dict()) == special
    if name == "uncased":
        pairs = (each.tokenize_with_offsets(texts) for each in (ours, theirs))
        for one, other in zip(*pairs, strict=True):
            assert one.to_list() == other.to_list()


def plain(tensors):
    return {name: tensor.numpy().tolist() for name, tensor in tensors.items()}
