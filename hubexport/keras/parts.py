"""What a layer calls: a SavedModel, or a part of it, and what that takes. Keras is not needed."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import HubexportError, some_of
from hubexport.saved_model.reading import PB, PBTXT, is_saved_model, read_saved_model


@dataclasses.dataclass(frozen=True)
class Part:
    """A SavedModel, or an object or function in it, that can be called.

    Attributes:
      root: what was loaded; whoever keeps a part keeps all of it alive.
      call: what is called: with the inputs, and perhaps with more by keyword.
      variables: of the part, each once; those that are trained come first.
      num_trainable: how many of them are trained.
      losses: functions without arguments that give what is added to the loss.
      takes: for each trace of the call its inputs: a tensor's specification, or a dict or list of
        such. Empty where that is not known.
      takes_training: whether the call has an argument of that name.
    """

    root: Any
    call: Any
    variables: tuple[Any, ...]
    num_trainable: int
    losses: tuple[Any, ...]
    takes: tuple[Any, ...]
    takes_training: bool

    @property
    def takes_strings(self) -> bool:
        """Whether any input is text, which XLA does not compile."""
        return any(spec.dtype.name == "string" for each in self.takes for spec in _leaves(each))

    def fitted(self, inputs: Any, layer: str) -> Any:
        """The inputs in the dtypes that the part takes.

        Numbers are cast, as Keras' own layer of embeddings does it: a model that is built from
        shapes alone is called with floats. A trace that takes the inputs as they are is preferred
        to one that does not.

        Args:
          inputs: tensors, in any structure.
          layer: who calls, for messages.

        Raises:
          HubexportError: there are others than it takes.
        """
        if not self.takes:
            return inputs
        alike = [each for each in self.takes if _same_structure(each, inputs)]
        if not alike:
            raise _other_inputs(layer, inputs, self.takes)
        if any(_same_dtypes(each, inputs) for each in alike):
            return inputs
        return _cast(inputs, alike[0])


def load_part(handle: str, name: str | None, options: Any = None) -> Part:
    """Loads a SavedModel and finds a part of it.

    Args:
      handle: its directory, or what tensorflow_hub resolves: a URL, say.
      name: path of the part's attributes, as `mlm` or `encoder.mlm`; None for the root.
      options: a tf.saved_model.LoadOptions.

    Raises:
      HubexportError: there is no SavedModel, or no such part that can be called.
    """
    import tensorflow as tf

    directory = resolved(handle)
    root = tf.saved_model.load(directory, options=options)
    found = root
    for attribute in name.split(".") if name else ():
        found = getattr(found, attribute, None)
    if not callable(found):
        raise _no_part(handle, Path(directory), name)
    # An object has its functions' traces behind __call__; a function has them itself.
    call = found if hasattr(found, "concrete_functions") else found.__call__
    trainable = _distinct(getattr(found, "trainable_variables", ()))
    others = _distinct([*trainable, *getattr(found, "variables", ())])[len(trainable) :]
    return Part(
        root=root,
        call=found,
        variables=(*trainable, *others),
        num_trainable=len(trainable),
        losses=tuple(getattr(found, "regularization_losses", ())),
        takes=_takes(call),
        takes_training="training" in inspect.signature(call).parameters,
    )


def is_remote(handle: str) -> bool:
    """Whether a handle is an address that has to be resolved."""
    return "://" in handle


def resolved(handle: str) -> str:
    """The directory of the SavedModel that a handle stands for; what is remote is downloaded.

    Raises:
      HubexportError: there is none.
    """
    if not is_remote(handle):
        if not is_saved_model(Path(handle)):
            raise _not_found(handle, f"no {PB} in it")
        return handle
    import tensorflow as tf
    import tensorflow_hub

    try:
        directory = str(tensorflow_hub.resolve(handle))
    # Whatever its resolvers, and urllib below them, raise.
    except Exception as error:
        raise _not_found(handle, str(error)) from error
    # It may be on a file system of TensorFlow's.
    if not any(tf.io.gfile.exists(f"{directory}/{file}") for file in (PB, PBTXT)):
        raise _not_found(handle, f"no {PB} in {directory}")
    return directory


def _not_found(handle: str, found: str) -> HubexportError:
    return HubexportError(
        "there is no SavedModel at the handle",
        [("handle", handle), ("found", found)],
        "pass the directory that holds saved_model.pb, or an address that tensorflow_hub "
        "resolves; a .keras file needs the SavedModel where it was when the model was saved.",
    )


def _no_part(handle: str, directory: Path, name: str | None) -> HubexportError:
    if is_saved_model(directory):
        parts = read_saved_model(directory).sub_objects
        names = [part.name for part in parts if part.kind in ("callable", "function")]
    else:  # on a file system of TensorFlow's
        names = []
    problem = (
        "the SavedModel cannot be called" if name is None else "the SavedModel has no such part"
    )
    given = [("handle", handle), *([("part", name)] if name is not None else [])]
    return HubexportError(
        problem,
        [*given, ("can be called", some_of(names) or "no part of it")],
        "pass one of these as part, or export the SavedModel with what you need.",
    )


def _distinct(variables: Sequence[Any]) -> list[Any]:
    """Each once, in their order: a SavedModel may list one twice."""
    return list({id(each): each for each in variables}.values())


def _takes(call: Any) -> tuple[Any, ...]:
    traces = getattr(call, "concrete_functions", ())
    inputs = [trace.structured_input_signature[0][:1] for trace in traces]
    return tuple(first[0] for first in inputs if first)


def _leaves(structure: Any) -> list[Any]:
    if isinstance(structure, Mapping):
        structure = list(structure.values())
    if isinstance(structure, list | tuple):
        return [leaf for each in structure for leaf in _leaves(each)]
    return [structure] if hasattr(structure, "dtype") else []


def _same_structure(spec: Any, inputs: Any) -> bool:
    if isinstance(spec, Mapping):
        return (
            isinstance(inputs, Mapping)
            and spec.keys() == inputs.keys()
            and all(_same_structure(spec[key], inputs[key]) for key in spec)
        )
    if isinstance(spec, list | tuple):
        return (
            isinstance(inputs, list | tuple)
            and len(spec) == len(inputs)
            and all(map(_same_structure, spec, inputs))
        )
    return not isinstance(inputs, Mapping | list | tuple)


def _same_dtypes(spec: Any, inputs: Any) -> bool:
    return all(
        one.dtype == other.dtype
        for one, other in zip(_in_order(spec), _in_order(inputs), strict=True)
    )


def _in_order(structure: Any) -> list[Any]:
    """Leaves, those of a dict by their keys."""
    if isinstance(structure, Mapping):
        structure = [structure[key] for key in sorted(structure)]
    if isinstance(structure, list | tuple):
        return [leaf for each in structure for leaf in _in_order(each)]
    return [structure]


def _cast(inputs: Any, spec: Any) -> Any:
    import tensorflow as tf

    if isinstance(spec, Mapping):
        return {key: _cast(inputs[key], spec[key]) for key in spec}
    if isinstance(spec, list | tuple):
        return [_cast(*pair) for pair in zip(inputs, spec, strict=True)]
    text = tf.string in (inputs.dtype, spec.dtype)
    return inputs if text else tf.cast(inputs, spec.dtype)


def _other_inputs(layer: str, inputs: Any, takes: Sequence[Any]) -> HubexportError:
    facts = [("layer", layer), ("given", _described(inputs))]
    if isinstance(inputs, Mapping) and isinstance(takes[0], Mapping):
        missing, unknown = takes[0].keys() - inputs.keys(), inputs.keys() - takes[0].keys()
        facts += [("missing", ", ".join(sorted(missing)))] if missing else []
        facts += [("not known", ", ".join(sorted(unknown)))] if unknown else []
    described = dict.fromkeys(map(_described, takes))
    return HubexportError(
        "the layer is called with other inputs than its SavedModel takes",
        [*facts, ("taken", "; or ".join(described))],
        "pass exactly these, as one argument.",
    )


def _described(structure: Any) -> str:
    if isinstance(structure, Mapping):
        return f"a dict of {', '.join(sorted(map(str, structure))) or 'nothing'}"
    if isinstance(structure, list | tuple):
        return f"a list of {len(structure)}"
    return "one tensor"
