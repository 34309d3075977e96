"""The same hub as a configuration of nginx (1.18 or newer, with PCRE): for its `http` block.

What it cannot do as our own server does: search, and digests of what it sends. Its entity tags are
of size and time.
"""

from __future__ import annotations

from pathlib import Path

from hubexport.errors import UsageError
from hubexport.publishing.catalogue import PAGE_POLICY
from hubexport.publishing.tree import NEWEST

# Of `publishing.handle`, in nginx's PCRE. Whatever it lets through beyond that is in no tree.
_VERSION = r"/[a-z\d-]+(?:/(?!\.)[\w.-]+)+/[1-9]\d{0,8}"
_FILES = r"model\.tar(?:\.gz)?|manifest\.json|hubexport\.json|README\.md|index\.html|SHA256SUMS"

_TEMPLATE = r"""# Written by `hubexport serve --emit=nginx`. It belongs into the http block:
# /etc/nginx/conf.d/hub.conf, say. After a publication: nginx -s reload.

map_hash_max_size 65536;
map_hash_bucket_size 512;

@DOLLAR@# What clients ask for. nginx has no variable for a field with hyphens in its name.
map $args $hub_format {
    default page;
    "~(^|&)tf-hub-format=compressed(&|$)" compressed;
    "~(^|&)tf-hub-format=uncompressed(&|$)" uncompressed;
    "~(^|&)tf-hub-format=" unknown;
}
map $hub_format $hub_first {
    default index.html;
    compressed model.tar;
}
map $hub_format $hub_second {
    default index.html;
    compressed model.tar.gz;
}
map $sent_http_content_type $hub_policy {
    "~^text/html" "@POLICY@";
}
# The newest versions, which publications write anew. Written as a pattern, since that need not be
# there yet.
map $uri $hub_newest {
    include "@MAP@";
}

server {
    listen @LISTEN@;
    root "@ROOT@";
    disable_symlinks on from=$document_root;
    absolute_redirect off;
    server_tokens off;
    sendfile on;
    tcp_nopush on;
    gzip off;
    max_ranges 1;
    keepalive_timeout 60s;
    charset utf-8;
    charset_types text/plain text/markdown;
    default_type application/octet-stream;
    types {
        application/gzip gz;
        application/json json;
        application/x-tar tar;
        text/html html;
        text/markdown md;
        text/plain txt;
    }
    add_header X-Content-Type-Options nosniff always;

    # Nothing but what has an address: not hub.json, and nothing that is still being written.
    location / {
        add_header Cache-Control no-cache;
        if ($hub_newest) { return 302 $uri/$hub_newest$is_args$args; }
        return 404;
    }
    location ~ "^/(?:index\.html)?\z" {
        add_header Cache-Control no-cache;
        add_header X-Content-Type-Options nosniff;
        add_header Content-Security-Policy $hub_policy;
        try_files /index.html =404;
    }
    location = /index.json {
        add_header Cache-Control no-cache;
        add_header X-Content-Type-Options nosniff;
    }
    location = /healthz {
        default_type text/plain;
        return 200 "ok\n";
    }

    # A version: its page, or its archive.
    location ~ "^(?<hub_version>@VERSION@)\z" {
        if (-f $document_root$hub_version/retracted.json) { return 410; }
        if ($hub_format = uncompressed) { return @UNCOMPRESSED_STATUS@; }
        if ($hub_format = unknown) { return 400; }
        error_page 410 $hub_version/retracted.json;
        @ERROR_PAGE@
        add_header Cache-Control "public, max-age=31536000, immutable";
        add_header X-Content-Type-Options nosniff;
        add_header Content-Security-Policy $hub_policy;
        try_files $hub_version/$hub_first $hub_version/$hub_second =404;
    }
    # Its files.
    location ~ "^(?<hub_version>@VERSION@)/(?:@FILES@)\z" {
        if (-f $document_root$hub_version/retracted.json) { return 410; }
        error_page 410 $hub_version/retracted.json;
        add_header Cache-Control "public, max-age=31536000, immutable";
        add_header X-Content-Type-Options nosniff;
        add_header Content-Security-Policy $hub_policy;
    }
    location ~ "^@VERSION@/retracted\.json\z" {
        internal;
        add_header Cache-Control no-cache always;
    }
    location ~ "^(?<hub_version>@VERSION@)/\z" {
        return 301 $hub_version$is_args$args;
    }
@UNCOMPRESSED@}
"""

_UNCOMPRESSED = """
    # What tensorflow_hub takes for the place of an unpacked model: 303, no Location, an address.
    location @uncompressed {
        default_type text/plain;
        return 200 "@WHERE@$hub_version";
    }
"""


def nginx_configuration(root: Path, host: str, port: int, uncompressed_root: str | None) -> str:
    """The text of the configuration.

    Args:
      root: of the hub's tree; absolute.
      host: name or address to listen at.
      port: likewise.
      uncompressed_root: `gs://bucket/directory`; see `application.Application`.

    Raises:
      UsageError: the path has characters that no configuration can have.
    """
    text = str(root)
    if not text.isprintable():
        raise UsageError(
            "nginx's configuration cannot have this path",
            [("--root", repr(text)), ("found", "characters that are not printed")],
            "give the directory another name, or a link to it one.",
        )
    # nginx has no other way to write a dollar where variables are read.
    dollar = 'geo $hub_dollar {\n    default "$";\n}\n\n' if "$" in text else ""
    where = (uncompressed_root or "").rstrip("/")
    parts = {
        "@DOLLAR@": dollar,
        "@UNCOMPRESSED@": _UNCOMPRESSED.replace("@WHERE@", where) if where else "",
        "@UNCOMPRESSED_STATUS@": "418" if where else "404",
        "@ERROR_PAGE@": "error_page 418 =303 @uncompressed;" if where else "",
        "@POLICY@": PAGE_POLICY,
        "@VERSION@": _VERSION,
        "@FILES@": _FILES,
        "@LISTEN@": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        # Last, since they may have anything in them.
        "@MAP@": _quoted(_pattern(text) + f"/{NEWEST.replace('.', '[.]')}"),
        "@ROOT@": _quoted(text).replace("$", "${hub_dollar}"),
    }
    made = _TEMPLATE
    for name, value in parts.items():
        made = made.replace(name, value)
    return "\n".join(line for line in made.split("\n") if line.strip() or not line)


def _quoted(text: str) -> str:
    """Within quotation marks."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _pattern(text: str) -> str:
    """A pattern of file names that only this one matches."""
    escaped = "".join(f"[{each}]" if each in "*?[" else each for each in text)
    return escaped.replace("\\", "\\\\")
