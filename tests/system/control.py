"""Monitor, signals, character devices and the process itself."""

import os
import pty
import re
import signal
import socket
import subprocess
import termios
import time

from harness import EMULATOR, PATIENCE, Failure, Guest, check, firmware, only_lyrebird, scratch, system_test


class Monitor:
    """The human monitor on a Unix socket."""

    def __init__(self, path, seconds=20):
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.settimeout(seconds * PATIENCE)
                self.socket.connect(str(path))
                break
            except OSError as error:
                self.socket.close()
                if time.monotonic() > deadline:
                    raise Failure(f"the monitor's socket cannot be reached: {error}") from None
                time.sleep(0.05)
        self.text = b""
        self.until_prompt()

    def until_prompt(self):
        while not self.text.endswith(b"(qemu) "):
            data = self.socket.recv(65536)
            check(data, "the monitor closed its connection")
            self.text += data
        text, self.text = self.text, b""
        return text.decode().replace("\r", "")

    def command(self, line):
        self.socket.sendall(line.encode() + b"\n")
        answer = self.until_prompt()
        return answer.split("\n", 1)[1].rsplit("(qemu) ", 1)[0].strip() if "\n" in answer else answer

    def close(self):
        self.socket.close()


@system_test
def monitor_stops_and_continues():
    with scratch() as directory, Guest("-serial", "stdio", "-monitor", f"unix:{directory}/mon,server=on,wait=off", "-display", "none", nographic=False) as guest:
        guest.boot()
        monitor = Monitor(directory / "mon")
        check(monitor.command("info status") == "VM status: running", "info status is wrong while running")
        guest.send("while true; do echo tick; done\n")
        guest.expect("tick\ntick\n")
        monitor.command("stop")
        check(monitor.command("info status") == "VM status: paused", "info status is wrong when stopped")
        time.sleep(0.5)
        guest._read(0.1)
        before = len(guest.output)
        time.sleep(0.5)
        guest._read(0.1)
        check(len(guest.output) == before, "a stopped guest goes on")
        monitor.command("cont")
        guest.expect("tick\ntick\n")
        guest.send("\x03")
        guest.run("true")
        monitor.socket.sendall(b"quit\n")
        check(guest.wait() == 0, "quit ended with another status than 0")


@system_test
def code_memory_filled_many_times():
    with scratch() as directory, Guest("-serial", "stdio", "-monitor", f"unix:{directory}/mon,server=on,wait=off", "-display", "none",
                                       "-accel", "tcg,tb-size=1", smp=2, nographic=False) as guest:
        guest.boot(240)
        sums = guest.run("for i in 1 2 3; do ls -lR /bin | sha256sum; done", 120)
        check(len({line for line in sums.splitlines() if line.endswith("-")}) == 1, f"three checksums of the same list differ: {sums}")
        monitor = Monitor(directory / "mon")
        counted = re.search(r"code_room_waits\D+(\d+)", monitor.command("info jit"))
        check(counted and int(counted.group(1)) > 0, "code memory was never full")
        guest.send("poweroff -f\n")
        check(guest.wait() == 0, "the power-off ended with another status than 0")


@system_test
def monitor_resets():
    with scratch() as directory, Guest("-serial", "stdio", "-monitor", f"unix:{directory}/mon,server=on,wait=off", "-display", "none", nographic=False) as guest:
        guest.boot()
        monitor = Monitor(directory / "mon")
        monitor.command("system_reset")
        guest.expect("Linux version", 120)
        guest.boot()
        monitor.close()
        again = Monitor(directory / "mon")
        check("pc " in again.command("info registers"), "info registers shows no pc")
        check("ram" in again.command("info mtree"), "info mtree shows no RAM")
        guest.poweroff()


@system_test
def power_button_switches_the_guest_off():
    only_lyrebird()
    for device in ("virtio-keyboard-device", "virtio-keyboard-pci"):
        with scratch() as directory, Guest("-device", device, "-serial", "stdio", "-monitor", f"unix:{directory}/mon,server=on,wait=off", "-display", "none", nographic=False) as guest:
            guest.boot()
            # The guest's daemon has opened the keyboard once its input device is in use.
            guest.run("for i in 1 2 3 4 5; do pidof acpid && break; sleep 1; done")
            monitor = Monitor(directory / "mon")
            check(monitor.command("system_powerdown") == "", f"system_powerdown said something with {device}")
            guest.expect("the power key was pressed", 30)
            check(guest.wait() == 0, "the guest switched itself off, but the emulator ended with another status than 0")


@system_test
def no_power_button_is_said():
    only_lyrebird()
    with scratch() as directory, Guest("-S", "-uuid", "01234567-89ab-cdef-0123-456789ABCDEF", "-serial", "stdio", "-monitor", f"unix:{directory}/mon,server=on,wait=off", "-display", "none", linux=False, nographic=False) as guest:
        monitor = Monitor(directory / "mon")
        check("has no power button; -device virtio-keyboard-pci adds one" in monitor.command("system_powerdown"), "a missing power button is not said")
        check(monitor.command("info uuid") == "01234567-89ab-cdef-0123-456789abcdef", "info uuid is wrong")
        check("cpu 0: stopped" in monitor.command("info stuck"), "info stuck says something else before the start")
        monitor.socket.sendall(b"quit\n")
        check(guest.wait() == 0, "quit ended with another status than 0")


@system_test
def start_paused():
    with scratch() as directory, Guest("-S", "-serial", "stdio", "-monitor", f"unix:{directory}/mon,server=on,wait=off", "-display", "none", linux=False, nographic=False) as guest:
        monitor = Monitor(directory / "mon")
        check(monitor.command("info status") == "VM status: paused (prelaunch)", "info status is wrong before the start")
        check("OpenSBI" not in guest.output, "the guest ran before it was told to")
        monitor.command("cont")
        guest.expect(r"OpenSBI v\d")


@system_test
def quit_signal_reports_and_goes_on():
    only_lyrebird()
    with Guest(smp=2) as guest:
        guest.boot()
        guest.signal(signal.SIGQUIT)
        guest.expect(r"cpu 0: .*guest pc 0x[0-9a-f]+.*blocks entered", 10)
        guest.expect(r"cpu 1: .*guest pc 0x[0-9a-f]+.*blocks entered", 10)
        guest.run("true")
        guest.poweroff()


@system_test
def terminating_signals_end_cleanly():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with Guest(linux=False) as guest:
            guest.expect(r"OpenSBI v\d")
            guest.signal(number)
            check(guest.wait(20) == 0, f"signal {number} ended the emulator with another status than 0")


@system_test
def end_of_input_is_not_the_end():
    with Guest(linux=False) as guest:
        guest.process.stdin.close()
        guest.expect(r"Boot HART Base ISA", 60)
        time.sleep(0.3)
        check(guest.process.poll() is None, "the emulator ended when its input did")
        guest.process.stdin = open(os.devnull, "wb")


@system_test
def serial_into_a_file():
    with scratch() as directory, Guest("-serial", f"file:{directory}/out", "-display", "none", "-monitor", "none", nographic=False) as guest:
        deadline = time.monotonic() + 240 * PATIENCE
        while "user space reached" not in (directory / "out").read_text(errors="replace") if (directory / "out").exists() else True:
            check(time.monotonic() < deadline, "the guest's output did not come into the file")
            check(guest.process.poll() is None, "the emulator ended")
            time.sleep(0.2)


@system_test
def serial_on_a_pty():
    with Guest("-serial", "pty", "-display", "none", "-monitor", "none", linux=False, nographic=False) as guest:
        name = guest.expect(r"char device redirected to (/dev/pts/\d+) \(label serial0\)").group(1)
        check(re.fullmatch(r"/dev/pts/\d+", name), "no name of a pseudo-terminal")
        check(os.path.exists(name), f"{name} does not exist")


@system_test
def ways_to_share_one_terminal():
    for options in (
        ("-nographic", "-serial", "mon:stdio"),
        ("-display", "none", "-serial", "mon:stdio"),
        ("-nodefaults", "-chardev", "stdio,id=c0,mux=on,signal=off", "-serial", "chardev:c0", "-mon", "chardev=c0,mode=readline"),
    ):
        with Guest(*options, linux=False, nographic=False) as guest:
            guest.expect(r"OpenSBI v\d")
            guest.send("\x01c")
            guest.expect(r"\(qemu\) ")
            guest.send("info version\nquit\n")
            check(guest.wait() == 0, f"quit ended with another status than 0 with {' '.join(options)}")


@system_test
def daemonize_and_pidfile():
    with scratch() as directory:
        done = subprocess.run([EMULATOR, "-M", "virt", "-bios", firmware(), "-display", "none", "-daemonize", "-pidfile", directory / "pid", "-monitor",
                               f"unix:{directory}/mon,server=on,wait=off"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30 * PATIENCE)
        check(done.returncode == 0, f"-daemonize ended with status {done.returncode}: {done.stderr}")
        pid = int((directory / "pid").read_text())
        os.kill(pid, 0)
        monitor = Monitor(directory / "mon")
        monitor.socket.sendall(b"quit\n")
        for _ in range(100):
            if not (directory / "pid").exists():
                return
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        raise Failure("the daemon did not end and remove its pidfile")


def on_a_terminal(end):
    """Runs the emulator as the foreground job of a new terminal; `end` ends it. Returns the terminal's settings before, while and after, and
    the status as waitpid gives it."""
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    pid = os.fork()
    if pid == 0:
        os.login_tty(slave) if hasattr(os, "login_tty") else login_tty(slave)
        os.execv(EMULATOR, [EMULATOR, "-M", "virt", "-bios", firmware(), "-nographic"])
    try:
        text = b""
        deadline = time.monotonic() + 60 * PATIENCE
        os.set_blocking(master, False)
        while b"OpenSBI v" not in text:
            check(time.monotonic() < deadline, f"the firmware did not start: {text!r}")
            try:
                text += os.read(master, 4096)
            except BlockingIOError:
                time.sleep(0.05)
        during = termios.tcgetattr(slave)
        end(pid, master)
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                break
            check(time.monotonic() < deadline, "the emulator did not end")
            time.sleep(0.05)
        return before, during, termios.tcgetattr(slave), status
    finally:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(master)
        os.close(slave)


def login_tty(fd):
    import fcntl

    os.setsid()
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
    for target in (0, 1, 2):
        os.dup2(fd, target)


def check_terminal(end, expected):
    before, during, after, status = on_a_terminal(end)
    check(not during[3] & (termios.ICANON | termios.ECHO | termios.ISIG), "the terminal is not in raw mode while the guest runs")
    check(after == before, "the terminal was not given back as it was")
    check(status == expected, f"the emulator ended with wait status {status}")


@system_test
def terminal_is_given_back_after_quit():
    check_terminal(lambda pid, master: os.write(master, b"\x01x"), 0)


@system_test
def terminal_is_given_back_after_a_signal():
    check_terminal(lambda pid, master: os.kill(pid, signal.SIGTERM), 0)


@system_test
def terminal_is_given_back_after_a_crash():
    check_terminal(lambda pid, master: os.kill(pid, signal.SIGABRT), signal.SIGABRT)
