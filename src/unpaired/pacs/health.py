"""A page for those who watch a service: whether it runs, what waits, what failed. It shows UIDs, nobody's name."""

import html
import json
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from unpaired.errors import InputError

POLL_SECONDS = 0.05
"""How soon the page that is stopped ends."""
Report = Callable[[], dict[str, Any]]


class HealthPage:
    """`/health` as JSON (503 where something is wrong) and `/` for people, in a thread."""

    def __init__(self, host: str, port: int, report: Report) -> None:
        try:
            self.server = ThreadingHTTPServer((host, port), _handler(report))
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"can't show health on {host}:{port}: {reason}; choose another --health-port") from error
        self.thread = Thread(target=self.server.serve_forever, args=(POLL_SECONDS,), daemon=True)

    @property
    def port(self) -> int:
        """The port, also where a free one (0) was asked for."""
        return self.server.server_address[1]

    def start(self) -> None:
        """Answer from now on."""
        self.thread.start()

    def stop(self) -> None:
        """Answer no more, and let go of the port."""
        if self.thread.is_alive():
            self.server.shutdown()
        self.server.server_close()


def _handler(report: Report) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            if self.path not in ("/", "/health"):
                self.send_error(404)
                return
            told = report()
            as_json = self.path == "/health"
            content = (json.dumps(told) if as_json else page(told)).encode()
            self.send_response(200 if told["status"] == "ok" else 503)
            self.send_header("Content-Type", "application/json" if as_json else "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: monitors ask every few seconds."""

    return Handler


def page(told: dict[str, Any]) -> str:
    """The report as a page that loads nothing."""
    rows = "".join(
        f"<tr><td>{datetime.fromtimestamp(entry['changed']):%Y-%m-%d %H:%M:%S}</td><td>{html.escape(entry['uid'])}</td>"
        f"<td>{html.escape(entry['state'])}</td><td>{entry['images']}</td><td>{html.escape(entry['note'])}</td></tr>"
        for entry in told["latest"]
    )
    facts = "".join(
        f"<tr><th>{html.escape(name.replace('_', ' '))}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in told.items()
        if name != "latest"
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=10>"
        "<title>unpaired dicom watch</title><style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem;max-width:70rem}"
        "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem .2rem 0;text-align:left;"
        "border-bottom:1px solid #ddd}td{font-variant-numeric:tabular-nums}</style>"
        f"<h1>unpaired dicom watch: {html.escape(told['status'])}</h1><table>{facts}</table>"
        f"<h2>Series</h2><table><tr><th>changed</th><th>series UID</th><th>state</th><th>images</th><th>note</th></tr>"
        f"{rows}</table></html>"
    )
