#!/usr/bin/env python3
"""Confluent's own Python client against the embedded registry, as `sluicebox registry --listen` serves it.

    registry_test.py --binary BINARY
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

import common


class Registry:
    """The embedded registry in a process of its own."""

    def __init__(self, binary, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        line = [os.path.abspath(binary), "registry", "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(line, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        self.said = []
        threading.Thread(target=lambda: self.said.extend(self.process.stderr), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.port}"

    def wait(self):
        for _ in range(600):
            if self.process.poll() is not None:
                raise SystemExit(f"the registry ended: {''.join(self.said)}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=0.1).close()
                return
            except OSError:
                threading.Event().wait(0.05)
        raise SystemExit("the registry does not answer")

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(20)


def refused(code, call, *arguments):
    """The call must fail with this HTTP status, or Confluent's five-digit code."""
    try:
        call(*arguments)
    except SchemaRegistryError as error:
        assert code in (error.http_status_code, error.error_code), f"{error} instead of {code}"
        return
    raise AssertionError(f"{call} was not refused with {code}")


def sale(n):
    return {"event_id": f"id-{n}", "account_id": "a", "event_time": 1_750_000_000_000_000 + n, "ingest_time": 1,
            "region": "NA", "plan_tier": "pro", "product": "seat", "quantity": n, "currency": "USD", "amount": 1}


def exercise(url, topic="sales"):
    """The calls that serialisers make, and what tools ask."""
    client, subject = SchemaRegistryClient({"url": url}), f"{topic}-value"
    context = SerializationContext(topic, MessageField.VALUE)
    v1 = json.dumps({**common.V1, "fields": common.V1["fields"][:9]})
    v2 = json.dumps({**common.V2, "fields": common.V1["fields"][:9] + [common.V2["fields"][-1]]})
    row = {k: v for k, v in sale(7).items() if k != "amount"}
    written = AvroSerializer(client, v1)(row, context)
    first = client.get_latest_version(subject)
    assert written[0] == 0 and int.from_bytes(written[1:5], "big") == first.schema_id, (written[:5], first)
    # The same schema keeps its id; another gets another.
    assert client.register_schema(subject, Schema(v1, "AVRO")) == first.schema_id
    second = client.register_schema(subject, Schema(v2, "AVRO"))
    assert second != first.schema_id
    assert client.get_versions(subject) == [1, 2]
    assert client.lookup_schema(subject, Schema(v1, "AVRO")).version == 1
    read = AvroDeserializer(SchemaRegistryClient({"url": url}), v2)(written, context)
    assert read["quantity"] == 7 and read["channel"] == "web", read
    assert subject in client.get_subjects()
    # Compatibility is kept.
    broken = json.dumps({**common.V1, "fields": common.V1["fields"][:2] + [{"name": "must", "type": "int"}]})
    assert not client.test_compatibility(subject, Schema(broken, "AVRO"))
    refused(409, client.register_schema, subject, Schema(broken, "AVRO"))
    refused(422, client.register_schema, "other-value", Schema("no schema", "AVRO"))
    refused(40401, client.get_latest_version, "nobody-value")
    refused(40402, client.get_version, subject, 9)
    refused(40403, client.get_schema, 4_711)
    client.set_compatibility(subject, "NONE")
    assert client.get_compatibility(subject) == "NONE"
    third = client.register_schema(subject, Schema(broken, "AVRO"))
    assert len({first.schema_id, second, third}) == 3
    return first.schema_id, second, third


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluicebox-registry-") as folder:
        registry = Registry(options.binary, folder)
        registry.wait()
        ids = exercise(registry.url)
        # Killed, it has lost nothing that it had answered for.
        registry.stop(signal.SIGKILL)
        registry = Registry(options.binary, folder)
        registry.wait()
        client = SchemaRegistryClient({"url": registry.url})
        assert client.get_versions("sales-value") == [1, 2, 3]
        assert [client.get_version("sales-value", n).schema_id for n in (1, 2, 3)] == list(ids)
        assert client.get_compatibility("sales-value") == "NONE"
        registry.stop()
        assert registry.process.returncode == 0, registry.process.returncode
        assert not re.search("panicked", "".join(registry.said)), registry.said
    print("Confluent's client and the embedded registry understand each other", file=sys.stderr)


if __name__ == "__main__":
    main()
