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
    return reusable_encoder(encoder_parts(job, variables_of(job)), job.tokenizer.attributes())


def variables_of(job: Job) -> Variables:
    """All that the plan fills."""
    shapes = {name: value.shape for name, value in job.plan.values.items()}
    return Variables(shapes, job.family.config.variable_dtype)


def encoder_parts(job: Job, variables: Variables) -> EncoderParts:
    """The network and its heads, of these variables."""
    family, heads, pooler = job.family, job.heads, job.pooler

    def added(before: Collection[str]) -> list[tf.Variable]:
        """The variables made since, in the order of the family's table."""
        made = variables.made()
        return [made[name] for name in job.plan.values if name in made and name not in before]

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
    return EncoderParts(encoder, pooled_output, default, built, own, optional)
