from __future__ import annotations

from setuptools import setup

setup(cffi_modules=["framework/packetrig/_bpf/build.py:ffibuilder"])
