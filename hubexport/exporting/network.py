"""From a job to the object that TensorFlow saves."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import tensorflow as tf

from hubexport.exporting.job import Job
from hubexport.networks.variables import Variables
from hubexport.saved_model.reusable import EncoderParts, HeadParts, reusable_encoder


def build(job: Job) -> tuple[tf.train.Checkpoint, dict[str, Any]]:
    """The traced root object and its signatures; its variables hold nothing yet."""
    family, heads, pooler = job.family, job.heads, job.pooler
    shapes = {name: value.shape for name, value in job.plan.values.items()}
    variables = Variables(shapes, family.config.variable_dtype)

    def added(before: Collection[str]) -> list[tf.Variable]:
        """The variables made since, in the order of the family's table."""
        made = variables.made()
        return [made[name] for name in shapes if name in made and name not in before]

    encoder = family.network(variables)
    pooled_output = pooler.pooled_output(family.config, variables)
    own, built = added(()), {}
    for name, head in heads.heads.items():
        before = variables.made().keys()
        network = heads.build(name, family, variables, encoder, pooled_output)
        encoder_of_head = getattr(network, "encoder", None)
        built[name] = HeadParts(head.interface, network, added(before), encoder_of_head)
    if unused := variables.unused():
        raise RuntimeError(f"the network has no use for {unused}: table and network disagree")
    default = pooler.sentence_embedding() if pooler.default else None
    optional = family.optional_inputs()
    parts = EncoderParts(encoder, pooled_output, default, built, own, optional)
    return reusable_encoder(parts, job.tokenizer.attributes())
