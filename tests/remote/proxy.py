"""A proxy on the loopback that counts what passes and, when it is told to, cuts connections within an answer."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from contextlib import suppress
from types import TracebackType
from urllib.parse import unquote

_REQUEST = re.compile(rb"^(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP/1\.1\r$", re.MULTILINE)


class Proxy:
    """Hands bytes on between clients and a server.

    Args:
        upstream: port of the server on the loopback.

    Attributes:
        port: to connect to.
        requests: (method, path) of all that passed.
        cuts: connections that are cut in the middle of an answer, counted down.
        after: bytes of an answer after which it is cut.
        refused: requests with a body that are cut off before they arrive, counted down.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.requests: list[tuple[str, str]] = []
        self.cuts = 0
        self.after = 0
        self.refused = 0
        self.lock = threading.Lock()
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            block_on_close = False

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self.server.server_address[1])

    def __enter__(self) -> Proxy:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    def cut(self, times: int, after: int) -> None:
        """Break the next answers longer than `after` bytes."""
        with self.lock:
            self.cuts, self.after = times, after

    def refuse(self, times: int) -> None:
        """Break the next connections over which more than 64 KiB are sent up, before they reach the server."""
        with self.lock:
            self.refused = times

    def downloads(self) -> list[str]:
        """Names of the files whose content was asked for."""
        return [
            unquote(path.partition("?")[0]).rpartition("/")[2]
            for method, path in self.requests
            if method == "GET" and "list-type" not in path and "comp=" not in path and "restype" not in path
        ]

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.upstream)) as server:
            upward = threading.Thread(target=self._up, args=(client, server), daemon=True)
            upward.start()
            self._down(server, client)

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        sent = 0
        with suppress(OSError):
            while data := client.recv(1 << 16):
                sent += len(data)
                with self.lock:
                    self.requests += [(m.decode(), p.decode()) for m, p in _REQUEST.findall(data)]
                    refuse = self.refused > 0 and sent > 1 << 16
                    self.refused -= refuse
                if refuse:
                    for end in (client, server):
                        end.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        passed = 0
        while data := server.recv(1 << 14):
            if data.startswith(b"HTTP/1.1"):
                passed = 0
            passed += len(data)
            with self.lock:
                cut = self.cuts > 0 and passed > self.after
                self.cuts -= cut
            if cut:
                client.sendall(data[: len(data) // 2])
                client.shutdown(socket.SHUT_RDWR)
                return
            client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
