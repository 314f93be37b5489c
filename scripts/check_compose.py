"""Checks docker-compose.yml and the Dockerfile: usage check_compose.py ROOT. No container engine is needed."""

import os
import re
import sys

import yaml

SERVICE_KEYS = {"image", "build", "command", "entrypoint", "environment", "ports", "volumes", "depends_on", "healthcheck",
                "restart", "stop_grace_period", "networks", "working_dir", "user", "profiles"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


class NoTwice(yaml.SafeLoader):
    """A loader that refuses a key given twice, of which YAML would silently keep one."""


def mapping(loader, node, deep=False):
    keys = [loader.construct_object(key, deep=deep) for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {sorted(twice)} given twice")
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


NoTwice.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


def check_service(name, service, compose, root):
    """Yields what is wrong with one service."""
    services, volumes = compose["services"], compose.get("volumes") or {}
    for key in set(service) - SERVICE_KEYS:
        yield f"unknown key {key!r}"
    if not ("image" in service or "build" in service):
        yield "neither image nor build"
    if "build" in service and not os.path.isfile(os.path.join(root, service["build"], "Dockerfile")):
        yield f"no Dockerfile in {service['build']!r}"
    for variable, value in (service.get("environment") or {}).items():
        if not isinstance(value, str):
            yield f"{variable} is {value!r}: quote it, so that it stays a text"
    for other, how in (service.get("depends_on") or {}).items():
        if other not in services:
            yield f"depends on {other!r}, which is not there"
        elif how.get("condition") not in CONDITIONS:
            yield f"unknown condition {how.get('condition')!r}"
        elif how["condition"] == "service_healthy" and "healthcheck" not in services[other]:
            yield f"waits for {other!r} to be healthy, which has no healthcheck"
    for port in service.get("ports") or []:
        if not re.fullmatch(r"(\d+\.\d+\.\d+\.\d+:)?\d+:\d+", str(port)):
            yield f"port {port!r} is not [address:]host:container"
    for volume in service.get("volumes") or []:
        source = volume.split(":")[0]
        if source.startswith("."):
            if not os.path.exists(os.path.join(root, source)):
                yield f"{source!r} is not there"
        elif source not in volumes:
            yield f"volume {source!r} is not declared"
    for word in service.get("command") or []:
        if word.endswith(".sql") and not os.path.isfile(os.path.join(root, word)):
            yield f"{word!r} is not there"


def check_dockerfile(root):
    """Yields what is wrong with the Dockerfile."""
    with open(os.path.join(root, "Dockerfile")) as text:
        lines = [line.strip() for line in text.read().replace("\\\n", " ").splitlines()]
    stages = set()
    for line in (line for line in lines if line and not line.startswith("#")):
        word = line.split()[0]
        if word not in {"FROM", "RUN", "COPY", "WORKDIR", "ENTRYPOINT", "CMD", "ENV", "ARG", "USER", "EXPOSE", "VOLUME"}:
            yield f"unknown instruction {word!r}"
        stage = re.search(r"\bAS (\w+)$", line)
        if word == "FROM" and stage:
            stages.add(stage.group(1))
        source = re.match(r"COPY (?:--from=(\w+) )?(\S+) ", line)
        if word == "COPY" and source:
            if source.group(1) and source.group(1) not in stages:
                yield f"copies from the stage {source.group(1)!r}, which is not there"
            if not source.group(1) and not os.path.exists(os.path.join(root, source.group(2))):
                yield f"copies {source.group(2)!r}, which is not there"


def main():
    root = sys.argv[1]
    with open(os.path.join(root, "docker-compose.yml")) as text:
        compose = yaml.load(text, NoTwice)
    wrong = [f"docker-compose.yml: {name}: {what}" for name, service in compose["services"].items()
             for what in check_service(name, service, compose, root)]
    wrong += [f"docker-compose.yml: no service {name!r}" for name in ("kafka", "registry", "sluicebox")
              if name not in compose["services"]]
    topics = " ".join(compose["services"]["topics"]["command"])
    if "--topic=sales.events.v1" not in topics or "--partitions=3" not in topics:
        wrong.append("docker-compose.yml: nothing makes sales.events.v1 with 3 partitions")
    wrong += [f"Dockerfile: {what}" for what in check_dockerfile(root)]
    print("\n".join(wrong) or f"docker-compose.yml: {len(compose['services'])} services, no mistake found")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
