"""A small server that answers like the API of a shop; delete it when you load your own.

``GET /orders?day=2025-01-15`` answers ``{"items": [...], "next": <address of the next page>}`` to
requests that have the right bearer token. The same day has the same orders, whenever it is asked.
"""

import json
import os
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ORDERS_PER_DAY = 60
ORDERS_PER_PAGE = 25


def orders_of(day: str) -> list[dict]:
    """Make the orders of one day; every tenth has a coupon."""
    dice = random.Random(day)
    return [
        {
            "orderId": f"{day}-{number:03d}",
            "orderedAt": f"{day}T{dice.randrange(24):02d}:{dice.randrange(60):02d}:00Z",
            "customerId": f"c{dice.randrange(20)}",
            "status": dice.choice(["open", "paid", "paid", "cancelled"]),
            "totalAmount": round(dice.uniform(5, 200), 2),
            "coupon": "WELCOME" if number % 10 == 0 else None,
        }
        for number in range(ORDERS_PER_DAY)
    ]


class ShopServer(ThreadingHTTPServer):
    """Serves ``/orders`` on a free port of this machine."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: ShopServer

    def do_GET(self) -> None:
        """Answer one page of orders."""
        address = urlsplit(self.path)
        options = {name: values[-1] for name, values in parse_qs(address.query).items()}
        if self.headers["Authorization"] != f"Bearer {os.environ.get('SHOP_API_TOKEN')}":
            self._answer(401, {"message": "The bearer token is not that of SHOP_API_TOKEN."})
        elif address.path != "/orders" or "day" not in options:
            self._answer(404, {"message": "Ask for /orders?day=2025-01-15."})
        else:
            self._answer(200, self._page(options["day"], int(options.get("page", 0))))

    def _page(self, day: str, page: int) -> dict:
        orders, first = orders_of(day), page * ORDERS_PER_PAGE
        following = f"{self.server.url}orders?day={day}&page={page + 1}"
        is_last = first + ORDERS_PER_PAGE >= len(orders)
        items = orders[first : first + ORDERS_PER_PAGE]
        return {"items": items, "next": None if is_last else following}

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Stay silent."""


def start() -> ShopServer:
    """Start a server in a thread of this process."""
    server = ShopServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
