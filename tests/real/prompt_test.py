#!/usr/bin/env python3
"""`sluicebox query` on a terminal: a prompt, statements of several lines, what fits the width, earlier lines, mistakes drawn, Ctrl-C.

    prompt_test.py --binary BINARY
"""

import argparse
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import tempfile
import termios

WIDTH = 60
SQL = ("CREATE TABLE s USING kafka OPTIONS ('subscribe' = 'sales.events.v1', 'startingOffsets' = 'earliest');\n"
       "CREATE STREAMING TABLE bronze_b AS SELECT event_id, account_id, region, product, quantity, event_time FROM STREAM s;\n")


class Terminal:
    def __init__(self, line, folder, env):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(line[0], line, env)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, WIDTH, 0, 0))
        self.seen, self.begun = "", 0

    def until(self, mark, seconds=60):
        """What came until the cursor stands behind `mark` in a new line, without what moves the cursor."""
        begun = self.begun
        while not (lines := self.plain(begun).split("\n"))[-1] == mark or len(lines) < 2:
            ready, _, _ = select.select([self.master], [], [], seconds)
            assert ready, f"no {mark!r} in {self.plain(begun)!r}"
            try:
                more = os.read(self.master, 65536)
            except OSError:
                more = b""
            assert more, f"it ended without {mark!r}: {self.plain(begun)!r}"
            self.seen += more.decode(errors="replace")
        self.begun = len(self.seen)
        return self.plain(begun)

    def plain(self, begun):
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen[begun:])
        return "\n".join(line.split("\r")[-1] for line in text.replace("\r\n", "\n").split("\n"))

    def type(self, text):
        os.write(self.master, text.encode())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    binary = os.path.abspath(parser.parse_args().binary)
    with tempfile.TemporaryDirectory(prefix="sluicebox-prompt-") as folder:
        env = {k: v for k, v in os.environ.items() if k not in ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL")}
        env |= {"TERM": "xterm", "HOME": folder, "NO_COLOR": "1"}
        env.pop("XDG_STATE_HOME", None)
        with open(os.path.join(folder, "p.sql"), "w") as out:
            out.write(SQL)
        for line in ["produce", "sales", "--events", "50", "--seed", "7"], ["run", "p.sql", "--trigger", "available-now"]:
            subprocess.run([binary, *line], cwd=folder, env=env, check=True, capture_output=True)
        terminal = Terminal([binary, "query"], folder, env)
        terminal.until("sluicebox> ")
        terminal.type("SHOW\r")
        terminal.until("        -> ")
        terminal.type("TABLES;\r")
        shown = terminal.until("sluicebox> ")
        assert "bronze.b" in shown, shown

        terminal.type("SELECT * FROM bronze.b LIMIT 2;\r")
        shown = terminal.until("sluicebox> ")
        rows = [line for line in shown.split("\n") if line.startswith(("|", "+", "and "))]
        assert rows and all(len(line) <= WIDTH for line in rows), shown
        assert "…" in shown, shown

        # What would run for hours is stopped, and the prompt goes on.
        terminal.type("SELECT sum(n % 7) FROM\r")
        terminal.until("        -> ")
        terminal.type("generate_series(1, 999999999999) AS t(n);\r")
        terminal.until("")
        for _ in range(30):
            # One that comes before the statement has begun is for nothing.
            terminal.type("\x03")
            try:
                shown = terminal.until("sluicebox> ", seconds=3)
                break
            except AssertionError as error:
                assert "it ended" not in str(error), error
        assert "stopped" in shown, shown
        terminal.type("SELECT 41 + 1;\r")
        assert "| 42 " in terminal.until("sluicebox> ")

        terminal.type("SELECT 1 FROM bronze.c;\r")
        shown = terminal.until("sluicebox> ")
        assert "did you mean bronze.b?" in shown and "unknown-table" in shown, shown
        terminal.type("DROP TABLE bronze.b;\r")
        assert "refused" in terminal.until("sluicebox> ")

        # Two lines back, and its end changed.
        terminal.type("\x1b[A\x1b[A\x7f\x7f" + "b;\r")
        shown = terminal.until("sluicebox> ")
        assert "| 1 " in shown, shown
        terminal.type("SELECT 'left\r")
        terminal.until("        -> ")
        terminal.type("\x03")
        terminal.until("sluicebox> ")
        terminal.type("\x04")
        _, status = os.waitpid(terminal.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status

        terminal = Terminal([binary, "query"], folder, env)
        terminal.until("sluicebox> ")
        terminal.type("\x1b[A\x1b[A\r")
        shown = terminal.until("sluicebox> ")
        assert "| 1 " in shown, f"lines are kept: {shown}"
        terminal.type("exit\r")
        _, status = os.waitpid(terminal.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
    print("the prompt answers, stops, cuts what is too wide, and keeps its lines")


if __name__ == "__main__":
    main()
