# SPDX-License-Identifier: MIT
"""A guest that speaks docs/protocol.md, written from that document alone."""
import random
import secrets
import socket
import struct
import time

from xxh64 import xxh64

MAGIC = bytes.fromhex("00564d4348414e4e454c0d0a1a0aff00")
HELLO, HELLO_ACK = 1, 2
GUEST = 1
RESUME, UNKNOWN, ROLLBACK = 1, 2, 3
ACK, PING, PONG, BYE = 1, 2, 3, 4
OPEN, ACCEPT, REJECT = 0x10, 0x11, 0x12
DATA, CREDIT, STOP, RESET = 0x20, 0x21, 0x22, 0x23
ADVERTISE, WITHDRAW = 0x30, 0x31
FIN = 1
HEADER = 32
MAX_FRAME, WINDOW, INFLIGHT = 8192, 16384, 65536
SECONDS = 20
# "length" to the end, before the TLVs (section 2)
FIELDS = struct.Struct("<HBBBBBBQQ16sIIQQQQQQQIIIIII")
NAMES = ("length kind role version_min version_max verdict r0 nonce echo "
         "session epoch attach_no rx_next tx_first tx_next rx_digest instance "
         "offered required max_frame window streams names inflight r1").split()


class Violation(Exception):
    pass


class Hello:
    def __init__(self, raw):
        self.__dict__.update(zip(NAMES, FIELDS.unpack_from(raw, 24)))


class Stream:
    def __init__(self, limit):
        self.sent, self.limit = 0, limit
        self.received, self.granted = bytearray(), WINDOW
        self.fin, self.accepted, self.reset, self.rejected = (False, False,
                                                              None, None)


class Guest:
    def __init__(self, path):
        self.path = path
        self.instance = secrets.randbits(64)
        self.session, self.epoch, self.attach_no = bytes(16), 0, 0
        self.streams, self.names, self.opened = {}, {}, []
        self.resumed = self.bye = None
        self.next_id = 1
        self.forget()

    def forget(self):
        self.rx_next = self.tx_first = self.tx_next = 0
        self.rx_digest, self.tx_digests = 0, [0]  # from tx_first on
        self.retained = []
        self.streams.clear()
        self.names.clear()

    # ---- the link

    def attach(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)
        self.sock.settimeout(0.05)
        self.input = b""
        self.begin()

    def cut(self):
        self.sock.close()

    def begin(self):
        """Rule 1: a fresh nonce and HELLO; the guest needs no preamble."""
        self.up, self.answered = False, None
        self.nonce = secrets.randbits(63) + 1
        self.attach_no += 1
        self.said = (self.session, self.epoch, self.attach_no, self.rx_next,
                     self.tx_first, self.tx_next, self.rx_digest)
        self.hello(HELLO, 0, 0)

    def hello(self, kind, verdict, echo):
        tlv = struct.pack("<HH3s", random.randint(0x7000, 0x7fff), 3, b"abc")
        body = FIELDS.pack(152 + len(tlv), kind, GUEST, 1, 1, verdict, 0,
                           self.nonce, echo, *self.said, self.instance, 0, 0,
                           MAX_FRAME, WINDOW, 16, 16, INFLIGHT, 0) + tlv
        self.sock.sendall(MAGIC + struct.pack("<Q", xxh64(body)) + body)

    def pump(self, until, seconds=SECONDS):
        """Read and answer until @until() is true."""
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                raise TimeoutError("the host does not do what was expected")
            try:
                got = self.sock.recv(65536)
                if not got:
                    raise ConnectionError("end of the link")
            except TimeoutError:
                if not self.up:
                    self.hello(HELLO, 0, 0)  # rule 5
                continue
            self.input += got
            before = self.rx_next
            while self.parse():
                pass
            if self.up and self.rx_next != before:
                self.frame(ACK, 0)

    def parse(self):
        """One unit of the input; false: more bytes are needed."""
        if not self.up or self.input[:1] == b"\0":
            return self.find_hello()
        if len(self.input) < HEADER:
            return False
        kind, flags, length, stream, seq, ack, phash, check = \
            struct.unpack_from("<BBHIIIQQ", self.input)
        # Seeded with what the host has got of ours and, in a sequenced frame,
        # with what it sent before (section 4).
        known = (ack - self.tx_first) & 0xffffffff
        if known >= len(self.tx_digests):
            raise Violation("ack of what was not sent")
        seed = self.seed_rx ^ self.tx_digests[known]
        if kind & 0x7f >= 0x10:
            seed ^= self.rx_digest
        if check != xxh64(self.input[:24], seed):
            raise Violation("check of a header")
        if length > MAX_FRAME - HEADER:
            raise Violation("length")
        if len(self.input) < HEADER + length:
            return False
        payload = self.input[HEADER:HEADER + length]
        self.input = self.input[HEADER + length:]
        if phash != xxh64(payload):
            raise Violation("hash of a payload")
        self.acked(ack)
        if kind & 0x7f >= 0x10:
            if seq != self.rx_next & 0xffffffff:
                raise Violation(f"frame {seq}, not {self.rx_next}")
            self.rx_next += 1
            self.rx_digest = self.digest(self.rx_digest, kind, flags, stream,
                                         payload)
        elif seq:
            raise Violation("seq of an unsequenced frame")
        self.take(kind, flags, stream, payload)
        return True

    @staticmethod
    def digest(before, kind, flags, stream, payload):
        return xxh64(struct.pack("<BBHIQ", kind, flags, len(payload), stream,
                                 xxh64(payload)), before)

    # ---- the handshake

    def find_hello(self):
        at = self.input.find(MAGIC)
        if at < 0:
            self.input = self.input[-15:]
            return False
        self.input = self.input[at:]
        if len(self.input) < 26:
            return False
        length, = struct.unpack_from("<H", self.input, 24)
        if len(self.input) < length:
            return False
        raw, self.input = self.input[:length], self.input[length:]
        check, = struct.unpack_from("<Q", raw, 16)
        if not 152 <= length <= 1024 or check != xxh64(raw[24:]):
            raise Violation("HELLO")
        self.take_hello(Hello(raw))
        return True

    def verdict(self, h):
        if h.session != self.session or h.epoch != self.epoch or \
                self.session == bytes(16):
            return UNKNOWN
        if not (self.tx_first <= h.rx_next <= self.tx_next and
                h.tx_first <= self.rx_next <= h.tx_next and
                h.rx_digest == self.tx_digests[h.rx_next - self.tx_first]):
            return ROLLBACK
        return RESUME

    def answer(self, h):
        self.hello(HELLO_ACK, self.verdict(h), h.nonce)
        self.answered = h.nonce

    def take_hello(self, h):
        if h.kind == HELLO:
            if not self.up:
                self.answer(h)
            elif h.nonce == self.peer.nonce:
                self.hello(HELLO_ACK, self.my_verdict, h.nonce)
                self.frame(PING, 0, bytes(8))
            else:
                self.begin()
                self.answer(h)
            return
        if self.up or h.echo != self.nonce:
            return
        verdict = self.verdict(h)
        if self.answered != h.nonce:
            self.answer(h)
        both = struct.pack("<QQ", h.nonce, self.nonce)  # host's first
        self.seed_rx, self.seed_tx = xxh64(both, 1), xxh64(both, 2)
        self.peer, self.up, self.my_verdict = h, True, verdict
        self.resumed = verdict == RESUME and h.verdict == RESUME
        if not self.resumed:
            self.forget()
            self.session = struct.pack("<QQ", xxh64(both, 3), xxh64(both, 4))
            self.epoch = max(self.epoch, h.epoch) + 1
            self.rx_digest = xxh64(both, 5)
            self.tx_digests = [xxh64(both, 6)]
            return
        self.acked(h.rx_next & 0xffffffff)
        for number, unit in enumerate(self.retained, self.tx_first):
            self.write(number, *unit)

    # ---- frames

    def acked(self, ack):
        n = (ack - self.tx_first) & 0xffffffff
        if n > len(self.retained):
            raise Violation("ack of what was not sent")
        del self.retained[:n], self.tx_digests[:n]
        self.tx_first += n

    def write(self, number, kind, flags, stream, payload):
        head = struct.pack("<BBHIIIQ", kind, flags, len(payload), stream,
                           number & 0xffffffff, self.rx_next & 0xffffffff,
                           xxh64(payload))
        seed = self.seed_tx ^ self.rx_digest
        if kind & 0x7f >= 0x10:
            seed ^= self.tx_digests[number - self.tx_first]
        self.sock.sendall(head + struct.pack("<Q", xxh64(head, seed))
                          + payload)

    def frame(self, kind, stream, payload=b"", flags=0):
        if kind & 0x7f < 0x10:
            self.write(0, kind, flags, stream, payload)
            return
        self.retained.append((kind, flags, stream, payload))
        self.tx_digests.append(self.digest(self.tx_digests[-1], kind, flags,
                                           stream, payload))
        self.tx_next += 1
        self.write(self.tx_next - 1, kind, flags, stream, payload)

    def take(self, kind, flags, ident, payload):
        s = self.streams.get(ident)
        if kind == OPEN:
            self.streams[ident] = s = Stream(self.peer.window)
            s.flags, s.kind, s.uid, s.gid, n = struct.unpack_from(
                "<IIIIB", payload)
            s.name = payload[17:].decode("ascii")
            if len(s.name) != n or ident % 2:
                raise Violation("OPEN")
            self.opened.append(ident)
            self.frame(ACCEPT, ident)
        elif kind == ACCEPT:
            s.accepted = True
        elif kind == REJECT:
            s.rejected, = struct.unpack("<Hxx", payload)
        elif kind == DATA:
            if not (payload or flags) or s.fin:
                raise Violation("DATA")
            s.received += payload
            if len(s.received) > s.granted:
                raise Violation("credit")
            s.fin = bool(flags & FIN)
            if s.granted - len(s.received) < WINDOW * 5 // 8 and not s.fin:
                s.granted = len(s.received) + WINDOW
                self.frame(CREDIT, ident, struct.pack("<Q", s.granted))
        elif kind == CREDIT:
            limit, = struct.unpack("<Q", payload)
            if limit <= s.limit:
                raise Violation("CREDIT does not grow")
            s.limit = limit
        elif kind == RESET:
            s.reset, = struct.unpack("<Hxx", payload)
        elif kind == ADVERTISE:
            self.names[payload[5:].decode("ascii")] = payload[0]
        elif kind == WITHDRAW:
            self.names.pop(payload[1:].decode("ascii"), None)
        elif kind == PING:
            self.frame(PONG, 0, payload)
        elif kind == BYE:
            self.bye, = struct.unpack("<Hxx", payload)
            self.up = False
        elif kind not in (ACK, PONG, STOP) and not kind & 0x80:
            raise Violation(f"type {kind:#x}")

    # ---- what a program wants

    def open(self, name):
        ident, self.next_id = self.next_id, self.next_id + 2
        self.streams[ident] = Stream(self.peer.window)
        self.frame(OPEN, ident, struct.pack("<IIIIB", 0, 1, 0, 0, len(name))
                   + name.encode("ascii"))
        return ident

    def advertise(self, name):
        self.frame(ADVERTISE, 0, struct.pack("<IB", 0, len(name)) +
                   name.encode("ascii"))

    def send(self, ident, data, fin=False):
        """All of @data, as credit and the limit of what is in flight allow."""
        s, at = self.streams[ident], 0
        most = min(MAX_FRAME, self.peer.max_frame) - HEADER
        while at < len(data):
            self.pump(lambda: s.limit > s.sent and len(self.retained) < 6)
            n = min(most, s.limit - s.sent, len(data) - at)
            self.frame(DATA, ident, data[at:at + n])
            s.sent += n
            at += n
        if fin:
            self.frame(DATA, ident, b"", FIN)
