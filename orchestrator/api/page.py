"""The page: a few files that the package carries, served without a token; what they show, they ask the API for."""

from __future__ import annotations

from hashlib import blake2b
from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGE: Final = "index.html"
HEADERS: Final = {
    # No inline script or style and no other host. Pictures of cells are fetched with the token, hence blobs.
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # ask again, with the tag: an upgraded daemon's page is never mixed with the old one
}


class File:
    """A file of the page, read once."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self.content = content
        self.media_type = TYPES[name[name.rindex(".") :]]
        self.tag = f'"{blake2b(content, digest_size=12).hexdigest()}"'

    async def __call__(self, request: Request) -> Response:
        """Answers with the file, or with 304 to who has it already."""
        headers = HEADERS | {"ETag": self.tag}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)


def files() -> dict[str, File]:
    """Reads the page's files from the package, by name."""
    folder = resources.files("orchestrator.api").joinpath("static")
    found = [item for item in folder.iterdir() if item.name.endswith(tuple(TYPES))]
    return {item.name: File(item.name, item.read_bytes()) for item in sorted(found, key=lambda item: item.name)}


def routes() -> list[Route]:
    """Returns a route for each file: `/` is the page, `/static/NAME` what belongs to it. No other path is looked up."""
    found = files()
    return [
        Route("/", found.pop(PAGE).__call__, name="page"),
        *(Route(f"/static/{name}", file.__call__, name=f"static {name}") for name, file in found.items()),
    ]
