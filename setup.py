from __future__ import annotations

from setuptools import setup

setup(
    cffi_modules=["framework/packetrig/_bpf/build.py:ffibuilder"],
    # The core keeps to the stable ABI: one wheel for every Python from 3.11 on.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
