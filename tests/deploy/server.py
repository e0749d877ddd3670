"""Run commands of packetrig in processes of their own, forked from one that has it loaded.

It stands in a mount namespace of its own (see rig.py) and mounts a bpffs there: what is pinned is
gone with it. Each message is a JSON document with two descriptors, for stdout and stderr.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import traceback
from typing import NoReturn

from packetrig import deploy, live
from packetrig.cli import main

LOADED = (deploy, live)  # so that no child has to import them


def serve(commands: socket.socket) -> None:
    while True:
        data, fds, _, _ = socket.recv_fds(commands, 1 << 16, 2)
        if not data:
            return
        message = json.loads(data)
        if "wait" in message:
            answer = os.waitstatus_to_exitcode(os.waitpid(message["wait"], 0)[1])
        else:
            answer = os.fork()
            if not answer:
                commands.close()
                child(message["words"], message["environment"], fds)
            for fd in fds:
                os.close(fd)
        commands.send(json.dumps(answer).encode())


def child(words: list[str], environment: dict[str, str], fds: list[int]) -> NoReturn:
    code = 99
    try:
        os.setsid()
        for number, fd in enumerate(fds, 1):
            os.dup2(fd, number)
            os.close(fd)
        os.environ.update(environment)
        code = main(words)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    subprocess.run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"], check=True)
    own = socket.socket(fileno=int(sys.argv[1]))
    own.send(b"0")
    serve(own)
