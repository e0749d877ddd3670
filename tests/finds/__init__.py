"""Proof that faults are found, and that right programs are not accused: `make finds`."""
