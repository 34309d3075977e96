"""A pickle machine that can only build plain values and call stand-ins of ours.

Why not `pickle.Unpickler` with `find_class`: that guards the names, not the machine. Three
megabytes of nested tuples used as a dict key overflow the C stack (a crash, no exception), a
five-byte memo index makes it allocate tens of gigabytes, and BUILD writes attributes on any
object. This machine knows the opcodes that `torch.save` writes (pickle protocols 2 to 5) and
bounds all of them; what it does not know it refuses. Opcodes: `pickletools` in Python's library.
"""

from __future__ import annotations

import dataclasses
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from hubexport.checkpoints.untrusted import clipped
from hubexport.errors import CheckpointError, UnsafeCheckpointError

MAX_PICKLE_BYTES = 256 << 20
MAX_OPCODES = 5_000_000
"""A state dict takes about 50 per tensor; each may leave a small object in memory."""

_MAX_NAME_BYTES = 1024
_KEYS = (str, bytes, int, float, bool, type(None))  # hashing a deep tuple would exhaust the stack
# What builds objects in ways that state dicts do not need: refused by name.
_CALLS = {
    pickle.INST: "INST",
    pickle.OBJ: "OBJ",
    pickle.NEWOBJ_EX: "NEWOBJ_EX",
    pickle.EXT1: "EXT1",
    pickle.EXT2: "EXT2",
    pickle.EXT4: "EXT4",
}


@dataclasses.dataclass(frozen=True)
class StandIn:
    """What a pickle gets in place of the global it names.

    Attributes:
      name: of the global, "torch.FloatStorage".
      build: what REDUCE does with the arguments, or None for what is not called.
      new: what NEWOBJ makes, without arguments, or None for what has no objects here.
    """

    name: str
    build: Callable[..., Any] | None = None
    new: Callable[[], Any] | None = None


class Stateless:
    """Base of stand-in objects that take a BUILD and ignore the state it brings."""

    __slots__ = ()


class PlainDict(dict[Any, Any], Stateless):
    """In place of an OrderedDict: no attributes, so that BUILD (`_metadata`) changes nothing."""

    __slots__ = ()


class Namespace:
    """In place of an argparse.Namespace: its attributes are entries of a dict, and do nothing.

    Attributes:
      values: by attribute; empty until BUILD brings them, which it may once.
    """

    __slots__ = ("built", "values")

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.built = False

    def take(self, state: Any) -> None:
        """Takes the entries over, so that one state given to many objects is not copied.

        Raises:
          ValueError: they are not names and values, or these attributes are there already.
        """
        if self.built:
            raise ValueError("attributes that are set a second time")
        if type(state) is not dict:
            raise ValueError(f"a state that is a {type(state).__name__}, not a dict of attributes")
        for name in state:
            if type(name) is not str:
                raise ValueError(f"an attribute whose name is a {type(name).__name__}")
            if name.startswith("__"):  # such as __setstate__, which pickle would call
                raise ValueError(f"the attribute {name}")
        self.built = True
        self.values.update(state)
        state.clear()


class RestrictedUnpickler:
    """Loads one pickle from a file, from where it stands.

    Args:
      file: a buffered binary file; after `load` it stands behind the pickle.
      available: how many bytes may be read from it.
      path: for errors.
      find_global: (module, name) -> stand-in; raises UnsafeCheckpointError for all others.
      find_storage: persistent id -> what stands in its place; None where there are none.
    """

    def __init__(
        self,
        file: BinaryIO,
        available: int,
        path: Path,
        find_global: Callable[[str, str], StandIn],
        find_storage: Callable[[Any], Any] | None = None,
    ):
        self._file, self._path = file, path
        self._left = self._limit = min(available, MAX_PICKLE_BYTES)
        self._bounded = available > MAX_PICKLE_BYTES
        self._find_global, self._find_storage = find_global, find_storage
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The pickled value: plain values, `PlainDict`s and what stand-ins built.

        Raises:
          UnsafeCheckpointError: it names a global that is not allowed, or calls what it must not.
          CheckpointError: it is damaged, cut short, too large, or of an unknown kind.
        """
        try:
            for _ in range(MAX_OPCODES):
                opcode = self._take(1)
                if opcode == pickle.STOP:
                    return self._stack.pop()
                self._step(opcode)
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
            raise self.damaged(f"{type(error).__name__}: {clipped(error)}") from error
        except MemoryError as error:
            raise self.damaged("a value larger than the memory") from error
        raise self.damaged(f"more than {MAX_OPCODES:,} values")

    def damaged(self, found: str) -> CheckpointError:
        position = self._limit - self._left
        return CheckpointError(
            "the pickle in the checkpoint is damaged, or not of the kind torch.save writes",
            [("file", str(self._path)), ("found", f"{found}, at byte {position:,} of the pickle")],
            "copy or download the file again; save only the model's state dict into it.",
        )

    def _take(self, count: int) -> bytes:
        if count > self._left:
            if self._bounded:
                raise self.damaged(f"more than {MAX_PICKLE_BYTES:,} bytes before the first tensor")
            raise self.damaged(f"the end of the data where {count:,} more bytes are needed")
        data = self._file.read(count)
        self._left -= len(data)
        if len(data) != count:
            raise self.damaged("the end of the file")
        return data

    def _line(self) -> str:
        line = self._file.readline(min(_MAX_NAME_BYTES, self._left))
        self._left -= len(line)
        if not line.endswith(b"\n"):
            raise self.damaged("a name without an end")
        return line[:-1].decode("utf-8")

    def _counted(self, width: int) -> bytes:
        return self._take(int.from_bytes(self._take(width), "little"))

    def _pop_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _step(self, opcode: bytes) -> None:
        if opcode in _VALUES:
            value = _VALUES[opcode](self)  # may replace the stack (TUPLE)
            self._stack.append(value)
        elif opcode in _EFFECTS:
            _EFFECTS[opcode](self)
        elif opcode in _CALLS:
            if opcode == pickle.INST:
                self._find_global(self._line(), self._line())
            raise self.unsafe(f"an object built by the pickle opcode {_CALLS[opcode]}")
        else:
            raise self.damaged(f"the pickle opcode {opcode!r}")

    def unsafe(self, found: str) -> UnsafeCheckpointError:
        return UnsafeCheckpointError(
            "the checkpoint is refused: it asks for more than to hold tensors",
            [("file", str(self._path)), ("found", clipped(found) + " (not executed)")],
            "get the weights as safetensors, or save only the model's state dict.",
        )

    # Opcodes that push a value.

    def _global(self, module: Any, name: Any) -> StandIn:
        if type(module) is not str or type(name) is not str:
            raise self.damaged("a global whose name is not a string")
        return self._find_global(module, name)

    def _stack_global(self) -> StandIn:
        name = self._stack.pop()
        return self._global(self._stack.pop(), name)

    def _reduce(self) -> Any:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, StandIn) or function.build is None:
            raise self.unsafe(f"a call of {_name(function)}")
        if type(arguments) is not tuple:
            raise self.damaged(f"a call of {function.name} without arguments")
        return function.build(*arguments)

    def _new_object(self) -> Any:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, StandIn) or function.new is None:
            raise self.unsafe(f"an object of {_name(function)}, built by the pickle opcode NEWOBJ")
        if arguments != ():
            raise self.unsafe(f"an object of {function.name} that is given arguments")
        return function.new()

    def _persistent(self) -> Any:
        identifier = self._stack.pop()
        if self._find_storage is None:
            raise self.damaged("a reference to a tensor where there are none")
        return self._find_storage(identifier)

    def _tuple(self, count: int) -> tuple[Any, ...]:
        if len(self._stack) < count:
            raise self.damaged("a tuple of more values than there are")
        items = tuple(self._stack[-count:])
        del self._stack[-count:]
        return items

    # Opcodes that change what is there.

    def _mark(self) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise self.damaged(f"items for a {type(target).__name__}, not for a list")
        target.extend(items)

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise self.damaged(f"entries for a {type(target).__name__}, not for a dict")
        if len(items) % 2:
            raise self.damaged("a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, _KEYS):
                raise self.damaged(f"a dict with a {type(key).__name__} as key")
            target[key] = value

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, Namespace):
            try:
                target.take(state)
            except ValueError as error:
                raise self.unsafe(f"an argparse.Namespace with {error}") from error
        elif not isinstance(target, Stateless):
            raise self.unsafe(f"attributes set on a {_name(target)}")


def _name(value: Any) -> str:
    return value.name if isinstance(value, StandIn) else type(value).__name__


_Machine = RestrictedUnpickler

_VALUES: dict[bytes, Callable[[_Machine], Any]] = {
    pickle.NONE: lambda m: None,
    pickle.NEWTRUE: lambda m: True,
    pickle.NEWFALSE: lambda m: False,
    pickle.BININT: lambda m: struct.unpack("<i", m._take(4))[0],
    pickle.BININT1: lambda m: m._take(1)[0],
    pickle.BININT2: lambda m: struct.unpack("<H", m._take(2))[0],
    pickle.LONG1: lambda m: int.from_bytes(m._counted(1), "little", signed=True),
    pickle.BINFLOAT: lambda m: struct.unpack(">d", m._take(8))[0],
    pickle.BINUNICODE: lambda m: m._counted(4).decode("utf-8"),
    pickle.SHORT_BINUNICODE: lambda m: m._counted(1).decode("utf-8"),
    pickle.BINUNICODE8: lambda m: m._counted(8).decode("utf-8"),
    # Strings of Python 2, which torch reads as UTF-8.
    pickle.SHORT_BINSTRING: lambda m: m._counted(1).decode("utf-8"),
    pickle.BINSTRING: lambda m: m._counted(4).decode("utf-8"),
    pickle.SHORT_BINBYTES: lambda m: m._counted(1),
    pickle.BINBYTES: lambda m: m._counted(4),
    pickle.BINBYTES8: lambda m: m._counted(8),
    pickle.EMPTY_DICT: lambda m: {},
    pickle.EMPTY_LIST: lambda m: [],
    pickle.EMPTY_TUPLE: lambda m: (),
    pickle.TUPLE: lambda m: tuple(m._pop_mark()),
    pickle.TUPLE1: lambda m: m._tuple(1),
    pickle.TUPLE2: lambda m: m._tuple(2),
    pickle.TUPLE3: lambda m: m._tuple(3),
    pickle.BINGET: lambda m: m._memo[m._take(1)[0]],
    pickle.LONG_BINGET: lambda m: m._memo[int.from_bytes(m._take(4), "little")],
    pickle.GLOBAL: lambda m: m._global(m._line(), m._line()),
    pickle.STACK_GLOBAL: _Machine._stack_global,
    pickle.REDUCE: _Machine._reduce,
    pickle.NEWOBJ: _Machine._new_object,
    pickle.BINPERSID: _Machine._persistent,
}

_EFFECTS: dict[bytes, Callable[[_Machine], Any]] = {
    pickle.PROTO: lambda m: m._take(1),
    pickle.FRAME: lambda m: m._take(8),
    pickle.MARK: _Machine._mark,
    pickle.POP: lambda m: m._stack.pop(),
    pickle.BINPUT: lambda m: m._put(m._take(1)[0]),
    pickle.LONG_BINPUT: lambda m: m._put(int.from_bytes(m._take(4), "little")),
    pickle.MEMOIZE: lambda m: m._put(len(m._memo)),
    pickle.APPEND: lambda m: m._extend([m._stack.pop()]),
    pickle.APPENDS: lambda m: m._extend(m._pop_mark()),
    pickle.SETITEM: lambda m: m._set([m._stack.pop(-2), m._stack.pop()]),
    pickle.SETITEMS: lambda m: m._set(m._pop_mark()),
    pickle.BUILD: _Machine._build,
}
