"""What `hubexport serve` does: a hub's tree over HTTP.

| module | what it does |
|---|---|
| `addresses` | what a request asks for, from its target alone |
| `conditions` | conditional requests and byte ranges, as RFC 9110 has them |
| `answers` | responses: what they say of what they carry |
| `sending` | files to sockets within the system, without copies |
| `contents` | what the tree holds: files to send, and the index, which follows publications |
| `application` | from requests to responses |
| `connections` | connections: how many, how long they may be idle |
| `running` | sockets, signals, and how a server ends |
| `access` | a line for each request |
| `nginx` | the same hub as a configuration of nginx |

`addresses`, `conditions`, `contents`, `sending` and `nginx` do without aiohttp.
"""
