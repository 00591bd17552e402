"""A real HTTP server that speaks OpenAI's interface and misbehaves on demand, for tests and benchmarks.

It runs in a thread of its own on loopback. `mode` says what the next request meets; `requests` keeps what came.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route


class ModelServer:
    """A context manager: inside it the server listens at `base_url`, also after `die` and `come_back`.

    Modes: ok, error (500), hang (no answer for `hang_s`), limit (429 with `retry_after`), key (401), refuse (400),
    html (200 that is no JSON), raw (200 with `body` as `content_type`), huge (200 of 8 MB), packed (the same by
    gzip), redirect (to `target`), break (a stream whose connection breaks in the middle), late-break (behind its end),
    cut (one that ends in the middle in good order).
    """

    def __init__(self, *, answer: str = "an answer", mode: str = "ok", models: tuple[str, ...] = ("m",)) -> None:
        self.answer = answer
        self.mode = mode
        self.models = models
        self.hang_s = 30.0
        self.delay_s = 0.0
        self.retry_after: str | None = "1"
        self.said = "who are you"
        self.finish_reason = "stop"
        self.usage: Any = None
        self.body = ""
        self.content_type = "application/json"
        self.target = ""
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.at_once = 0
        self.most_at_once = 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.come_back()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.die()

    def come_back(self) -> None:
        """Listen."""
        routes = [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/embeddings", self._embed, methods=["POST"]),
            Route("/v1/models", self._models),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes),
            host="127.0.0.1",
            port=self.port,
            log_level="critical",
            timeout_graceful_shutdown=0,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError(f"no server on port {self.port}")
            threading.Event().wait(0.005)

    def die(self) -> None:
        """Stop listening and drop every connection."""
        server, thread, self._server, self._thread = self._server, self._thread, None, None
        if server is not None and thread is not None:
            server.should_exit = server.force_exit = True
            thread.join(timeout=60)

    async def _chat(self, request: Request) -> Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            body = await request.json()
            self.requests.append(body)
            self.headers.append(dict(request.headers))
            trouble = await self._trouble()
            if trouble is not None:
                return trouble
            await asyncio.sleep(self.delay_s)
            if body.get("stream"):
                return StreamingResponse(self._pieces(body["model"]), media_type="text/event-stream")
            return JSONResponse(
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": self.answer},
                            "finish_reason": self.finish_reason,
                        }
                    ],
                    "usage": {"prompt_tokens": 7, "completion_tokens": 3} if self.usage is None else self.usage,
                }
            )
        finally:
            self.at_once -= 1

    async def _trouble(self) -> Response | None:
        if self.mode == "hang":
            await asyncio.sleep(self.hang_s)
        elif self.mode == "error":
            return JSONResponse({"error": {"message": "out of order"}}, status_code=500)
        elif self.mode == "limit":
            headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
            return JSONResponse({"error": {"message": "too many"}}, status_code=429, headers=headers)
        elif self.mode == "key":
            return JSONResponse({"error": {"message": self.said}}, status_code=401)
        elif self.mode == "refuse":
            return JSONResponse({"error": {"message": "too long"}}, status_code=400)
        elif self.mode == "html":
            return PlainTextResponse("<html>hello</html>")
        elif self.mode == "raw":
            return Response(self.body, media_type=self.content_type)
        elif self.mode == "huge":
            return StreamingResponse(self._megabytes(), media_type="application/json")
        elif self.mode == "packed":
            packed = gzip.compress(b" " * 8 * 2**20)
            return Response(packed, media_type="application/json", headers={"Content-Encoding": "gzip"})
        elif self.mode == "redirect":
            return RedirectResponse(self.target, status_code=307)
        return None

    async def _pieces(self, model: str) -> AsyncIterator[str]:
        words = self.answer.split(" ")
        for place, word in enumerate(words):
            if self.mode == "break" and place == 1:
                raise ConnectionResetError("the cable")
            if self.mode == "stall" and place == 1:
                await asyncio.sleep(self.hang_s)
            if self.mode == "cut" and place == 1:
                return
            delta = {"content": word if place == 0 else f" {word}"}
            chunk = {
                "id": "1",
                "object": "chat.completion.chunk",
                "created": 0,
                "model": model,
                "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
            }
            yield f"data: {json.dumps(chunk)}\n\n"
        end = {"index": 0, "delta": {}, "finish_reason": self.finish_reason}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": [end]}
        yield f"data: {json.dumps(chunk)}\n\n"
        if self.mode == "late-break":
            raise ConnectionResetError("the cable")
        if self.usage is not None:
            yield f"data: {json.dumps({**chunk, 'choices': [], 'usage': self.usage})}\n\n"
        yield "data: [DONE]\n\n"

    async def _megabytes(self) -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b" " * 2**20
            await asyncio.sleep(0)

    async def _embed(self, request: Request) -> Response:
        body = await request.json()
        data = [
            {"object": "embedding", "index": at, "embedding": [float(len(text)), 1.0]}
            for at, text in reversed(list(enumerate(body["input"])))
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return JSONResponse({"object": "list", "data": data, "model": body["model"], "usage": usage})

    async def _models(self, request: Request) -> Response:
        trouble = await self._trouble()
        if trouble is not None:
            return trouble
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "me"} for name in self.models]
        return JSONResponse({"object": "list", "data": data})
