"""JAX's PJRT client: the one place that touches what JAX does not promise to keep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hubexport.errors import HubexportError
from hubexport.packages import INSTALL_JAX, needed_by

if TYPE_CHECKING:
    import numpy as np

PLATFORMS = ("cpu", "cuda", "tpu")

OLDEST, NEWER = (0, 6, 2), (0, 11)
"""From the first on, before the second: `jax.extend` may change with any release."""

DEFAULT_FORMATS = {"cpu": "float32", "cuda": "tf32", "rocm": "tf32", "tpu": "bfloat16"}
"""Platform -> what factors of float32 are rounded to where a program leaves it to the device."""


class Client:
    """A device of a platform.

    Attributes:
      platform: `cpu`, `cuda`, `rocm`, `tpu` or what a plugin calls itself.
      hardware: the device's own name.
      versions: of jax, jaxlib and, where it says one, the platform.
    """

    def __init__(self, platform: str | None = None):
        """Connects.

        Args:
          platform: of `PLATFORMS`; None for JAX's own choice (JAX_PLATFORMS).

        Raises:
          HubexportError: there is no JAX, one of another version, or no such device.
        """
        jax = _import_jax()
        # Tensors keep the dtypes that programs were made for.
        jax.config.update("jax_enable_x64", True)
        if platform is not None:
            # Or every plugin that is installed would start, and take its device's memory.
            jax.config.update("jax_platforms", platform)
        from jax.extend import backend

        try:
            self._backend = backend.get_backend(platform)
            self._device = self._backend.local_devices()[0]
        except Exception as error:  # whatever plugins and drivers do
            lines = str(error).strip().splitlines() or ["no words"]
            raise HubexportError(
                "JAX has no such device",
                [
                    ("--platform", platform or "not given"),
                    ("found", f"{type(error).__name__}: {lines[0]}"),
                ],
                "install the JAX of that platform (docs.jax.dev, Installation), or name another.",
            ) from error
        if not hasattr(self._backend, "compile_and_load"):
            raise _unsupported(jax.__version__, "no compile_and_load in its PJRT client")
        from jaxlib.version import __version__ as jaxlib_version

        self._jax = jax
        self.platform = _platform(self._backend)
        self.hardware = str(self._device.device_kind)
        self.versions = {"jax": jax.__version__, "jaxlib": jaxlib_version}

    def put(self, value: np.ndarray) -> Any:
        """A copy on the device.

        Raises:
          HubexportError: the device cannot hold it.
        """
        try:
            return self._jax.device_put(value, self._device)
        except RuntimeError as error:
            raise HubexportError(
                "the device cannot take a tensor",
                [("bytes", f"{value.nbytes:,}"), ("found", str(error).splitlines()[0])],
                "free the device's memory, or use a larger one.",
            ) from error

    def compile(self, text: str) -> Any:
        """An executable of an MLIR program; may be called from several threads.

        Raises:
          RuntimeError: XLA cannot compile it.
        """
        return self._backend.compile_and_load(text, [self._device])

    def start(self, executable: Any, arguments: Sequence[Any]) -> list[Any]:
        """Runs an executable once; results stay on the device."""
        return list(executable.execute(list(arguments)))

    def wait(self, results: Sequence[Any]) -> None:
        """Until results are there."""
        self._jax.block_until_ready(list(results))

    def fetch(self, results: Sequence[Any]) -> list[np.ndarray]:
        """Results as arrays of this machine."""
        import numpy as np

        return [np.asarray(each) for each in results]

    def default_format(self) -> str:
        """A key of `UNIT_ROUNDOFF`: what the device's default precision may round factors to.

        Of a platform that is not known here the coarsest there is.
        """
        return DEFAULT_FORMATS.get(self.platform, "bfloat16")


def _import_jax() -> Any:
    with needed_by("the PJRT runtime", "jax"):
        import jax
        import jax.extend
    match = re.match(r"(\d+)\.(\d+)\.?(\d*)", jax.__version__)
    version = tuple(int(part or 0) for part in match.groups()) if match else ()
    if not OLDEST <= version < NEWER:
        raise _unsupported(jax.__version__, "untested: jax.extend may have changed")
    return jax


def _unsupported(version: str, found: str) -> HubexportError:
    oldest, newer = (".".join(map(str, each)) for each in (OLDEST, NEWER))
    return HubexportError(
        "this version of JAX is not supported",
        [("JAX", version), ("needed", f"{oldest} or newer, before {newer}"), ("found", found)],
        INSTALL_JAX,
    )


def _platform(backend: Any) -> str:
    """The platform's name; JAX calls those of all makers `gpu`."""
    name = str(backend.platform)
    if name != "gpu":
        return name
    version = str(getattr(backend, "platform_version", "")).lower()
    return next((maker for maker in ("cuda", "rocm") if maker in version), name)
