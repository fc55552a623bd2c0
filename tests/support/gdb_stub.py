"""The remote protocol of gdb without gdb: a client that tests say packets with."""

import re
import socket


class Stub:
    def __init__(self, path, patience):
        """Connects to the stub's Unix socket; no answer takes longer than `patience` seconds."""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(patience)
        self.socket.connect(path)
        self.buffer = b""

    def send(self, payload):
        data = payload.encode()
        self.socket.sendall(b"$" + data + b"#%02x" % (sum(data) & 255))

    def answer(self):
        while True:
            match = re.search(rb"\$([^#]*)#..", self.buffer, re.S)
            if match:
                self.buffer = self.buffer[match.end():]
                self.socket.sendall(b"+")
                return match.group(1).decode("latin-1")
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("the stub closed the connection")
            self.buffer += data

    def ask(self, payload):
        self.send(payload)
        return self.answer()
