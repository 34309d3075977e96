"""Outputs of other implementations, to compare with.

Begin with `job.make_reference`; `sources` lists who can make one.
"""
