"""gdb as tests talk to it: what its command line is made of, what it said; and a client of its protocol without gdb."""

import re
import socket


def gdb_arguments(commands):
    """Of gdb's command line: commands, where those that are ('name', command) are marked in what it prints."""
    words = []
    for command in commands:
        if isinstance(command, tuple):
            words += ["-ex", f"echo <{command[0]}>\\n", "-ex", command[1], "-ex", "echo <end>\\n"]
        else:
            words += ["-ex", command]
    return words


def gdb_answers(printed):
    """What each of the marked commands printed, by name."""
    return {name: text.strip() for name, text in re.findall(r"<(\w+)>\n(.*?)<end>\n", printed, re.S)}


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
