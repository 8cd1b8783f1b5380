"""The HTTP interface of ClickHouse, as far as the tests need it, in front of the real engine embedded by chdb.

clickhouse_http.py FOLDER PORT [TLS_PORT CERTIFICATE KEY]

Queries come as `?query=` or in the body, or as an INSERT in `?query=` or the body's first line, with its rows in the body. One user, lab/lab-secret, by
HTTP basic authentication. Queries run one at a time. Other parameters are settings; those that only HTTP knows are left out.
"""

import base64
import os
import re
import signal
import ssl
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb import session

LOGIN = "Basic " + base64.b64encode(b"lab:lab-secret").decode()
HTTP_ONLY = {"query", "wait_end_of_query", "default_format", "database", "session_id", "query_id", "client_protocol_version"}
INSERT = re.compile(r"(\s*INSERT\s+INTO\s.*)\sFORMAT\s+(\w+)\s*$", re.IGNORECASE | re.DOTALL)
STATUS = {60: 404, 81: 404, 62: 400, 47: 400, 27: 400, 33: 400, 6: 400, 53: 400, 50: 400, 115: 404}


def literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Engine:
    def __init__(self, folder: str) -> None:
        self.spool = os.path.join(folder, "spool")
        os.makedirs(self.spool, exist_ok=True)
        self.session = session.Session(os.path.join(folder, "data"))
        self.lock = threading.Lock()

    def run(self, query: str, body: bytes, settings: dict[str, str]) -> bytes:
        clause = ", ".join(f"{name} = {literal(value)}" for name, value in settings.items())
        insert = INSERT.match(query)
        if not insert:
            return self.ask(query + (f" SETTINGS {clause}" if clause else ""))
        # The engine takes rows from a file, which stands for the request's body.
        with tempfile.NamedTemporaryFile(dir=self.spool) as rows:
            rows.write(body)
            rows.flush()
            settled = f" SETTINGS {clause}" if clause else ""
            return self.ask(f"{insert[1]} FROM INFILE {literal(rows.name)}{settled} FORMAT {insert[2]}")

    def ask(self, query: str) -> bytes:
        with self.lock:
            return self.session.query(query, "TabSeparated").bytes() or b""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Engine

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        headers |= {"Content-Type": "text/plain; charset=UTF-8", "Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while length := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def refuse(self, status: int, code: int, text: str) -> None:
        self.answer(status, (text.strip() + "\n").encode(), X_ClickHouse_Exception_Code=str(code))

    def do_POST(self) -> None:
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self.body()
        if self.headers.get("Authorization") != LOGIN:
            text = "Code: 516. DB::Exception: Authentication failed: password is incorrect, or there is no user with such name."
            return self.refuse(403, 516, f"{text} (AUTHENTICATION_FAILED)")
        query = parameters.get("query", "")
        if not query:
            first, _, rest = body.partition(b"\n")
            is_insert = INSERT.match(first.decode(errors="replace"))
            query, body = (first.decode(), rest) if is_insert else (body.decode(), b"")
        settings = {name: value for name, value in parameters.items() if name not in HTTP_ONLY}
        try:
            self.answer(200, self.engine.run(query, body, settings))
        except RuntimeError as error:
            text = str(error)
            found = re.search(r"Code: (\d+)", text)
            code = int(found[1]) if found else 1002
            self.refuse(STATUS.get(code, 500), code, text)

    do_GET = do_POST


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    folder, port, *secure = sys.argv[1:]
    Handler.engine = Engine(folder)
    servers = [Server(("127.0.0.1", int(port)), Handler)]
    if secure:
        tls_port, certificate, key = secure
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = Server(("127.0.0.1", int(tls_port)), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        servers.append(server)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    stopped.wait()
    for server in servers:
        server.shutdown()
    with Handler.engine.lock:
        Handler.engine.session.close()


if __name__ == "__main__":
    main()
