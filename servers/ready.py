"""Asks a server one real question over its own protocol, with nothing but the standard library.

ready.py cassandra HOST PORT [USER PASSWORD]   prints the release that `system.local` gives
ready.py kafka HOST PORT                       prints the brokers that the cluster's metadata names
"""

import socket
import struct
import sys


def receive(stream: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            raise ConnectionError("the server closed the connection")
        data += part
    return data


def cassandra(stream: socket.socket, user: str, password: str) -> str:
    """Native protocol 4: STARTUP, AUTH_RESPONSE if asked for, then a query."""
    READY, AUTHENTICATE, RESULT, AUTH_SUCCESS = 0x02, 0x03, 0x08, 0x10

    def ask(opcode: int, body: bytes) -> tuple[int, bytes]:
        stream.sendall(struct.pack(">BBhBi", 4, 0, 0, opcode, len(body)) + body)
        _, _, _, answer, length = struct.unpack(">BBhBi", receive(stream, 9))
        return answer, receive(stream, length)

    def text(value: str) -> bytes:
        return struct.pack(">H", len(value)) + value.encode()

    answer, body = ask(0x01, struct.pack(">H", 1) + text("CQL_VERSION") + text("3.0.0"))
    if answer == AUTHENTICATE:
        token = f"\0{user}\0{password}".encode()
        answer, body = ask(0x0F, struct.pack(">i", len(token)) + token)
        if answer != AUTH_SUCCESS:
            raise PermissionError(body)
    elif answer != READY:
        raise ConnectionError(body)
    query = b"SELECT release_version FROM system.local"
    answer, body = ask(0x07, struct.pack(">i", len(query)) + query + struct.pack(">HB", 1, 0))
    if answer != RESULT:
        raise ConnectionError(body)
    return "Cassandra " + body.rpartition(b"\0")[2][1:].decode()


def kafka(stream: socket.socket) -> str:
    """A Metadata request, version 1, for no topic: the answer lists the brokers."""
    client = b"ready"
    request = struct.pack(">hhih", 3, 1, 7, len(client)) + client + struct.pack(">i", 0)
    stream.sendall(struct.pack(">i", len(request)) + request)
    body = receive(stream, struct.unpack(">i", receive(stream, 4))[0])
    _, brokers = struct.unpack(">ii", body[:8])
    if brokers < 1:
        raise ConnectionError("no broker is registered yet")
    return f"Kafka, {brokers} broker"


def main() -> None:
    kind, host, port, *login = sys.argv[1:]
    with socket.create_connection((host, int(port)), timeout=5) as stream:
        print(cassandra(stream, *(login or ("", ""))) if kind == "cassandra" else kafka(stream))


if __name__ == "__main__":
    main()
