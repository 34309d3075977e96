"""The system's Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PACKAGES = ("playwright", "axe_playwright_python")


def _missing() -> str:
    """What the tests need and this machine lacks."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if not any(map(shutil.which, _BROWSERS)):
        missing.append(" or ".join(_BROWSERS))
    return ", ".join(missing)


@contextlib.contextmanager
def started() -> Iterator[Any]:
    """A browser; skips where there is none, unless HUBEXPORT_REQUIRE_BROWSER is set."""
    if missing := _missing():
        if os.environ.get("HUBEXPORT_REQUIRE_BROWSER"):
            pytest.fail(f"HUBEXPORT_REQUIRE_BROWSER is set, but there is no {missing}")
        pytest.skip(f"needs {missing}")
    from playwright.sync_api import sync_playwright

    executable = next(filter(None, map(shutil.which, _BROWSERS)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()
