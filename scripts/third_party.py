#!/usr/bin/env python3
"""Writes THIRD_PARTY.md: whose software is in the binary, under which licence, and the texts that are to be handed on with it.

    scripts/third_party.py           compare THIRD_PARTY.md with Cargo.lock
    scripts/third_party.py --write   write it anew

Asks cargo which crates the binary is built of as it is shipped (Dockerfile: default features, Linux), and takes texts from their
sources. A crate whose licence has no known form, that has no text, or that brings a library in C which nobody looked at, is an error.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT / "THIRD_PARTY.md"
TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")

# Of licences that a crate lets choose from, the first here is taken. Those of deny.toml.
PREFERENCE = ("Apache-2.0", "MIT", "BSD-3-Clause", "ISC", "Zlib", "BSL-1.0", "Unicode-3.0", "CDLA-Permissive-2.0",
              "Apache-2.0 WITH LLVM-exception")

# Crates without a text, and the crate of the same repository that has it.
TEXT_OF = {"alloc-stdlib": "alloc-no-stdlib", "rdkafka-sys": "rdkafka"}

# Libraries in C that crates build and link: name, and the files with their licences.
IN_C = {
    "libz-sys": ("zlib", ["src/zlib/LICENSE"]),
    "lz4-sys": ("LZ4", ["liblz4/lib/LICENSE"]),
    "openssl-src": ("OpenSSL", ["openssl/LICENSE.txt"]),
    "rdkafka-sys": ("librdkafka and what it contains", ["librdkafka/LICENSES.txt"]),
    "ring": ("parts of BoringSSL and of fiat-crypto", ["LICENSE-BoringSSL", "LICENSE-other-bits", "third_party/fiat/LICENSE"]),
    "tikv-jemalloc-sys": ("jemalloc", ["jemalloc/COPYING"]),
    "zstd-sys": ("Zstandard", ["zstd/LICENSE"]),
}
# Crates that link a library which another of them builds.
LINKS_ONLY = {"openssl-sys"}

LICENCE_FILE = re.compile(r"(licen[cs]e|copying|unlicense|copyright)", re.IGNORECASE)
NOTICE_FILE = re.compile(r"notice", re.IGNORECASE)


def cargo(*words):
    return subprocess.run(["cargo", *words], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def parts_of_binary():
    """The crates of others that the binary is built of, sorted by name and version."""
    packages = json.loads(cargo("metadata", "--locked", "--format-version", "1"))["packages"]
    # Metadata has features of systems that are not asked for, and the tree has not; that knows no paths.
    built = set()
    for target in TARGETS:
        tree = cargo("tree", "--locked", "--edges", "normal,build", "--target", target, "--prefix", "none", "--format", "{p}")
        built.update(tuple(line.split()[:2]) for line in tree.splitlines() if line)
    # Ours have no source.
    found = [package for package in packages if package["source"] and (package["name"], f"v{package['version']}") in built]
    return sorted(found, key=lambda package: (package["name"], package["version"]))


def chosen(expression):
    """The licences that are taken of an SPDX expression, as a set."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR ").replace(" WITH ", "_WITH_"))

    def either():
        ways = [both()]
        while words and words[0] == "OR":
            words.pop(0)
            ways.append(both())
        known = [way for way in ways if way <= set(PREFERENCE)]
        if not known:
            raise SystemExit(f"third_party.py: nothing of '{expression}' is among the licences of this script and deny.toml")
        return min(known, key=lambda way: max(PREFERENCE.index(licence) for licence in way))

    def both():
        taken = one()
        while words and words[0] == "AND":
            words.pop(0)
            taken = taken | one()
        return taken

    def one():
        word = words.pop(0)
        if word != "(":
            return {word.replace("_WITH_", " WITH ")}
        inner = either()
        words.pop(0)
        return inner

    return either()


def text_of(path):
    lines = path.read_text(encoding="utf-8", errors="replace").replace("\f", "").replace("\ufeff", "").splitlines()
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def texts_beside(folder, pattern):
    return [text_of(path) for path in sorted(folder.iterdir()) if path.is_file() and pattern.match(path.name)]


class Texts:
    """Texts, each once, with those whom it is about."""

    def __init__(self):
        self.about = {}

    def add(self, whom, text):
        key = " ".join(text.split())
        self.about.setdefault(key, (text, []))[1].append(whom)

    def print(self):
        for text, whom in sorted(self.about.values(), key=lambda entry: entry[1][0].lower()):
            yield f"### {', '.join(dict.fromkeys(whom))}\n\n~~~~text\n{text}\n~~~~\n"


def render(crates):
    folders = {crate["name"]: pathlib.Path(crate["manifest_path"]).parent for crate in crates}
    rows, in_c, licences, notices, problems = [], [], Texts(), Texts(), []
    for crate in crates:
        name, version, folder = crate["name"], crate["version"], pathlib.Path(crate["manifest_path"]).parent
        taken = chosen(crate["license"] or "none")
        rows.append(f"| {name} | {version} | {' and '.join(sorted(taken))} | {crate['repository'] or 'crates.io'} |")
        if taken != {"Apache-2.0"}:
            texts = texts_beside(folders.get(TEXT_OF.get(name), folder), LICENCE_FILE)
            own = [text for text in texts if not text.lstrip().startswith("Apache License") or "LLVM" in text]
            if not own:
                problems.append(f"{name} {version} has no file with its licence: say in TEXT_OF where its text is")
            for text in own:
                licences.add(f"{name} {version}", text)
        for text in texts_beside(folder, NOTICE_FILE):
            notices.add(f"{name} {version}", text)
        if name in IN_C:
            library, files = IN_C[name]
            in_c.append(f"| {library} | {name} {version} |")
            for file in files:
                licences.add(f"{library}, in {name} {version}", text_of(folder / file))
        elif crate["links"] and name not in LINKS_ONLY:
            problems.append(f"{name} {version} links {crate['links']}: say in IN_C whose library that is")
    if problems:
        raise SystemExit("third_party.py: " + "\nthird_party.py: ".join(problems))
    return "\n".join([
        "# Software of others in Sluicebox",
        "",
        "Sluicebox is under the Apache License 2.0. The binary contains software of others, under the licences below: where",
        "one lets choose, the one that is named is taken. `sluicebox version --licences` prints this page.",
        "`scripts/third_party.py` writes it from Cargo.lock and the sources of the crates. With the feature `duckdb` the binary",
        "also loads DuckDB's library, which is under the MIT licence and comes with a package of its own.",
        "",
        "## Libraries in C", "", "| library | built by |", "|---|---|", *in_c, "",
        "## Crates", "", "| crate | version | licence | from |", "|---|---|---|---|", *rows, "",
        "## Licences", "",
        "### All of the Apache License 2.0", "", "~~~~text", text_of(ROOT / "LICENSE"), "~~~~", "",
        *licences.print(),
        "## Notices", "",
        *notices.print(),
    ])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write it anew")
    options = parser.parse_args()
    crates = parts_of_binary()
    page = render(crates)
    if options.write:
        LIST.write_text(page, encoding="utf-8")
    elif not LIST.exists() or LIST.read_text(encoding="utf-8") != page:
        raise SystemExit("THIRD_PARTY.md is not what Cargo.lock asks for: write it by scripts/third_party.py --write")
    print(f"third parties: {len(crates)} crates, all with their licences in THIRD_PARTY.md", file=sys.stderr)


if __name__ == "__main__":
    main()
