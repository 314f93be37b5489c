"""Reads the embedded log as Kafka's documentation describes its files, and makes a ledger of it for the oracle."""

import base64
import glob
import io
import json
import os
import struct

import fastavro

COLUMNS = {
    "event_id": "VARCHAR", "account_id": "VARCHAR", "event_time": "BIGINT", "ingest_time": "BIGINT", "region": "VARCHAR",
    "plan_tier": "VARCHAR", "product": "VARCHAR", "quantity": "INTEGER", "currency": "VARCHAR", "amount": "DECIMAL(12,2)",
    "_partition": "INTEGER", "_offset": "BIGINT", "_timestamp": "BIGINT", "_key": "VARCHAR", "_schema_id": "INTEGER",
    "ingest_date": "VARCHAR",
}
TYPE = {"type": "record", "name": "SalesEvent", "fields": [
    {"name": "event_id", "type": ["null", "string"]}, {"name": "account_id", "type": "string"},
    {"name": "event_time", "type": "long"}, {"name": "ingest_time", "type": "long"},
    {"name": "region", "type": "string"}, {"name": "plan_tier", "type": "string"}, {"name": "product", "type": "string"},
    {"name": "quantity", "type": "int"}, {"name": "currency", "type": "string"}, {"name": "amount", "type": "bytes"}]}
HEADER = struct.Struct(">qiibIhiqqqhii")


def varint(data, at):
    shift = value = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


def records(data):
    """(offset, timestamp, key, value) of every record of a segment; a torn batch at its end is none."""
    at = 0
    while at + HEADER.size <= len(data):
        base, length, _, magic, _, attributes, _, first_time, _, _, _, _, count = HEADER.unpack_from(data, at)
        end = at + 12 + length
        if end > len(data):
            return
        assert magic == 2 and attributes & 7 == 0, (magic, attributes)
        position = at + HEADER.size
        for _ in range(count):
            size, position = varint(data, position)
            after = position + size
            position += 1
            time, position = varint(data, position)
            offset, position = varint(data, position)
            fields = []
            for _ in range(2):
                n, position = varint(data, position)
                fields.append(None if n < 0 else data[position:position + n])
                position += max(n, 0)
            yield base + offset, first_time + time, *fields
            position = after
        at = end


def entry(schema, schema_id, value):
    """What the oracle has to expect of a value."""
    bad = {"kind": "bad", "value": base64.b64encode(value).decode()}
    if len(value) < 5:
        return {**bad, "error_class": ["INCOMPLETE_HEADER"]}
    if value[0] != 0:
        return {**bad, "error_class": ["INVALID_MAGIC_BYTE"]}
    if int.from_bytes(value[1:5], "big") != schema_id:
        return {**bad, "error_class": ["UNKNOWN_SCHEMA_ID"]}
    body = io.BytesIO(value[5:])
    try:
        row = fastavro.schemaless_reader(body, schema, None)
    except UnicodeDecodeError:
        return {**bad, "error_class": ["INVALID_UTF8"]}
    except (EOFError, IndexError, struct.error):
        return {**bad, "error_class": ["TRUNCATED"]}
    if body.read(1):
        return {**bad, "error_class": ["TRAILING_BYTES"]}
    cents = int.from_bytes(row["amount"], "big", signed=True)
    row["amount"] = f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"
    return {"kind": "row", "schema_id": schema_id, "version": 1, "row": row}


def ledger(log, topic, schema_id, ends, now_us, path):
    """Writes the ledger of the records before `ends`, and returns how many there are of each partition."""
    schema = fastavro.parse_schema(TYPE)
    counts = {}
    with open(path, "w") as out:
        out.write(json.dumps({"topic": topic, "end_us": now_us, "columns": COLUMNS}) + "\n")
        for partition in sorted(int(p) for p in os.listdir(os.path.join(log, topic)) if p.isdigit()):
            expected = 0
            for segment in sorted(glob.glob(os.path.join(log, topic, str(partition), "*.log"))):
                with open(segment, "rb") as data:
                    content = data.read()
                for offset, time, key, value in records(content):
                    assert offset == expected, f"{topic}/{partition}: offset {offset} where {expected} was due"
                    expected += 1
                    if offset >= ends.get(partition, 0):
                        continue
                    line = {"partition": partition, "offset": offset, "timestamp_ms": time,
                            "key": None if key is None else key.decode()}
                    line |= {"kind": "tombstone"} if value is None else entry(schema, schema_id, value)
                    out.write(json.dumps(line) + "\n")
            counts[partition] = expected
    return counts
