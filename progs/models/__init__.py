"""Reference models: what each program should answer, said a second time, in Python.

A module for each program; it has the model, under the program's name, and `CHECKS`: what the
program declares about what it changes. They read bytes by slices and know nothing of the C.
"""
