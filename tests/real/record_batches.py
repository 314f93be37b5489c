"""Writes Kafka's record batches as its documentation describes them, packed so that few bytes become many, and hands them to a
broker by a request of our own: no client writes whatever it is told to.

A batch is packed piece by piece, so that one that unpacks to a gigabyte is made in little memory.
"""

import socket
import struct
import zlib

import pyarrow

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
# What snappy's blocks from Java begin with: its name, and two versions.
XERIAL = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
PIECE = 1 << 20
# A produce request of version 7, the first that takes zstd, asks for the leader's word, within so many milliseconds.
LEADER, PATIENCE = 1, 30_000


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def varint(number):
    """Zigzag, seven bits a byte."""
    number = (number << 1) ^ (number >> 63)
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(content):
    """Its length, -1 for None, and the bytes."""
    return varint(-1) if content is None else varint(len(content)) + content


def record(offset, value, key=None, headers=(), time=0):
    """A record, `offset` and `time` after those of its batch."""
    body = b"\0" + varint(time) + varint(offset) + field(key) + field(value) + varint(len(headers))
    body += b"".join(field(name) + field(content) for name, content in headers)
    return varint(len(body)) + body


def long_record(offset, key, value):
    """The pieces of a record without headers. Key and value are bytes, None, or how they begin, and how long they are with the
    zeros that follow."""
    parts = [b"\0" + varint(0) + varint(offset)]
    for content in (key, value):
        head, length = content if isinstance(content, tuple) else (content, len(content or b""))
        parts += [varint(-1 if head is None else length) + (head or b""), length - len(head or b"")]
    parts.append(varint(0))
    yield varint(sum(part if isinstance(part, int) else len(part) for part in parts))
    for part in parts:
        if isinstance(part, bytes):
            yield part
        else:
            yield from (bytes(min(PIECE, part - at)) for at in range(0, part, PIECE))


def xxh32(data):
    """Of fewer than 16 bytes, as the header of an LZ4 frame has."""
    primes = 2654435761, 2246822519, 3266489917, 668265263, 374761393
    mask = 0xFFFFFFFF
    value = (primes[4] + len(data)) & mask
    for byte in data:
        value = (value + byte * primes[4]) & mask
        value = ((value << 11 | value >> 21) & mask) * primes[0] & mask
    for shift, prime in ((15, primes[1]), (13, primes[2]), (16, 1)):
        value = (value ^ value >> shift) * prime & mask
    return value


def blocks(pieces, size):
    """The bytes of all pieces, `size` at a time."""
    left = bytearray()
    for piece in pieces:
        left += piece
        while len(left) >= size:
            yield bytes(left[:size])
            del left[:size]
    if left:
        yield bytes(left)


def pack(codec, pieces):
    """The bytes of all pieces, packed by a codec of Kafka's."""
    if codec == "none":
        return b"".join(pieces)
    if codec == "gzip":
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        return b"".join([*(packer.compress(piece) for piece in pieces), packer.flush()])
    if codec == "zstd":
        out = pyarrow.BufferOutputStream()
        with pyarrow.CompressedOutputStream(out, "zstd") as packer:
            for piece in pieces:
                packer.write(piece)
        return out.getvalue().to_pybytes()
    if codec == "snappy":
        packed = (pyarrow.Codec("snappy").compress(block, asbytes=True) for block in blocks(pieces, PIECE))
        return XERIAL + b"".join(struct.pack(">i", len(block)) + block for block in packed)
    # Blocks that do not refer to each other, of 4 MiB at most, as Kafka's clients write and read them.
    descriptor = bytes([0b0110_0000, 0b0111_0000])
    packed = (pyarrow.Codec("lz4_raw").compress(block, asbytes=True) for block in blocks(pieces, 4 << 20))
    frame = b"".join(struct.pack("<I", len(block)) + block for block in packed)
    return struct.pack("<I", 0x184D2204) + descriptor + bytes([xxh32(descriptor) >> 8 & 0xFF]) + frame + bytes(4)


def wide_zstd(start, zeros):
    """A frame of `start` and so many zeros whose window is 128 MiB, in blocks that are one byte again and again."""
    blocks = [(0, len(start), start)]
    blocks += [(1, min(128 << 10, zeros - at), b"\0") for at in range(0, zeros, 128 << 10)]
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([27 - 10 << 3])
    for n, (kind, size, content) in enumerate(blocks, 1):
        frame += struct.pack("<I", (n == len(blocks)) | kind << 1 | size << 3)[:3] + content
    return frame


def batch(count, body, codec="none", time=0, last_time=None, last_offset=None):
    """A batch whose header counts `count` records, which are `body`, packed by `codec` already."""
    last_offset = count - 1 if last_offset is None else last_offset
    checked = struct.pack(">hiqqqhii", CODECS[codec], last_offset, time, time if last_time is None else last_time,
                          -1, -1, -1, count) + body
    # The offset of its first record, its length, the leader's epoch, the version, the checksum.
    return struct.pack(">qiibI", 0, len(checked) + 9, -1, 2, crc32c(checked)) + checked


class Refused(Exception):
    """The broker does not take a batch; its error's number says why."""


def string(text):
    return struct.pack(">h", len(text)) + text.encode()


class Broker:
    """Takes batches as they are."""

    def __init__(self, address):
        host, _, port = address.split(",")[0].rpartition(":")
        self.address = host, int(port)
        self.socket = None

    def produce(self, topic, partition, content):
        """The offset of the first record of a batch, as the broker gave it."""
        body = struct.pack(">hhih", 0, 7, 7, -1) + struct.pack(">hhii", -1, LEADER, PATIENCE, 1) + string(topic)
        body += struct.pack(">iii", 1, partition, len(content)) + content
        try:
            answer = self.ask(body)
        except OSError as error:
            # A request that is too large is not answered: the connection ends.
            self.socket = None
            raise Refused(str(error)) from error
        at = 4 + 4 + 2 + len(topic) + 4
        _, error, offset = struct.unpack_from(">ihq", answer, at)
        if error:
            raise Refused(f"error {error}")
        return offset

    def ask(self, body):
        if self.socket is None:
            self.socket = socket.create_connection(self.address, 60)
        self.socket.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", self.read(4))
        return self.read(size)

    def read(self, size):
        out = bytearray()
        while len(out) < size:
            piece = self.socket.recv(size - len(out))
            if not piece:
                raise OSError("the broker has closed the connection")
            out += piece
        return bytes(out)
