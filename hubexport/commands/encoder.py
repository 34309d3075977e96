"""`hubexport encoder`: an encoder SavedModel from a checkpoint."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import Any

from hubexport.commands.arguments import (
    add_boolean,
    add_tokenizer_facts,
    add_tokenizer_files,
    options_of,
    quiet_tensorflow,
)
from hubexport.errors import some_of
from hubexport.exporting.encoder import export_encoder
from hubexport.families.heads import INTERFACES
from hubexport.families.registry import families
from hubexport.lean_tensorflow import lean_tensorflow
from hubexport.networks.config import ACTIVATIONS, DTYPES, PADDINGS
from hubexport.poolers import FLAG_VALUES, POOLERS

HELP = "export a text encoder SavedModel, with its heads, from a checkpoint"

EPILOG = (
    """\
poolers:
"""
    + "\n".join(f"  {name:19} {pooler.help}" for name, pooler in POOLERS.items())
    + """

examples:
  # google-research/bert
  hubexport encoder --bert_config=bert_config.json --checkpoint=bert_model.ckpt \\
      --vocab_file=vocab.txt --do_lower_case --export_path=out/encoder

  # Model Garden, with the pooler trained by next-sentence prediction
  hubexport encoder --encoder_config=encoder.yaml --checkpoint=ckpt-100 \\
      --pooler=next_sentence --export_path=out/encoder

  # Hugging Face: a directory with config.json and model.safetensors or pytorch_model.bin
  hubexport encoder --checkpoint=bert-base-cased --export_path=out/encoder

  # a fine-tuned model, with its classifier and the tokenizer's files
  hubexport encoder --checkpoint=roberta-large-mnli --tokenizer=roberta-large-mnli \\
      --export_path=out/encoder

  # moved into place only if it gives what transformers gives
  hubexport encoder --checkpoint=bert-base-cased --validate --export_path=out/encoder

  # an archive of pytorch_pretrained_bert; a dry run writes nothing
  hubexport encoder --checkpoint=bert-base-uncased.tar.gz --export_path=out/encoder --dry_run
"""
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    parser.add_argument(
        "--checkpoint", type=Path, required=True,
        help="TensorFlow prefix (bert_model.ckpt), Hugging Face directory, *.safetensors, *.bin, "
        "fairseq's model.pt, XLM's *.pth, GPT's params_shapes.json, or an archive of one",
    )  # fmt: skip
    parser.add_argument(
        "--export_path", type=Path, required=True, help="directory to create for the SavedModel"
    )
    parser.add_argument(
        "--bert_config", type=Path,
        help="bert_config.json, config.json, xlnet_config.json or GPT-2's hparams.json; found "
        "beside the checkpoint if not passed",
    )  # fmt: skip
    parser.add_argument(
        "--encoder_config", type=Path,
        help="Model Garden's YAML for the encoder, or an experiment's params.yaml",
    )  # fmt: skip
    parser.add_argument(
        "--family",
        help=f"model family: {', '.join(families())}; recognised if not passed",
    )
    parser.add_argument(
        "--heads", default="auto",
        help="auto (every head in the checkpoint), none, or names separated by commas: "
        + ", ".join(INTERFACES),
    )  # fmt: skip
    parser.add_argument(
        "--pooler", choices=FLAG_VALUES,
        help="what pooled_output is (see below); if not passed, it depends on the family: BERT's "
        "own pooler, the first token for RoBERTa, DistilBERT and XLM, the last one for GPT, GPT-2, "
        "XLNet and Transformer-XL; a sentence-transformers directory also gets its sentence "
        "embedding as default",
    )  # fmt: skip
    parser.add_argument(
        "--copy_pooler_dense_to_encoder", dest="pooler", action="store_const",
        const="next_sentence", help="the same as --pooler=next_sentence, as Model Garden calls it",
    )  # fmt: skip
    carried = parser.add_argument_group("a tokenizer to include in the artifact, at most one of")
    add_tokenizer_files(carried)
    add_tokenizer_facts(
        parser,
        more="; an XLM of several languages also adds its embedding wherever input_language_ids is "
        "not given",
    )
    parser.add_argument(
        "--dtype", choices=DTYPES, default="float32",
        help="dtype of matmuls and activations; outputs are always float32",
    )  # fmt: skip
    parser.add_argument(
        "--variable_dtype", choices=DTYPES, default="float32",
        help="dtype in which variables of dense layers are stored: float32, or, for inference, "
        "that of --dtype, which halves their memory and gives the same outputs",
    )  # fmt: skip
    parser.add_argument(
        "--padding", choices=PADDINGS, default="compute",
        help="compute: compute every position; skip: compute tokens only, which is faster for "
        "short texts; outputs are then 0 at padding",
    )  # fmt: skip
    override = "overrides the layout and the configuration"
    parser.add_argument("--hidden_act", choices=ACTIVATIONS, help=f"activation; {override}")
    parser.add_argument("--layer_norm_eps", type=float, help=override)
    parser.add_argument("--hidden_dropout_prob", type=float, help=override)
    parser.add_argument("--attention_probs_dropout_prob", type=float, help=override)
    parser.add_argument(
        "--max_position_embeddings", type=int, help="keep fewer positions than the checkpoint has"
    )
    add_boolean(
        parser,
        "causal",
        None,
        "whether tokens see only those before them: for XLM models that were trained to predict "
        "the next word (xlm-clm-*), whose configurations do not say so",
    )
    add_boolean(
        parser,
        "validate",
        False,
        "whether to run every gate of `hubexport validate` before moving the artifact to "
        "--export_path",
    )
    parser.add_argument(
        "--reference", type=Path,
        help="file made by `hubexport reference`, for --validate; if not passed, one is made, if "
        "the packages for it are installed",
    )  # fmt: skip
    add_boolean(parser, "overwrite", False, "whether to replace what is at --export_path")
    add_boolean(parser, "dry_run", False, "do everything except writing")


def run(arguments: argparse.Namespace) -> int:
    """Exports and prints a summary; the exit code.

    Raises:
      HubexportError: see `export_encoder`.
    """
    quiet_tensorflow()
    started = time.monotonic()
    options = options_of(arguments)
    with lean_tensorflow():
        record = export_encoder(**options, show_progress=True)
    for warning in record["warnings"]:
        print(f"hubexport: warning: {warning}", file=sys.stderr)
    print(_summary(arguments, record, time.monotonic() - started))
    return 0


def _head(name: str, head: dict[str, Any]) -> str:
    """A head in the summary: its parameters, and its classes where it has any."""
    labels = head["labels"]
    shown = f", {len(labels)} labels: {some_of(labels, 5)}" if labels else ""
    return f".{name} ({head['num_parameters']:,} parameters{shown})"


def _summary(arguments: argparse.Namespace, record: dict[str, Any], seconds: float) -> str:
    a, family, pooler = record["architecture"], record["family"], record["pooler"]
    if arguments.dry_run:
        size = "nothing written (--dry_run)"
    else:
        files = [path for path in arguments.export_path.rglob("*") if path.is_file()]
        size = f"{sum(path.stat().st_size for path in files) / 2**20:,.1f} MiB"
    heads = [_head(name, head) for name, head in record["heads"].items()]
    default = pooler["sentence_embedding"]
    default_is = (
        f"; default: {' + '.join(default['modes'])} pooling"
        + (", normalized" if default["normalize"] else "")
        if default
        else ""
    )
    lines = [
        f"encoder      {arguments.export_path}",
        f"checkpoint   {arguments.checkpoint} ({record['checkpoint']['format']})",
        f"family       {family['name']} ({family['evidence']})",
        f"architecture L={a['num_hidden_layers']} H={a['hidden_size']} "
        f"A={a['num_attention_heads']}, {a['hidden_act']}, epsilon {a['layer_norm_eps']:g}, "
        f"{a['max_position_embeddings'] or 'any number of'} positions, computes in {a['dtype']}"
        + ("" if a["variable_dtype"] == "float32" else f", stored in {a['variable_dtype']}")
        + (", skips padding" if a["padding"] == "skip" else "")
        + (", causal" if record["conventions"]["causal"] else "")
        + (f", language {a['language']}" if a.get("language") else ""),
        f"parameters   {a['num_parameters']:,} in {len(record['tensors'])} variables",
        f"heads        {', '.join(heads) or 'none'}",
        f"pooler       {pooler['pooled_output']}{default_is}",
    ]
    lines += [
        f"not exported {reason}: {len(names)} tensors"
        for reason, names in record["skipped_tensors"].items()
    ]
    lines += [
        f"validated    {sum(g['status'] == 'passed' for g in each['gates'])} gates passed on "
        f"{each['device']} against {each['reference']['made_by']}"
        for each in record.get("validation", [])
    ]
    lines += [
        f"size         {size}",
        f"time         {seconds:.1f} s",
        # Linux counts ru_maxrss in KiB.
        f"peak memory  {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB",
    ]
    return "\n".join(lines)
