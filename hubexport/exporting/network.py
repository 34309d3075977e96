"""From a job to the object that TensorFlow saves."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from hubexport.exporting.job import Job
from hubexport.networks.variables import Variables
from hubexport.saved_model.reusable import EncoderParts, reusable_encoder


def build(job: Job) -> tuple[tf.train.Checkpoint, dict[str, Any]]:
    """The traced root object and its signatures; its variables hold nothing yet."""
    family, heads, pooler = job.family, job.heads, job.pooler
    shapes = {name: value.shape for name, value in job.plan.values.items()}
    variables = Variables(shapes, family.config.variable_dtype)
    encoder = family.network(variables)
    pooled_output = pooler.pooled_output(family.config, variables)
    own = list(variables.made().values())
    built, head_variables = {}, {}
    for name in heads.weights:
        before = variables.made()
        built[name] = heads.build(name, family, variables, encoder, pooled_output)
        made = variables.made()
        head_variables[name] = [made[key] for key in made if key not in before]
    if unused := variables.unused():
        raise RuntimeError(f"the network has no use for {unused}: table and network disagree")
    parts = EncoderParts(
        encoder,
        pooled_output,
        pooler.sentence_embedding() if pooler.default else None,
        built,
        own,
        head_variables,
    )
    return reusable_encoder(parts, job.tokenizer.attributes())
