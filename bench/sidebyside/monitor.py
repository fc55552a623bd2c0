"""Asks an emulator's human monitor (-monitor unix:PATH,server=on,wait=off) and returns its answers as text."""
import re
import socket

PROMPT = re.compile(rb"\((?:qemu|lyrebird)\) $")
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Monitor:
    """Connects at the first question; a monitor that cannot be reached answers with an empty text."""

    def __init__(self, path):
        self.path, self.connection = path, None

    def ask(self, command):
        try:
            if self.connection is None:
                self.connection = socket.socket(socket.AF_UNIX)
                self.connection.settimeout(2)
                self.connection.connect(str(self.path))
                self._until_prompt()
            self.connection.sendall(command.encode() + b"\n")
            answer = self._until_prompt()
        except OSError:
            return ""
        lines = ESCAPES.sub("", answer.decode(errors="replace")).replace("\r", "").split("\n")
        return "\n".join(line for line in lines[1:-1] if line)

    def _until_prompt(self):
        answer = b""
        while not PROMPT.search(answer):
            chunk = self.connection.recv(65536)
            if not chunk:
                break
            answer += chunk
        return answer
