"""What a producer may try that has nothing but write access to one topic: each attack is some records, or batches of them.

Schemas that make much of little are registered beforehand, below other subjects: a producer may name any that the registry has.
"""

import struct

import record_batches
from record_batches import long_record, pack, record, varint

MB = 1_000_000
ENDS = [-2**63, 2**63 - 1, -2**31 - 1, -2**31, 2**31 - 1, 2**31, -1, 0]
PLACES = [{"name": "id", "type": "string"}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
          {"name": "k", "type": "long"}]


def written(more):
    return {"type": "record", "name": "E", "fields": PLACES + more}


def kinds(symbols):
    kind = {"type": "enum", "name": "Kind", "symbols": symbols, "default": symbols[0]}
    return {"name": "kind", "type": kind, "default": symbols[0]}


KIND = kinds(["OTHER", "GOOD", "BAD"])
# Whatever a writer lacks costs 20 kB a row, and 200 columns.
READER = written([
    {"name": "text", "type": "string", "default": ""}, {"name": "pattern", "type": "string", "default": ""}, KIND,
    {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
    {"name": "filler", "type": "string", "default": "x" * 20_000},
    *({"name": f"c{n}", "type": ["null", "string"], "default": None} for n in range(200))])
TEXTS = written(READER["fields"][3:5])
SCHEMAS = {
    "reader": READER,
    # An event of three fields; one with the texts beside them; one with lists.
    "small": written([]),
    "texts": TEXTS,
    "lists": written([READER["fields"][6], {"name": "nulls", "type": {"type": "array", "items": "null"}},
                      {"name": "by", "type": {"type": "map", "values": "long"}}]),
    "enum": written([kinds([f"S{n:05d}" for n in range(20_000, 0, -1)] + ["BAD", "OTHER"])]),
    "deep": written([{"name": "next", "type": ["null", {"type": "record", "name": "N", "fields": [
        {"name": "n", "type": ["null", "N"]}]}]}]),
    "other": "string",
}


def text(content):
    content = content if isinstance(content, bytes) else content.encode()
    return varint(len(content)) + content


class Attacks:
    """The attacks, by name. Records go by `send`, as a client sends them, batches as they are by `send_batch`."""

    def __init__(self, random, ids, clock_us, send, send_batch, unpacked):
        self.random, self.ids, self.clock_us = random, ids, clock_us
        self.send, self.send_batch = send, send_batch
        # How many bytes bombs may still unpack to: whoever looks on has to unpack them too.
        self.unpacked = unpacked
        self.count = 0
        names = ("bomb", "wide", "crowd", "lie", "unknown", "small", "enum", "deep", "lists", "broken", "large", "characters",
                 "times", "bare", "numbers", "patterns")
        self.all = {name: getattr(self, name) for name in names}

    def head(self, schema, at=None, k=None):
        """What an event begins with, framed."""
        self.count += 1
        at = self.clock_us() if at is None else at
        k = self.random.randrange(1, 4) if k is None else k
        framed = b"\0" + struct.pack(">i", self.ids[schema])
        return framed + text(f"hostile {self.count}") + varint(at) + varint(k)

    def event(self, content=b"", pattern=b"a", at=None, k=None):
        return self.head("texts", at, k) + text(content) + text(pattern)

    def take(self, megabytes):
        """So many bytes, or how many may still be unpacked."""
        size = max(min(megabytes * MB, self.unpacked), 10_000)
        self.unpacked -= size
        return size

    def codec(self, *none):
        return self.random.choice(["gzip", "snappy", "lz4", "zstd", *none])

    # -- batches -----------------------------------------------------------------------------------------------------

    def bomb(self):
        """A value, or a key, of many megabytes in few bytes: foreign ones, and some that are events."""
        codec = self.codec()
        # Those of snappy are a twentieth of what they become, and the topic takes 20 MB.
        size = self.take(self.random.choice([5, 15, 17, 90] + ([] if codec == "snappy" else [700])))
        event = self.head("texts")
        # A text that ends a byte before the value: the other one is empty.
        event += varint(size - len(event) - len(varint(size)) - 1)
        head = self.random.choice([b"", b"\0\0\0\0\1", event])
        key, value = self.random.choice([(None, (head, size)), ((b"key", size), b"v")])
        body = pack(codec, [record(0, self.event()), *long_record(1, key, value), record(2, self.event())])
        self.send_batch(record_batches.batch(3, body, codec))

    def wide(self):
        """A zstd frame that refers back so far that whoever unpacks it in pieces has to keep 128 MiB."""
        size = self.take(self.random.choice([1, 40]))
        start = b"".join(long_record(0, None, (b"", size)))[:-size - 1]
        self.send_batch(record_batches.batch(1, record_batches.wide_zstd(start, size + 1), "zstd"))

    def crowd(self):
        """Many records that are nearly nothing."""
        codec, count = self.codec("none"), self.random.choice([500, 5_000, 20_000])
        value = self.random.choice([b"", None, b"\0", self.head("small")])
        if self.random.random() < 0.1 and self.unpacked > 20 * MB:
            # More than are read of a batch.
            codec, count, value = "gzip", 1_100_000, b""
        body = pack(codec, (record(n, value) for n in range(count)))
        self.unpacked -= count * 10
        self.send_batch(record_batches.batch(count, body, codec), count if value is None else 0)

    def lie(self):
        """Batches that are not what they say. A broker takes none of them."""
        one = record(0, self.event())
        codec = self.codec()
        packed = pack(codec, [one])
        self.send_batch(self.random.choice([
            record_batches.batch(2, b"no frame of any codec", codec), record_batches.batch(3, packed, codec),
            record_batches.batch(1, packed, codec, last_offset=1_000), record_batches.batch(1, packed[:-3], codec),
            record_batches.batch(1, varint(10**9) + one), record_batches.batch(2**31 - 1, packed, codec)]))

    # -- events ------------------------------------------------------------------------------------------------------

    def unknown(self):
        """Schemas that nobody registered, by id and by GUID."""
        for _ in range(self.random.choice([20, 300])):
            number = self.random.randrange(2**31)
            if self.random.random() < 0.8:
                self.send(b"\0" + struct.pack(">i", number) + b"body")
            else:
                self.send(b"body", headers=[("__value_schema_id", b"\1" + self.random.randbytes(16))])

    def small(self):
        """Events of a few bytes whose rows are thousands of times as large."""
        for _ in range(self.random.choice([50, 500, 2_000])):
            self.send(self.head("small"))

    def enum(self):
        """One of 20,000 symbols, nearly none of which the reader knows; or none of them."""
        for index in self.random.choices([0, 1, 19_999, 20_000, 20_001, 20_002, -1, 2**31, 2**62], k=40):
            self.send(self.head("enum") + varint(index))

    def deep(self):
        for depth in (10, 250, 300, self.random.choice([10_000, 1_000_000])):
            self.send(self.head("deep") + varint(1) * depth + varint(0))

    def lists(self):
        """Lists and maps whose counts and sizes lie, and items that take no byte."""
        end, one = varint(0), varint(1)
        tag, entry = text("t"), text("k") + one
        counts = [2**62, -2**63, 2**31, -1, 10**9, 70_000]
        for _ in range(20):
            count = varint(self.random.choice(counts))
            size = varint(self.random.choice([0, 1, -1, 10**9]))
            tags = self.random.choice([end, one + tag + end, count + tag, count + size + tag + end, (one + tag) * 2_000 + end])
            nulls = self.random.choice([end, count + end, varint(60_000) + end, (one * 3_000) + end])
            by = self.random.choice([end, one + entry + end, count + entry, count + size + entry + end])
            self.send(self.head("lists") + tags + nulls + by)

    def broken(self):
        """Good events that were cut, or in which some bits are others."""
        for _ in range(30):
            good = bytearray(self.event(b"some text", b"^s"))
            what = self.random.randrange(4)
            if what == 0:
                del good[self.random.randrange(len(good)):]
            elif what == 1:
                good += self.random.randbytes(5)
            elif what == 2:
                good[self.random.randrange(5, len(good))] = 0xFF
            else:
                for _ in range(self.random.randrange(1, 4)):
                    good[self.random.randrange(len(good))] ^= 1 << self.random.randrange(8)
            self.send(bytes(good))

    def large(self):
        """A key, a value or headers of many megabytes, by a client as it is."""
        size = self.take(self.random.choice([2, 12, 18]))
        noise = self.random.randbytes(1_000) * (size // 1_000)
        what = self.random.randrange(4)
        if what == 0:
            self.send(self.event(), key=noise)
        elif what == 1:
            self.send(self.event(), headers=[("h", noise)])
        elif what == 2:
            self.send(self.event(), headers=[("h" * 40, b"1")] * min(70_000, size // 50))
        else:
            self.send(self.event(noise.hex()[:size]))

    def characters(self):
        """Text that acts on a terminal, forges lines, or is none."""
        signs = ["\x1b[2J\x1b]0;pwned\x07", "\r\nerror[bug]: all is lost", "\u202e\u2066", "\u009b31m", "\0", "\ufeff",
                 "e\u0301" * 400, "=cmd|' /C calc'!A0"]
        for sign in signs:
            for value in (self.event(sign, sign), self.event(sign.encode() + b"\xff\xfe"), b"\0\0\0" + sign.encode()):
                self.send(value, key=sign.encode(), headers=[(sign.replace("\0", "") or "n", sign.encode())])

    def times(self):
        """Times at the ends of what there is: of records, and in events."""
        for time in self.random.sample([-2**63, 2**63 - 1, -2, 10**15, 0], 2):
            self.send_batch(record_batches.batch(1, record(0, self.event()), time=time))
        now = self.clock_us()
        for at in [-2**63, 2**63 - 1, 0, -1, 253_402_300_800_000_000, now + 50 * 60 * MB, now - 10**12]:
            self.send(self.event(at=at))

    def bare(self):
        """No key, no value, or nothing in them."""
        for key in (None, b"", b"k"):
            for value in (None, b"", b"\0", b"\0\0\0\0"):
                self.send(value, key=key)

    def numbers(self):
        """What lpad, repeat, sequence, explode and array_repeat make much of."""
        near = [1_000, 100_000, 999_999, 1_000_000, 1_000_001, 10**7, 2**24, 2**24 + 1, 10**9]
        k = self.random.choice([*near, *ENDS])
        for _ in range(self.random.choice([1, 5, 20])):
            content, pattern = b"a" * self.random.choice([1, 100, 5_000]), b"b" * self.random.choice([1, 1_000])
            self.send(self.event(content, pattern, k=k))

    def patterns(self):
        """Patterns that are none, that are large when they are ready, or take other engines for ever."""
        light = ["(", "[", "(?=a)", r"(a)\1", "(a+)+$", "(a|aa)+$", "(a*)*b", "", ".*" * 10, "(" * 3_000 + ")" * 3_000,
                 "a" * 3_000]
        heavy = ["a{1000}{1000}", r"\p{L}{500}", "x*" * 500, "|".join(f"w{n}" for n in range(3_000))]
        # Without optimisation it takes a second until a heavy one is found to be too large.
        self.send(self.event(b"a" * 100, self.random.choice(heavy)))
        self.send(self.event(b"a" * 5_000 + b"!", self.random.choice(light)))
        self.send(self.event(b'{"a": ' * 2_000 + b"}" * 2_000, b"b"))
        for pattern in self.random.sample(light, 3):
            for content in (b"", b"a" * 300 + b"!"):
                self.send(self.event(content, pattern))
