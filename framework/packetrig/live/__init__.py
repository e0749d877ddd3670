"""Put programs on real interfaces: namespaces without a name, veth wires, attach, smoke.

What stands here needs CAP_NET_ADMIN, and is the only place that knows pyroute2. Nothing runs `ip`
or `tc`, nothing is named on the machine, nothing sleeps:

- `namespace()` makes a network namespace that dies with its descriptor;
- `Wire` makes a veth pair with all noise off, `Wire(ports=3)` several; `wire.right.attach(program,
  mode=...)` attaches for the length of a with block; `wire.send(packet)` returns what reached the
  stack behind the program and says where the frame ended, `wire.trace(packet)` also what was
  counted; `finish()` waits until nothing of closed wires is held any more;
- `engines` runs a program by its test run, by live frames or on a wire, and tells what each saw
  (`packetrig.engines` is its face in tests);
- `smoke(object, mode, frames)` holds a program on a wire to its own test run;
- `cgroup()` makes a cgroup: `group.attach(object)` for what meets connect() there, and
  `group.command(words)` to run something in it;
- `deliver(object)` gives a program every malformed frame, those over a wire that its test run
  refuses, and says which it could not.

wire.py        a wire; end.py is one end of it, cable.py makes it, trip.py is what became of a frame
namespace.py   network namespaces; rtnl.py speaks to the kernel inside of one
attach.py      a program on an interface for a while: hooks.py asks and sets, parking.py saves time
taps.py        packet sockets
ethtool.py     offloads off, drivers' counters; offloads.py and features.py ask real interfaces
traffic.py     two stacks that talk to each other
engines.py     one program, three engines; parity.py names the known differences
smoke.py       a program held to its own test run
deliver.py     every malformed frame
cgroup.py      cgroups of one's own
leaving.py     what a closed wire leaves to do; leftovers.py: what a test left
"""

from __future__ import annotations

from .attach import Attached, Mode, Place, attached
from .cgroup import Cgroup, cgroup
from .deliver import Delivery, deliver
from .end import End
from .leaving import finish
from .namespace import Namespace, namespace
from .smoke import Difference, SmokeReport, smoke
from .trip import Ended, Sent, Trip
from .wire import Wire

__all__ = [
    "Attached",
    "Cgroup",
    "Delivery",
    "Difference",
    "End",
    "Ended",
    "Mode",
    "Namespace",
    "Place",
    "Sent",
    "SmokeReport",
    "Trip",
    "Wire",
    "attached",
    "cgroup",
    "deliver",
    "finish",
    "namespace",
    "smoke",
]
