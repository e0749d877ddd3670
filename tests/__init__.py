"""The project's own tests: a package, so that `progs` is the programs and not tests/progs."""
