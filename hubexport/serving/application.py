"""From requests to responses: tensorflow_hub's protocol, pages, and an index for programs."""

from __future__ import annotations

import errno
import json
import logging

from aiohttp import hdrs, web

from hubexport.publishing.catalogue import catalogue_html, find
from hubexport.publishing.handle import Handle, Model
from hubexport.publishing.tree import HTML, Tree
from hubexport.serving.addresses import FORMAT, Address, File, read_name, read_target
from hubexport.serving.answers import ASK_AGAIN, document, redirect, send, text
from hubexport.serving.contents import Contents, DamagedError, Sendable

_METHODS = (hdrs.METH_GET, hdrs.METH_HEAD)
_HTML = "text/html; charset=utf-8"
_JSON = "application/json"
_NOTHING = "there is nothing at this address; / has all models"
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Application:
    """Answers requests.

    Args:
      tree: what to serve.
      uncompressed_root: `gs://bucket/directory`, where `PUBLISHER/NAME/VERSION` are unpacked; None
        where they are nowhere.
      logger: for what is wrong with the tree.
    """

    def __init__(self, tree: Tree, uncompressed_root: str | None, logger: logging.Logger):
        self.contents = Contents(tree)
        self._tree = tree
        self._uncompressed_root = uncompressed_root
        self._logger = logger

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """The response; its body may have been sent already."""
        if request.method not in _METHODS:
            return text(405, "a hub is only read", {hdrs.ALLOW: ", ".join(_METHODS)})
        # As it was sent: what aiohttp makes of it is decoded and simplified already.
        address = read_target(request.raw_path)
        if address is None:
            return text(400, "this is no address")
        try:
            return await self._at(request, address)
        except OSError as error:
            if error.errno in _SHORTAGES:
                self._logger.error("%s", error)
                return text(503, "too much is being asked", {hdrs.RETRY_AFTER: "1"})
            self._logger.error("%s", error)
            return text(404, _NOTHING)

    async def _at(self, request: web.BaseRequest, address: Address) -> web.StreamResponse:
        path = address.path
        if path in ("/", f"/{HTML}"):
            return await self._catalogue(request, address)
        if path == "/index.json":
            index = await self.contents.index()
            return document(request, index.text, _JSON, index.digest)
        if path == "/api/models":
            return await self._search(request, address)
        if path == "/healthz":
            return text(200, "ok", {hdrs.CACHE_CONTROL: "no-store"})
        bare = path.removesuffix("/")
        asked = read_name(bare[1:])
        if isinstance(asked, Model):
            return self._newest(asked, address)
        if isinstance(asked, Handle) and path != bare:
            return redirect(301, address.relative(f"../{asked.version}"))
        handle = asked.handle if isinstance(asked, File) else asked
        if handle is None or path != bare:
            return text(404, _NOTHING)
        reason = self._tree.retraction(handle)
        if reason is not None:
            return text(410, f"{handle} was retracted: {reason}")
        if isinstance(asked, File):
            return await self._send(request, handle, asked.name)
        return await self._version(request, handle, address.fields.get(FORMAT))

    async def _version(
        self, request: web.BaseRequest, handle: Handle, format: str | None
    ) -> web.StreamResponse:
        if format is None:
            return await self._send(request, handle, HTML)
        if format == "compressed":
            return await self._send(request, handle, None)
        if format != "uncompressed":
            return text(400, f"{FORMAT} is compressed, or uncompressed where a hub offers it")
        if not self._tree.is_published(handle):
            return text(404, _NOTHING)
        if self._uncompressed_root is None:
            return text(
                404,
                "this hub has archives only: set TFHUB_MODEL_LOAD_FORMAT=COMPRESSED, or start the "
                "server with --uncompressed_root=gs://BUCKET/DIRECTORY, where models are unpacked",
            )
        # What tensorflow_hub takes: this status, no Location, and nothing but the address.
        where = f"{self._uncompressed_root.rstrip('/')}/{handle}"
        return web.Response(status=303, text=where, headers={hdrs.CACHE_CONTROL: ASK_AGAIN})

    def _newest(self, model: Model, address: Address) -> web.StreamResponse:
        newest = self._tree.newest(model)
        if newest is not None:
            # Relative, so that it holds behind a proxy that has the hub below a path of its own.
            last = "" if address.path.endswith("/") else model.name.rpartition("/")[2] + "/"
            return redirect(302, address.relative(f"{last}{newest.version}"))
        gone = self._tree.all_versions(model)
        if gone:
            last_gone = Handle(model, gone[-1])
            reason = self._tree.retraction(last_gone)
            return text(410, f"all versions of {model} were retracted, {last_gone}: {reason}")
        return text(404, _NOTHING)

    async def _send(
        self, request: web.BaseRequest, handle: Handle, name: str | None
    ) -> web.StreamResponse:
        """Sends a file of a version, the archive where it has no name."""
        try:
            file = _opened(self.contents, handle, name)
        except DamagedError as error:
            # Not as if it were not there: a publication is lost, and somebody has to know.
            self._logger.error("%s is damaged: %s", handle, error)
            return text(500, f"{handle} is damaged: {error}; it is not served until it is repaired")
        return text(404, _NOTHING) if file is None else await send(request, file)

    async def _catalogue(self, request: web.BaseRequest, address: Address) -> web.StreamResponse:
        index = await self.contents.index()
        fields = address.fields
        found = find(index.models, fields.get("q", ""), fields.get("cursor", ""))
        return document(request, catalogue_html(index.models, found).encode(), _HTML)

    async def _search(self, request: web.BaseRequest, address: Address) -> web.StreamResponse:
        index = await self.contents.index()
        fields = address.fields
        found = find(index.models, fields.get("q", ""), fields.get("cursor", ""))
        said = {"models": found.models, "total": found.total, "next": found.next}
        content = json.dumps(said, ensure_ascii=False, sort_keys=True) + "\n"
        return document(request, content.encode(), _JSON)


def _opened(contents: Contents, handle: Handle, name: str | None) -> Sendable | None:
    return contents.archive(handle) if name is None else contents.file(handle, name)
