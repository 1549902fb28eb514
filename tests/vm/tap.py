# SPDX-License-Identifier: MIT
"""tap - a relay between vmchanneld and QEMU that can stop and cut."""
import contextlib
import os
import select
import socket
import threading

from vmtest import wait_for

PIECE = 262144


class Tap:
    """Listens at path, connects to target for whoever comes."""

    def __init__(self, path, target):
        self.target = target
        self.ear = socket.socket(socket.AF_UNIX)
        self.ear.bind(path)
        self.ear.listen(8)
        self.near = self.far = None  # vmchanneld's, QEMU's
        self.held = threading.Event()
        self.lock = threading.Lock()
        self.wake = os.pipe()
        self.moved = 0  # bytes from QEMU
        self.ended = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.ended:
            with self.lock:
                pair = (self.near, self.far)
            ready = self._ready(pair)
            with self.lock:
                if pair != (self.near, self.far):
                    continue
                if self.ear in ready:
                    self._accept()
                elif self.near in ready:
                    self._copy(self.near, self.far)
                elif self.far in ready:
                    self._copy(self.far, self.near)

    def _ready(self, pair):
        if pair[0] is None:
            wanted = [self.ear]
        elif self.held.is_set():
            wanted = [pair[0]]
        else:
            wanted = list(pair)
        ready, _, _ = select.select(wanted + [self.wake[0]], [], [], 1)
        if self.wake[0] in ready:
            os.read(self.wake[0], 100)
        return ready

    def _accept(self):
        self.near, _ = self.ear.accept()
        self.far = self._connect()

    def _connect(self):
        far = socket.socket(socket.AF_UNIX)
        far.connect(self.target)
        return far

    def _copy(self, source, sink):
        try:
            data = source.recv(PIECE)
            if not data:
                raise ConnectionError
            # Whoever does not read holds up both ways, but for a second only.
            sink.settimeout(1.0)
            sink.sendall(data)
        except OSError:
            self._drop()
            return
        if source is self.far:
            self.moved += len(data)

    def _drop(self):
        for s in (self.near, self.far):
            with contextlib.suppress(OSError, AttributeError):
                s.close()
        self.near = self.far = None

    def _wake(self):
        os.write(self.wake[1], b"x")

    def hold(self):
        """Read no more from QEMU: its socket fills."""
        self.held.set()
        self._wake()

    def release(self):
        self.held.clear()
        self._wake()

    def cut(self, both=True):
        """QEMU's connection ends, what is in it is lost; both: vmchanneld's,
        too, otherwise it is not told."""
        with self.lock:
            if self.far is None:
                return
            if both:
                self._drop()
            else:
                self.far.close()
                self.far = self._connect()
        self.release()

    def wait_moving(self, timeout):
        before = self.moved
        wait_for("bytes from QEMU", lambda: self.moved > before + 100000,
                 timeout, 0.01)

    def close(self):
        self.ended = True
        self._wake()
        self.thread.join(3)
        self._drop()
        self.ear.close()
