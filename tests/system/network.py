"""virtio-net on the user network: from the guest to a server on the host's loopback and back."""

import contextlib
import hashlib
import http.server
import os
import socket
import threading
import time
import urllib.request

from harness import PATIENCE, Failure, Guest, check, scratch, system_test

SIZE = 4 << 20


class Handler(http.server.BaseHTTPRequestHandler):
    payload = os.urandom(SIZE)
    uploads = []

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.payload)))
        self.end_headers()
        self.wfile.write(self.payload)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.uploads.append(hashlib.sha256(body).hexdigest())
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        try:
            yield web.server_address[1]
        finally:
            web.shutdown()


def download(device):
    with server() as port, Guest("-netdev", "user,id=n0", "-device", f"{device},netdev=n0") as guest:
        guest.boot()
        expected = hashlib.sha256(Handler.payload).hexdigest()
        for _ in range(2):
            got = guest.run(f"wget -q -O - http://10.0.2.2:{port}/file | sha256sum", 120).split()[0]
            check(got == expected, "the guest received other data than the server sent")
        guest.poweroff()


@system_test
def wget_mmio():
    download("virtio-net-device")


@system_test
def wget_pci():
    download("virtio-net-pci")


@system_test
def wget_default_card():
    with server() as port, Guest() as guest:
        guest.boot()
        got = guest.run(f"wget -q -O - http://10.0.2.2:{port}/file | sha256sum", 120).split()[0]
        check(got == hashlib.sha256(Handler.payload).hexdigest(), "the guest received other data than the server sent")
        guest.poweroff()


@system_test
def upload():
    with server() as port, Guest("-netdev", "user,id=n0", "-device", "virtio-net-device,netdev=n0") as guest:
        guest.boot()
        guest.run("dd if=/dev/urandom of=/tmp/up bs=1k count=512 2>/dev/null; od -An -tx1 -v /tmp/up >/tmp/up.txt", 120)
        expected = guest.run("sha256sum </tmp/up.txt").split()[0]
        guest.run(f"wget -q -O - --post-file=/tmp/up.txt http://10.0.2.2:{port}/", 120)
        check(Handler.uploads[-1:] == [expected], "the server received other data than the guest sent")
        guest.poweroff()


@system_test
def host_forward():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Guest("-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{port}-:80", "-device", "virtio-net-device,netdev=n0") as guest:
        guest.boot()
        guest.run("echo served by the guest >/tmp/index.html; httpd -p 80 -h /tmp")
        for attempt in range(20):
            try:
                text = urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=10 * PATIENCE).read()
                break
            except OSError as error:
                if attempt == 19:
                    raise Failure(f"the guest's server cannot be reached: {error}") from None
                time.sleep(0.5)
        check(text == b"served by the guest\n", f"the guest's server sent {text!r}")
        guest.poweroff()


@system_test
def nic_none_means_no_card():
    with Guest("-nic", "none") as guest:
        guest.boot()
        check(guest.run("ls /sys/class/net") == "lo", "there is a network card")
        guest.poweroff()


@system_test
def entropy():
    with scratch(), Guest("-device", "virtio-rng-device") as guest:
        guest.boot()
        check("virtio_rng" in guest.run("cat /sys/class/misc/hw_random/rng_available"), "the guest has no virtio entropy source")
        first, second = (guest.run("dd if=/dev/hwrng bs=32 count=1 2>/dev/null | sha256sum") for _ in range(2))
        check(first != second, "the entropy source repeats itself")
        guest.poweroff()
