"""`demo`: a page on this machine alone that asks a finished run, in PyTorch or exported."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hftransfer.core.errors import MissingExtraError, RecipeError
from hftransfer.core.results import RunResult
from hftransfer.reporting.redaction import checkpoint_name
from hftransfer.reporting.verdict import verdict
from hftransfer.runner.predict import Predictor, load_predictor, load_pushed

if TYPE_CHECKING:
    from gradio import Blocks

HOST = "127.0.0.1"
# The page itself is allowed to ask nothing but this server, whatever a version of Gradio writes into it.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; base-uri 'self'; "
    "form-action 'self'"
)
# What Gradio reads when it is imported: nobody is sent how it is used, and no version is looked up.
_ENVIRONMENT = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}


def check_installed() -> None:
    """Make sure that Gradio can be imported.

    Raises:
        MissingExtraError: it is not installed.
    """
    if importlib.util.find_spec("gradio") is None:
        raise MissingExtraError(
            "demo needs the package 'gradio', which is not installed: pip install 'hftransfer-recipes[demo]'"
        )


def listen(port: int) -> socket.socket:
    """A socket of this machine alone; port 0 is any that is free.

    Raises:
        RecipeError: the port is taken, or is none.
    """
    if not 0 <= port <= 65535:
        raise RecipeError(f"--port: a number from 0 to 65535, got {port}")
    listening = socket.socket()
    # Connections that have just ended do not keep a port.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise RecipeError(
            f"--port: {port} cannot be used ({os.strerror(error.errno or 0).lower()}); 0 takes any that is free"
        ) from None
    return listening


def page_of(folder: Path, result: RunResult, variant: str = "tuned") -> Blocks:
    """The page of a finished run.

    Raises:
        RecipeError: the run has no such variant.
        ModelError, ExportError: a file of the variant is missing or damaged.
        MissingExtraError: a package of the task is not installed.
    """
    return _page(load_predictor(folder, result, variant), result, folder.resolve().name, variant)


def page_of_pushed(repo: str, revision: str | None = None) -> Blocks:
    """The page of a run that was pushed to the Hub.

    Raises:
        HubError, ModelError, MissingExtraError: as `load_pushed`.
    """
    result, predictor = load_pushed(repo, revision)
    return _page(predictor, result, repo, "tuned")


def _page(predictor: Predictor, result: RunResult, title: str, variant: str) -> Blocks:
    os.environ.update(_ENVIRONMENT)
    from hftransfer.runner.demo_page import build

    text = f"{result.task} · {checkpoint_name(result)} · {variant}\n\n{verdict(result)}"
    return build(predictor.task, predictor.illustrated, title, text)


def application(page: Blocks) -> Any:
    """The page as an ASGI application that answers to the names of this machine alone."""
    import gradio
    from fastapi import FastAPI
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    # A site whose name leads here (DNS rebinding) is refused by the host that a browser names.
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    outer = FastAPI(middleware=[hosts, Middleware(_Policy)], openapi_url=None, docs_url=None, redoc_url=None)
    theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return gradio.mount_gradio_app(
        outer, page, "/", theme=theme, show_error=False, ssr_mode=False, footer_links=["api"], pwa=False
    )


class _Policy:
    """Adds the header by which a browser loads nothing from elsewhere."""

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", _POLICY.encode())]
            await send(message)

        await self.app(scope, receive, send_with_policy if scope["type"] == "http" else send)


def serve(make_page: Callable[[], Blocks], listening: socket.socket, name: str) -> None:
    """Answer on the page of `name` until the process is interrupted; what was uploaded is removed then.

    Raises:
        KeyboardInterrupt: as soon as it is.
    """
    import uvicorn

    with TemporaryDirectory(prefix="hftransfer-demo-") as uploads:
        # Read when the components of the page are made.
        os.environ["GRADIO_TEMP_DIR"] = uploads
        config = uvicorn.Config(application(make_page()), log_level="warning", timeout_graceful_shutdown=1)
        print(f"http://{HOST}:{listening.getsockname()[1]} answers for {name}; Ctrl-C ends it", flush=True)
        uvicorn.Server(config).run(sockets=[listening])
