"""The configurations of Transformer-XL: transformers' config.json, and the flags of the original
program for TensorFlow, which no release keeps in a file."""

from __future__ import annotations

import dataclasses

from hubexport.families.configuration import Configuration
from hubexport.networks.clusters import Clusters, Table
from hubexport.networks.relative_config import RelativeConfig


@dataclasses.dataclass(frozen=True)
class TransformerXlConfig(RelativeConfig):
    """What shapes a Transformer-XL; see `RelativeConfig`. Names are those of its own flags.

    Attributes:
      cutoffs: where each cluster of words but the last ends.
      div_val: how many times as large a cluster's embeddings are as those of the next; with 1, all
        clusters share a table.
      proj_same_dim: whether embeddings of the hidden size are projected, too.
      tie_projs: of each cluster, whether the language model's projection is the embeddings'.
      untie_r: whether each layer has biases of attention of its own.
      pre_lnorm: whether layers normalize what they are given, and not what they give.
      attention_span: how many tokens each token sees at most, itself included; None for all.
    """

    cutoffs: tuple[int, ...] = ()
    div_val: int = 1
    proj_same_dim: bool = True
    tie_projs: tuple[bool, ...] = (False,)
    untie_r: bool = True
    pre_lnorm: bool = False
    attention_span: int | None = None

    @property
    def clusters(self) -> Clusters:
        """Which tables hold which words."""
        H, E, ends = self.hidden_size, self.embedding_size, (*self.cutoffs, self.vocab_size)
        if self.div_val == 1:
            return Clusters(ends, (Table(0, self.vocab_size, E, E != H),), self.tie_projs)
        sizes = [E // self.div_val**i for i in range(len(ends))]
        tables = (
            Table(start, end, size, size != H or self.proj_same_dim)
            for start, end, size in zip((0, *self.cutoffs), ends, sizes, strict=True)
        )
        return Clusters(ends, tuple(tables), self.tie_projs)


def read_transformer_xl(configuration: Configuration, layout: str) -> TransformerXlConfig:
    """config.json of transformers, or the original program's flags as JSON.

    Where a value is absent it is the program's own default. Of the original program, whose files
    are written by hand, what no tensor can contradict has to be there.

    Args:
      layout: of the checkpoint: the two programs differ in some defaults, in the epsilon of norms
        and in what a token sees with `same_length`.
    """
    read = _Reader(configuration, original=layout == "tf1")
    return read.config()


_UNTOLD = ("mem_len", "clamp_len", "same_length")
"""Of the original program's flags, those that no tensor tells."""


@dataclasses.dataclass(frozen=True)
class _Reader:
    configuration: Configuration
    original: bool

    def config(self) -> TransformerXlConfig:
        c, get = self.configuration, self.configuration.integer
        self._refuse_others()
        hidden = get("d_model", aliases=("hidden_size",))
        if hidden % 2:
            raise self.configuration.unusable(
                "d_model", hidden, "an even number: sines and cosines of distances"
            )
        words = get("vocab_size", aliases=("n_token", "vocab_size_or_config_json_file"))
        cutoffs = self._cutoffs(words)
        embedding = get("d_embed")
        div_val = get("div_val", None if not self.original else 1)
        if div_val > 1 and embedding // div_val ** len(cutoffs) == 0:
            raise self.configuration.unusable(
                "div_val", div_val, "less: no numbers are left for the last cluster"
            )
        mem_len = get("mem_len", 1600, minimum=0)
        clamp_len = get("clamp_len", 1000, minimum=-1)
        return TransformerXlConfig(
            vocab_size=words,
            hidden_size=hidden,
            num_hidden_layers=get("n_layer", aliases=("num_hidden_layers",)),
            num_attention_heads=get("n_head", aliases=("num_attention_heads",)),
            intermediate_size=get("d_inner"),
            max_position_embeddings=None,
            type_vocab_size=0,
            embedding_size=embedding,
            hidden_act="relu",  # in the code of both programs
            # In the code of tf.contrib.layers.layer_norm, which the original program uses.
            layer_norm_eps=1e-12 if self.original else c.fraction("layer_norm_epsilon", 1e-5),
            hidden_dropout_prob=c.fraction("dropout", 0.1),
            attention_probs_dropout_prob=c.fraction("dropatt", 0.0),
            pad_token_id=self._pad(),
            head_size=get("d_head"),
            causal=True,
            cutoffs=cutoffs,
            div_val=div_val,
            proj_same_dim=not self.original or c.flag("proj_same_dim", True),
            tie_projs=self._tied(len(cutoffs) + 1),
            untie_r=c.flag("untie_r", not self.original),
            pre_lnorm=not self.original and c.flag("pre_lnorm", False),
            mem_len=mem_len,
            clamp_len=clamp_len if clamp_len > 0 else None,
            attention_span=self._span(mem_len),
        )

    def _refuse_others(self) -> None:
        c, tied = self.configuration, "words are scored by the tables of the embeddings"
        c.refuse("attn_type", 0, why="attention is relative, with the original's distances")
        c.refuse("adaptive", True, why="the vocabulary is in clusters")
        c.refuse("tie_weight", True, why=tied)
        c.refuse("tie_word_embeddings", True, why=tied)
        c.refuse("sample_softmax", -1, 0, why="words are not sampled")
        c.refuse("ext_len", 0, why="the memory ends where the text begins")
        c.refuse("pruned_heads", {}, why="every layer must have all its heads")
        if self.original:
            c.refuse("pre_lnorm", False, why="the original program normalizes behind its layers")
            for name in _UNTOLD:
                if name not in c.values:
                    raise self.configuration.unusable(name, None, f"the value of the flag --{name}")

    def _cutoffs(self, words: int) -> tuple[int, ...]:
        """Without the ends of the vocabulary, which corpus_info.json of the original holds, too."""
        # Of the original, tensors tell whether there are any.
        found = self.configuration.values.get("cutoffs", [] if self.original else None)
        numbers = found if isinstance(found, list) else [None]
        if not all(type(number) is int for number in numbers):
            raise self.configuration.unusable("cutoffs", found, "a list of whole numbers")
        if self.original and numbers[:1] == [0] and numbers[-1] == words:
            numbers = numbers[1:-1]
        if any(a >= b for a, b in zip([0, *numbers], [*numbers, words], strict=True)):
            raise self.configuration.unusable(
                "cutoffs", found, f"growing numbers between 0 and {words}"
            )
        return tuple(numbers)

    def _tied(self, clusters: int) -> tuple[bool, ...]:
        """A language model without other clusters scores by the embeddings' own projection in the
        original program, and by another in transformers'."""
        if self.original and clusters == 1:
            return (True,)
        c = self.configuration
        shared = c.flag("proj_share_all_but_first", not self.original)
        found = c.values.get("tie_projs", [False] + [shared] * (clusters - 1))
        if not isinstance(found, list) or not all(isinstance(each, bool) for each in found):
            raise self.configuration.unusable("tie_projs", found, "a list of true and false")
        if len(found) < clusters:
            raise self.configuration.unusable(
                "tie_projs", found, f"one for each of {clusters} clusters"
            )
        return tuple(found[:clusters])

    def _span(self, mem_len: int) -> int | None:
        """With `same_length`, PyTorch's program lets each token see as many tokens as the memory
        holds, and TensorFlow's one more."""
        if not self.configuration.flag("same_length", True):
            return None
        span = mem_len + 1 if self.original else mem_len
        if span == 0:
            raise self.configuration.unusable(
                "mem_len", mem_len, "more: with same_length no token would see any"
            )
        return span

    def _pad(self) -> int:
        """Its tokenizer pads with the end of a text."""
        for name in ("pad_token_id", "eos_token_id"):
            if self.configuration.values.get(name) is not None:
                return self.configuration.integer(name, minimum=0)
        return 0
