"""Whether an artifact does what its checkpoint does: references, gates, limits and reports.

Begin with `job.validate`, from paths to a report: `processes` starts one process for each group of
`gates`, in which `runner` runs them on what a `context` loads. `references.job` makes what they
compare with, and `tolerance` sets the limits.

Importing this package imports nothing else; `report`, `tolerance` and `pjrt.run` need numpy (and
JAX) alone, so that they run where TensorFlow does not.
"""
