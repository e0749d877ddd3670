"""Send marked frames out of an interface until stdin is closed; print how many were sent.

They go in small groups with a moment of rest, so that what is tested has a processor as well.
"""

from __future__ import annotations

import select
import socket
import sys

MARKED = 0x88B6
GROUP = 8
REST = 0.0005


def main() -> None:
    interface, protocol = sys.argv[1], int(sys.argv[2])
    frame = bytes.fromhex("020000000002 020000000001") + protocol.to_bytes(2, "big") + bytes(46)
    sent = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind((interface, 0))
        print("begun", flush=True)
        is_over = False
        while not is_over:
            for _ in range(GROUP):
                sock.send(frame)
            sent += GROUP
            is_over = bool(select.select([sys.stdin], [], [], REST)[0])
    print(sent)


if __name__ == "__main__":
    main()
