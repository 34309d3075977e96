"""What `hubexport serve` does: a hub's tree over HTTP, on aiohttp."""
