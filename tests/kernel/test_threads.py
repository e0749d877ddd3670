"""One object in several threads: every answer belongs to the frame that was asked about."""

from __future__ import annotations

import threading
from collections.abc import Callable

from packetrig import XDP, Object

Load = Callable[..., Object]

PARITY = """
SEC("xdp") int parity(struct xdp_md *ctx)
{
    unsigned char *data = (void *)(long)ctx->data;
    if ((void *)(data + 14) > (void *)(long)ctx->data_end)
        return XDP_ABORTED;
    data[1] = data[0];
    return data[0] & 1 ? XDP_DROP : XDP_PASS;
}
"""


def test_threads_that_share_an_object_get_their_own_answers(load: Load) -> None:
    rig = load(PARITY)
    wrong: list[object] = []

    def ask(number: int) -> None:
        frame = bytes([number]) * 64
        expected = XDP.DROP if number & 1 else XDP.PASS
        for _ in range(3000):
            run = rig.run(frame)
            if run.verdict is not expected or run.data != frame:
                wrong.append(run)
        wrong.extend(run for run in rig.run_many([frame] * 3000) if run.verdict is not expected)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
